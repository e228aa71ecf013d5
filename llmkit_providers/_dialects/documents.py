"""JSON documents out of a streamed body, and the base of the decoders that read them.

A streamed answer is server-sent events; but Gemini without ``alt=sse`` sends one JSON array, and a gateway may answer a
streamed request with one JSON object. What the body is shows in its first byte: no event stream begins with ``{`` or ``[``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from llmkit.errors import LLMError, ResponseTooLarge
from llmkit.values.events import Event
from llmkit.wire.json import parse_object
from llmkit.wire.sse import BOM, MOST_EVENT, SSEDecoder

_OUTSIDE = re.compile(rb'["{}]')
_INSIDE = re.compile(rb'["\\]')


class ObjectDecoder:
    """Bytes of JSON in, cut anywhere; every whole object out, whether it stands alone or in an array."""

    __slots__ = ("_buffer", "_depth", "_in_string", "_position")

    def __init__(self) -> None:
        self._buffer = b""
        self._position = 0
        self._depth = 0
        self._in_string = False

    def feed(self, data: bytes) -> list[bytes]:
        """The objects that ``data`` completes.

        :raises ResponseTooLarge: if one grows beyond :data:`~llmkit.wire.sse.MOST_EVENT` bytes.
        """
        self._buffer += data
        found: list[bytes] = []
        while (match := (_INSIDE if self._in_string else _OUTSIDE).search(self._buffer, self._position)) is not None:
            at, mark = match.start(), match.group()
            if mark == b"\\":
                if at + 1 == len(self._buffer):
                    self._position = at  # what it escapes has not come yet
                    return found
                self._position = at + 2
                continue
            self._position = at + 1
            if mark == b'"':
                self._in_string = not self._in_string
            elif mark == b"{":
                self._open(at)
            elif self._depth:
                self._depth -= 1
                if not self._depth:
                    found.append(self._buffer[: at + 1])
                    self._buffer, self._position = self._buffer[at + 1 :], 0
        self._position = len(self._buffer)
        if len(self._buffer) > MOST_EVENT:
            raise ResponseTooLarge(f"a JSON object of the stream is larger than {MOST_EVENT} bytes")
        return found

    def _open(self, at: int) -> None:
        if not self._depth:
            self._buffer, self._position = self._buffer[at:], 1
        self._depth += 1


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
            return [event.data for event in self._sse.feed(data)]
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
        return [event.data for event in self._sse.finish()] if self._sse is not None else []


class JSONStreamDecoder:
    """Base of a vendor's stream decoder: a subclass fills in :meth:`read`.

    An error never swallows what came before it: where both come in the same bytes, the events are given first, and the error
    is raised when the decoder is called again.
    """

    complete = False

    def __init__(self) -> None:
        self._documents = DocumentDecoder()
        self._failure: LLMError | None = None

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes."""
        if self._failure is not None:
            raise self._failure
        return self._take(self._documents.feed(data))

    def finish(self) -> list[Event]:
        """The events that the end of the stream completes."""
        if self._failure is not None:
            raise self._failure
        return self._take(self._documents.finish())

    def _take(self, documents: Iterable[bytes]) -> list[Event]:
        events: list[Event] = []
        try:
            for document in documents:
                if document != b"[DONE]":  # gateways end every stream so, whatever its dialect
                    self.read(parse_object(document), events)
        except LLMError as error:
            self._failure = error
        if self._failure is not None and not events:
            raise self._failure
        return events

    def read(self, document: dict[str, Any], events: list[Event]) -> None:
        """Append the events of one document."""
        raise TypeError(f"{type(self).__name__} reads no documents")
