"""Mistral's quirks: https://docs.mistral.ai/api/"""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmkit.errors import InvalidRequestError, LLMError, RateLimitError, ServerError
from llmkit.values.completion import FinishReason
from llmkit.values.events import ReasoningDelta, TextDelta, ToolCallDelta
from llmkit.values.instances import Instance
from llmkit.values.messages import Audio, File, Image, Message, Reasoning, Text, ToolCall, ToolResult
from llmkit.values.usage import Usage
from llmkit_providers.mistral import Mistral
from tests.support.openai_wire import answer, chat, chunk, decoded, embed, message, reply, sent, sse, streamed

VENDOR = Mistral()


def test_names_of_parameters():
    body = sent(chat(seed=7, max_tokens=5, stream=True), VENDOR)
    assert (body["random_seed"], body["max_tokens"]) == (7, 5)
    assert "seed" not in body
    assert "stream_options" not in body
    request = VENDOR.encode(embed(dimensions=8), Instance("mistral", "codestral-embed"))
    assert json.loads(request.body or b"")["output_dimension"] == 8


def test_ids_of_other_vendors_are_replaced_the_same_way_everywhere():
    own, foreign = message(
        Message.assistant(ToolCall("D681PevKs", "now")),
        Message.assistant(ToolCall("call_9x8y7z", "now")),
        vendor=VENDOR,
    )
    assert own["tool_calls"][0]["id"] == "D681PevKs"
    made = foreign["tool_calls"][0]["id"]
    assert len(made) == 9
    assert made.isalnum()
    result = message(Message("tool", ToolResult("call_9x8y7z", "noon", name="now")), vendor=VENDOR)[0]
    assert result == {"role": "tool", "tool_call_id": made, "content": "noon", "name": "now"}


def test_media():
    """https://docs.mistral.ai/capabilities/document_ai/document_qna/, https://docs.mistral.ai/capabilities/audio/"""
    content = message(
        Message.user(
            File(url="https://host/a.pdf", name="a.pdf"),
            File(data=b"%PDF-1.7"),
            File(file_id="f1"),
            Audio(url="https://host/a.mp3"),
            Audio(data=b"ID3"),
            Image(file_id="f2"),
        ),
        vendor=VENDOR,
    )[0]["content"]
    assert content == [
        {"type": "document_url", "document_url": "https://host/a.pdf", "document_name": "a.pdf"},
        {"type": "document_url", "document_url": "data:application/pdf;base64,JVBERi0xLjc="},
        {"type": "file", "file_id": "f1"},
        {"type": "input_audio", "input_audio": "https://host/a.mp3"},
        {"type": "input_audio", "input_audio": "SUQz"},
        {"type": "file", "file_id": "f2"},
    ]


def test_thinking_comes_and_goes_in_chunks():
    """https://docs.mistral.ai/capabilities/reasoning/"""
    chunks = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm, "}, {"type": "text", "text": "two."}]},
        {"type": "text", "text": "2"},
    ]
    found = decoded(answer(chunks), VENDOR)
    assert found.message.content == (Reasoning("Hm, two.", provider="mistral"), Text("2"))
    assert message(found.message, vendor=VENDOR)[0]["content"] == [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm, two."}]},
        {"type": "text", "text": "2"},
    ]
    foreign = Message("assistant", (Reasoning("Hm", provider="deepseek"), Text("2")))
    assert message(foreign, vendor=VENDOR)[0]["content"] == "2"
    events, _ = streamed(sse(chunk({"content": chunks[:1]}), chunk({"content": "2"}), chunk({}, "stop")), VENDOR)
    assert events[1:3] == [ReasoningDelta("Hm, two."), TextDelta("2")]


def test_a_streamed_call_comes_whole_with_usage_beside_the_finish_reason():
    call = {"id": "D681PevKs", "function": {"name": "now", "arguments": '{"zone": "CET"}'}, "index": 0}
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "num_cached_tokens": 4}
    events, complete = streamed(sse(chunk({"content": "", "tool_calls": [call]}, "tool_calls", usage=usage)), VENDOR)
    assert ToolCallDelta(0, "D681PevKs", "now", '{"zone": "CET"}') in events
    assert events[-1].usage == Usage(9, 3, 12, cache_read_tokens=4)
    assert complete


@pytest.mark.parametrize(("word", "reason"), [("model_length", FinishReason.LENGTH), ("error", FinishReason.ERROR)])
def test_finish_reasons(word: str, reason: FinishReason):
    assert decoded(answer(finish=word), VENDOR).finish_reason is reason


@pytest.mark.parametrize(
    ("status", "body", "expected", "said"),
    [
        (
            422,
            {"detail": [{"type": "missing", "loc": ["body", "messages"], "msg": "Field required"}]},
            InvalidRequestError,
            "body.messages: Field required",
        ),
        (
            422,
            {
                "object": "error",
                "message": {"detail": [{"loc": ["body", "top_p"], "msg": "too large"}]},
                "type": "invalid_request_error",
            },
            InvalidRequestError,
            "body.top_p: too large",
        ),
        (
            400,
            {"object": "error", "message": "Tool call id was x", "type": "invalid_function_call", "code": "3280"},
            InvalidRequestError,
            "Tool call id",
        ),
        (429, {"message": "Requests rate limit exceeded", "request_id": "r"}, RateLimitError, "Requests rate limit"),
        (
            429,
            {
                "object": "error",
                "message": "Service tier capacity exceeded",
                "type": "service_tier_capacity_exceeded",
                "code": "3505",
            },
            RateLimitError,
            "capacity",
        ),
        (500, b"Internal Server Error", ServerError, "Internal Server Error"),
    ],
)
def test_error_bodies(status: int, body: Any, expected: type[LLMError], said: str):
    found = VENDOR.error(reply(body, status))
    assert type(found) is expected
    assert said in found.message
