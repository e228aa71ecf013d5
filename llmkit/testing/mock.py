"""Clients that answer from a list, without a server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from threading import Lock
from typing import Any, ClassVar, Union

import attrs

from llmkit.aclient import AsyncClient
from llmkit.client import Client
from llmkit.errors import InvalidRequestError
from llmkit.face import Face
from llmkit.plugins.registry import REGISTRY
from llmkit.provider import FEATURES, Provider, StreamDecoder
from llmkit.runtime import Runtime
from llmkit.testing.scripted import Chunks, Reply, ScriptedRuntime
from llmkit.values.calls import Call, ChatCall
from llmkit.values.completion import Completion, FinishReason
from llmkit.values.counts import TokenCount
from llmkit.values.embeddings import Embeddings
from llmkit.values.events import (
    Event,
    PartDone,
    ReasoningDelta,
    RefusalDelta,
    StreamFinished,
    StreamStarted,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from llmkit.values.instances import Instance
from llmkit.values.messages import Message, Reasoning, Refusal, Text, ToolCall
from llmkit.values.models import ModelInfo, ModelList
from llmkit.values.other_calls import CountCall, EmbedCall, ModelsCall
from llmkit.values.requests import Prompt
from llmkit.values.usage import Usage
from llmkit.wire.codec import from_json, to_json
from llmkit.wire.http import HttpReply, HttpRequest
from llmkit.wire.json import dump_json
from llmkit.wire.lines import LineDecoder

Response = Union[str, Completion, Iterable[Union[str, Event, Exception]], Exception]
"""Text, a completion, a stream (texts, events, and an exception where it is to break), or an exception to raise."""


class MockProvider(Provider):
    """The vendor that mock clients talk to. Its wire is the JSON form of llmkit's own values."""

    name: ClassVar[str] = "mock"
    title = "the mock vendor"
    base_url = "http://localhost"
    needs_key = False
    features = frozenset(FEATURES)

    def encode_chat(self, call: ChatCall, instance: Instance) -> HttpRequest:
        """The whole call."""
        return HttpRequest("POST", f"{self.root(instance)}/chat", {}, to_json(call))

    def decode_chat(self, call: ChatCall, reply: HttpReply) -> Completion:
        """A completion."""
        return from_json(reply.body, Completion)

    def decoder(self, call: ChatCall, headers: Mapping[str, str]) -> StreamDecoder:
        """Events, one on each line."""
        return _MockDecoder()

    def encode_embed(self, call: EmbedCall, instance: Instance) -> HttpRequest:
        """The texts."""
        return HttpRequest("POST", f"{self.root(instance)}/embed", {}, dump_json(call.texts))

    def decode_embed(self, call: EmbedCall, reply: HttpReply) -> Embeddings:
        """For each text a vector of its length and its number of words."""
        return Embeddings(tuple((float(len(text)), float(len(text.split()))) for text in call.texts), model="mock")

    def encode_models(self, call: ModelsCall, instance: Instance) -> HttpRequest:
        """No body."""
        return HttpRequest("GET", f"{self.root(instance)}/models", {})

    def decode_models(self, call: ModelsCall, reply: HttpReply) -> ModelList:
        """One model."""
        return ModelList((ModelInfo("mock", "mock"),))

    def encode_count(self, call: CountCall, instance: Instance) -> HttpRequest:
        """No body."""
        return HttpRequest("POST", f"{self.root(instance)}/count", {})

    def decode_count(self, call: CountCall, reply: HttpReply) -> TokenCount:
        """A token for each word."""
        return TokenCount(sum(len(message.text.split()) for message in call.messages), True, "the mock vendor's words")


@attrs.frozen
class _Line:
    event: Event


class _MockDecoder:
    def __init__(self) -> None:
        self.complete = False
        self._lines = LineDecoder()

    def feed(self, data: bytes) -> list[Event]:
        events = [from_json(line, _Line).event for line in self._lines.feed(data)]
        self.complete = self.complete or any(type(event) is StreamFinished for event in events)
        return events

    def finish(self) -> list[Event]:
        return []


class _Script:
    """Gives the responses, one for each request, and remembers the calls."""

    def __init__(self, responses: Iterable[Response] | Callable[[ChatCall], Response]) -> None:
        self._answer = responses if callable(responses) else None
        self._rest = iter(()) if callable(responses) else iter(responses)
        self._lock = Lock()
        self.calls: list[Call[Any]] = []

    def __call__(self, request: HttpRequest) -> Reply:
        if not request.url.endswith("/chat"):
            return HttpReply(200, {}, b"{}")
        call = from_json(request.body or b"", ChatCall)
        with self._lock:
            self.calls.append(call)
            number = len(self.calls)
            response = next(self._rest, None) if self._answer is None else self._answer(call)
        if response is None:
            raise InvalidRequestError(f"the mock client has answered {number - 1} calls and has no response left")
        return _reply(response, call.stream)


def _reply(response: Response, stream: bool) -> Reply:
    if isinstance(response, Exception):
        return response
    if isinstance(response, str):
        response = Completion(Message("assistant", response), FinishReason.STOP, "stop", _usage(response), "mock")
    if not isinstance(response, Completion):
        pieces = _pieces(response)
        if stream:
            return Chunks(pieces)
        from llmkit.wire.fold import fold

        broken = next((piece for _, piece in pieces if isinstance(piece, BaseException)), None)
        lines = b"".join(piece for _, piece in pieces if isinstance(piece, bytes))
        return broken or HttpReply(200, {}, to_json(fold(_MockDecoder().feed(lines), "mock")))
    return Chunks(_pieces(_events(response))) if stream else HttpReply(200, {}, to_json(response))


def _usage(text: str) -> Usage:
    words = len(text.split())
    return Usage(1, words, 1 + words)


def _pieces(events: Iterable[str | Event | Exception]) -> tuple[tuple[float, bytes | BaseException], ...]:
    listed = list(events)
    if not any(isinstance(event, (Exception, StreamFinished)) for event in listed):
        listed.append(StreamFinished(FinishReason.STOP, "stop"))
    return tuple((0.0, event if isinstance(event, Exception) else _line(event)) for event in listed)


def _line(event: str | Event) -> bytes:
    return to_json(_Line(TextDelta(event) if isinstance(event, str) else event)) + b"\n"


def _events(completion: Completion) -> list[Event]:
    """A completion as the stream it would have come in."""
    events: list[Event] = [StreamStarted(completion.model, completion.id)]
    calls = 0
    for part in completion.message.content:
        if isinstance(part, Text):
            words = part.text.split(" ")
            events += [TextDelta(word) for word in chain((words[0],), (f" {word}" for word in words[1:])) if word]
        elif isinstance(part, Reasoning):
            events.append(ReasoningDelta(part.text, part.signature, part.redacted))
        elif isinstance(part, Refusal):
            events.append(RefusalDelta(part.text))
        elif isinstance(part, ToolCall):
            arguments = part.raw if part.raw is not None else dump_json(dict(part.arguments)).decode()
            events.append(ToolCallDelta(calls, part.id, part.name, arguments))
            calls += 1
        else:
            events.append(PartDone(part))
    events.append(StreamFinished(completion.finish_reason, completion.raw_finish_reason))
    return events if completion.usage is None else [*events, UsageReported(completion.usage)]


class _Mock(Face):
    """A client over one instance of the mock vendor, whose answers are given beforehand. It serves the ``tasks`` it is given and
    any model; for an application that names instances, give those: ``instances=[Instance("mock", "m", name="fast")]``.

    :param responses: one for each call, in order; or a function from the call to its response. Each is text, a
        :class:`~llmkit.Completion`, a stream (a list of texts and events, with an exception where it is to break), or an
        exception to raise. Retries take responses too.
    :param settings: keyword arguments of a real client. Time passes only where a call waits, so retries do not slow a test.
    """

    def __init__(self, responses: Iterable[Response] | Callable[[ChatCall], Response] = (), **settings: Any) -> None:
        if MockProvider.name not in REGISTRY.names():
            REGISTRY.register(MockProvider())
        self._script = _Script(responses)
        tasks = [task.name for task in settings.get("tasks", ())]
        settings.setdefault("instances", [Instance("mock", "mock", name="mock", tasks=tasks)])
        settings.setdefault("plugins", [])
        super().__init__(**settings)

    def _chat_call(self, prompt: Prompt, given: Mapping[str, Any], stream: bool = False) -> ChatCall:
        """The call; whatever model it names is one of the mock vendor's."""
        named = [given.get("model"), *(given.get("fallbacks") or ())]
        for model in named:
            if isinstance(model, str) and model and not any(route.serves(model) for route in self._core.router.routes()):
                self._core.add(Instance("mock", model, name=model), on_demand=True)
        return super()._chat_call(prompt, given, stream)

    def _make_runtime(self, transport: Mapping[str, Any]) -> Runtime:
        return ScriptedRuntime(self._script)

    @property
    def calls(self) -> list[Call[Any]]:
        """The chat calls that were made, retries included, in order."""
        return self._script.calls


class MockClient(_Mock, Client):  # noqa: D101 (the base documents it)
    __doc__ = _Mock.__doc__


class AsyncMockClient(_Mock, AsyncClient):  # noqa: D101 (the base documents it)
    __doc__ = _Mock.__doc__
