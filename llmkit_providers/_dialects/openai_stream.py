"""Reading streamed answers of the OpenAI chat-completions dialect, byte by byte:
https://platform.openai.com/docs/api-reference/chat-streaming"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from llmkit.errors import InvalidResponseError, LLMError, ResponseTooLarge
from llmkit.values.completion import Completion
from llmkit.values.events import (
    Event,
    PartDone,
    RawEvent,
    ReasoningDelta,
    RefusalDelta,
    StreamFinished,
    StreamStarted,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from llmkit.values.messages import Message, Reasoning, Refusal, Text, ToolCall
from llmkit.wire.body import MOST_BODY
from llmkit.wire.json import MOST_DEPTH, parse_json, parse_object
from llmkit.wire.sse import BOM, SSEDecoder
from llmkit_providers._dialects.openai_calls import CallFragments
from llmkit_providers._dialects.openai_decode import content_part, finish_reason, images, word

if TYPE_CHECKING:
    from llmkit_providers._dialects.openai_chat import OpenAIChat

_MEANINGLESS = re.compile(rb"(?:\xef\xbb\xbf)?(?:[ \t\r\n]+|:[^\r\n]*[\r\n])*")
"""A byte order mark, blanks and comments."""


class OpenAIStream:
    """Turns one streamed answer into events.

    An error inside the stream is raised by the call after the one that gave out the events before it, so that where the bytes
    were cut never decides which events are seen. A whole JSON document in place of a stream (some gateways answer so) is
    decoded at its end.
    """

    __slots__ = (
        "_calls",
        "_document",
        "_done",
        "_error",
        "_finished",
        "_head",
        "_headers",
        "_last",
        "_seen",
        "_size",
        "_sse",
        "_started",
        "_vendor",
        "complete",
    )

    def __init__(self, vendor: OpenAIChat, headers: Mapping[str, str]) -> None:
        self.complete = False
        self._vendor = vendor
        self._headers = headers
        self._sse = SSEDecoder()
        self._head: bytes | None = b""
        self._document: list[bytes] | None = None
        self._error: LLMError | None = None
        self._started = False
        self._last: Any = None
        self._done = False
        self._size = 0
        self._seen: set[int] = set()
        self._finished: set[int] = set()
        self._calls = CallFragments()

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes; no bytes raise the error that is held, if there is one."""
        if not data and self._error is None:
            return []
        if self._head is not None:
            data = self._begin(self._head + data)
        if self._document is not None:
            self._collect(self._document, data)
            return []
        return self._read(data, False)

    def finish(self) -> list[Event]:
        """The events that the end of the stream completes."""
        if self._document is not None:
            return self._whole(self._document)
        return self._read(b"", True)

    # ------------------------------------------------------------------------------------------- what kind of body

    def _begin(self, data: bytes) -> bytes:
        """Pass over blanks and comments until the first byte that is neither tells events from JSON."""
        rest = data[_MEANINGLESS.match(data).end() :]  # type: ignore[union-attr]  # it matches everywhere
        if rest[:1] == b":":
            self._head = b":"  # a comment whose end has not come
            return b""
        if BOM.startswith(rest):
            self._head = rest
            return b""
        self._head = None
        if rest[:1] == b"{":
            self._document = []
        return rest

    def _collect(self, document: list[bytes], data: bytes) -> None:
        document.append(data)
        self._size += len(data)
        if self._size > MOST_BODY:
            raise ResponseTooLarge(f"the reply is larger than {MOST_BODY} bytes")

    def _whole(self, collected: list[bytes]) -> list[Event]:
        document = parse_object(b"".join(collected))
        self._document = None
        self._vendor.check(document, self._headers)
        completion = self._vendor.completion(document)
        self.complete = True
        return events_of(completion)

    # ------------------------------------------------------------------------------------------- events

    def _read(self, data: bytes, last: bool) -> list[Event]:
        if self._error is not None:
            raise self._error
        events: list[Event] = []
        add, loads, seen = events.append, orjson.loads, self._seen
        try:
            for name, payload in self._sse.finish() if last else self._sse.feed(data):
                if self._done:
                    break
                try:  # the ordinary chunk: one choice with more text, and nothing else
                    chunk = loads(payload)
                    (choice,) = chunk["choices"]
                    delta = choice["delta"]
                    text = delta["content"]
                    if (
                        type(text) is str
                        and text
                        and len(delta) == 1
                        and choice["finish_reason"] is None
                        and (index := choice["index"]) in seen
                        and "error" not in chunk
                        and chunk.get("usage") is None
                        and not name
                    ):
                        add(TextDelta(text, index))
                        continue
                except orjson.JSONDecodeError:
                    chunk = None
                except (LookupError, TypeError, ValueError):
                    pass
                self._event(name, payload, chunk, events)
            if last and not self._done and self.complete:
                self._end(events)
        except LLMError as problem:
            error = problem
        else:
            return events
        if not events:
            raise error
        self._error = error
        return events

    def _event(self, name: str, payload: bytes, chunk: Any, events: list[Event]) -> None:
        if chunk is None:
            if payload.strip() == b"[DONE]":
                self.complete = self.complete or bool(self._seen)
                self._end(events)
                return
            if name == "error":
                raise self._vendor.inner_error({"error": payload.decode("utf-8", "replace")}, self._headers)
            if not payload.strip():
                return
            chunk = parse_json(payload)
        elif payload.count(b"{") + payload.count(b"[") > MOST_DEPTH:
            chunk = parse_json(payload)
        if type(chunk) is not dict:
            raise InvalidResponseError("expected a JSON object in each event of the stream", provider=self._vendor.name)
        self._chunk(name, chunk, events)

    def _chunk(self, name: str, chunk: dict[str, Any], events: list[Event]) -> None:
        if name == "error" or chunk.get("error") or chunk.get("object") == "error":
            raise self._vendor.inner_error(chunk, self._headers)
        self._last = chunk
        listed = chunk.get("choices")
        choices = [choice for choice in listed if type(choice) is dict] if type(listed) is list else []
        if not self._started and (choices or chunk.get("model")):
            self._started = True
            events.append(StreamStarted(word(chunk.get("model")), word(chunk.get("id"))))
        for choice in choices:
            self._choice(choice, events)
        usage = self._vendor.usage_in(chunk)
        if usage is not None:
            events.append(UsageReported(usage))

    def _choice(self, choice: dict[str, Any], events: list[Event]) -> None:
        given = choice.get("index")
        index = given if type(given) is int and given >= 0 else 0
        delta = choice.get("delta")
        self._seen.add(index)
        if type(delta) is dict:
            self.delta(delta, index, events)
        reason = choice.get("finish_reason")
        if reason and index not in self._finished:
            self.finish_choice(reason, index, events)
        self.complete = self._done or (bool(self._finished) and self._finished >= self._seen)

    def finish_choice(self, reason: Any, index: int, events: list[Event]) -> None:
        """Add what the end of a choice brings."""
        self._finished.add(index)
        events += self._calls.close(index)
        found = finish_reason(reason, self._calls.any(index))
        events.append(StreamFinished(found, word(reason), index))

    def _end(self, events: list[Event]) -> None:
        """After the terminal event: every choice that said no reason has finished nevertheless. The last chunk goes out as it
        came, for what has no common form (citations, costs)."""
        self._done = True
        for index in sorted(self._seen - self._finished):
            self.finish_choice(None, index, events)
        if self._last is not None:
            events.append(RawEvent(self._last))

    def delta(self, delta: dict[str, Any], index: int, events: list[Event]) -> None:
        """Add what one delta brings."""
        thought = self._vendor.thought(delta)
        if thought:
            events.append(ReasoningDelta(thought, choice=index))
        content = delta.get("content")
        if content and type(content) is str:
            events.append(TextDelta(content, index))
        elif type(content) is list:
            self._parts(content, index, events)
        refusal = delta.get("refusal")
        if refusal and type(refusal) is str:
            events.append(RefusalDelta(refusal, index))
        for picture in images(delta):
            events.append(PartDone(picture, index))
        fragments = delta.get("tool_calls")
        if type(fragments) is list:
            events += self._calls.read(fragments, index, self._vendor.name)
        old = delta.get("function_call")
        if type(old) is dict:
            events += self._calls.read([{"function": old}], index, self._vendor.name)

    def _parts(self, content: list[Any], index: int, events: list[Event]) -> None:
        for chunk in content:
            part = content_part(chunk, self._vendor.name)
            if part is not None:
                events.append(event_of(part, index, 0))


def event_of(part: Any, choice: int, position: int) -> Event:
    """The event that brings a part."""
    if type(part) is Text:
        return TextDelta(part.text, choice) if part.extra is None else PartDone(part, choice)
    if type(part) is Reasoning and part.extra is None:
        return ReasoningDelta(part.text, part.signature, part.redacted, choice)
    if type(part) is Refusal:
        return RefusalDelta(part.text, choice)
    if type(part) is ToolCall:
        return ToolCallDelta(position, part.id, part.name, part.raw or "", choice, part.extra)
    return PartDone(part, choice)


def events_of(completion: Completion) -> list[Event]:
    """A whole answer as the events of a stream."""
    events: list[Event] = [StreamStarted(completion.model, completion.id)]
    for choice, message in enumerate((completion.message, *completion.alternatives)):
        events += _events_of_message(message, choice)
    events.append(StreamFinished(completion.finish_reason, completion.raw_finish_reason))
    if completion.usage is not None:
        events.append(UsageReported(completion.usage))
    events.append(RawEvent(completion.raw))
    return events


def _events_of_message(message: Message, choice: int) -> list[Event]:
    events = []
    position = 0
    for part in message.content:
        events.append(event_of(part, choice, position))
        position += type(part) is ToolCall
    return events
