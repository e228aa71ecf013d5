"""Pictures and files on their way to a vendor."""

from __future__ import annotations

from base64 import b64encode

from llmkit.errors import InvalidRequestError
from llmkit.values.messages import Audio, File, Image

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}


def media_type(part: Image | Audio | File) -> str:
    """The part's media type; where it has none, what its first bytes say.

    :raises InvalidRequestError: if neither tells.
    """
    if part.media_type:
        return part.media_type
    data = part.data or b""
    for magic, found in _MAGIC:
        if data.startswith(magic):
            return found
    if data[:4] == b"RIFF" and data[8:12] in _RIFF:
        return _RIFF[data[8:12]]
    raise InvalidRequestError(f"{type(part).__name__}: give media_type, it cannot be told from the data")


def base64(part: Image | Audio | File) -> str:
    """The part's bytes as base64 text."""
    return b64encode(part.data or b"").decode("ascii")


def data_url(part: Image | File) -> str:
    """A part's data as a ``data:`` URL."""
    return f"data:{media_type(part)};base64,{base64(part)}"
