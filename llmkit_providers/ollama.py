"""Ollama's own chat API, ``/api/chat``: https://docs.ollama.com/api/chat (also https://github.com/ollama/ollama/blob/main/docs/api.md).

Facts that shape this module, from those pages:

- Sampling parameters stand in ``options`` under Ollama's own names; ``stream`` is true unless the request says otherwise.
- A stream is one JSON object a line; the last has ``done: true`` and the counts, an error is a line ``{"error": "..."}``.
- Older servers give tool calls no ids: llmkit makes up ``call_0``, ``call_1``, ... which no other call of the conversation has,
  and does not send them back. Results are matched by ``tool_name`` and their order.
- ``prompt_eval_count`` is missing where the prompt was still in the server's cache.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit

from llmkit.errors import InvalidRequestError, InvalidResponseError, LLMError
from llmkit.provider import Provider, StreamDecoder, error_fields
from llmkit.values.calls import ChatCall
from llmkit.values.completion import Completion, FinishReason
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
from llmkit.values.messages import Image, Message, Part, Reasoning, Refusal, Text, ToolCall, ToolResult
from llmkit.values.models import ModelInfo, ModelList
from llmkit.values.other_calls import EmbedCall, ModelsCall
from llmkit.values.tools import Tool
from llmkit.values.usage import Usage, tokens
from llmkit.wire.errors import error_for
from llmkit.wire.http import HttpReply, HttpRequest
from llmkit.wire.json import dump_json, parse_object, tool_arguments
from llmkit.wire.lines import LineDecoder
from llmkit_providers._dialects.frames import FrameDecoder

PORT = 11434
"""Where the server listens unless told otherwise: https://docs.ollama.com/faq"""

OPTIONS = (
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("max_tokens", "num_predict"),
    ("seed", "seed"),
    ("stop", "stop"),
)
"""llmkit's names and Ollama's, in ``options``: https://docs.ollama.com/modelfile#valid-parameters-and-values"""

THINK: Mapping[str, bool] = {"none": False, "false": False, "true": True}
"""Efforts that ``think`` knows as a boolean; ``low``, ``medium``, ``high`` go as words: https://docs.ollama.com/capabilities/thinking"""

FINISH: Mapping[str, FinishReason] = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}
"""``load`` and ``unload`` answer requests without messages, and stay unknown."""

MADE_UP = re.compile(r"call_\d+")

JSON_HEADERS = {"Content-Type": "application/json"}


class Ollama(Provider):
    """Models on this machine, on another one, or at https://ollama.com.

    ``extra={"options": {"num_ctx": 8192}}`` is merged into the ``options`` that the call sends, option by option; other fields
    of ``extra`` (``keep_alive``, ``logprobs``) replace what stands in the body.
    """

    name = "ollama"
    title = "Ollama"
    base_url = f"http://localhost:{PORT}"
    docs = "https://docs.ollama.com/api"
    key_names = ("OLLAMA_API_KEY",)
    base_url_names: ClassVar[tuple[str, ...]] = ("OLLAMA_HOST",)
    needs_key = False
    features = frozenset(
        {"chat", "stream", "embeddings", "models", "max_tokens", "temperature", "top_p", "stop", "seed", "reasoning_effort"}
        | {"tools", "json", "json_schema", "images", "dimensions"}
    )
    endpoints = ("/api/chat", "/api/generate", "/api/embed", "/api/tags", "/api")

    def base_url_from(self, value: str) -> str:
        """``OLLAMA_HOST`` as a URL: it may lack the scheme, the host or the port (``10.0.0.5``, ``:8080``), and ``0.0.0.0``,
        which servers listen on, is reached at ``127.0.0.1``. https://github.com/ollama/ollama/blob/main/envconfig/config.go"""
        value = value.strip().strip("\"'")
        scheme, found, rest = value.partition("://")
        if not found:
            scheme, rest = "http", value
        host, slash, path = rest.partition("/")
        try:
            parts = urlsplit(f"//{host}")
            name, port = parts.hostname or "127.0.0.1", parts.port
        except ValueError:
            return value
        if parts.username is not None:
            return value
        name = "127.0.0.1" if name == "0.0.0.0" else "::1" if name == "::" else name  # noqa: S104
        if port is None and not found:
            port = PORT
        shown = f"[{name}]" if ":" in name else name
        return f"{scheme}://{shown}{f':{port}' if port else ''}{slash}{path}"

    # ------------------------------------------------------------------------------------------- what goes out

    def encode_chat(self, call: ChatCall, instance: Instance) -> HttpRequest:
        """``POST /api/chat``."""
        given = call.options
        body: dict[str, Any] = {"model": instance.model, "messages": _messages(call.messages), "stream": call.stream}
        if given.tools and given.tool_choice != "none":
            body["tools"] = [_tool(tool) if isinstance(tool, Tool) else tool for tool in given.tools]
        if given.response_format is not None:
            body["format"] = "json" if given.response_format == "json" else given.response_format.schema
        if given.reasoning_effort is not None:
            effort = given.reasoning_effort.lower()
            body["think"] = THINK.get(effort, effort)
        options = {theirs: value for ours, theirs in OPTIONS if (value := getattr(given, ours)) is not None}
        extra = dict(given.extra or {})
        if isinstance(extra.get("options"), Mapping):
            options = {**options, **extra.pop("options")}
        if options:
            body["options"] = options
        return HttpRequest("POST", f"{self.root(instance)}/api/chat", JSON_HEADERS, dump_json({**body, **extra}))

    def encode_embed(self, call: EmbedCall, instance: Instance) -> HttpRequest:
        """``POST /api/embed``: https://docs.ollama.com/api/embed"""
        body: dict[str, Any] = {"model": instance.model, "input": call.texts}
        if call.dimensions is not None:
            body["dimensions"] = call.dimensions
        return HttpRequest("POST", f"{self.root(instance)}/api/embed", JSON_HEADERS, dump_json({**body, **(call.extra or {})}))

    def encode_models(self, call: ModelsCall, instance: Instance) -> HttpRequest:
        """``GET /api/tags``, the models that have been pulled: https://docs.ollama.com/api/tags"""
        return HttpRequest("GET", f"{self.root(instance)}/api/tags", {})

    def unsupported(self, call: ChatCall, instance: Instance) -> tuple[str, ...]:
        """As the base; of ``tool_choice``, ``auto`` is what Ollama does and ``none`` is done by sending no tools."""
        missing = list(super().unsupported(call, instance))
        if call.options.tool_choice in ("auto", "none"):
            missing.remove("tool_choice")
        if any(isinstance(part, Image) and part.file_id for message in call.messages for part in message.content):
            missing.append("image_urls")
        return tuple(dict.fromkeys(missing))

    # ------------------------------------------------------------------------------------------- what comes back

    def decode_chat(self, call: ChatCall, reply: HttpReply) -> Completion:
        """The answer to ``stream: false``."""
        document = parse_object(reply.body)
        if "error" in document:
            raise _error(document)
        said = document.get("message")
        if not isinstance(said, Mapping):
            raise InvalidResponseError("the reply has no message", provider=self.name)
        content: list[Part] = []
        if thinking := said.get("thinking"):
            content.append(Reasoning(str(thinking), provider=self.name))
        if text := said.get("content"):
            if not isinstance(text, str):
                raise InvalidResponseError("the message's content is no text", provider=self.name)
            content.append(Text(text))
        namer = _CallIds(call)
        for function, call_id in _calls(said, namer):
            arguments, valid = tool_arguments(function.get("arguments"))
            raw = function.get("arguments")
            content.append(
                ToolCall(call_id, str(function.get("name") or ""), arguments, raw if isinstance(raw, str) else None, valid)
            )
        finish, raw_finish = _finish(document, bool(namer.given))
        return Completion(
            Message("assistant", content),
            finish,
            raw_finish,
            _usage(document),
            document.get("model"),
            raw=document,
            provider=self.name,
        )

    def decoder(self, call: ChatCall, headers: Mapping[str, str]) -> StreamDecoder:
        """One JSON object a line."""
        return _Decoder(call)

    def decode_embed(self, call: EmbedCall, reply: HttpReply) -> Embeddings:
        """One vector for each text."""
        document = parse_object(reply.body)
        vectors = document.get("embeddings")
        if not isinstance(vectors, list) or not all(isinstance(vector, list) for vector in vectors):
            raise InvalidResponseError("the reply has no embeddings", provider=self.name)
        return Embeddings(
            tuple([tuple(vector) for vector in vectors]), document.get("model"), _usage(document), document, provider=self.name
        )

    def decode_models(self, call: ModelsCall, reply: HttpReply) -> ModelList:
        """All models, on one page."""
        listed = parse_object(reply.body).get("models")
        if not isinstance(listed, list):
            raise InvalidResponseError("the reply has no list of models", provider=self.name)
        names = [(entry.get("name") or entry.get("model"), entry) for entry in listed if isinstance(entry, Mapping)]
        return ModelList(tuple([ModelInfo(str(name), self.name, raw=entry) for name, entry in names if name]))


class _CallIds:
    """Gives ids to the calls of one answer: the vendor's own, or ``call_<n>`` that the conversation does not have yet."""

    def __init__(self, call: ChatCall) -> None:
        self._call = call
        self._taken: set[str] | None = None
        self.given = 0

    def next(self, theirs: Any) -> str:
        self.given += 1
        if isinstance(theirs, str) and theirs:
            return theirs
        if self._taken is None:
            self._taken = {part.id for message in self._call.messages for part in message.tool_calls}
        number = len(self._taken)
        while f"call_{number}" in self._taken:
            number += 1
        self._taken.add(f"call_{number}")
        return f"call_{number}"


class _Decoder(FrameDecoder):
    """Lines to events."""

    def __init__(self, call: ChatCall) -> None:
        super().__init__(LineDecoder())
        self._ids = _CallIds(call)
        self._started = False

    def frame(self, frame: bytes, events: list[Event]) -> None:
        document = parse_object(frame)
        if "error" in document:
            raise _error(document)
        if not self._started:
            self._started = True
            events.append(StreamStarted(document.get("model")))
        said = document.get("message")
        if isinstance(said, Mapping):
            if thinking := said.get("thinking"):
                events.append(ReasoningDelta(str(thinking)))
            if text := said.get("content"):
                events.append(TextDelta(str(text)))
            for function, call_id in _calls(said, self._ids):
                raw = function.get("arguments")
                arguments = raw if isinstance(raw, str) else dump_json(raw or {}).decode()
                events.append(ToolCallDelta(self._ids.given - 1, call_id, str(function.get("name") or ""), arguments))
        if document.get("done") is True:
            self.complete = True
            if usage := _usage(document):
                events.append(UsageReported(usage))
            events.append(RawEvent(document))
            events.append(StreamFinished(*_finish(document, bool(self._ids.given))))


def _messages(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """Ollama's messages: text, pictures as a list of base64 beside it, and each tool's result as a message of its own."""
    sent: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for message in messages:
        names.update({call.id: call.name for call in message.tool_calls})
        results = [part for part in message.content if isinstance(part, ToolResult)]
        sent += [_result(result, names) for result in results]
        rest = [part for part in message.content if not isinstance(part, ToolResult)]
        if rest or not results:
            sent.append(_message(message.role, rest))
    return sent


def _message(role: str, content: Sequence[Part]) -> dict[str, Any]:
    text = "".join([part.text for part in content if isinstance(part, (Text, Refusal))])
    sent: dict[str, Any] = {"role": role, "content": text}
    if pictures := _pictures(content):
        sent["images"] = pictures
    thinking = "".join([part.text for part in content if isinstance(part, Reasoning) and part.provider in (None, Ollama.name)])
    if thinking:
        sent["thinking"] = thinking
    calls = [part for part in content if isinstance(part, ToolCall)]
    if calls:
        sent["tool_calls"] = [
            {**_own_id("id", call.id), "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
    return sent


def _result(result: ToolResult, names: Mapping[str, str]) -> dict[str, Any]:
    """A tool's answer: text, and pictures beside it.

    :raises InvalidRequestError: if it holds a part that has no place there.
    """
    parts: Sequence[Part] = [Text(result.content)] if isinstance(result.content, str) else result.content
    for part in parts:
        if not isinstance(part, Text) and not (isinstance(part, Image) and part.data is not None):
            raise InvalidRequestError(f"Ollama takes no such {part.type} in a tool's answer", provider=Ollama.name)
    sent = _message("tool", parts)
    if name := result.name or names.get(result.call_id):
        sent["tool_name"] = name
    return {**sent, **_own_id("tool_call_id", result.call_id)}


def _own_id(field: str, call_id: str) -> dict[str, str]:
    return {} if MADE_UP.fullmatch(call_id) else {field: call_id}


def _pictures(content: Sequence[Part]) -> list[str]:
    return [base64.b64encode(part.data).decode() for part in content if isinstance(part, Image) and part.data is not None]


def _tool(tool: Tool) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
    }


def _calls(said: Mapping[str, Any], ids: _CallIds) -> list[tuple[Mapping[str, Any], str]]:
    calls = said.get("tool_calls")
    if not isinstance(calls, list):
        return []
    calls = [call for call in calls if isinstance(call, Mapping) and isinstance(call.get("function"), Mapping)]
    return [(call["function"], ids.next(call.get("id"))) for call in calls]


def _finish(document: Mapping[str, Any], called: bool) -> tuple[FinishReason, str | None]:
    """Servers older than ``done_reason`` say nothing about why they are done."""
    raw = document.get("done_reason")
    reason = FINISH.get(raw, FinishReason.UNKNOWN) if isinstance(raw, str) else FinishReason.UNKNOWN
    if called and reason is not FinishReason.LENGTH:
        reason = FinishReason.TOOL_CALLS
    return reason, raw if isinstance(raw, str) else None


def _usage(document: Mapping[str, Any]) -> Usage | None:
    if "prompt_eval_count" not in document and "eval_count" not in document:
        return None
    try:
        prompt, completion = tokens(document.get("prompt_eval_count")), tokens(document.get("eval_count"))
    except ValueError:
        return None
    return Usage(prompt, completion, prompt + completion)


def _error(document: Mapping[str, Any]) -> LLMError:
    message, codes = error_fields(document)
    return error_for(None, message, codes=codes, provider=Ollama.name, body=dump_json(document))
