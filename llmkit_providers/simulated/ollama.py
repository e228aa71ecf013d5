"""The other end of Ollama's own wire: https://github.com/ollama/ollama/blob/main/docs/api.md"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from llmkit.simulated import (
    Answer,
    ErrorReply,
    Frame,
    OfferedTool,
    Question,
    Refusal,
    SimulatedRequest,
    SimulatedVendor,
    count_values,
    count_words,
    embeddings_question,
    pieces,
)
from llmkit.wire.json import dump_json

ERRORS: Mapping[str, tuple[int, str]] = {
    "invalid": (400, "invalid request"),
    "unprocessable": (400, "invalid request"),
    "context_length": (400, "prompt too long; exceeded max context length by 1000 tokens"),
    "content_filter": (400, "the request was refused by the content policy"),
    "authentication": (401, "unauthorized"),
    "quota": (402, "you have reached your weekly usage limit, please upgrade"),
    "permission": (403, "forbidden"),
    "model": (404, "model not found"),
    "path": (404, "404 page not found"),
    "method": (405, "405 method not allowed"),
    "timeout": (408, "request timed out"),
    "too_large": (413, "request body too large"),
    "rate_limit": (429, "too many concurrent requests"),
    "server": (500, "llama runner process has terminated: exit status 2"),
    "bad_gateway": (502, "bad gateway"),
    "overloaded": (503, "server busy, please try again.  maximum pending requests exceeded"),
    "gateway_timeout": (504, "gateway timeout"),
}
"""Kind of refusal: status and sentence."""

TYPES: Mapping[str, tuple[Any, str]] = {
    "model": (str, "string"),
    "messages": (list, "[]api.Message"),
    "stream": (bool, "bool"),
    "tools": (list, "api.Tools"),
    "options": (dict, "map[string]interface {}"),
}
OPTIONS: Mapping[str, tuple[Any, str]] = {
    "num_predict": (int, "integer"),
    "num_ctx": (int, "integer"),
    "seed": (int, "integer"),
    "top_k": (int, "integer"),
    "temperature": ((int, float), "float32"),
    "top_p": ((int, float), "float32"),
    "stop": (list, "array of strings"),
}
DETAILS = {"format": "gguf", "family": "llama", "families": ["llama"], "parameter_size": "4B", "quantization_level": "Q4_K_M"}


class Ollama(SimulatedVendor):
    """``/api/chat``, ``/api/embed``, ``/api/tags``, ``/api/show``. What it does not know it ignores, as Ollama does."""

    names = ("ollama",)
    stream_type = "application/x-ndjson"

    def models(self, vendor: str) -> tuple[str, ...]:
        """A few models that are pulled."""
        return ("llama3.2:latest", "qwen3:4b", "all-minilm:latest")

    def read(self, vendor: str, request: SimulatedRequest, key: str) -> Question:
        """A chat, embeddings or model question."""
        methods = {"/api/chat": "POST", "/api/embed": "POST", "/api/show": "POST", "/api/tags": "GET"}
        if request.path not in methods:
            raise Refusal("path")
        if request.method != methods[request.path]:
            raise Refusal("method")
        if request.path == "/api/tags":
            return Question(vendor=vendor, kind="models", key=key)
        body = request.document()
        _check_types(body)
        if request.path == "/api/show":
            return Question(vendor=vendor, kind="model", key=key, model=body["model"])
        if request.path == "/api/embed":
            return _embeddings(vendor, key, body)
        for number, message in enumerate(body.get("messages") or ()):
            _check_message(message, number)
        _check_rest(body)
        return _chat(vendor, key, body)

    def answer(self, question: Question, answer: Answer) -> bytes:
        """One object with ``done: true``."""
        message: dict[str, Any] = {"role": "assistant", "content": answer.text}
        if answer.reasoning:
            message["thinking"] = answer.reasoning
        if answer.tool_calls:
            message["tool_calls"] = [_call(call.name, call.arguments) for call in answer.tool_calls]
        return dump_json({**_head(question, answer), "message": message, **_end(question, answer)})

    def stream(self, question: Question, answer: Answer) -> list[Frame]:
        """One object a line; the tool calls come in a line before the last."""
        frames = []

        def line(tokens: int, **message: Any) -> None:
            document = {**_head(question, answer), "message": {"role": "assistant", "content": "", **message}, "done": False}
            frames.append(Frame(dump_json(document) + b"\n", tokens))

        for piece in pieces(answer.reasoning):
            line(count_words(piece), thinking=piece)
        for piece in pieces(answer.text):
            line(count_words(piece), content=piece)
        for call in answer.tool_calls:
            line(1, tool_calls=[_call(call.name, call.arguments)])
        last = {**_head(question, answer), "message": {"role": "assistant", "content": ""}, **_end(question, answer)}
        return [*frames, Frame(dump_json(last) + b"\n")]

    def embeddings(self, question: Question, vectors: Sequence[Sequence[float]]) -> bytes:
        """``embeddings`` and durations."""
        times = {"total_duration": 1_000_000, "load_duration": 100_000}
        vectors = [list(vector) for vector in vectors]
        return dump_json({"model": question.model, "embeddings": vectors, **times, "prompt_eval_count": question.prompt_tokens})

    def model_list(self, question: Question, models: Sequence[str]) -> bytes:
        """``/api/tags``, or ``/api/show`` for one model."""
        if question.kind == "model":
            information = {"general.architecture": "llama", "llama.context_length": 131072}
            return dump_json({"details": DETAILS, "model_info": information, "capabilities": ["completion", "tools"]})
        facts = {"modified_at": "2025-01-01T00:00:00Z", "size": 2_000_000_000, "digest": "0" * 64, "details": DETAILS}
        return dump_json({"models": [{"name": name, "model": name, **facts} for name in models]})

    def error(self, vendor: str, refusal: Refusal) -> ErrorReply:
        """``error`` with a sentence; the router's own errors are plain text."""
        status, usual = ERRORS[refusal.kind]
        message = refusal.message or usual
        if refusal.kind in ("path", "method"):
            return ErrorReply(refusal.status or status, {"content-type": "text/plain"}, message.encode())
        headers = {"content-type": "application/json; charset=utf-8"}
        return ErrorReply(refusal.status or status, headers, dump_json({"error": message}))

    def error_event(self, vendor: str, refusal: Refusal) -> bytes:
        """A line with ``error``: https://github.com/ollama/ollama/blob/main/docs/api/errors.mdx"""
        return dump_json({"error": refusal.message or ERRORS[refusal.kind][1]}) + b"\n"


def _check_types(body: Mapping[str, Any]) -> None:
    for name, (types, word) in TYPES.items():
        value = body.get(name)
        if value is not None and not isinstance(value, types):
            raise _unmarshal(value, f"ChatRequest.{name}", word)
    if not body.get("model"):
        raise Refusal("invalid", "model is required")


def _unmarshal(value: Any, field: str, word: str) -> Refusal:
    given = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}[type(value)]
    return Refusal("invalid", f"json: cannot unmarshal {given} into Go struct field {field} of type {word}")


def _check_message(message: Any, number: int) -> None:
    if not isinstance(message, dict):
        raise _unmarshal(message, "ChatRequest.messages", "api.Message") if message is not None else Refusal("invalid")
    for name in ("role", "content"):
        if message.get(name) is not None and not isinstance(message[name], str):
            raise _unmarshal(message[name], f"ChatRequest.messages.{name}", "string")
    if message.get("role") not in ("system", "user", "assistant", "tool"):
        raise Refusal("invalid", f"invalid role: {message.get('role') or ''}, must be one of [system, user, assistant, tool]")
    for image in message.get("images") or ():
        try:
            base64.b64decode(str(image), validate=True)
        except binascii.Error:
            raise Refusal("invalid", "illegal base64 data at input byte 0") from None
    for call in message.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, dict) else None
        arguments = function.get("arguments") if isinstance(function, dict) else None
        if not isinstance(arguments, dict):
            field, word = "ChatRequest.messages.tool_calls.function.arguments", "api.ToolCallFunctionArguments"
            raise _unmarshal(arguments, field, word) if arguments is not None else Refusal("invalid", f"missing field {field}")


def _check_rest(body: Mapping[str, Any]) -> None:
    for tool in body.get("tools") or ():
        if not isinstance(tool, dict) or not isinstance((tool.get("function") or {}).get("name"), str):
            raise Refusal("invalid", "invalid tool: a function with a name is required")
    if body.get("format") not in (None, "", "json") and not isinstance(body["format"], dict):
        given = dump_json(body["format"]).decode()
        raise Refusal("invalid", f'invalid format: {given}; expected "json" or a valid JSON Schema object')
    options = body.get("options") or {}
    for name, (types, word) in OPTIONS.items():
        if options.get(name) is not None and (not isinstance(options[name], types) or isinstance(options[name], bool)):
            raise Refusal("invalid", f'option "{name}" must be of type {word}')


def _chat(vendor: str, key: str, body: Mapping[str, Any]) -> Question:
    messages = body.get("messages") or []
    users = [message for message in messages if message["role"] == "user"]
    results: list[str] = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        results.insert(0, message.get("content") or "")
    words = 0
    for message in messages:
        words += count_words(message.get("content") or "")
        for call in message.get("tool_calls") or ():
            words += 1 + count_values(call["function"]["arguments"])
    tools, options, shape = body.get("tools") or (), body.get("options") or {}, body.get("format")
    most = options.get("num_predict")
    return Question(
        vendor=vendor,
        model=body["model"],
        key=key,
        text=users[-1].get("content") or "" if users else "",
        results=tuple(results),
        prompt_tokens=words + (count_values(tools) if tools else 0),
        tools=tuple([OfferedTool(tool["function"]["name"], tool["function"].get("parameters") or {}) for tool in tools]),
        stream=body.get("stream") is not False,
        max_tokens=most if most is not None and most >= 0 else None,
        stop=tuple(options.get("stop") or ()),
        json=bool(shape),
        schema=shape if isinstance(shape, dict) else None,
        body=body,
    )


def _embeddings(vendor: str, key: str, body: Mapping[str, Any]) -> Question:
    given = [body["input"]] if isinstance(body.get("input"), str) else body.get("input")
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise Refusal("invalid", "invalid input type")
    return embeddings_question(vendor, key, body["model"], given, body.get("dimensions"), body)


def _call(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": dict(arguments)}}


def _head(question: Question, answer: Answer) -> dict[str, Any]:
    created = datetime.fromtimestamp(answer.created, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    return {"model": question.model, "created_at": created}


def _end(question: Question, answer: Answer) -> dict[str, Any]:
    """The last object's own fields. A request without messages only loads the model; with tool calls it says ``stop`` too."""
    if not question.body.get("messages"):
        return {"done_reason": "load", "done": True}
    times = {"total_duration": 1_000_000, "load_duration": 100_000, "prompt_eval_duration": 300_000, "eval_duration": 600_000}
    reason = "length" if answer.finish == "length" else "stop"
    return {"done_reason": reason, "done": True, "prompt_eval_count": answer.prompt, "eval_count": answer.completion, **times}
