"""Newline-delimited JSON, byte by byte."""

from __future__ import annotations

from llmkit.errors import ResponseTooLarge
from llmkit.wire.sse import BOM, MOST_EVENT


class LineDecoder:
    """Bytes in, cut anywhere; whole lines out. Lines end in LF or CRLF; empty ones are passed over."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completes.

        :raises ResponseTooLarge: if a line grows beyond :data:`~llmkit.wire.sse.MOST_EVENT` bytes.
        """
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        if len(self._buffer) > MOST_EVENT:
            raise ResponseTooLarge(f"a line of the stream is longer than {MOST_EVENT} bytes")
        return [stripped for line in lines if (stripped := line.removeprefix(BOM).strip())]

    def finish(self) -> list[bytes]:
        """The last line, where its line break is missing."""
        return self.feed(b"\n") if self._buffer else []
