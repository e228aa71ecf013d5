"""Server-sent events, byte by byte: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream"""

from __future__ import annotations

from itertools import repeat

from llmkit.errors import ResponseTooLarge

MOST_EVENT = 16 * 1024 * 1024
"""Bytes a line or an event may have."""

LONG = 64 * 1024
"""Bytes of an event that may wait for its end before its lines are taken apart."""

BOM = b"\xef\xbb\xbf"


SSE = tuple[str, bytes]
"""One event: its name, empty where it has none, and its data."""


class SSEDecoder:
    """Bytes in, cut anywhere; events out. Lines end in CR, LF or CRLF and in nothing else."""

    __slots__ = ("_after_cr", "_buffer", "_data", "_event", "_pieces", "_pieces_size", "_size", "_started")

    def __init__(self) -> None:
        self._buffer = b""
        self._pieces: list[bytes] = []
        """More of a long line after what ``_buffer`` has, joined only when the line ends."""
        self._pieces_size = 0
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""
        self._started = False
        self._after_cr = False

    def feed(self, data: bytes) -> list[SSE]:
        """The events that ``data`` completes.

        :raises ResponseTooLarge: if a line or an event grows beyond :data:`MOST_EVENT` bytes.
        """
        if not self._started:
            data = self._skip_bom(data)
        if not data:
            return []
        if self._buffer:
            if b"\n" not in data and b"\r" not in data:
                return self._grow(data)
            data = b"".join([self._buffer, *self._pieces, data])
            self._pieces, self._pieces_size = [], 0
        plain = b"\r" not in data and not self._after_cr and not self._data and not self._event
        return self._feed_blocks(data) if plain and len(data) <= MOST_EVENT else self._feed_lines(data)

    def finish(self) -> list[SSE]:
        """The event that the end of the stream completes, where the final blank line is missing."""
        rest = b"".join([self._buffer, *self._pieces])
        events = self._feed_lines(rest + b"\n\n") if rest or self._data else []
        self._buffer, self._pieces, self._pieces_size, self._data, self._event = b"", [], 0, [], ""
        return events

    def _skip_bom(self, data: bytes) -> bytes:
        data = self._buffer + data
        self._buffer = b""
        if len(data) < len(BOM) and BOM.startswith(data):
            self._buffer = data
            return b""
        self._started = True
        return data[len(BOM) :] if data.startswith(BOM) else data

    def _feed_blocks(self, buffer: bytes) -> list[SSE]:
        """The common case: LF only, whole events of one ``data:`` line each."""
        whole, end, rest = buffer.rpartition(b"\n\n")
        events: list[SSE] = []
        if end:
            payloads = whole[6:].split(b"\n\ndata: ")
            if whole[:6] == b"data: " and whole.count(b"\n") == 2 * (len(payloads) - 1):
                events += zip(repeat(""), payloads)
            else:
                for block in whole.split(b"\n\n"):
                    if block[:6] == b"data: " and b"\n" not in block:
                        events.append(("", block[6:]))
                    else:
                        events += self._feed_lines(block + b"\n\n")
        if len(rest) > LONG:  # lines that are whole are not looked at again with every piece that follows
            return events + self._feed_lines(rest)
        self._keep(rest)
        return events

    def _feed_lines(self, buffer: bytes) -> list[SSE]:
        if self._after_cr and buffer:
            self._after_cr = False
            if buffer[:1] == b"\n":
                buffer = buffer[1:]
        if b"\r" in buffer:
            self._after_cr = buffer.endswith(b"\r")
            buffer = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = buffer.split(b"\n")
        self._buffer = b""
        rest = lines.pop()
        events = []
        for line in lines:
            if line:
                self._field(line)
            elif self._data:
                events.append((self._event, b"\n".join(self._data)))
                self._data, self._event, self._size = [], "", 0
            else:
                self._event = ""
        self._keep(rest)
        return events

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._size += len(value) + 1
            if self._size > MOST_EVENT:
                raise ResponseTooLarge(f"a server-sent event is larger than {MOST_EVENT} bytes")
            self._data.append(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")

    def _grow(self, data: bytes) -> list[SSE]:
        self._pieces.append(data)
        self._pieces_size += len(data)
        _check_line(len(self._buffer) + self._pieces_size)
        return []

    def _keep(self, rest: bytes) -> None:
        _check_line(len(rest))
        self._buffer = rest


def _check_line(size: int) -> None:
    if size > MOST_EVENT:
        raise ResponseTooLarge(f"a line of the event stream is longer than {MOST_EVENT} bytes")
