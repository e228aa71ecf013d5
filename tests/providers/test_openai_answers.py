"""Whole answers of the OpenAI dialect, from bodies written by hand after
https://platform.openai.com/docs/api-reference/chat/object and https://platform.openai.com/docs/guides/error-codes."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from llmkit.errors import (
    AuthenticationError,
    ContentFilterError,
    ContextLengthError,
    InvalidRequestError,
    InvalidResponseError,
    LLMError,
    ModelNotFoundError,
    OverloadedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)
from llmkit.values.completion import FinishReason
from llmkit.values.events import (
    ToolCallDelta,
)
from llmkit.values.instances import Instance
from llmkit.values.messages import Image, VendorPart
from llmkit.values.other_calls import ModelsCall
from llmkit.values.usage import Usage
from tests.support.openai_wire import (
    DEADLINE,
    INSTANCE,
    PNG,
    VENDOR,
    answer,
    broken,
    chunk,
    decoded,
    embed,
    message,
    reply,
    sse,
    streamed,
)

# ------------------------------------------------------------------------------------------------- what comes back


def test_an_answer():
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": 9,
        "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 16},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    found = decoded(answer(usage=usage, refusal=None, tool_calls=[]))
    assert (found.text, found.finish_reason, found.raw_finish_reason) == ("Hello!", FinishReason.STOP, "stop")
    assert (found.model, found.id, found.refusal) == ("gpt-4o-mini-2024-07-18", "chatcmpl-1", None)
    assert found.usage == Usage(20, 9, 29, cache_read_tokens=16, reasoning_tokens=4)
    assert found.raw["object"] == "chat.completion"


@pytest.mark.parametrize(
    "usage",
    [None, {}, [], {"prompt_tokens": -1}, {"prompt_tokens": "many"}, {"prompt_tokens": 1, "total_tokens": 10**30}],
)
def test_usage_that_cannot_be_believed_is_none(usage: Any):
    assert decoded(answer(usage=usage)).usage is None


@pytest.mark.parametrize(
    ("arguments", "parsed", "valid"),
    [
        ('{"a": 1}', {"a": 1}, True),
        ("", {}, True),
        (None, {}, True),
        ("null", {}, True),
        ({"a": 1}, {"a": 1}, True),
        ('{"a": ', {}, False),
        ("[1]", {}, False),
    ],
)
def test_tool_arguments_in_every_shape(arguments: Any, parsed: Any, valid: bool):
    calls = [{"id": "call_a", "type": "function", "function": {"name": "add", "arguments": arguments}}]
    found = decoded(answer(None, "stop", tool_calls=calls))
    assert found.finish_reason is FinishReason.TOOL_CALLS
    assert [(c.id, c.name, c.arguments, c.valid) for c in found.tool_calls] == [("call_a", "add", parsed, valid)]
    if isinstance(arguments, str):
        assert found.tool_calls[0].raw == arguments


def test_calls_without_ids_get_some_and_the_old_function_call_is_one():
    calls = [{"function": {"name": "a"}}, {"id": "", "function": {"name": "b"}}]
    assert [c.id for c in decoded(answer(None, "tool_calls", tool_calls=calls)).tool_calls] == ["call_0", "call_1"]
    old = decoded(answer(None, "function_call", function_call={"name": "a", "arguments": "{}"}))
    assert (old.tool_calls[0].name, old.finish_reason) == ("a", FinishReason.TOOL_CALLS)


def test_a_custom_call_comes_and_goes_back():
    """https://platform.openai.com/docs/guides/function-calling#custom-tools"""
    entry = {"id": "call_a", "type": "custom", "custom": {"name": "sum", "input": '4 + "4"'}}
    found = decoded(answer(None, "tool_calls", tool_calls=[entry]))
    assert found.tool_calls[0].arguments == {"input": '4 + "4"'}
    assert message(found.message)[0]["tool_calls"] == [entry]
    head = {"index": 0, "id": "call_a", "type": "custom", "custom": {"name": "sum", "input": ""}}
    pieces = [{"index": 0, "custom": {"input": piece}} for piece in ("4 + ", '"4"')]
    events, _ = streamed(sse(*[chunk({"tool_calls": [piece]}) for piece in (head, *pieces)], chunk({}, "tool_calls")))
    fragments = [event.arguments for event in events if isinstance(event, ToolCallDelta)]
    assert json.loads("".join(fragments)) == {"input": '4 + "4"'}


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("length", FinishReason.LENGTH),
        ("model_length", FinishReason.LENGTH),
        ("eos", FinishReason.STOP),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("error", FinishReason.ERROR),
        ("something_new", FinishReason.UNKNOWN),
        ("", FinishReason.UNKNOWN),
        (None, FinishReason.UNKNOWN),
        (7, FinishReason.UNKNOWN),
    ],
)
def test_finish_reasons(word: Any, reason: FinishReason):
    assert decoded(answer(finish=word)).finish_reason is reason


def test_a_cut_off_call_stays_cut_off():
    calls = [{"id": "a", "function": {"name": "f", "arguments": '{"x'}}]
    assert decoded(answer(None, "length", tool_calls=calls)).finish_reason is FinishReason.LENGTH


def test_refusal_thinking_parts_and_pictures():
    found = decoded(answer(None, refusal="I cannot."))
    assert (found.text, found.refusal) == ("", "I cannot.")
    found = decoded(answer("Yes", reasoning_content="Hm", reasoning="other"))
    assert (found.reasoning, found.text) == ("Hm", "Yes")
    url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    content = [{"type": "text", "text": "A"}, "B", {"type": "new", "x": 1}, {"type": "image_url", "image_url": {"url": url}}, 5]
    found = decoded(answer(content, images=[{"image_url": {"url": "https://host/b.png"}}]))
    assert found.text == "AB"
    assert found.message.content[2:] == (
        VendorPart("openai", {"type": "new", "x": 1}),
        Image(data=PNG, media_type="image/png"),
        Image(url="https://host/b.png"),
    )


def test_more_choices_and_a_filtered_one():
    document = answer()
    document["choices"] += [{"index": 1, "finish_reason": "content_filter"}, {"message": {"content": "Third"}}]
    assert [m.text for m in decoded(document).alternatives] == ["", "Third"]
    filtered = {"id": "x", "choices": [{"index": 0, "finish_reason": "content_filter"}]}
    assert (decoded(filtered).text, decoded(filtered).finish_reason) == ("", FinishReason.CONTENT_FILTER)


@pytest.mark.parametrize(
    "body",
    [
        {"id": "x"},
        {"choices": []},
        {"choices": "x"},
        {"choices": [1]},
        [],
        "text",
        b"",
        b"<html>",
        b'{"choices": [',
        b"[" * 500,
    ],
)
def test_a_reply_that_is_no_answer_is_an_invalid_response(body: Any):
    with pytest.raises(InvalidResponseError):
        decoded(body)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"message": "Overloaded", "type": "server_error", "code": None}, ServerError),
        ({"message": "Too long", "code": "context_length_exceeded"}, ContextLengthError),
        ({"message": "No", "type": "invalid_request_error"}, InvalidRequestError),
        ({"message": "Bad gateway", "code": 502}, ServerError),
        ({"message": "Slow down", "code": "429"}, RateLimitError),
        ("out of order", ServerError),
    ],
)
def test_an_error_inside_a_200(error: Any, expected: type[LLMError]):
    with pytest.raises(expected) as caught:
        decoded({"error": error})
    assert type(caught.value) is expected
    _, streamed_error = broken(sse({"error": error}))
    assert type(streamed_error) is expected


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (400, {"message": "maximum context length is 8192 tokens", "code": "context_length_exceeded"}, ContextLengthError),
        (400, {"message": "Your request was rejected", "code": "content_policy_violation"}, ContentFilterError),
        (401, {"message": "Incorrect API key provided: sk-abcdefghijklmnop", "code": "invalid_api_key"}, AuthenticationError),
        (404, {"message": "The model `x` does not exist", "code": "model_not_found"}, ModelNotFoundError),
        (429, {"message": "Rate limit reached", "code": "rate_limit_exceeded"}, RateLimitError),
        (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}, QuotaExceededError),
        (500, {"message": "The server had an error", "type": "server_error"}, ServerError),
        (503, {"message": "That model is overloaded", "type": "server_error"}, OverloadedError),
    ],
)
def test_error_replies(status: int, error: Any, expected: type[LLMError]):
    """https://platform.openai.com/docs/guides/error-codes"""
    found = VENDOR.error(reply({"error": error}, status, **{"x-request-id": "req_1", "retry-after": "3"}))
    assert type(found) is expected
    assert (found.provider, found.status, found.request_id, found.retry_after) == ("openai", status, "req_1", 3.0)
    assert "sk-abc" not in str(found)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"upstream connect error", "upstream connect error"),
        (b"", "HTTP 502"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b'{"detail": [{"loc": ["body", "messages", 0], "msg": "Field required"}]}', "body.messages.0: Field required"),
        (b'{"object": "error", "message": "old vLLM", "code": 502}', "old vLLM"),
        (b'{"error": "a text"}', "a text"),
        (b"[]", ""),
    ],
)
def test_error_bodies_of_other_shapes(body: bytes, said: str):
    found = VENDOR.error(reply(body, 502))
    assert type(found) is ServerError
    assert said in str(found)


# ------------------------------------------------------------------------------------------------- embeddings, models


def test_embeddings_as_numbers_and_as_base64_in_the_order_of_the_texts():
    packed = base64.b64encode(struct.pack("<2f", 0.5, -1.0)).decode()
    document = {
        "data": [{"index": 1, "embedding": packed}, {"index": 0, "embedding": [1, 0.25]}],
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    }
    found = VENDOR.decode(embed(), reply(document))
    assert found.vectors == ((1.0, 0.25), (0.5, -1.0))
    assert (found.model, found.usage) == ("text-embedding-3-small", Usage(2, 0, 2))


def test_the_request_for_embeddings():
    request = VENDOR.encode(embed(dimensions=8, extra={"user": "u"}), Instance("openai", "text-embedding-3-small"))
    assert request.url == "https://api.openai.com/v1/embeddings"
    assert json.loads(request.body or b"") == {
        "model": "text-embedding-3-small",
        "input": ["a", "b"],
        "dimensions": 8,
        "user": "u",
    }


@pytest.mark.parametrize("vector", [None, "", "!", "AAA=", ["a"], [True], {}])
def test_vectors_that_are_none(vector: Any):
    with pytest.raises(InvalidResponseError):
        VENDOR.decode(embed(), reply({"data": [{"index": 0, "embedding": vector}]}))


def test_embeddings_inside_a_200_that_is_an_error():
    with pytest.raises(RateLimitError):
        VENDOR.decode(embed(), reply({"error": {"message": "slow", "code": "rate_limit_exceeded"}}))


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"data": [{"id": "a", "context_window": 8}, {"id": 5}, "x"]}, [("a", 8, None)]),
        ([{"id": "a", "context_length": 8, "display_name": "A"}], [("a", 8, None)]),
        ({"id": "a", "max_model_len": 8}, [("a", 8, None)]),
        ({"data": [{"id": "a", "max_context_length": 8, "top_provider": {"max_completion_tokens": 4}}]}, [("a", 8, 4)]),
        ({"data": []}, []),
    ],
)
def test_model_lists(document: Any, expected: Any):
    assert VENDOR.encode(ModelsCall(deadline=DEADLINE), INSTANCE).url == "https://api.openai.com/v1/models"
    found = VENDOR.decode(ModelsCall(deadline=DEADLINE), reply(document)).models
    assert [(model.id, model.context_window, model.max_output_tokens) for model in found] == expected


@pytest.mark.parametrize("document", [{}, "x", 5, {"data": 5}])
def test_model_lists_that_are_none(document: Any):
    with pytest.raises(InvalidResponseError):
        VENDOR.decode(ModelsCall(deadline=DEADLINE), reply(document))
