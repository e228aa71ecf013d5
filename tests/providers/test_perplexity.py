"""Perplexity's Agent API, which speaks the Responses dialect, and the chat completions that gateways keep.

Bodies are written by hand after https://platform.openai.com/docs/api-reference/responses,
https://github.com/perplexityai/perplexity-py/tree/main/src/perplexity/types and
https://github.com/perplexityai/api-platform-developers/tree/main/skills/migrate-sonar-to-agent-api.
"""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import Any

import attrs
import pytest

from llmkit import ConfigError
from llmkit.errors import (
    ContextLengthError,
    InvalidRequestError,
    InvalidResponseError,
    LLMError,
    ModelNotFoundError,
    PermissionDeniedError,
    RateLimitError,
    Recovery,
    ResponseTooLarge,
    ServerError,
    StreamInterrupted,
    UnsupportedParameterError,
)
from llmkit.testing import Chunks
from llmkit.values.completion import FinishReason
from llmkit.values.events import (
    Event,
    ReasoningDelta,
    RefusalDelta,
    StreamFinished,
    StreamStarted,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from llmkit.values.instances import Instance
from llmkit.values.messages import Audio, File, Image, Message, Reasoning, Refusal, ToolCall, ToolResult, VendorPart
from llmkit.values.other_calls import ModelsCall
from llmkit.values.tools import JsonSchema, Tool
from llmkit.values.usage import Usage
from llmkit.wire.fold import fold
from llmkit_providers._dialects import responses_stream
from llmkit_providers.perplexity import Perplexity
from tests.support.colours import Colour, colour
from tests.support.openai_wire import DEADLINE, PNG, broken, chat, chunk, embed, raw, reply, sse, streamed
from tests.support.openai_wire import answer as chat_answer

__all__ = ["colour"]

VENDOR = Perplexity()
SONAR = Instance("perplexity", "sonar")
OLD = Instance("perplexity", "sonar", settings={"api": "chat"})
MODEL = Instance("perplexity", "openai/gpt-5.1")
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = Tool("weather", "Weather in a city.", CITY)
USAGE = {
    "input_tokens": 30,
    "output_tokens": 12,
    "total_tokens": 42,
    "input_tokens_details": {"cached_tokens": 8, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 3},
    "output_tokens_details": {"reasoning_tokens": 5},
    "cost": {"currency": "USD", "input_cost": 0.00003, "output_cost": 0.00002, "tool_calls_cost": 0.005, "total_cost": 0.00505},
}
FOUND = {"type": "search_results", "queries": ["q"], "results": [{"id": 1, "url": "https://host", "title": "t", "snippet": "s"}]}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Oslo"}'}


def sent(call: Any, instance: Instance = MODEL) -> dict[str, Any]:
    body = VENDOR.encode(call, instance).body
    assert body is not None
    return json.loads(body)


def items(*messages: Message) -> list[dict[str, Any]]:
    return sent(chat(*messages))["input"]


def said(*parts: Any) -> dict[str, Any]:
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": list(parts)}


def text(words: str) -> dict[str, Any]:
    return {"type": "output_text", "text": words, "annotations": []}


def response(*output: Any, status: str = "completed", **more: Any) -> dict[str, Any]:
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "perplexity/sonar", "status": status, "error": None,
        "output": list(output), "usage": USAGE, **more,
    }  # fmt: skip


def decoded(document: Any) -> Any:
    return VENDOR.decode(chat(), reply(document))


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "sequence_number": 1, **fields}


def delta(words: Any, kind: str = "output_text", **fields: Any) -> dict[str, Any]:
    return event(f"{kind}.delta", delta=words, output_index=0, content_index=0, item_id="msg_1", **fields)


BEGUN = event("created", response=response(status="in_progress", usage=None))


def body(*events: Any) -> bytes:
    return sse(BEGUN, *events, done=False)


def read(*events: Any) -> list[Event]:
    """The events of a complete stream but for its first and the raw ones, however it is cut."""
    found, complete = streamed(body(*events), VENDOR)
    assert complete
    assert found[0] == StreamStarted("perplexity/sonar", "resp_1")
    return found[1:]


# ------------------------------------------------------------------------------------------------- what goes out


def test_the_smallest_request():
    request = VENDOR.encode(chat(), MODEL)
    assert (request.method, request.url) == ("POST", "https://api.perplexity.ai/v1/agent")
    assert sent(chat()) == {"model": "openai/gpt-5.1", "input": [{"type": "message", "role": "user", "content": "Hi"}]}
    assert sent(chat(stream=True))["stream"] is True


@pytest.mark.parametrize(("model", "fields"), [
    ("sonar", {"model": "perplexity/sonar", "tools": [{"type": "web_search"}]}),
    ("perplexity/sonar", {"model": "perplexity/sonar"}),
    ("sonar-pro", {"preset": "low"}),
    ("sonar-reasoning-pro", {"preset": "low"}),
    ("sonar-deep-research", {"preset": "medium"}),
    ("fast", {"preset": "fast"}),
    ("pro-search", {"preset": "pro-search"}),
    ("anthropic/claude-haiku-4-5", {"model": "anthropic/claude-haiku-4-5"}),
])  # fmt: skip
def test_models_and_presets(model: str, fields: dict[str, Any]):
    """https://docs.perplexity.ai/docs/agent-api/presets, references/models-and-presets.md"""
    body = sent(chat(), Instance("perplexity", model))
    assert {name: value for name, value in body.items() if name != "input"} == fields


def test_sonar_s_search_stands_beside_the_caller_s_tools_and_only_once():
    searches = {"type": "web_search", "filters": {"search_recency_filter": "day"}}
    assert [tool["type"] for tool in sent(chat(tools=[WEATHER]), SONAR)["tools"]] == ["function", "web_search"]
    assert sent(chat(tools=[searches]), SONAR)["tools"] == [searches]
    assert sent(chat(extra={"tools": []}), SONAR)["tools"] == []


def test_parameters():
    found = sent(chat(max_tokens=99, temperature=0.5, top_p=0.9, reasoning_effort="high", extra={"max_steps": 3}))
    assert {name: found[name] for name in found if name not in ("model", "input")} == {
        "max_output_tokens": 99, "temperature": 0.5, "top_p": 0.9, "reasoning": {"effort": "high"}, "max_steps": 3,
    }  # fmt: skip


def test_tools_and_shapes_in_the_vendor_s_form():
    found = sent(chat(tools=[WEATHER], tool_choice="weather", response_format=JsonSchema(CITY, "place")))
    assert found["tools"] == [{"type": "function", "name": "weather", "description": "Weather in a city.", "parameters": CITY}]
    assert found["tool_choice"] == {"name": "weather"}
    closed = {**CITY, "additionalProperties": False, "required": ["city"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "schema": closed, "strict": True}}
    assert found["response_format"] == wanted
    assert "text" not in found
    assert [sent(chat(tools=[WEATHER], tool_choice=word))["tool_choice"] for word in ("auto", "none", "required")] == [
        "auto", "none", "required",
    ]  # fmt: skip


def test_system_text_stands_above_or_where_it_was_said():
    found = sent(chat(Message.system("Be brief."), Message.system("Be kind."), Message.user("Hi"), Message.system("Now rhyme.")))
    assert found["instructions"] == "Be brief.\n\nBe kind."
    assert [(item["role"], item["content"]) for item in found["input"]] == [("user", "Hi"), ("system", "Now rhyme.")]
    alone = sent(chat(Message.system("Be brief.")))
    assert "instructions" not in alone
    assert alone["input"] == [{"type": "message", "role": "system", "content": "Be brief."}]


def test_pictures():
    """https://docs.perplexity.ai/docs/agent-api/building-agents/give-it-vision; no detail, which is no field there"""
    (item,) = items(Message.user("Look", Image(data=PNG), Image(url="https://host/a.png", detail="low")))
    assert item["content"] == [
        {"type": "input_text", "text": "Look"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"},
        {"type": "input_image", "image_url": "https://host/a.png"},
    ]
    for part in (Image(file_id="f"), File(data=b"%PDF"), Audio(data=b"RIFF", media_type="audio/wav")):
        with pytest.raises(InvalidRequestError):
            items(Message.user("Look", part))


def test_calls_and_results_with_names_and_signatures():
    signature = {"thought_signature": "c2ln"}
    call = ToolCall("call_1", "weather", {"city": "Oslo"}, extra={"perplexity": signature})
    other = ToolCall("call_2", "clock", raw=' {"b": 1}', extra={"google": {"thought_signature": "other"}})
    turns = [Message.user("?"), Message.assistant("Let me see.", Reasoning("Hm", provider="perplexity"), call, other)]
    found = items(*turns, Message.tool("call_1", "sunny"), Message.tool(other, "noon"), Message.tool("gone", "x"))
    assert found[1:] == [
        {"type": "message", "role": "assistant", "content": "Let me see."},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Oslo"}', **signature},
        {"type": "function_call", "call_id": "call_2", "name": "clock", "arguments": ' {"b": 1}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "sunny", "name": "weather", **signature},
        {"type": "function_call_output", "call_id": "call_2", "output": "noon", "name": "clock"},
        {"type": "function_call_output", "call_id": "gone", "output": "x"},
    ]


def test_other_parts_of_a_conversation():
    own, others = VendorPart("perplexity", {"type": "own"}), VendorPart("cohere", {"type": "theirs"})
    found = items(Message.assistant(Refusal("No."), own, others), Message.assistant(Reasoning("Hm")), Message.user("Why?"))
    assert found == [
        {"type": "message", "role": "assistant", "content": "No."},
        {"type": "own"},
        {"type": "message", "role": "user", "content": "Why?"},
    ]
    with pytest.raises(InvalidRequestError, match="text only"):
        items(Message("tool", ToolResult("c", (Image(data=PNG),))))


def test_what_is_not_documented_is_refused():
    call = chat(
        Message.user(File(data=b"%PDF"), Audio(data=b"RIFF")), stop=["x"], seed=1, response_format="json", reasoning_effort="none"
    )
    assert VENDOR.unsupported(call, MODEL) == ("stop", "seed", "json", "files", "audio", "reasoning_effort")
    fine = chat(Message.user(Image(url="https://host/a.png")), tools=[WEATHER], tool_choice="auto", reasoning_effort="xhigh",
                max_tokens=1, temperature=0, top_p=1, response_format=JsonSchema(CITY))  # fmt: skip
    assert VENDOR.unsupported(fine, MODEL) == ()


@pytest.mark.parametrize("path", [
    "", "/", "/v1", "/chat/completions", "/v1/chat/completions", "/v1/embeddings", "/v1/agent", "/v1/responses", "/v1/models",
])  # fmt: skip
def test_addresses(path: str):
    """https://docs.perplexity.ai/api-reference/models-get, https://docs.perplexity.ai/api-reference/embeddings-post"""
    urls = [
        VENDOR.encode(call, attrs.evolve(instance, base_url=f"https://api.perplexity.ai{path}")).url
        for call, instance in ((chat(), SONAR), (chat(), OLD), (embed(), SONAR), (ModelsCall(deadline=DEADLINE), SONAR))
    ]
    ends = ["/v1/agent", "/chat/completions", "/v1/embeddings", "/v1/models"]
    assert urls == [f"https://api.perplexity.ai{end}" for end in ends]


# ------------------------------------------------------------------------------------------------- whole answers


def test_an_answer():
    found = decoded(response(FOUND, said(text("Hello"), text(" you"))))
    assert (found.text, found.finish_reason, found.raw_finish_reason) == ("Hello you", FinishReason.STOP, "completed")
    assert (found.model, found.id) == ("perplexity/sonar", "resp_1")
    assert found.usage == Usage(30, 12, 42, cache_read_tokens=8, cache_write_tokens=3, reasoning_tokens=5)
    assert found.raw["output"][0]["results"][0]["url"] == "https://host"


def test_calls_stand_last_and_only_those_for_the_client():
    signed = {**CALL, "thought_signature": "c2ln"}
    searched = {**CALL, "name": "search_web", "call_id": "call_0"}
    found = decoded(response(searched, signed, said(text("Wait."))))
    assert found.finish_reason is FinishReason.TOOL_CALLS
    assert [type(part).__name__ for part in found.message.content] == ["Text", "ToolCall"]
    (call,) = found.tool_calls
    assert (call.id, call.name, call.arguments, call.valid) == ("call_1", "weather", {"city": "Oslo"}, True)
    assert items(Message.user("?"), found.message, Message.tool(call, "sunny"))[-1]["thought_signature"] == "c2ln"


@pytest.mark.parametrize(("fields", "reason", "word"), [
    ({"status": "completed"}, FinishReason.STOP, "completed"),
    ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, FinishReason.LENGTH, "max_output_tokens"),
    ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, FinishReason.CONTENT_FILTER, "content_filter"),
    ({"status": "incomplete", "incomplete_details": {"reason": "max_steps"}}, FinishReason.UNKNOWN, "max_steps"),
    ({"status": "incomplete", "incomplete_details": None}, FinishReason.UNKNOWN, "incomplete"),
    ({"status": "incomplete", "incomplete_details": [7]}, FinishReason.UNKNOWN, "incomplete"),
    ({"status": "requires_action"}, FinishReason.UNKNOWN, "requires_action"),
    ({"status": None}, FinishReason.UNKNOWN, None),
    ({"status": {"a": 1}}, FinishReason.UNKNOWN, None),
])  # fmt: skip
def test_how_an_answer_ended(fields: dict[str, Any], reason: FinishReason, word: str | None):
    """Whole, and in a stream, whose last event says it as well."""
    document = {**response(said(text("Hi"))), **fields}
    found = decoded(document)
    assert (found.text, found.finish_reason, found.raw_finish_reason) == ("Hi", reason, word)
    last = "incomplete" if fields["status"] == "incomplete" else "completed"
    finished = read(delta("Hi"), event(last, response=document))[-1]
    assert isinstance(finished, StreamFinished)
    if word is not None:
        assert (finished.finish_reason, finished.raw_finish_reason) == (reason, word)


def test_refusals_and_thinking_as_openai_has_them():
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}], "content": None}
    own = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}], "content": [{"type": "y", "text": "Ha"}]}
    found = decoded(response(thought, own, said({"type": "refusal", "refusal": "No."})))
    assert (found.refusal, found.reasoning, found.text, found.finish_reason) == ("No.", "HmHa", "", FinishReason.STOP)


@pytest.mark.parametrize(("document", "error", "words"), [
    (response(status="failed", error={"message": "Boom", "type": "internal_error", "code": 500}), ServerError, "Boom"),
    (response(status="failed", error={"message": "Slow down", "type": "request_rate_limit_exceeded", "code": 429}),
     RateLimitError, "Slow down"),
    (response(status="failed", error={"message": "Slow down", "code": "rate_limit_exceeded"}), RateLimitError, "Slow down"),
    (response(status="failed", error={"message": "Bad field", "type": "invalid_request"}), InvalidRequestError, "Bad field"),
    (response(status="failed", error={"message": "The prompt is too long", "code": 400}), ContextLengthError, "too long"),
    (response(status="completed", error={"message": "Boom"}), ServerError, "Boom"),
    (response(status="failed", error="Boom"), ServerError, "Boom"),
    (response(status="failed"), ServerError, "no more than that it is failed"),
    (response(status="cancelled"), ServerError, "no more than that it is cancelled"),
    (response(status="queued"), InvalidResponseError, "queued"),
    (response(said(text("Hi")), status="in_progress"), InvalidResponseError, "in_progress"),
    ({"error": {"message": "Boom", "type": "internal_error", "code": 500}}, ServerError, "Boom"),
    ({"id": "resp_1", "status": "completed"}, InvalidResponseError, "no output"),
    (response() | {"output": None}, InvalidResponseError, "no output"),
    (response() | {"output": {"type": "message"}}, InvalidResponseError, "no output"),
    ({"choices": None}, InvalidResponseError, "no choices"),
])  # fmt: skip
def test_errors_in_a_200(document: Any, error: type[LLMError], words: str):
    with pytest.raises(error, match=words) as caught:
        decoded(document)
    assert type(caught.value) is error


ODD: list[Any] = [None, 7, "x", [], {}, [None], {"a": 1}, True, -1, 1e300]


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_odd_values_anywhere_break_nothing(odd: Any):
    """Every field of an answer, and of a stream's events, in turn holds something else; errors are typed, answers not invented."""
    whole = response(FOUND, said(text("Hello"), {"type": "refusal", "refusal": "No."}), CALL)
    for spoiled in spoil(whole, odd):
        try:
            found = decoded(spoiled)
        except LLMError:
            continue
        assert found.text in ("", "Hello", "x")
        assert found.usage is None or found.usage.total_tokens >= 0
    stream = [
        BEGUN, event("output_item.added", output_index=0, item=CALL), event("output_item.done", output_index=0, item=CALL),
        delta("Hello"), event("output_text.done", text="Hello"), event("completed", response=whole),
    ]  # fmt: skip
    for spoiled in spoil(stream, odd):
        if type(spoiled) is list:
            try:
                decoder = VENDOR.decoder(chat(stream=True), {})
                found = fold([*decoder.feed(sse(*spoiled, done=False)), *decoder.finish()])
            except LLMError:
                continue
            assert found.text in ("", "Hello", "x", "xHello")


def spoil(value: Any, odd: Any) -> Any:
    """``value`` with one thing in it replaced, once for every place there is."""
    yield odd
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from ({**value, name: spoiled} for spoiled in spoil(inner, odd))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from ([*value[:at], spoiled, *value[at + 1 :]] for spoiled in spoil(inner, odd))


@pytest.mark.parametrize("usage", [None, {}, [], 7, {"input_tokens": -1}, {"input_tokens": "7"}, {"input_tokens": 10**13}])
def test_usage_that_is_none(usage: Any):
    assert decoded(response(said(text("Hi")), usage=usage)).usage is None


def test_usage_without_details():
    usage = {"input_tokens": 3, "output_tokens": 4, "input_tokens_details": None, "output_tokens_details": 7}
    assert decoded(response(said(text("Hi")), usage=usage)).usage == Usage(3, 4, 7)


# ------------------------------------------------------------------------------------------------- streams


def test_a_stream():
    found = read(
        event("in_progress", response=response(status="in_progress")),
        event("output_item.added", output_index=0, item={**said(), "content": None}),
        delta("Hel"), delta("lo"), delta(""), delta(None), delta(7),
        event("output_text.done", text="Hello"),
        event("output_item.done", output_index=0, item=said(text("Hello"))),
        event("completed", response=response(said(text("Hello")))),
    )  # fmt: skip
    assert found == [
        TextDelta("Hel"), TextDelta("lo"), UsageReported(Usage(30, 12, 42, 8, 3, 5)),
        StreamFinished(FinishReason.STOP, "completed"),
    ]  # fmt: skip


def test_the_model_that_answered_is_told_at_the_end():
    """A preset's first event has the preset's name: vercel/ai, agent-web-search.chunks.txt"""
    begun = event("created", response=response(status="in_progress") | {"model": "fast"})
    found, _ = streamed(sse(begun, delta("Hi"), event("completed", response=response(said(text("Hi")))), done=False), VENDOR)
    assert [each.model for each in found if isinstance(each, StreamStarted)] == ["fast", "perplexity/sonar"]
    assert fold(found).model == "perplexity/sonar"


def test_searches_are_no_calls_of_the_client():
    """They are announced as calls and finished as findings: vercel/ai, agent-web-search.chunks.txt"""
    search = {**CALL, "name": "search_web"}
    lines = [
        event("output_item.added", output_index=0, item=search),
        event("reasoning.search_queries", queries=["q"], thought="Searching the web..."),
        event("output_item.done", output_index=0, item=FOUND),
        delta("Hi"),
        event("completed", response=response(FOUND, said(text("Hi")))),
    ]
    found = read(*lines)
    assert [type(each) for each in found] == [TextDelta, UsageReported, StreamFinished]
    assert found[-1].finish_reason is FinishReason.STOP
    assert [data["type"].partition(".")[2] for data in raw(body(*lines), VENDOR)] == [
        "reasoning.search_queries", "output_item.done", "completed",
    ]  # fmt: skip


def test_calls_come_whole_when_they_are_finished():
    other = {**CALL, "id": "fc_2", "call_id": "call_2", "name": "clock", "arguments": "", "thought_signature": "c2ln"}
    found = read(
        event("output_item.added", output_index=0, item=CALL),
        event("function_call_arguments.delta", output_index=0, delta='{"ci'),
        event("output_item.done", output_index=0, item=CALL),
        event("output_item.done", output_index=1, item=other),
        event("output_item.done", output_index=2, item={**CALL, "name": "fetch_url", "call_id": "call_3"}),
        event("completed", response=response(CALL, other)),
    )
    assert found[:2] == [
        ToolCallDelta(0, "call_1", "weather", '{"city":"Oslo"}'),
        ToolCallDelta(1, "call_2", "clock", "", extra={"perplexity": {"thought_signature": "c2ln"}}),
    ]
    assert found[-1] == StreamFinished(FinishReason.TOOL_CALLS, "completed")
    assert [dict(call.arguments) for call in fold(found).tool_calls] == [{"city": "Oslo"}, {}]


def test_what_no_delta_brought_comes_at_the_end():
    """Text, refusal, thinking and calls that only the whole response has; what does not go on from what came is left out."""
    thought = {"type": "reasoning", "summary": [{"text": "Hm"}]}
    whole = response(thought, said(text("Hello"), {"type": "refusal", "refusal": "No."}), CALL)
    found = read(delta("Hel"), event("completed", response=whole))
    assert found[:4] == [TextDelta("Hel"), ReasoningDelta("Hm"), TextDelta("lo"), RefusalDelta("No.")]
    assert found[4] == ToolCallDelta(0, "call_1", "weather", '{"city":"Oslo"}')
    assert fold(read(delta("Other"), event("completed", response=whole))).text == "Other"
    assert fold(read(event("completed", response=whole))).text == "Hello"
    twice = read(event("output_item.done", output_index=5, item=CALL), event("completed", response=whole))
    assert len(fold(twice).tool_calls) == 1


def test_a_call_that_was_only_announced_counts_where_no_output_tells_otherwise():
    announced = event("output_item.added", output_index=0, item=CALL)
    assert len(fold(read(announced, event("completed", response=response()))).tool_calls) == 1
    assert fold(read(announced, event("completed", response=response(said(text("Hi")))))).tool_calls == ()


def test_arguments_piece_by_piece_where_the_dialect_allows_it(monkeypatch: pytest.MonkeyPatch):
    """As OpenAI streams them: https://platform.openai.com/docs/api-reference/responses-streaming"""
    monkeypatch.setattr(type(VENDOR.agent), "call_deltas", True)
    begun = {**CALL, "arguments": ""}
    second = {**begun, "id": "fc_2", "call_id": "call_2"}
    found = read(
        event("output_item.added", output_index=0, item=begun),
        event("output_item.added", output_index=1, item=second),
        event("function_call_arguments.delta", output_index=0, item_id="fc_1", delta='{"city"'),
        event("function_call_arguments.delta", output_index=1, item_id="fc_2", delta='{"city":"Rome"}'),
        event("function_call_arguments.delta", output_index=0, item_id="fc_1", delta=':"Os'),
        event("function_call_arguments.delta", output_index=9, item_id="fc_9", delta="lost"),
        event("output_item.added", output_index=8, item={**begun, "name": "search_web"}),
        event("function_call_arguments.delta", output_index=8, delta="the vendor's own"),
        event("output_item.done", output_index=0, item=CALL),
        event("output_item.done", output_index=1, item={**second, "arguments": '{"city":"Rome"}'}),
        event("completed", response=response(CALL, {**second, "arguments": '{"city":"Rome"}'})),
    )
    assert [each.arguments for each in found if isinstance(each, ToolCallDelta)] == [
        "", '{"city"', "", '{"city":"Rome"}', ':"Os', 'lo"}',
    ]  # fmt: skip
    assert [(call.id, call.arguments) for call in fold(found).tool_calls] == [
        ("call_1", {"city": "Oslo"}), ("call_2", {"city": "Rome"}),
    ]  # fmt: skip


def test_refusals_and_thinking_in_streams():
    found = read(
        delta("Hm", "reasoning_summary_text"), delta("!", "reasoning_text"), delta("No.", "refusal"),
        event("completed", response=response({"type": "reasoning", "summary": [{"text": "Hm!"}]}, said())),
    )  # fmt: skip
    assert found[:3] == [ReasoningDelta("Hm"), ReasoningDelta("!"), RefusalDelta("No.")]
    assert fold(found).reasoning == "Hm!"


def test_a_terminal_event_that_says_nothing_more_is_an_end():
    """``response`` is optional there: response_stream_chunk.py"""
    for last in (event("completed"), event("completed", response=None)):
        assert read(delta("Hi"), last)[-1] == StreamFinished(FinishReason.STOP, "completed")


def test_nothing_counts_after_the_end():
    found = read(delta("Hi"), event("completed", response=response(said(text("Hi")))), delta("more"), event("failed"))
    assert fold(found).text == "Hi"


@pytest.mark.parametrize(("last", "error", "words"), [
    (event("failed", error={"message": "Boom", "type": "internal_error"}), ServerError, "Boom"),
    (event("failed", response=response(status="failed", error={"message": "Boom", "code": "server_error"})), ServerError, "Boom"),
    (event("failed"), ServerError, "failed"),
    (event("cancelled", response=response(status="cancelled")), ServerError, "cancelled"),
    (event("completed", response=response(status="failed", error={"message": "Boom"})), ServerError, "Boom"),
    ({"type": "error", "error": {"message": "Slow down", "code": 429}}, RateLimitError, "Slow down"),
    ({"type": "error", "code": "rate_limit_exceeded", "message": "Slow down", "param": None}, RateLimitError, "Slow down"),
    ({"error": {"message": "Boom"}}, ServerError, "Boom"),
    (b'event: error\ndata: {"message": "Boom"}', ServerError, "Boom"),
    (b"data: {no json", InvalidResponseError, "JSON"),
    (b"data: [1]", InvalidResponseError, "object"),
])  # fmt: skip
def test_errors_in_a_stream(last: Any, error: type[LLMError], words: str):
    """Typed, after what had come, and the same however the bytes are cut; as the first event too."""
    events, raised = broken(body(delta("Hi"), last), VENDOR)
    assert type(raised) is error
    assert words in str(raised)
    assert [each.text for each in events if isinstance(each, TextDelta)] == ["Hi"]
    with pytest.raises(LLMError):
        decoder = VENDOR.decoder(chat(stream=True), {})
        decoder.feed(sse(last, done=False))
        decoder.finish()


def test_a_stream_without_its_end_is_not_complete():
    """Cut anywhere before the terminal event's last line end, with or without ``[DONE]``."""
    whole = body(delta("Hi"), event("output_text.done", text="Hi"), event("completed", response=response(said(text("Hi")))))
    for place in range(len(whole) - 2):
        decoder = VENDOR.decoder(chat(stream=True), {})
        decoder.feed(whole[:place])
        assert not decoder.complete
        if place < len(whole) - 3:
            try:
                decoder.finish()
            except InvalidResponseError:
                pass
            assert not decoder.complete, place
    decoder = VENDOR.decoder(chat(stream=True), {})
    decoder.feed(body(delta("Hi")) + b"data: [DONE]\n\n")
    decoder.finish()
    assert not decoder.complete


def test_a_document_in_place_of_a_stream():
    """Some gateways answer so; read at its end, in either form."""
    for document in (response(said(text("Hello"))), chat_answer("Hello")):
        found, complete = streamed(json.dumps(document).encode(), VENDOR)
        assert complete
        assert fold(found).text == "Hello"
    _, raised = broken(json.dumps(response(status="failed", error={"message": "Boom"})).encode(), VENDOR)
    assert "Boom" in str(raised)


def test_comments_without_end_are_not_kept_without_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(responses_stream, "MOST_BODY", 1_000)
    decoder = VENDOR.decoder(chat(stream=True), {})
    with pytest.raises(ResponseTooLarge):
        for _ in range(2_000):
            decoder.feed(b": \n")


# ------------------------------------------------------------------------------------------------- in both colours


def test_an_agent_answers_and_says_what_it_cost(colour: Colour):
    """https://github.com/perplexityai/perplexity-py/blob/main/src/perplexity/types/responses_usage.py"""
    whole = response(FOUND, said(text("Hello")))

    def script(request: Any) -> Any:
        stream = json.loads(request.body).get("stream")
        return Chunks(((0, body(delta("Hello"), event("completed", response=whole))),)) if stream else reply(whole)

    client = colour.scripted(script, [attrs.evolve(SONAR, api_key="pplx-1")])
    streamed = client.stream("Hi").completion()
    for found in (client.generate("Hi"), streamed):
        assert (found.text, found.cost) == ("Hello", Decimal("0.00505"))
    assert streamed.raw["response"]["output"][0] == FOUND


def test_a_stream_that_is_cut_or_fails_keeps_what_had_come(colour: Colour):
    for last in ([], [event("failed", error={"message": "Boom"})]):
        cut = body(delta("Hel"), *last)
        client = colour.scripted(lambda request, cut=cut: Chunks(((0, cut),)), [attrs.evolve(SONAR, api_key="pplx-1")])
        with pytest.raises(StreamInterrupted) as caught:
            client.stream("Hi").completion()
        assert caught.value.partial.text == "Hel"


def test_refused_before_anything_is_sent(colour: Colour):
    client = colour.scripted(lambda request: reply(response()), [attrs.evolve(SONAR, api_key="pplx-1")])
    with pytest.raises(UnsupportedParameterError) as caught:
        client.generate("Hi", stop=["x"], seed=1)
    assert caught.value.parameters == ("stop", "seed")
    assert client.runtime.log == []


def test_an_api_that_there_is_not(colour: Colour):
    wrong = attrs.evolve(SONAR, api_key="pplx-1", settings={"api": "sonar"})
    client = colour.scripted(lambda request: reply(response()), [wrong])
    with pytest.raises(ConfigError, match=r"settings\.api: expected agent or chat, got 'sonar'"):
        client.generate("Hi")
    assert client.runtime.log == []


# ------------------------------------------------------------------------------------------------- chat completions


def test_chats_in_the_old_form(colour: Colour):
    def script(request: Any) -> Any:
        asked = json.loads(request.body)
        assert request.url == "https://gateway.example/chat/completions"
        assert "input" not in asked
        return Chunks(((0, sse(chunk({"content": "Hi"}, "stop"))),)) if asked.get("stream") else reply(chat_answer("Hi"))

    gateway = attrs.evolve(OLD, api_key="k", base_url="https://gateway.example")
    client = colour.scripted(script, [gateway])
    assert client.generate("Hi", stop=["x"]).text == client.stream("Hi", stop=["x"]).completion().text == "Hi"


def test_old_streams_tell_the_text_so_far_beside_its_end():
    """https://docs.perplexity.ai/api-reference/chat-completions-post; no [DONE] comes"""
    chunks = []
    for count, (piece, whole) in enumerate([("Hel", "Hel"), ("lo", "Hello")], 1):
        item = chunk({"role": "assistant", "content": piece}, citations=["https://host"])
        item["choices"][0]["message"] = {"role": "assistant", "content": whole}
        item["usage"] = {"prompt_tokens": 1, "completion_tokens": count, "total_tokens": 1 + count}
        chunks.append(item)
    chunks[-1]["choices"][0]["finish_reason"] = "stop"
    events, complete = streamed(sse(*chunks, done=False).replace(b"\n", b"\r\n"), VENDOR)
    assert complete
    assert "".join(event.text for event in events) == "Hello"
    assert [event.usage.completion_tokens for event in events if event.type == "usage"] == [1, 2]
    assert raw(sse(*chunks, done=False), VENDOR)[0]["citations"] == ["https://host"]


def test_old_files_and_embeddings():
    """https://docs.perplexity.ai/guides/file-attachments, https://docs.perplexity.ai/api-reference/embeddings-post"""
    call = chat(Message.user(File(url="https://host/a.pdf"), File(data=b"%PDF", name="a.pdf")))
    assert sent(call, OLD)["messages"][0]["content"] == [
        {"type": "file_url", "file_url": {"url": "https://host/a.pdf"}},
        {"type": "file_url", "file_url": {"url": "JVBERg=="}, "file_name": "a.pdf"},
    ]
    with pytest.raises(InvalidRequestError, match="file_id"):
        sent(chat(Message.user(File(file_id="f"))), OLD)
    packed = base64.b64encode(bytes([1, 255, 128])).decode()
    document = {"data": [{"index": 0, "embedding": packed}]}
    assert VENDOR.decode(embed(), reply(document)).vectors == ((1.0, -1.0, -128.0),)


def test_old_usage_has_thinking_beside_what_is_written():
    """https://docs.perplexity.ai/getting-started/pricing: reasoning tokens have their own price."""
    usage = {"prompt_tokens": 33, "completion_tokens": 7, "total_tokens": 40, "reasoning_tokens": 100, "citation_tokens": 9}
    assert decoded(chat_answer(usage=usage)).usage == Usage(33, 107, 140, reasoning_tokens=100)
    plain = {"prompt_tokens": 33, "completion_tokens": 7, "total_tokens": 40}
    assert decoded(chat_answer(usage=plain)).usage == Usage(33, 7, 40)


def test_the_old_form_has_neither_tools_nor_free_json():
    call = chat(tools=[Tool("f")], tool_choice="auto", response_format="json", seed=1, stop=["x"])
    assert VENDOR.unsupported(call, OLD) == ("seed", "tools", "tool_choice", "json")
    found = sent(chat(stream=True, response_format=JsonSchema(CITY)), OLD)
    assert "stream_options" not in found
    assert "strict" not in found["response_format"]["json_schema"]


@pytest.mark.parametrize(("error", "expected"), [
    ({"message": "Sonar is now the Agent API.", "type": "chat_completions_not_available", "code": 403}, ModelNotFoundError),
    ({"message": "Sonar is now the Agent API.", "code": "agent_api_migration_required"}, ModelNotFoundError),
    ({"message": "This key may not do that.", "type": "forbidden", "code": 403}, PermissionDeniedError),
])  # fmt: skip
def test_the_end_of_chats_is_no_fault_of_the_key(error: dict[str, Any], expected: type[LLMError]):
    """https://docs.perplexity.ai/docs/agent-api/migrate-from-sonar/overview"""
    found = VENDOR.error(reply({"error": error}, 403))
    assert type(found) is expected
    assert found.status == 403
    assert error["message"] in found.message
    assert ("27 September 2026" in found.message) is (expected is ModelNotFoundError)
    assert (found.recovery is Recovery.OTHER_INSTANCE) is (expected is ModelNotFoundError)
