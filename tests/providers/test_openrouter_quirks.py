"""OpenRouter's quirks: https://openrouter.ai/docs/api-reference/errors, https://openrouter.ai/docs/use-cases/reasoning-tokens"""

from __future__ import annotations

from typing import Any

import pytest

from llmkit.errors import (
    ContextLengthError,
    InvalidRequestError,
    LLMError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)
from llmkit.values.events import PartDone, ReasoningDelta, StreamFinished, TextDelta
from llmkit.values.messages import File, Message, Reasoning, Text
from llmkit.values.usage import Usage
from llmkit_providers.openrouter import OpenRouter
from tests.support.openai_wire import answer, broken, chat, chunk, decoded, message, reply, sent, sse, streamed

VENDOR = OpenRouter()
SUMMARY = {"type": "reasoning.summary", "summary": "Adding", "id": "r1", "format": "openai-responses-v1", "index": 0}
SECRET = {"type": "reasoning.encrypted", "data": "gAAAA", "id": "r1", "format": "openai-responses-v1", "index": 0}


def test_effort_is_an_object_and_documents_may_be_urls():
    assert sent(chat(reasoning_effort="high"), VENDOR)["reasoning"] == {"effort": "high"}
    part = message(Message.user(File(url="https://host/a.pdf", name="a.pdf")), vendor=VENDOR)[0]["content"][0]
    assert part == {"type": "file", "file": {"filename": "a.pdf", "file_data": "https://host/a.pdf"}}


def test_reasoning_details_come_and_go_back_unchanged():
    found = decoded(answer("2", reasoning="Adding", reasoning_details=[SUMMARY, SECRET]), VENDOR)
    assert found.reasoning == "Adding"
    assert message(found.message, vendor=VENDOR)[0] == {
        "role": "assistant",
        "content": "2",
        "reasoning_details": [SUMMARY, SECRET],
    }
    assert decoded(answer("2", reasoning=None, reasoning_details=[SUMMARY, SECRET]), VENDOR).reasoning == "Adding"


def test_streamed_reasoning_details_are_put_together():
    pieces = [
        {"type": "reasoning.text", "text": "Ad", "index": 0, "format": "anthropic-claude-v1"},
        {"type": "reasoning.text", "text": "ding", "index": 0},
        {"type": "reasoning.text", "signature": "sig", "index": 0},
        {"type": "reasoning.encrypted", "data": "x", "index": 1},
        {"type": "reasoning.encrypted", "data": "y", "index": 1},
    ]
    body = sse(
        *[chunk({"content": "", "reasoning": p.get("text"), "reasoning_details": [p]}) for p in pieces],
        chunk({"content": "2"}),
        chunk({}, "stop"),
    )
    events, _ = streamed(body, VENDOR)
    whole = {"type": "reasoning.text", "text": "Adding", "index": 0, "format": "anthropic-claude-v1", "signature": "sig"}
    part = Reasoning(provider="openrouter", extra={"openrouter": {"reasoning_details": [whole, *pieces[3:]]}})
    assert events[1:-1] == [ReasoningDelta("Ad"), ReasoningDelta("ding"), TextDelta("2"), PartDone(part)]
    assert type(events[-1]) is StreamFinished
    back = message(Message("assistant", (Reasoning("Adding", provider="openrouter"), Text("2"), part)), vendor=VENDOR)[0]
    assert back["reasoning_details"] == [whole, *pieces[3:]]
    assert back["content"] == "2"


def test_usage_tells_what_was_cached():
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 2,
        "total_tokens": 12,
        "cost": 0.1,
        "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 4},
    }
    assert decoded(answer(usage=usage), VENDOR).usage == Usage(10, 2, 12, cache_read_tokens=3, cache_write_tokens=4)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (400, InvalidRequestError),
        (402, QuotaExceededError),
        (403, PermissionDeniedError),
        (408, ServerError),
        (429, RateLimitError),
        (502, ServerError),
        (503, OverloadedError),
    ],
)
def test_errors_with_the_status_as_code_also_inside_a_200(code: int, expected: type[LLMError]):
    body = {"error": {"code": code, "message": "Refused"}, "user_id": "u"}
    assert type(VENDOR.error(reply(body, code))) is expected
    with pytest.raises(expected):
        decoded(body, VENDOR)


@pytest.mark.parametrize("shape", ["text", "object"])
def test_the_words_of_the_vendor_behind_it(shape: str):
    inner: Any = {"error": {"message": "prompt is too long: 9 tokens", "type": "invalid_request_error"}}
    raw = inner if shape == "object" else '{"error": {"message": "prompt is too long: 9 tokens"}}'
    metadata = {"provider_name": "Anthropic", "raw": raw}
    found = VENDOR.error(reply({"error": {"code": 400, "message": "Provider returned error", "metadata": metadata}}, 400))
    assert type(found) is ContextLengthError
    assert found.message == "Provider returned error: prompt is too long: 9 tokens"


def test_an_error_in_the_middle_of_a_stream():
    """https://openrouter.ai/docs/api-reference/streaming"""
    failed = chunk({"content": ""}, "error", error={"code": "server_error", "message": "Provider disconnected"})
    events, raised = broken(sse(b": OPENROUTER PROCESSING", chunk({"content": "Hi"}), failed), VENDOR)
    assert events[-1] == TextDelta("Hi")
    assert type(raised) is ServerError
