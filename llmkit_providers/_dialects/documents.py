"""JSON documents out of a streamed body, however they are framed.

A streamed answer is server-sent events; but Gemini without ``alt=sse`` sends one JSON array, and a gateway may answer a
streamed request with one JSON object. What the body is shows in its first byte: no event stream begins with ``{`` or ``[``.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Any

from llmkit.errors import InvalidResponseError, ResponseTooLarge
from llmkit.values.events import Event
from llmkit.wire.json import parse_object
from llmkit.wire.sse import BOM, MOST_EVENT, SSEDecoder
from llmkit_providers._dialects.frames import FrameDecoder

_OUTSIDE = re.compile(rb'["{}]')
_INSIDE = re.compile(rb'["\\]')


class ObjectDecoder:
    """Bytes of JSON in, cut anywhere; every whole object out, whether it stands alone or in an array."""

    __slots__ = ("_buffer", "_depth", "_in_string", "_position", "_start")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._position = 0
        self._start = 0
        self._depth = 0
        self._in_string = False

    def feed(self, data: bytes) -> list[bytes]:
        """The objects that ``data`` completes.

        :raises ResponseTooLarge: if one grows beyond :data:`~llmkit.wire.sse.MOST_EVENT` bytes.
        """
        self._buffer += data
        found: list[bytes] = []
        while (match := (_INSIDE if self._in_string else _OUTSIDE).search(self._buffer, self._position)) is not None:
            self._mark(match.start(), match.group(), found)
        self._position = max(self._position, len(self._buffer))
        done = self._start if self._depth else len(self._buffer)
        del self._buffer[:done]
        self._position -= done
        self._start = 0
        if len(self._buffer) > MOST_EVENT:
            raise ResponseTooLarge(f"a JSON object of the stream is larger than {MOST_EVENT} bytes")
        return found

    def _mark(self, at: int, mark: bytes, found: list[bytes]) -> None:
        self._position = at + 1
        if mark == b"\\":
            self._position = at + 2  # over what it escapes, even if that has not come yet
        elif mark == b'"':
            self._in_string = not self._in_string
        elif mark == b"{":
            if not self._depth:
                self._start = at
            self._depth += 1
        elif self._depth:
            self._depth -= 1
            if not self._depth:
                found.append(bytes(self._buffer[self._start : at + 1]))


class DocumentDecoder:
    """Bytes of a streamed body in, cut anywhere; JSON documents out."""

    __slots__ = ("_head", "_objects", "_sse")

    def __init__(self) -> None:
        self._head = b""
        self._sse: SSEDecoder | None = None
        self._objects: ObjectDecoder | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The documents that ``data`` completes.

        :raises ResponseTooLarge: if one grows beyond :data:`~llmkit.wire.sse.MOST_EVENT` bytes.
        """
        if self._sse is not None:
            return [payload for _, payload in self._sse.feed(data)]
        if self._objects is not None:
            return self._objects.feed(data)
        self._head += data
        first = self._head.removeprefix(BOM).lstrip()[:1]
        if not first or BOM.startswith(self._head):
            return []
        if first in (b"{", b"["):
            self._objects = ObjectDecoder()
        else:
            self._sse = SSEDecoder()
        head, self._head = self._head, b""
        return self.feed(head)

    def finish(self) -> list[bytes]:
        """The document that the end of the body completes."""
        return [payload for _, payload in self._sse.finish()] if self._sse is not None else []


class JSONStreamDecoder(FrameDecoder):
    """A stream's decoder whose vendor only has to say what one JSON document means, in :meth:`read`."""

    def __init__(self) -> None:
        super().__init__(DocumentDecoder())
        self._ending = False

    def finish(self) -> list[Event]:
        """The events that the end of the stream completes. A document cut off by it is no error of its own: the stream is
        :attr:`complete` or it is not."""
        self._ending = True
        return super().finish()

    def frame(self, frame: bytes, events: list[Event]) -> None:
        """Add to ``events`` what one document says."""
        if frame == b"[DONE]":  # gateways end every stream so, whatever its dialect
            return
        try:
            document = parse_object(frame)
        except InvalidResponseError:
            if self._ending or self.complete:
                return
            raise
        self.read(document, events)

    @abstractmethod
    def read(self, document: dict[str, Any], events: list[Event]) -> None:
        """Add to ``events`` what one document says.

        :raises LLMError: if it says that the stream failed.
        """
