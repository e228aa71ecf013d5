"""Cohere's chat API, version 2: https://docs.cohere.com/reference/chat and https://docs.cohere.com/docs/streaming

Facts that shape this module, from those pages and recorded traffic:

- The answer names no model, and counts tokens twice: ``usage.tokens`` (what the model read and wrote, ``cached_tokens``
  included) and ``usage.billed_units`` (without Cohere's own preamble). llmkit's :class:`~llmkit.values.usage.Usage` is
  ``tokens``, because only they include the cached ones; ``billed_units``, by which Cohere charges, stay in ``raw`` and are used
  where ``tokens`` is missing.
- ``tool_plan`` is the model's reasoning about the calls beside it. It becomes a
  :class:`~llmkit.values.messages.Reasoning` with the signature ``tool_plan``, and goes back as ``tool_plan``; thinking blocks
  are reasoning without a signature.
- Citations have no common form: whole answers keep them in ``raw``, streams bring each as a
  :class:`~llmkit.values.events.RawEvent`, and the last one holds them all under ``citations``.
- 498 says that the request or the answer holds what is on a deny list: https://docs.cohere.com/reference/chat, its errors.
- A stream can end in ``finish_reason: ERROR`` with the reason in ``error``, after a status of 200; ``[DONE]`` comes sometimes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar
from urllib.parse import quote

from llmkit.errors import ContentFilterError, InvalidResponseError, LLMError, Recovery
from llmkit.provider import Provider, StreamDecoder, error_fields
from llmkit.values.calls import ChatCall
from llmkit.values.completion import Completion, FinishReason
from llmkit.values.counts import TokenCount
from llmkit.values.embeddings import Embeddings
from llmkit.values.events import (
    Event,
    RawEvent,
    ReasoningDelta,
    StreamFinished,
    StreamStarted,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from llmkit.values.instances import Instance
from llmkit.values.messages import Image, Message, Part, Reasoning, Text, ToolCall, VendorPart
from llmkit.values.models import ModelInfo, ModelList
from llmkit.values.other_calls import CountCall, EmbedCall, ModelsCall
from llmkit.values.usage import Usage, tokens
from llmkit.wire.errors import error_for
from llmkit.wire.http import HttpReply, HttpRequest
from llmkit.wire.json import dump_json, parse_object, tool_arguments
from llmkit.wire.sse import SSEDecoder
from llmkit_providers._dialects import counting
from llmkit_providers._dialects.cohere_request import NAME, TOOL_PLAN, messages, parameters
from llmkit_providers._dialects.frames import FrameDecoder

FINISH: Mapping[str, FinishReason] = {
    "COMPLETE": FinishReason.STOP,
    "STOP_SEQUENCE": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "TOOL_CALL": FinishReason.TOOL_CALLS,
    "ERROR": FinishReason.ERROR,
    "TIMEOUT": FinishReason.ERROR,
}

EMBEDDING_TYPES = ("float", "int8", "uint8", "binary", "ubinary")
"""Types that come as lists of numbers, the preferred first: https://docs.cohere.com/reference/embed"""

JSON_HEADERS = {"Content-Type": "application/json"}


class Cohere(Provider):
    """Cohere's own platform, or a private deployment of it.

    Embeddings need an ``input_type``: ``search_document`` unless ``extra`` says otherwise (``search_query``,
    ``classification``, ``clustering``). ``extra={"embedding_types": ["int8"]}`` asks for another type than
    floats; of several, the first in :data:`EMBEDDING_TYPES` becomes the vectors, and ``raw`` has them all.
    """

    name = NAME
    title = "Cohere"
    base_url = "https://api.cohere.com"
    docs = "https://docs.cohere.com/reference/chat"
    key_names = ("CO_API_KEY", "COHERE_API_KEY")
    base_url_names: ClassVar[tuple[str, ...]] = ("CO_API_URL",)
    features = frozenset(
        {"chat", "stream", "embeddings", "models", "count_tokens"}
        | {"max_tokens", "temperature", "top_p", "stop", "seed", "reasoning_effort"}
        | {"tools", "tool_choice", "json", "json_schema", "images", "image_urls", "dimensions"}
    )
    statuses: ClassVar[Mapping[int, tuple[type[LLMError], Recovery]]] = {498: (ContentFilterError, Recovery.NEVER)}
    endpoints = ("/v2/chat", "/v2/embed", "/v1/chat", "/v1/models", "/v2", "/v1")

    # ------------------------------------------------------------------------------------------- what goes out

    def encode_chat(self, call: ChatCall, instance: Instance) -> HttpRequest:
        """``POST /v2/chat``."""
        given = call.options
        body = {"model": instance.model, "messages": messages(call.messages), "stream": call.stream, **parameters(given)}
        return HttpRequest("POST", f"{self.root(instance)}/v2/chat", JSON_HEADERS, dump_json({**body, **(given.extra or {})}))

    def encode_embed(self, call: EmbedCall, instance: Instance) -> HttpRequest:
        """``POST /v2/embed``: https://docs.cohere.com/reference/embed"""
        body: dict[str, Any] = {
            "model": instance.model,
            "texts": call.texts,
            "input_type": "search_document",
            "embedding_types": ["float"],
        }
        if call.dimensions is not None:
            body["output_dimension"] = call.dimensions
        return HttpRequest("POST", f"{self.root(instance)}/v2/embed", JSON_HEADERS, dump_json({**body, **(call.extra or {})}))

    def encode_models(self, call: ModelsCall, instance: Instance) -> HttpRequest:
        """``GET /v1/models``, pages of at most 1000: https://docs.cohere.com/reference/list-models"""
        page = f"&page_token={quote(call.page, safe='')}" if call.page else ""
        return HttpRequest("GET", f"{self.root(instance)}/v1/models?page_size=1000{page}", {})

    def encode_count(self, call: CountCall, instance: Instance) -> HttpRequest:
        """``POST /v1/tokenize``, of at most 65,536 characters: https://docs.cohere.com/reference/tokenize"""
        body = {"model": instance.model, "text": counting.texts(call, 65_536)}
        return HttpRequest("POST", f"{self.root(instance)}/v1/tokenize", JSON_HEADERS, dump_json(body))

    def unsupported(self, call: ChatCall, instance: Instance) -> tuple[str, ...]:
        """As the base; ``tool_choice`` cannot name a tool, and images cannot be given by a file's id."""
        missing = list(super().unsupported(call, instance))
        if call.options.tool_choice not in (None, "auto", "none", "required"):
            missing.append("tool_choice")
        if any(isinstance(part, Image) and part.file_id for message in call.messages for part in message.content):
            missing.append("images")
        return tuple(missing)

    # ------------------------------------------------------------------------------------------- what comes back

    def decode_chat(self, call: ChatCall, reply: HttpReply) -> Completion:
        """The answer to ``stream: false``."""
        document = parse_object(reply.body)
        said = document.get("message")
        if not isinstance(said, Mapping):
            raise _error(document) if said else InvalidResponseError("the reply has no message", provider=self.name)
        if document.get("error"):
            raise _error(document)
        content: list[Part] = []
        if plan := said.get("tool_plan"):
            content.append(Reasoning(str(plan), TOOL_PLAN, provider=self.name))
        content += _content(said.get("content"))
        content += [_call(call, position) for position, call in enumerate(_listed(said.get("tool_calls")))]
        finish, raw_finish = _finish(document, any(type(part) is ToolCall for part in content))
        return Completion(
            Message("assistant", content),
            finish,
            raw_finish,
            _usage(document.get("usage")),
            id=document.get("id"),
            raw=document,
            provider=self.name,
        )

    def decoder(self, call: ChatCall, headers: Mapping[str, str]) -> StreamDecoder:
        """Server-sent events."""
        return _Decoder()

    def decode_embed(self, call: EmbedCall, reply: HttpReply) -> Embeddings:
        """Vectors of the first type in :data:`EMBEDDING_TYPES` that the reply has."""
        document = parse_object(reply.body)
        found = document.get("embeddings")
        if isinstance(found, Mapping):
            found = next((found[kind] for kind in EMBEDDING_TYPES if isinstance(found.get(kind), list)), None)
        if not isinstance(found, list) or not all(isinstance(vector, list) for vector in found):
            raise InvalidResponseError("the reply has no embeddings as lists of numbers", provider=self.name)
        usage = _usage(document.get("meta"))
        return Embeddings(tuple([tuple(vector) for vector in found]), None, usage, document, provider=self.name)

    def decode_models(self, call: ModelsCall, reply: HttpReply) -> ModelList:
        """One page of the model list."""
        document = parse_object(reply.body)
        listed = document.get("models")
        if not isinstance(listed, list):
            raise InvalidResponseError("the reply has no list of models", provider=self.name)
        models = [
            ModelInfo(str(entry["name"]), self.name, context_window=int(entry.get("context_length") or 0) or None, raw=entry)
            for entry in _listed(listed)
            if entry.get("name")
        ]
        return ModelList(tuple(models), document.get("next_page_token") or None)

    def decode_count(self, call: CountCall, reply: HttpReply) -> TokenCount:
        """How many ``tokens`` there are."""
        return counting.counted_texts(reply, "tokens", "Cohere's tokenize")

    def error(self, reply: HttpReply) -> LLMError:
        """As the base; the body's ``id`` is the request's where no header tells: https://docs.cohere.com/reference/errors"""
        blocked = reply.status == 498 and b"blocked " in reply.body.lower()
        # 498 is a wrong token, and a prompt that the content policy refuses: that says nothing against the key
        error = super().error(HttpReply(400, reply.headers, reply.body) if blocked else reply)
        error.status = reply.status
        if error.request_id is None:
            with suppress(InvalidResponseError):
                error.request_id = str(parse_object(reply.body).get("id") or "") or None
        return error


class _Decoder(FrameDecoder):
    """Events of version 2, told apart by their ``type``."""

    def __init__(self) -> None:
        super().__init__(SSEDecoder())
        self._planning = False
        self._positions: dict[Any, int] = {}
        self._citations: list[Any] = []

    def frame(self, frame: tuple[str, bytes], events: list[Event]) -> None:
        _, data = frame
        if data == b"[DONE]":
            return
        document = parse_object(data)
        kind = document.get("type")
        delta = document.get("delta")
        said = delta.get("message") if isinstance(delta, Mapping) else None
        said = said if isinstance(said, Mapping) else {}
        if self._planning and kind != "tool-plan-delta":
            self._planning = False
            events.append(ReasoningDelta(signature=TOOL_PLAN))
        if kind in ("content-delta", "content-start"):
            _content_events(said.get("content"), events)
        elif kind in ("tool-call-delta", "tool-call-start"):
            self._tool_call(kind, document.get("index"), said.get("tool_calls"), events)
        elif kind == "tool-plan-delta":
            if plan := said.get("tool_plan"):
                self._planning = True
                events.append(ReasoningDelta(str(plan)))
        elif kind == "message-start":
            events.append(StreamStarted(id=document.get("id")))
        elif kind == "message-end":
            self._end(document, delta if isinstance(delta, Mapping) else {}, events)
        elif kind == "citation-start":
            self._citations.append(said.get("citations"))
            events.append(RawEvent(document))
        elif kind in (None, "error"):
            raise _error(document)

    def _tool_call(self, kind: str, index: Any, call: Any, events: list[Event]) -> None:
        if not isinstance(call, Mapping):
            return
        function = call.get("function")
        function = function if isinstance(function, Mapping) else {}
        if kind == "tool-call-start":
            position = self._positions[index] = len(self._positions)
            call_id, name = str(call.get("id") or f"call_{position}"), str(function.get("name") or "")
            events.append(ToolCallDelta(position, call_id, name, function.get("arguments") or ""))
        elif index in self._positions and (arguments := function.get("arguments")):
            events.append(ToolCallDelta(self._positions[index], arguments=arguments))

    def _end(self, document: dict[str, Any], delta: Mapping[str, Any], events: list[Event]) -> None:
        if delta.get("error"):
            raise _error(delta)
        self.complete = True
        if usage := _usage(delta.get("usage")):
            events.append(UsageReported(usage))
        events.append(RawEvent({**document, "citations": self._citations} if self._citations else document))
        events.append(StreamFinished(*_finish(delta, bool(self._positions))))


def _listed(value: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def _content(content: Any) -> list[Part]:
    if isinstance(content, str):
        return [Text(content)] if content else []
    parts: list[Part] = []
    for block in _listed(content):
        if block.get("type") == "text":
            parts.append(Text(str(block.get("text") or "")))
        elif block.get("type") == "thinking":
            parts.append(Reasoning(str(block.get("thinking") or ""), provider=NAME))
        else:
            parts.append(VendorPart(NAME, dict(block)))
    return parts


def _content_events(content: Any, events: list[Event]) -> None:
    if not isinstance(content, Mapping):
        return
    if text := content.get("text"):
        events.append(TextDelta(str(text)))
    if thinking := content.get("thinking"):
        events.append(ReasoningDelta(str(thinking)))


def _call(call: Mapping[str, Any], position: int) -> ToolCall:
    function = call.get("function")
    function = function if isinstance(function, Mapping) else {}
    raw = function.get("arguments")
    arguments, valid = tool_arguments(raw)
    name = str(function.get("name") or "")
    return ToolCall(str(call.get("id") or f"call_{position}"), name, arguments, raw if isinstance(raw, str) else None, valid)


def _finish(document: Mapping[str, Any], called: bool) -> tuple[FinishReason, str | None]:
    raw = document.get("finish_reason")
    reason = FINISH.get(raw, FinishReason.UNKNOWN) if isinstance(raw, str) else FinishReason.UNKNOWN
    if called and reason in (FinishReason.STOP, FinishReason.UNKNOWN):
        reason = FinishReason.TOOL_CALLS
    return reason, raw if isinstance(raw, str) else None


def _usage(usage: Any) -> Usage | None:
    """``tokens``, or ``billed_units`` where they are missing; see the module's docstring."""
    if not isinstance(usage, Mapping):
        return None
    counted = usage.get("tokens") or usage.get("billed_units")
    if not isinstance(counted, Mapping) or "input_tokens" not in counted:
        return None
    try:
        prompt = tokens(counted["input_tokens"])
        completion = tokens(counted.get("output_tokens"))
        cached, reasoning = tokens(usage.get("cached_tokens")), tokens(counted.get("reasoning_tokens"))
    except ValueError:
        return None
    return Usage(prompt, completion, prompt + completion, cached if cached <= prompt else 0, 0, reasoning)


def _error(document: Mapping[str, Any]) -> LLMError:
    """An error in a 200: ``error`` with ``error_type`` in a stream's end, or ``message``."""
    message, codes = error_fields(document)
    kind = document.get("error_type")
    return error_for(
        None,
        message,
        codes=(str(kind), *codes) if kind else codes,
        provider=NAME,
        body=dump_json(document),
    )
