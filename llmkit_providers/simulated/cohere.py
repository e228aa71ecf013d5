"""The other end of Cohere's v2 wire: https://docs.cohere.com/reference/chat, https://docs.cohere.com/reference/errors"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from llmkit.simulated import (
    Allowance,
    Answer,
    ErrorReply,
    Frame,
    OfferedTool,
    Question,
    Refusal,
    SimulatedRequest,
    SimulatedVendor,
    bearer,
    count_values,
    count_words,
    embeddings_question,
    pieces,
    texts_in,
)
from llmkit.wire.json import dump_json

FINISHES = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL", "content_filter": "ERROR"}
ERRORS: Mapping[str, tuple[int, str]] = {
    "invalid": (400, "invalid request"),
    "unprocessable": (422, "invalid request"),
    "context_length": (400, "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4292."),
    "content_filter": (498, "blocked input: please adjust your prompt and try again."),
    "authentication": (401, "invalid api token"),
    "quota": (402, "Please add or update your payment method at https://dashboard.cohere.com/billing"),
    "permission": (403, "you do not have access to this resource"),
    "model": (404, "model not found, make sure the correct model ID was used and that you have access to the model."),
    "path": (404, "page not found"),
    "method": (405, "method not allowed"),
    "timeout": (408, "request timed out"),
    "too_large": (413, "request body too large"),
    "rate_limit": (429, "You are past the per minute request limit, please wait and try again later."),
    "server": (500, "internal server error, this has been reported to our developers."),
    "bad_gateway": (502, "bad gateway"),
    "overloaded": (503, "service unavailable"),
    "gateway_timeout": (504, "gateway timeout"),
}
"""Kind of refusal: status and sentence."""

CHAT = frozenset((
    "model", "messages", "tools", "strict_tools", "documents", "citation_options", "response_format", "safety_mode",
    "max_tokens", "stop_sequences", "temperature", "seed", "frequency_penalty", "presence_penalty", "k", "p", "logprobs",
    "tool_choice", "thinking", "priority", "stream", "raw_prompting",
))  # fmt: skip
EMBED = frozenset((
    "model", "texts", "images", "inputs", "input_type", "max_tokens", "output_dimension", "embedding_types", "truncate",
    "priority",
))  # fmt: skip
TYPES: Mapping[str, Any] = {
    "model": str, "messages": list, "tools": list, "stream": bool, "max_tokens": int, "temperature": (int, float), "p":
    (int, float), "k": int, "seed": int, "stop_sequences": list, "response_format": dict, "strict_tools": bool, "thinking":
    dict,
}  # fmt: skip


class Cohere(SimulatedVendor):
    """``/v2/chat``, ``/v2/embed``, ``/v1/tokenize``, ``/v1/models``."""

    names = ("cohere",)

    def models(self, vendor: str) -> tuple[str, ...]:
        """A few of the vendor's models."""
        return ("command-a-03-2025", "command-r7b-12-2024", "embed-v4.0")

    def key(self, vendor: str, request: SimulatedRequest) -> str:
        """The bearer token."""
        key = bearer(request.headers)
        if not key:
            raise Refusal("authentication", "no api key supplied")
        return key

    def read(self, vendor: str, request: SimulatedRequest, key: str) -> Question:
        """A chat, embeddings, count or model question."""
        methods = {"/v2/chat": "POST", "/v2/embed": "POST", "/v1/tokenize": "POST"}
        listing = request.path == "/v1/models" or request.path.startswith("/v1/models/")
        if request.path not in methods and not listing:
            raise Refusal("path")
        if request.method != methods.get(request.path, "GET"):
            raise Refusal("method")
        if listing:
            name = request.path.removeprefix("/v1/models").lstrip("/")
            size, page = request.query.get("page_size", "20"), request.query.get("page_token", "0")
            if not size.isdigit() or not page.isdigit() or not 1 <= int(size) <= 1000:
                raise Refusal("invalid", "invalid request: page_size must be between 1 and 1000")
            kind = "model" if name else "models"
            return Question(vendor=vendor, kind=kind, key=key, model=name, page=page, page_size=int(size))
        body = request.document()
        if request.path == "/v2/embed":
            return _embeddings(vendor, key, body)
        if request.path == "/v1/tokenize":
            return _tokenize(vendor, key, body)
        _check_chat(body)
        return _chat(vendor, key, body)

    def answer(self, question: Question, answer: Answer) -> bytes:
        """A message; with tool calls it has a ``tool_plan`` and no content."""
        content: list[Any] = [{"type": "thinking", "thinking": answer.reasoning}] if answer.reasoning else []
        if answer.text:
            content.append({"type": "text", "text": answer.text})
        message: dict[str, Any] = {"role": "assistant"}
        if content:
            message["content"] = content
        if answer.tool_calls:
            message["tool_plan"] = ""
            calls = [(call, dump_json(dict(call.arguments)).decode()) for call in answer.tool_calls]
            message["tool_calls"] = [_call(call.id, call.name, arguments) for call, arguments in calls]
        end = {"finish_reason": FINISHES[answer.finish], "usage": _usage(answer)}
        return dump_json({"id": answer.id, "message": message, **end})

    def stream(self, question: Question, answer: Answer) -> list[Frame]:
        """The events from ``message-start`` to ``message-end``, and a ``[DONE]`` that the vendor sends as well."""
        empty = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        frames = [event("message-start", {"message": empty}, id=answer.id)]
        index = 0
        for field, text in (("thinking", answer.reasoning), ("text", answer.text)):
            if text:
                start = {"message": {"content": {"type": field, field: ""}}}
                frames.append(event("content-start", start, index=index))
                for piece in pieces(text):
                    delta: dict[str, Any] = {"message": {"content": {field: piece}}}
                    frames.append(event("content-delta", delta, count_words(piece), index=index))
                frames.append(event("content-end", index=index))
                index += 1
        for number, call in enumerate(answer.tool_calls):
            raw = dump_json(dict(call.arguments)).decode()
            frames.append(event("tool-call-start", {"message": {"tool_calls": _call(call.id, call.name, "")}}, 1, index=number))
            for start_at in range(0, len(raw), 7):
                delta = {"message": {"tool_calls": {"function": {"arguments": raw[start_at : start_at + 7]}}}}
                frames.append(event("tool-call-delta", delta, 1, index=number))
            frames.append(event("tool-call-end", index=number))
        frames.append(event("message-end", {"finish_reason": FINISHES[answer.finish], "usage": _usage(answer)}))
        return [*frames, Frame(b"data: [DONE]\n\n")]

    def embeddings(self, question: Question, vectors: Sequence[Sequence[float]]) -> bytes:
        """Vectors by type."""
        meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": question.prompt_tokens}}
        kinds = question.body.get("embedding_types") or ["float"]
        by_type = {kind: [_typed(kind, vector) for vector in vectors] for kind in kinds}
        return dump_json({
            "id": "embed_simulated", "embeddings": by_type, "texts": list(question.inputs), "meta": meta,
            "response_type": "embeddings_by_type",
        })  # fmt: skip

    def model_list(self, question: Question, models: Sequence[str]) -> bytes:
        """One page of models, or one model: https://docs.cohere.com/reference/list-models"""
        endpoints = ["embed" if "embed" in name else "chat" for name in models]
        facts = {"finetuned": False, "context_length": 256000}
        listed = [{"name": name, "endpoints": [one], **facts} for name, one in zip(models, endpoints, strict=True)]
        if question.kind == "model":
            return dump_json(next(model for model in listed if model["name"] == question.model))
        start = int(question.page)
        end = start + question.page_size
        return dump_json({"models": listed[start:end], **({"next_page_token": str(end)} if end < len(listed) else {})})

    def token_count(self, question: Question) -> bytes:
        """A token for each word: https://docs.cohere.com/reference/tokenize"""
        words = question.text.split()
        return dump_json({"tokens": list(range(len(words))), "token_strings": words, "meta": {"api_version": {"version": "1"}}})

    def error(self, vendor: str, refusal: Refusal) -> ErrorReply:
        """``message`` and an id."""
        status, usual = ERRORS[refusal.kind]
        document = {"id": "error_simulated", "message": refusal.message or usual}
        return ErrorReply(refusal.status or status, {"content-type": "application/json"}, dump_json(document))

    def error_event(self, vendor: str, refusal: Refusal) -> bytes:
        """A ``message-end`` with ``finish_reason: ERROR`` and the sentence beside it."""
        words = refusal.message or ERRORS[refusal.kind][1]
        return event("message-end", {"finish_reason": "ERROR", "error": words}).data

    def limit_headers(self, vendor: str, allowances: Sequence[Allowance], wall: float) -> Mapping[str, str]:
        """As trial keys get them: of the minute's requests."""
        told = next((allowance for allowance in allowances if allowance.kind == "requests"), None)
        if told is None:
            return {}
        return {"x-trial-endpoint-call-limit": str(told.limit), "x-trial-endpoint-call-remaining": str(told.remaining)}


def event(kind: str, delta: Mapping[str, Any] | None = None, tokens: int = 0, **more: Any) -> Frame:
    """A server-sent event named as its type."""
    document = {**more, "type": kind, **({} if delta is None else {"delta": delta})}
    return Frame(b"event: %s\ndata: %s\n\n" % (kind.encode(), dump_json(document)), tokens)


def _typed(kind: str, vector: Sequence[float]) -> Any:
    """A vector in one of the types of https://docs.cohere.com/docs/embeddings#compression-levels"""
    if kind == "base64":
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    if kind in ("binary", "ubinary"):
        bits = "".join(["1" if number > 0 else "0" for number in vector])
        shift = 128 if kind == "binary" else 0
        return [int(bits[start : start + 8].ljust(8, "0"), 2) - shift for start in range(0, len(bits), 8)]
    shift = 128 if kind == "uint8" else 0
    return list(vector) if kind == "float" else [round(127 * number) + shift for number in vector]


def _usage(answer: Answer) -> dict[str, Any]:
    """Two counts that differ, as at the vendor: all tokens, and those that cost (here the half)."""
    return {
        "billed_units": {"input_tokens": answer.prompt // 2, "output_tokens": answer.completion // 2},
        "tokens": {"input_tokens": answer.prompt, "output_tokens": answer.completion},
        "cached_tokens": answer.cached_tokens,
    }


def _call(id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": f"{name}_{id}", "type": "function", "function": {"name": name, "arguments": arguments}}


def _unknown(name: str) -> Refusal:
    words = f"unknown field: parameter '{name}' is not a valid field. For proper usage, please refer to"
    return Refusal("unprocessable", f"{words} https://docs.cohere.com/reference/chat")


def _wrong(message: str) -> Refusal:
    return Refusal("invalid", f"invalid request: {message}")


def _check_fields(value: Any, fields: Any) -> None:
    if not isinstance(value, Mapping):
        raise _wrong("expected an object")
    for name in value:
        if name not in fields:
            raise _unknown(name)


def _check_chat(body: Mapping[str, Any]) -> None:
    _check_fields(body, CHAT)
    if not body.get("model"):
        raise Refusal("invalid", "a model parameter is required for this endpoint.")
    for name, types in TYPES.items():
        value = body.get(name)
        if value is not None and (not isinstance(value, types) or (isinstance(value, bool) and types is not bool)):
            raise _wrong(f"{name} is of the wrong type.")
    for name, low, high in (("temperature", 0, 1), ("p", 0.01, 0.99), ("k", 0, 500)):
        if body.get(name) is not None and not low <= body[name] <= high:
            raise _wrong(f"{name} must be between {low} and {high} inclusive.")
    if len(body.get("stop_sequences") or ()) > 5:
        raise _wrong("at most 5 stop sequences are allowed.")
    _check_messages(body.get("messages"))
    for tool in body.get("tools") or ():
        _check_fields(tool, ("type", "function"))
        _check_fields(tool.get("function"), ("name", "description", "parameters"))
        if not isinstance(tool["function"].get("name"), str) or not isinstance(tool["function"].get("parameters"), dict):
            raise _wrong("all tools must have a name and parameters.")
    if body.get("tool_choice") is not None and body["tool_choice"] not in ("REQUIRED", "NONE"):
        raise _wrong("tool_choice must be REQUIRED or NONE.")
    if body.get("tool_choice") is not None and not body.get("tools"):
        raise _wrong("tool_choice requires tools to be specified.")
    shape = body.get("response_format")
    if shape is not None:
        _check_fields(shape, ("type", "json_schema", "schema"))
        if shape.get("type") not in ("text", "json_object"):
            raise _wrong("response_format.type must be text or json_object.")
        if body.get("tools") or body.get("documents"):
            raise _wrong("response_format is not supported with RAG or tools.")


def _check_messages(messages: Any) -> None:
    if not messages:
        raise _wrong("messages must not be empty.")
    called: set[str] = set()
    for message in messages:
        _check_fields(message, ("role", "content", "tool_calls", "tool_plan", "tool_call_id", "citations"))
        role, content = message.get("role"), message.get("content")
        if role not in ("system", "user", "assistant", "tool"):
            raise _wrong(f"invalid role: {role}.")
        if role == "tool" and message.get("tool_call_id") not in called:
            raise _wrong("a tool message must have the tool_call_id of a tool call before it.")
        if role == "tool":
            called.discard(message["tool_call_id"])
        elif called:
            raise _wrong("all tool calls must be answered by tool messages.")
        if role != "assistant" and not content:
            raise _wrong("all messages must have a content.")
        if not isinstance(content, (str, list, type(None))):
            raise _wrong("content must be a text or a list.")
        for call in message.get("tool_calls") or ():
            if not isinstance((call.get("function") or {}).get("arguments"), str) or not isinstance(call.get("id"), str):
                raise _wrong("a tool call must have an id, and arguments as a JSON text.")
            called.add(call["id"])
    if messages[-1]["role"] not in ("user", "tool") or called:
        raise _wrong("the last message must be from the user, or hold all tool results.")


def _result(message: Mapping[str, Any]) -> str:
    """A tool result's text: a string, or documents with ``data``."""
    documents = message["content"] if isinstance(message["content"], list) else ()
    data = [document["document"].get("data", "") for document in documents if isinstance(document.get("document"), dict)]
    return "".join([*texts_in(message["content"]), *[one if isinstance(one, str) else dump_json(one).decode() for one in data]])


def _chat(vendor: str, key: str, body: Mapping[str, Any]) -> Question:
    messages = body["messages"]
    users = [message for message in messages if message["role"] == "user"]
    results: list[str] = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        results.insert(0, _result(message))
    words = 0
    for message in messages:
        words += count_words(_result(message)) if message.get("content") else 0
        words += sum([1 + count_words(call["function"]["arguments"]) for call in message.get("tool_calls") or ()])
    tools, shape = body.get("tools") or (), body.get("response_format") or {}
    return Question(
        vendor=vendor,
        model=body["model"],
        key=key,
        text="\n".join(texts_in(users[-1]["content"])) if users else "",
        results=tuple(results),
        prompt_tokens=words + (count_values(tools) if tools else 0),
        tools=tuple([OfferedTool(tool["function"]["name"], tool["function"]["parameters"]) for tool in tools]),
        tool_choice={"REQUIRED": "required", "NONE": "none"}.get(body.get("tool_choice") or "", "auto"),
        stream=bool(body.get("stream")),
        max_tokens=body.get("max_tokens"),
        stop=tuple(body.get("stop_sequences") or ()),
        json=shape.get("type") == "json_object",
        schema=shape.get("json_schema") or shape.get("schema"),
        body=body,
    )


def _embeddings(vendor: str, key: str, body: Mapping[str, Any]) -> Question:
    _check_fields(body, EMBED)
    if not body.get("model"):
        raise Refusal("invalid", "a model parameter is required for this endpoint.")
    if body.get("input_type") not in ("search_document", "search_query", "classification", "clustering", "image"):
        raise _wrong("valid input_type must be provided with the provided model")
    for kind in body.get("embedding_types") or ():
        if kind not in ("float", "int8", "uint8", "binary", "ubinary", "base64"):
            raise _wrong(f"embedding_types: {kind} is not one of float, int8, uint8, binary, ubinary, base64.")
    texts = body.get("texts")
    if not isinstance(texts, list) or not 1 <= len(texts) <= 96 or not all(isinstance(text, str) for text in texts):
        raise _wrong("texts must be a list of 1 to 96 texts.")
    return embeddings_question(vendor, key, body["model"], texts, body.get("output_dimension"), body)


def _tokenize(vendor: str, key: str, body: Mapping[str, Any]) -> Question:
    _check_fields(body, frozenset(("model", "text")))
    text = body.get("text")
    if not isinstance(text, str) or not 1 <= len(text) <= 65_536:
        raise Refusal("invalid", "invalid request: text must be at least 1 character and at most 65536 characters long.")
    if not body.get("model"):
        raise Refusal("invalid", "invalid request: model is required.")
    words = count_words(text)
    return Question(vendor=vendor, kind="count", model=body["model"], key=key, text=text, prompt_tokens=words, body=body)
