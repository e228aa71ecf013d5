"""Newline-delimited JSON, byte by byte."""

from __future__ import annotations

from llmkit.errors import ResponseTooLarge
from llmkit.wire.sse import BOM, MOST_EVENT


class LineDecoder:
    """Bytes in, cut anywhere; whole lines out. Lines end in LF or CRLF; empty ones are passed over."""

    __slots__ = ("_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completes.

        :raises ResponseTooLarge: if a line grows beyond :data:`~llmkit.wire.sse.MOST_EVENT` bytes.
        """
        if b"\n" not in data:
            self._keep(data)
            return []
        lines = b"".join([*self._pieces, data]).split(b"\n")
        self._pieces, self._size = [], 0
        self._keep(lines.pop())
        for line in lines:
            _check(len(line))
        return [stripped for line in lines if (stripped := line.removeprefix(BOM).strip())]

    def finish(self) -> list[bytes]:
        """The last line, where its line break is missing."""
        return self.feed(b"\n")

    def _keep(self, rest: bytes) -> None:
        if rest:
            self._pieces.append(rest)
            self._size += len(rest)
            _check(self._size)


def _check(size: int) -> None:
    if size > MOST_EVENT:
        raise ResponseTooLarge(f"a line of the stream is longer than {MOST_EVENT} bytes")
