"""The other end of Anthropic's wire: https://docs.anthropic.com/en/api/messages and https://docs.anthropic.com/en/api/errors"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
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
    pieces,
    texts_in,
)
from llmkit.wire.json import dump_json
from llmkit_providers.simulated.anthropic_checks import check_count, check_messages_request, wrong

FINISHES = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}

ERRORS: Mapping[str, tuple[int, str, str]] = {
    "invalid": (400, "invalid_request_error", "Invalid request."),
    "unprocessable": (400, "invalid_request_error", "Invalid request."),
    "context_length": (400, "invalid_request_error", "prompt is too long: 250000 tokens > 200000 maximum"),
    "content_filter": (400, "invalid_request_error", "Output blocked by content filtering policy"),
    "authentication": (401, "authentication_error", "invalid x-api-key"),
    "quota": (402, "billing_error", "Your credit balance is too low to access the Anthropic API."),
    "permission": (403, "permission_error", "Your API key does not have permission to use the specified resource."),
    "model": (404, "not_found_error", "model: not found"),
    "path": (404, "not_found_error", "Not Found"),
    "method": (405, "invalid_request_error", "Method Not Allowed"),
    "timeout": (504, "timeout_error", "Request timed out"),
    "too_large": (413, "request_too_large", "Request exceeds the maximum size"),
    "rate_limit": (429, "rate_limit_error", "This request would exceed your organization's rate limit."),
    "server": (500, "api_error", "Internal server error"),
    "bad_gateway": (502, "api_error", "Bad gateway"),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "gateway_timeout": (504, "timeout_error", "Request timed out"),
}
"""Kind of refusal: status, type and sentence."""


class Anthropic(SimulatedVendor):
    """The Messages API: chat, token counts, models."""

    names = ("anthropic",)

    def models(self, vendor: str) -> tuple[str, ...]:
        """A few of the vendor's models."""
        return ("claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5")

    def key(self, vendor: str, request: SimulatedRequest) -> str:
        """``x-api-key``, or a bearer token."""
        key = request.headers.get("x-api-key") or bearer(request.headers)
        if not key:
            raise Refusal("authentication", "x-api-key header is required")
        return key

    def read(self, vendor: str, request: SimulatedRequest, key: str) -> Question:
        """A chat, count or model question."""
        if "anthropic-version" not in request.headers:
            raise wrong("anthropic-version: header is required")
        path = request.path
        if path == "/v1/models" or path.startswith("/v1/models/"):
            _only("GET", request)
            if path != "/v1/models":
                return Question(vendor=vendor, kind="model", key=key, model=path.removeprefix("/v1/models/"))
            limit = request.query.get("limit", "20")
            if not limit.isdigit() or not 1 <= int(limit) <= 1000:
                raise wrong("limit: Input should be a whole number from 1 to 1000")
            return Question(vendor=vendor, kind="models", key=key, page=request.query.get("after_id", ""), page_size=int(limit))
        if path not in ("/v1/messages", "/v1/messages/count_tokens"):
            raise Refusal("path")
        _only("POST", request)
        body = request.document()
        if path.endswith("count_tokens"):
            check_count(body)
            return _question(vendor, key, body, "count")
        check_messages_request(body)
        return _question(vendor, key, body, "chat")

    def answer(self, question: Question, answer: Answer) -> bytes:
        """A ``message``."""
        return dump_json({
            **_message(question, answer),
            "content": [block for block, _ in _blocks(answer)],
            "stop_reason": FINISHES[answer.finish],
            "usage": _usage(answer, answer.completion),
        })  # fmt: skip

    def stream(self, question: Question, answer: Answer) -> list[Frame]:
        """The events from ``message_start`` to ``message_stop``."""
        start = {**_message(question, answer), "usage": _usage(answer, 1)}
        frames = [event({"type": "message_start", "message": start})]
        for index, (block, deltas) in enumerate(_blocks(answer)):
            empty = dict(block)
            for name in {"text", "thinking", "signature", "input"} & set(block):
                empty[name] = {} if name == "input" else ""
            frames.append(event({"type": "content_block_start", "index": index, "content_block": empty}))
            if not index:
                frames.append(event({"type": "ping"}))
            for delta, tokens in deltas:
                frames.append(event({"type": "content_block_delta", "index": index, "delta": delta}, tokens))
            frames.append(event({"type": "content_block_stop", "index": index}))
        end = {"stop_reason": FINISHES[answer.finish], "stop_sequence": None}
        frames.append(event({"type": "message_delta", "delta": end, "usage": {"output_tokens": answer.completion}}))
        frames.append(event({"type": "message_stop"}))
        return frames

    def model_list(self, question: Question, models: Sequence[str]) -> bytes:
        """One page of models, or one model."""
        listed = [{"type": "model", "id": name, "display_name": name, "created_at": "2025-01-01T00:00:00Z"} for name in models]
        if question.kind == "model":
            return dump_json(next(model for model in listed if model["id"] == question.model))
        start = models.index(question.page) + 1 if question.page in models else 0
        page = listed[start : start + question.page_size]
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
        return dump_json({"data": page, "has_more": start + len(page) < len(listed), **ends})

    def token_count(self, question: Question) -> bytes:
        """https://docs.anthropic.com/en/api/messages-count-tokens"""
        return dump_json({"input_tokens": question.prompt_tokens})

    def error(self, vendor: str, refusal: Refusal) -> ErrorReply:
        """The vendor's error body."""
        status = refusal.status or ERRORS[refusal.kind][0]
        headers = {"content-type": "application/json", "request-id": "req_simulated"}
        return ErrorReply(status, headers, dump_json(_error(refusal)))

    def error_event(self, vendor: str, refusal: Refusal) -> bytes:
        """An ``error`` event: https://docs.anthropic.com/en/docs/build-with-claude/streaming#error-events"""
        return event(_error(refusal)).data

    def limit_headers(self, vendor: str, allowances: Sequence[Allowance], wall: float) -> Mapping[str, str]:
        """https://docs.anthropic.com/en/api/rate-limits#response-headers, of a minute's limits alone."""
        headers = {}
        for told in {allowance.kind: allowance for allowance in reversed(allowances)}.values():
            back = datetime.fromtimestamp(math.ceil(wall + told.reset), timezone.utc)
            headers[f"anthropic-ratelimit-{told.kind}-limit"] = str(told.limit)
            headers[f"anthropic-ratelimit-{told.kind}-remaining"] = str(told.remaining)
            headers[f"anthropic-ratelimit-{told.kind}-reset"] = f"{back:%Y-%m-%dT%H:%M:%SZ}"
        return headers


def event(document: Mapping[str, Any], tokens: int = 0) -> Frame:
    """A server-sent event named as its type."""
    return Frame(b"event: %s\ndata: %s\n\n" % (document["type"].encode(), dump_json(document)), tokens)


def _only(method: str, request: SimulatedRequest) -> None:
    if request.method != method:
        raise Refusal("method")


def _error(refusal: Refusal) -> dict[str, Any]:
    _, kind, usual = ERRORS[refusal.kind]
    if refusal.status == 503:
        kind = "overloaded_error"
    return {"type": "error", "error": {"type": kind, "message": refusal.message or usual}, "request_id": "req_simulated"}


def _message(question: Question, answer: Answer) -> dict[str, Any]:
    return {
        "id": f"msg_{answer.id}", "type": "message", "role": "assistant", "model": question.model, "content": [],
        "stop_reason": None, "stop_sequence": None,
    }  # fmt: skip


def _usage(answer: Answer, output: int) -> dict[str, int]:
    """Input tokens are without those of the cache: https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching"""
    return {
        "input_tokens": answer.prompt - answer.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": answer.cached_tokens,
        "output_tokens": output,
    }


def _blocks(answer: Answer) -> Iterator[tuple[dict[str, Any], list[tuple[dict[str, Any], int]]]]:
    """The content blocks, each with the deltas it is streamed in and the tokens of each."""
    if answer.reasoning:
        signature = f"signature-{answer.id}"
        said = [({"type": "thinking_delta", "thinking": piece}, count_words(piece)) for piece in pieces(answer.reasoning)]
        block = {"type": "thinking", "thinking": answer.reasoning, "signature": signature}
        yield block, [*said, ({"type": "signature_delta", "signature": signature}, 0)]
    text = answer.text or answer.refusal
    if text:
        spoken = [({"type": "text_delta", "text": piece}, count_words(piece)) for piece in pieces(text)]
        yield {"type": "text", "text": text}, spoken
    for call in answer.tool_calls:
        raw = dump_json(dict(call.arguments)).decode() if call.arguments else ""
        parts = ["", *[raw[start : start + 7] for start in range(0, len(raw), 7)]]
        deltas = [({"type": "input_json_delta", "partial_json": part}, 1) for part in parts]
        yield {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": dict(call.arguments)}, deltas


def _question(vendor: str, key: str, body: Mapping[str, Any], kind: str) -> Question:
    messages = body["messages"]
    users = [message for message in messages if message["role"] == "user"]
    tools = [tool for tool in body.get("tools") or () if "input_schema" in tool]
    choice = body.get("tool_choice") or {"type": "auto"}
    shape = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    last = messages[-1]["content"] if messages[-1]["role"] == "user" else ()
    results = [block for block in last if isinstance(block, dict) and block.get("type") == "tool_result"]
    words = sum([_words(message["content"]) for message in messages])
    words += sum([count_words(text) for text in texts_in(body.get("system"))])
    return Question(
        vendor=vendor,
        kind=kind,
        model=body["model"],
        key=key,
        text="\n".join(texts_in(users[-1]["content"])) if users else "",
        results=tuple(["".join(texts_in(block.get("content"))) for block in results]),
        prompt_tokens=words + (count_values(body["tools"]) if body.get("tools") else 0),
        tools=tuple([OfferedTool(tool["name"], tool["input_schema"]) for tool in tools]),
        tool_choice=choice.get("name") or re.sub("^any$", "required", choice["type"]),
        stream=bool(body.get("stream")),
        max_tokens=body.get("max_tokens"),
        stop=tuple(body.get("stop_sequences") or ()),
        json=bool(shape),
        schema=shape.get("schema"),
        body=body,
    )


def _words(content: Any) -> int:
    words = sum([count_words(text) for text in texts_in(content)])
    for block in content if isinstance(content, list) else ():
        if block["type"] == "tool_use":
            words += 1 + count_values(block["input"])
        elif block["type"] == "tool_result":
            words += sum([count_words(text) for text in texts_in(block.get("content"))])
    return words
