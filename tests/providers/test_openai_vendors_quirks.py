"""Quirks of the smaller vendors of the OpenAI dialect; each test names its source."""

from __future__ import annotations

from typing import Any

import pytest

from llmkit.errors import (
    AuthenticationError,
    InvalidRequestError,
    LLMError,
    ModelNotFoundError,
    OverloadedError,
    QuotaExceededError,
    Recovery,
    ServerError,
    UnsupportedParameterError,
)
from llmkit.values.completion import FinishReason
from llmkit.values.events import ReasoningDelta, StreamFinished, TextDelta, UsageReported
from llmkit.values.instances import Instance
from llmkit.values.messages import File, Image, Message, Reasoning, ToolCall, ToolResult
from llmkit.values.other_calls import ModelsCall
from llmkit.values.tools import JsonSchema, Tool
from llmkit.values.usage import Usage
from llmkit_providers.deepseek import DeepSeek
from llmkit_providers.groq import Groq
from llmkit_providers.lmstudio import LMStudio
from llmkit_providers.openai_compatible import OpenAICompatible
from llmkit_providers.together import Together
from llmkit_providers.vllm import VLLM
from llmkit_providers.xai import XAI
from tests.support.openai_wire import (
    DEADLINE,
    PNG,
    answer,
    broken,
    chat,
    chunk,
    decoded,
    embed,
    message,
    reply,
    sent,
    sse,
    streamed,
)

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


# ------------------------------------------------------------------------------------------------- DeepSeek


def test_deepseek_gets_its_thinking_back_once_there_are_calls():
    """https://api-docs.deepseek.com/guides/thinking_mode"""
    thought = Reasoning("Hm", provider="deepseek")
    plain = message(Message("assistant", (thought,)), vendor=DeepSeek())[0]
    assert "reasoning_content" not in plain
    turn = message(
        Message("assistant", (thought, ToolCall("a", "now"))),
        Message("tool", ToolResult("a", "noon")),
        Message("assistant", (Reasoning("Ha", provider="anthropic"),)),
        vendor=DeepSeek(),
    )
    assert [m.get("reasoning_content") for m in turn] == ["Hm", None, ""]


def test_deepseek_takes_one_text_and_strict_tools_at_its_beta_root_alone():
    """https://api-docs.deepseek.com/api/create-chat-completion, https://api-docs.deepseek.com/guides/tool_calls"""
    assert message(Message.user("a", "b"), vendor=DeepSeek())[0]["content"] == "ab"
    tools = [Tool("f", parameters=SCHEMA, strict=True)]
    assert "strict" not in sent(chat(tools=tools), DeepSeek())["tools"][0]["function"]
    beta = Instance("deepseek", "deepseek-chat", base_url="https://api.deepseek.com/beta")
    assert sent(chat(tools=tools), DeepSeek(), beta)["tools"][0]["function"]["strict"] is True


def test_deepseek_keeps_alive_with_blank_lines_and_comments_and_counts_its_cache():
    """https://api-docs.deepseek.com/quick_start/rate_limit, https://api-docs.deepseek.com/guides/kv_cache"""
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 1}
    body = sse(b": keep-alive", chunk({"reasoning_content": "Hm", "content": None}), chunk({"content": "Hi"}, "stop", usage=usage))
    events, complete = streamed(b"\n\n: keep-alive\n\n" + body, DeepSeek())
    assert events[1:] == [
        ReasoningDelta("Hm"),
        TextDelta("Hi"),
        StreamFinished(FinishReason.STOP, "stop"),
        UsageReported(Usage(5, 1, 6, cache_read_tokens=4)),
    ]
    assert complete


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (402, QuotaExceededError),
        (422, InvalidRequestError),
        (500, ServerError),
        (503, OverloadedError),
    ],
)
def test_deepseek_errors(status: int, expected: type[LLMError]):
    """https://api-docs.deepseek.com/quick_start/error_codes"""
    body = {"error": {"message": "Said so", "type": "unknown_error", "param": None, "code": "invalid_request_error"}}
    assert type(DeepSeek().error(reply(body, status))) is expected


@pytest.mark.parametrize(
    ("effort", "fields"), [("none", {"thinking": {"type": "disabled"}}), ("high", {"reasoning_effort": "high"})]
)
def test_deepseek_is_kept_from_thinking_by_its_own_field(effort: str, fields: dict[str, Any]):
    """https://api-docs.deepseek.com/guides/thinking_mode"""
    body = sent(chat(reasoning_effort=effort), DeepSeek())
    assert {name: body.get(name) for name in ("thinking", "reasoning_effort") if name in body} == fields


def test_deepseek_has_no_schemas_pictures_and_embeddings():
    call = chat(Message.user(Image(data=PNG)), response_format=JsonSchema(SCHEMA))
    assert DeepSeek().unsupported(call, Instance("deepseek", "deepseek-chat")) == ("json_schema", "images")
    with pytest.raises(UnsupportedParameterError):
        DeepSeek().encode(embed(), Instance("deepseek", "deepseek-chat"))


# ------------------------------------------------------------------------------------------------- Groq


def test_groq_finds_usage_under_x_groq_and_sends_no_names():
    """https://console.groq.com/docs/api-reference#chat-create, https://console.groq.com/docs/openai"""
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6, "queue_time": 0.1}
    events, _ = streamed(sse(chunk({"content": "Hi"}), chunk({}, "stop", x_groq={"id": "r", "usage": usage})), Groq())
    assert events[-1] == UsageReported(Usage(5, 1, 6))
    assert message(Message("user", "Hi", name="Ann"), vendor=Groq())[0] == {"role": "user", "content": "Hi"}


def test_groq_reports_a_call_that_went_wrong_as_a_bad_request():
    """https://console.groq.com/docs/errors"""
    error = {
        "message": "Failed to call a function",
        "type": "invalid_request_error",
        "code": "tool_use_failed",
        "failed_generation": "{",
    }
    assert type(Groq().error(reply({"error": error}, 400))) is InvalidRequestError
    assert (
        type(broken(sse(b'event: error\ndata: {"error": {"message": "x", "code": "tool_use_failed"}}'), Groq())[1])
        is InvalidRequestError
    )


def test_groq_without_room_for_flex_requests_is_tried_again():
    """https://console.groq.com/docs/flex-processing"""
    error = Groq().error(reply({"error": {"message": "Flex tier capacity exceeded", "type": "capacity_exceeded"}}, 498))
    assert (type(error), error.recovery, error.vendor_code) == (OverloadedError, Recovery.RETRY, "capacity_exceeded")


@pytest.mark.parametrize(("model", "strict"), [("openai/gpt-oss-20b", True), ("llama-3.3-70b-versatile", None)])
def test_groq_takes_strict_schemas_with_some_models(model: str, strict: Any):
    """https://console.groq.com/docs/structured-outputs"""
    body = sent(chat(response_format=JsonSchema(SCHEMA)), Groq(), Instance("groq", model))
    assert body["response_format"]["json_schema"].get("strict") is strict


# ------------------------------------------------------------------------------------------------- LM Studio


@pytest.mark.parametrize(
    "base_url",
    [
        None,
        "http://localhost:1234",
        "http://localhost:1234/",
        "http://localhost:1234/v1",
        "http://localhost:1234/v1/chat/completions",
    ],
)
def test_lmstudio_answers_under_v1(base_url: str | None):
    url = LMStudio().encode(chat(), Instance("lmstudio", "qwen", base_url=base_url)).url
    assert url == "http://localhost:1234/v1/chat/completions"


def test_lmstudio_refusals():
    """https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/189, .../issues/670 and .../issues/1120"""
    instance = Instance("lmstudio", "qwen")
    asked = chat(Message.user(Image(url="https://host/a.png")), response_format="json", tools=[Tool("f")], tool_choice="f")
    assert LMStudio().unsupported(asked, instance) == ("json", "image_urls", "tool_choice")
    allowed = chat(Message.user(Image(data=PNG)), response_format=JsonSchema(SCHEMA), tools=[Tool("f")], tool_choice="required")
    assert LMStudio().unsupported(allowed, instance) == ()
    assert sent(allowed, LMStudio())["response_format"]["json_schema"] == {"name": "answer", "schema": SCHEMA}


def test_a_stream_of_lmstudio():
    """https://lmstudio.ai/docs/developer/openai-compat/tools shows chunks like these."""
    calls = [
        {"index": 0, "id": "365174485", "type": "function", "function": {"name": "now", "arguments": ""}},
        {"index": 0, "type": "function", "function": {"arguments": '{"zone":'}},
        {"index": 0, "type": "function", "function": {"arguments": '"CET"}'}},
    ]
    body = sse(
        chunk({"role": "assistant", "reasoning_content": "Hm"}),
        *[chunk({"tool_calls": [call]}) for call in calls],
        chunk({}, "tool_calls"),
        {**chunk(usage={"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}), "choices": []},
    )
    events, complete = streamed(body, LMStudio())
    assert complete
    assert [e.arguments for e in events if e.type == "tool_call"] == ["", '{"zone":', '"CET"}']
    assert events[-1] == UsageReported(Usage(5, 9, 14))


def test_errors_of_lmstudio_are_texts():
    body = {"error": 'Failed to load model "qwen". Error: Model does not exist.'}
    assert type(LMStudio().error(reply(body, 404))) is ModelNotFoundError
    _, raised = broken(sse(chunk({"content": "Hi"}), b'event: error\ndata: {"error": "The model has crashed"}'), LMStudio())
    assert "crashed" in raised.message
    assert type(raised) is ServerError


# ------------------------------------------------------------------------------------------------- Together, vLLM, xAI


def test_together():
    """https://docs.together.ai/reference/chat-completions-1, https://docs.together.ai/reference/models-1"""
    assert decoded(answer(finish="eos", tool_calls=[]), Together()).finish_reason is FinishReason.STOP
    body = [{"id": "openai/gpt-oss-20b", "object": "model", "context_length": 131072, "display_name": "GPT-OSS"}]
    model = Together().decode(ModelsCall(deadline=DEADLINE), reply(body)).models[0]
    assert (model.name, model.context_window, model.provider) == ("GPT-OSS", 131072, "together")


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "too long", "type": "BadRequestError", "code": 400}},
        {"object": "error", "message": "too long", "type": "BadRequestError", "code": 400},
    ],
)
def test_vllm_errors_of_both_versions(error: dict[str, Any]):
    """https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"""
    assert type(VLLM().error(reply(error, 400))) is InvalidRequestError
    assert type(broken(sse(chunk({"content": "Hi"}), error), VLLM())[1]) is InvalidRequestError
    with pytest.raises(InvalidRequestError):
        decoded(error, VLLM())


def test_xai_counts_thinking_apart():
    """https://docs.x.ai/docs/guides/reasoning"""
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 2,
        "total_tokens": 42,
        "completion_tokens_details": {"reasoning_tokens": 30},
    }
    assert decoded(answer(usage=usage), XAI()).usage == Usage(10, 32, 42, reasoning_tokens=30)
    included = {**usage, "completion_tokens": 32}
    assert decoded(answer(usage=included), XAI()).usage == Usage(10, 32, 42, reasoning_tokens=30)


def test_xai_finish_reason_may_be_empty_beside_calls():
    calls = [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]
    assert decoded(answer("", "", tool_calls=calls), XAI()).finish_reason is FinishReason.TOOL_CALLS


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (400, "Incorrect API key provided: xa***yz.", AuthenticationError),
        (404, "The model grok-x does not exist or your team does not have access to it.", ModelNotFoundError),
        (400, "Model not found: grok-x", ModelNotFoundError),
    ],
)
def test_xai_errors(status: int, error: str, expected: type[LLMError]):
    """https://docs.x.ai/docs/key-information/debugging"""
    found = XAI().error(reply({"code": "Client specified an invalid argument", "error": error}, status))
    assert type(found) is expected
    assert found.vendor_code == "Client specified an invalid argument"


@pytest.mark.parametrize(
    ("model", "refused"),
    [
        ("grok-3", ("reasoning_effort",)),
        ("grok-3-mini", ("stop",)),
        ("grok-4-0709", ("stop", "reasoning_effort")),
        ("grok-4-fast-non-reasoning", ("reasoning_effort",)),
        ("grok-4.3", ("stop",)),
        ("grok-code-fast-1", ("stop", "reasoning_effort")),
    ],
)
def test_what_xais_models_refuse(model: str, refused: tuple[str, ...]):
    """https://docs.x.ai/developers/model-capabilities/text/reasoning"""
    assert XAI().unsupported(chat(stop="x", reasoning_effort="low"), Instance("xai", model)) == refused


# ------------------------------------------------------------------------------------------------- any server


def test_geminis_signatures_go_back_through_its_compatible_endpoint():
    """https://ai.google.dev/gemini-api/docs/thought-signatures"""
    attached = {"google": {"thought_signature": "sig"}}
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": attached}]
    found = decoded(answer(None, tool_calls=calls), OpenAICompatible())
    own = Instance("openai_compatible", "gemini", base_url="https://generativelanguage.googleapis.com/v1beta/openai/")
    assert sent(chat(found.message), OpenAICompatible(), own)["messages"][0]["tool_calls"] == calls


def test_nothing_is_refused_at_a_server_nobody_knows():
    call = chat(Message.user(Image(url="https://host/a.png"), File(file_id="f")), seed=1, response_format="json", tool_choice="f")
    assert OpenAICompatible().unsupported(call, Instance("openai_compatible", "m", base_url="http://localhost:1/v1")) == ()
