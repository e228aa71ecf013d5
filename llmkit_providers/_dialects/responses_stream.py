"""Reading streamed answers of the Responses dialect: https://platform.openai.com/docs/api-reference/responses-streaming

Every event names itself in ``type``. The stream ends in exactly one of ``response.completed``, ``response.incomplete``,
``response.failed`` and, at Perplexity, ``response.cancelled``, or in ``error``; there is no ``[DONE]``. The first two hold the
whole response, from which comes what no delta had brought.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from llmkit.errors import InvalidResponseError, ResponseTooLarge
from llmkit.provider import StreamDecoder
from llmkit.values.events import (
    Event,
    RawEvent,
    ReasoningDelta,
    RefusalDelta,
    StreamFinished,
    StreamStarted,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from llmkit.values.messages import Refusal, Text
from llmkit.wire.body import MOST_BODY
from llmkit.wire.json import dump_json, parse_json, parse_object
from llmkit.wire.sse import SSEDecoder
from llmkit_providers._dialects.frames import FrameDecoder
from llmkit_providers._dialects.openai_decode import word
from llmkit_providers._dialects.responses import UNFINISHED, call_id, finish_reason, message_parts, read_usage, thinking

if TYPE_CHECKING:
    from llmkit_providers._dialects.responses import Responses

QUIET = frozenset({
    "response.queued", "response.content_part.added", "response.content_part.done", "response.output_text.done",
    "response.refusal.done", "response.function_call_arguments.done", "response.reasoning_text.done",
    "response.reasoning_summary_text.done", "response.reasoning_summary_part.added", "response.reasoning_summary_part.done",
})  # fmt: skip
"""Events that repeat what others have said."""
FAILURES = ("response.failed", "response.cancelled", "error")
THINKING = ("response.reasoning_text.delta", "response.reasoning_summary_text.delta")


class ResponsesStream(FrameDecoder):
    """Turns one streamed answer into events.

    :param dialect: how the vendor speaks.
    :param headers: of the reply, for errors in it.
    """

    def __init__(self, dialect: Responses, headers: Mapping[str, str]) -> None:
        super().__init__(SSEDecoder())
        self._dialect = dialect
        self._headers = headers
        self._model: str | None = None
        self._started = False
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._thought = False
        self._announced: dict[Any, Mapping[str, Any]] = {}
        """Calls whose arguments are still to come, by their place in the output."""
        self._open: dict[Any, tuple[int, list[str]]] = {}
        """Calls that have begun: their number, and their arguments so far."""
        self._ids: set[str | None] = set()

    def frame(self, frame: tuple[str, bytes], events: list[Event]) -> None:
        """Read one event. What follows the end is passed over."""
        name, data = frame
        if self.complete or not data.strip() or data == b"[DONE]":
            return
        document = parse_object(data)
        kind = word(document.get("type"))
        if kind == "response.output_text.delta":
            if (delta := document.get("delta")) and type(delta) is str:
                self._texts.append(delta)
                events.append(TextDelta(delta))
        elif kind == "response.refusal.delta":
            if (delta := document.get("delta")) and type(delta) is str:
                self._refusals.append(delta)
                events.append(RefusalDelta(delta))
        elif kind in THINKING:
            if (delta := document.get("delta")) and type(delta) is str:
                self._thought = True
                events.append(ReasoningDelta(delta))
        elif kind in ("response.completed", "response.incomplete"):
            self._end(document, events)
        elif kind in FAILURES or name == "error" or (kind is None and "error" in document):
            self._fail(kind, document)
        else:
            self._other(kind, document, events)

    def _other(self, kind: str | None, document: dict[str, Any], events: list[Event]) -> None:
        item = document.get("item")
        if kind in ("response.created", "response.in_progress"):
            response = document.get("response")
            self._start(response if type(response) is dict else {}, events)
        elif kind == "response.function_call_arguments.delta":
            self._arguments(document, events)
        elif kind == "response.output_item.added":
            if type(item) is dict and item.get("type") == "function_call" and self._dialect.for_client(item):
                self._announced[_place(document)] = item
        elif kind == "response.output_item.done" and type(item) is dict:
            self._item(item, document, events)
        elif kind not in QUIET:
            events.append(RawEvent(document))

    def _start(self, response: Mapping[str, Any], events: list[Event]) -> None:
        """The first event of a stream; once more at its end if another model has answered than was named at first."""
        model = word(response.get("model"))
        if not self._started or (model and model != self._model):
            self._started, self._model = True, model
            events.append(StreamStarted(model, word(response.get("id"))))

    # ------------------------------------------------------------------------------------------- calls

    def _arguments(self, document: Mapping[str, Any], events: list[Event]) -> None:
        place, delta = _place(document), document.get("delta")
        if not self._dialect.call_deltas or not delta or type(delta) is not str:
            return
        if place not in self._open:
            if place not in self._announced:
                return
            self._begin(place, self._announced[place], "", events)
        number, told = self._open[place]
        told.append(delta)
        events.append(ToolCallDelta(number, arguments=delta))

    def _begin(self, place: Any, item: Mapping[str, Any], arguments: str, events: list[Event]) -> None:
        number = len(self._open)
        call = self._dialect.call(item, number)
        self._open[place] = (number, [arguments])
        self._ids.add(call_id(item))
        events.append(ToolCallDelta(number, call.id, call.name, arguments, extra=call.extra))

    def _item(self, item: dict[str, Any], document: dict[str, Any], events: list[Event]) -> None:
        """A finished item: of a call what its deltas had not brought, of others what has no common form."""
        kind, place = item.get("type"), _place(document)
        self._announced.pop(place, None)
        if kind == "function_call":
            self._finish_call(place, item, events)
        elif kind not in ("message", "reasoning"):
            events.append(RawEvent(document))

    def _finish_call(self, place: Any, item: Mapping[str, Any], events: list[Event]) -> None:
        if not self._dialect.for_client(item):
            return
        whole = _arguments_of(item)
        if place not in self._open:
            self._begin(place, item, whole, events)
            return
        number, told = self._open[place]
        rest = _rest(whole, told)
        if rest:
            told.append(rest)
            events.append(ToolCallDelta(number, arguments=rest))

    # ------------------------------------------------------------------------------------------- the end

    def _end(self, document: dict[str, Any], events: list[Event]) -> None:
        given = document.get("response")
        response: Mapping[str, Any] = given if type(given) is dict else {}
        self._dialect.check(response, self._headers)
        self._start(response, events)
        output = response.get("output")
        self._recover(output if type(output) is list else [], events)
        usage = read_usage(response.get("usage"))
        if usage is not None:
            events.append(UsageReported(usage))
        events.append(RawEvent(document))
        events.append(StreamFinished(*finish_reason({**response, "status": _status(document, response)}, bool(self._open))))
        self.complete = True

    def _recover(self, output: list[Any], events: list[Event]) -> None:
        """What the whole response has and no event has brought. Texts are compared as a whole, because their places in the output
        may have changed; one that does not go on from what came is left as it came."""
        items = [item for item in output if type(item) is dict]
        parts = [part for item in items if item.get("type") == "message" for part in message_parts(item)]
        thoughts = "".join([thinking(item) for item in items if item.get("type") == "reasoning"])
        if thoughts and not self._thought:
            events.append(ReasoningDelta(thoughts))
        if text := _rest("".join([part.text for part in parts if type(part) is Text]), self._texts):
            events.append(TextDelta(text))
        if refusal := _rest("".join([part.text for part in parts if type(part) is Refusal]), self._refusals):
            events.append(RefusalDelta(refusal))
        calls = [item for item in items if item.get("type") == "function_call"]
        for item in calls if items else self._announced.values():  # with no output to tell, what was announced counts
            known = call_id(item)
            if self._dialect.for_client(item) and (known not in self._ids if known else not self._open):
                self._begin(("end", len(self._open)), item, _arguments_of(item), events)

    def _fail(self, kind: str | None, document: Mapping[str, Any]) -> None:
        given = document.get("response")
        response: Mapping[str, Any] = given if type(given) is dict else {}
        error = document.get("error") or response.get("error")
        if not error and kind in (None, "error"):  # OpenAI's: message and code beside the type
            error = {name: document[name] for name in ("message", "code", "param") if document.get(name)}
        self._dialect.check({"error": error, "status": "cancelled" if kind == "response.cancelled" else "failed"}, self._headers)


class EitherStream:
    """A stream in the Responses dialect or in the chat-completions dialect: its first event tells. A whole JSON document in
    its place is the latter's to read, which asks the vendor what it means.

    :param chats: makes the decoder of the chat-completions dialect.
    :param responses: makes that of the Responses dialect.
    """

    def __init__(self, chats: Callable[[], StreamDecoder], responses: Callable[[], StreamDecoder]) -> None:
        self._chats, self._responses = chats, responses
        self._chosen: StreamDecoder | None = None
        self._sse = SSEDecoder()
        self._held: list[bytes] = []
        self._size = 0
        self.complete = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data``, cut anywhere, completes."""
        if self._chosen is not None:
            return self._told(self._chosen.feed(data))
        if not data:
            return []
        self._held.append(data)
        self._size += len(data)
        if self._size > MOST_BODY:
            raise ResponseTooLarge(f"the reply has more than {MOST_BODY} bytes before its first event")
        for _, payload in self._sse.feed(data):
            return self._told(self._choose(payload).feed(b"".join(self._held)))
        return []

    def finish(self) -> list[Event]:
        """The events that the end of the stream completes."""
        chosen = self._chosen
        if chosen is None:
            last = self._sse.finish()
            chosen = self._choose(last[0][1] if last else b"")
            chosen.feed(b"".join(self._held))  # brings nothing: there was no whole event
        return self._told(chosen.finish())

    def _told(self, events: list[Event]) -> list[Event]:
        self.complete = self._chosen is not None and self._chosen.complete
        return events

    def _choose(self, data: bytes) -> StreamDecoder:
        try:
            document = parse_json(data)
        except InvalidResponseError:
            document = None
        named = type(document) is dict and "type" in document and "choices" not in document
        self._chosen = chosen = self._responses() if named else self._chats()
        return chosen


def _status(document: Mapping[str, Any], response: Mapping[str, Any]) -> str:
    """How a response ended: as its last event is called, unless the response itself has another word for it."""
    status = word(response.get("status"))
    named = str(document["type"]).partition(".")[2]
    return named if named == "incomplete" or status in (None, *UNFINISHED) else str(status)


def _place(document: Mapping[str, Any]) -> Any:
    """Where an event's item stands in the output: its number there, else its id."""
    index = document.get("output_index")
    if type(index) is int:
        return index
    item = document.get("item")
    return word(document.get("item_id")) or (word(item.get("id")) if type(item) is dict else None)


def _arguments_of(item: Mapping[str, Any]) -> str:
    given = item.get("arguments")
    if type(given) is str:
        return given
    return "" if given is None else dump_json(given).decode()


def _rest(whole: str, told: list[str]) -> str:
    """What ``whole`` has after what was told."""
    before = "".join(told)
    return whole[len(before) :] if len(whole) > len(before) and whole.startswith(before) else ""
