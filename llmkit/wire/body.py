"""Taking the compression off a body, with a cap on what comes out."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from llmkit.errors import InvalidResponseError, ResponseTooLarge

MOST_BODY = 64 * 1024 * 1024
"""Bytes a whole reply may have, decompressed."""
MOST_STREAM = 256 * 1024 * 1024
"""Bytes a streamed reply may have, decompressed."""
MOST_HEADERS = 64 * 1024
"""Bytes the headers of a reply may have."""
ACCEPT_ENCODING = "gzip, deflate"
"""What requests offer: what :class:`BodyDecoder` can take off."""

_STEP = 1024 * 1024


class BodyDecoder:
    """Compressed bytes in, cut anywhere; plain bytes out.

    :param headers: the reply's headers, names in lower case.
    :param most: bytes that may come out.
    :raises InvalidResponseError: if the body is compressed in a way that was not offered, or more than once.
    """

    __slots__ = ("_inflate", "_most", "_size", "_zlib_or_raw")

    def __init__(self, headers: Mapping[str, str], most: int) -> None:
        self._most = most
        self._size = 0
        self._inflate = None
        self._zlib_or_raw = False
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding in ("gzip", "x-gzip"):
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        elif encoding == "deflate":
            self._inflate = zlib.decompressobj()
            self._zlib_or_raw = True
        elif encoding not in ("", "identity"):
            raise InvalidResponseError(f"the reply has content-encoding {encoding[:60]!r}; {ACCEPT_ENCODING} was offered")
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and len(length) < 20 and int(length) > most:
            raise self._too_large()

    def feed(self, data: bytes) -> bytes:
        """The plain bytes that ``data`` brings.

        :raises ResponseTooLarge: if more than ``most`` bytes have come out.
        :raises InvalidResponseError: if the compressed data is broken.
        """
        if self._inflate is None:
            self._size += len(data)
            if self._size > self._most:
                raise self._too_large()
            return data
        return self._decompress(data)

    def finish(self) -> None:
        """Check that a compressed body came to its end.

        :raises InvalidResponseError: if it was cut short.
        """
        if self._inflate is not None and self._size and not self._inflate.eof:
            raise InvalidResponseError("the compressed body was cut short")

    def _decompress(self, data: bytes) -> bytes:
        out = []
        try:
            while data:
                piece = self._step(data)
                self._size += len(piece)
                if self._size > self._most:
                    break
                out.append(piece)
                assert self._inflate is not None
                if self._inflate.eof:
                    data = b""  # what follows a complete body is not part of it
                else:
                    data = self._inflate.unconsumed_tail
            broken = None
        except zlib.error as problem:
            broken = str(problem)
        if broken is not None:
            raise InvalidResponseError(f"the compressed body is broken: {broken}")
        if self._size > self._most:
            raise self._too_large()
        return b"".join(out)

    def _step(self, data: bytes) -> bytes:
        assert self._inflate is not None
        if not self._zlib_or_raw:
            return self._inflate.decompress(data, _STEP)
        self._zlib_or_raw = False
        try:
            return self._inflate.decompress(data, _STEP)
        except zlib.error:  # "deflate" that lacks the zlib header, as some servers send it
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            return self._inflate.decompress(data, _STEP)

    def _too_large(self) -> ResponseTooLarge:
        return ResponseTooLarge(f"the reply is larger than {self._most} bytes")
