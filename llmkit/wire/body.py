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
GZIP = zlib.MAX_WBITS | 16


class BodyDecoder:
    """Compressed bytes in, cut anywhere; plain bytes out.

    :param headers: the reply's headers, names in lower case.
    :param most: bytes that may come out.
    :raises InvalidResponseError: if the body is compressed in a way that was not offered, or more than once.
    """

    __slots__ = ("_gzip", "_head", "_inflate", "_most", "_size", "_started", "_undecided")

    def __init__(self, headers: Mapping[str, str], most: int) -> None:
        self._most = most
        self._size = 0
        self._started = False
        """Whether any compressed byte has come."""
        self._head = b""
        """The first byte of a deflate body whose kind is not known before the second."""
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise InvalidResponseError(f"the reply has content-encoding {encoding[:60]!r}; {ACCEPT_ENCODING} was offered")
        self._gzip = encoding in ("gzip", "x-gzip")
        self._undecided = encoding == "deflate"
        self._inflate = zlib.decompressobj(GZIP) if self._gzip else zlib.decompressobj() if self._undecided else None
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
        self._started = self._started or bool(data)
        if self._undecided:
            data = self._decide(self._head + data)
        return self._decompress(data)

    def finish(self) -> None:
        """Check that a compressed body came to its end.

        :raises InvalidResponseError: if it was cut short.
        """
        if self._inflate is not None and self._started and not self._inflate.eof:
            raise InvalidResponseError("the compressed body was cut short")

    def _decide(self, data: bytes) -> bytes:
        """Whether a deflate body has its zlib header (RFC 1950), which some servers leave out."""
        if len(data) < 2:
            self._head = data
            return b""
        self._undecided = False
        if data[0] & 0x0F != zlib.DEFLATED or int.from_bytes(data[:2], "big") % 31:
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        return data

    def _decompress(self, data: bytes) -> bytes:
        out = []
        broken = None
        try:
            while data and self._size <= self._most:
                piece, data = self._step(data)
                self._size += len(piece)
                out.append(piece)
        except zlib.error as problem:
            broken = str(problem)
        if broken is not None:
            raise InvalidResponseError(f"the compressed body is broken: {broken}")
        if self._size > self._most:
            raise self._too_large()
        return b"".join(out)

    def _step(self, data: bytes) -> tuple[bytes, bytes]:
        """The next plain bytes, and the compressed ones still to do."""
        inflate = self._inflate
        if inflate is None or inflate.eof:
            if not self._gzip or not data.startswith(b"\x1f"):
                return b"", b""  # what follows a complete body is not part of it
            inflate = self._inflate = zlib.decompressobj(GZIP)  # another member: RFC 1952, section 2.2
        piece = inflate.decompress(data, _STEP)
        return piece, inflate.unused_data if inflate.eof else inflate.unconsumed_tail

    def _too_large(self) -> ResponseTooLarge:
        return ResponseTooLarge(f"the reply is larger than {self._most} bytes")
