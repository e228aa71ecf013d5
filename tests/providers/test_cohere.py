"""Cohere's wire, version 2, from bodies written by hand after https://docs.cohere.com/reference/chat,
https://docs.cohere.com/reference/chat-stream, https://docs.cohere.com/docs/streaming and https://docs.cohere.com/reference/errors."""

from __future__ import annotations

import json
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
    Recovery,
    ServerError,
)
from llmkit.values.calls import ChatCall, Deadline
from llmkit.values.completion import FinishReason
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
from llmkit.values.messages import Image, Message, Reasoning, Text, ToolCall, ToolResult, VendorPart
from llmkit.values.options import Options
from llmkit.values.other_calls import EmbedCall, ModelsCall
from llmkit.values.tools import JsonSchema, Tool
from llmkit.values.usage import Usage
from llmkit.wire.http import HttpReply
from llmkit_providers.cohere import Cohere

COHERE = Cohere()
INSTANCE = Instance("cohere", "command-a-03-2025")
DEADLINE = Deadline(1e9, 600)
WEATHER = Tool("weather", "Weather in a city.", {"type": "object", "properties": {"city": {"type": "string"}}})


def chat(*messages: Message, stream: bool = False, **options: Any) -> ChatCall:
    return ChatCall(deadline=DEADLINE, messages=messages or (Message.user("Hi"),), stream=stream, options=Options(**options))


def sent(call: Any) -> dict[str, Any]:
    request = COHERE.encode(call, INSTANCE)
    assert request.body is not None
    return json.loads(request.body)


def reply(document: Any, status: int = 200, **headers: str) -> HttpReply:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return HttpReply(status, headers, body)


def answer(finish_reason: str = "COMPLETE", **message: Any) -> dict[str, Any]:
    return {
        "id": "c14c80c3",
        "finish_reason": finish_reason,
        "message": {"role": "assistant", **message},
        "usage": {
            "billed_units": {"input_tokens": 5, "output_tokens": 418},
            "tokens": {"input_tokens": 71, "output_tokens": 420, "reasoning_tokens": 12},
            "cached_tokens": 64,
        },
    }


def sse(*events: dict[str, Any], done: bool = False) -> bytes:
    frames = [f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events]
    return "".join([*frames, "data: [DONE]\n\n" if done else ""]).encode()


def event(kind: str, index: int | None = None, **message: Any) -> dict[str, Any]:
    return {"type": kind, **({} if index is None else {"index": index}), "delta": {"message": message}}


def end(finish_reason: str = "COMPLETE", **delta: Any) -> dict[str, Any]:
    usage = answer()["usage"]
    return {"type": "message-end", "delta": {"finish_reason": finish_reason, "usage": usage, **delta}}


START = {"id": "29f14a5a", **event("message-start", role="assistant", content=[], tool_plan="", tool_calls=[], citations=[])}


def run(body: bytes, size: int | None = None) -> tuple[list[Event], LLMError | None, bool]:
    decoder = COHERE.decoder(chat(stream=True), {"content-type": "text/event-stream"})
    events: list[Event] = []
    try:
        for start in range(0, len(body), size or len(body)):
            events += decoder.feed(body[start : start + (size or len(body))])
        events += decoder.finish()
    except LLMError as error:
        return events, error, decoder.complete
    return events, None, decoder.complete


def test_the_smallest_request() -> None:
    request = COHERE.encode(chat(), INSTANCE)
    assert (request.method, request.url) == ("POST", "https://api.cohere.com/v2/chat")
    hi = [{"role": "user", "content": "Hi"}]
    assert sent(chat()) == {"model": "command-a-03-2025", "messages": hi, "stream": False}


def test_parameters_under_coheres_names() -> None:
    body = sent(chat(temperature=0.0, top_p=0.5, max_tokens=10, seed=7, stop=["a"], extra={"k": 3}))
    assert {name: body[name] for name in ("temperature", "p", "max_tokens", "seed", "stop_sequences", "k")} == {
        "temperature": 0.0,
        "p": 0.5,
        "max_tokens": 10,
        "seed": 7,
        "stop_sequences": ["a"],
        "k": 3,
    }


@pytest.mark.parametrize(
    ("effort", "thinking"),
    [
        ("none", {"type": "disabled"}),
        ("low", {"type": "enabled", "token_budget": 1024}),
        ("high", {"type": "enabled"}),
    ],
)
def test_reasoning_effort_is_thinking(effort: str, thinking: dict[str, Any]) -> None:
    assert sent(chat(reasoning_effort=effort))["thinking"] == thinking


def test_response_formats() -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
    assert sent(chat(response_format="json"))["response_format"] == {"type": "json_object"}
    shaped = sent(chat(response_format=JsonSchema(schema)))["response_format"]
    assert shaped == {"type": "json_object", "json_schema": schema}


def test_tools_and_the_say_in_their_use() -> None:
    body = sent(chat(tools=[WEATHER], tool_choice="required"))
    function = {"name": "weather", "description": "Weather in a city.", "parameters": dict(WEATHER.parameters)}
    assert body["tools"] == [{"type": "function", "function": function}]
    assert body["tool_choice"] == "REQUIRED"
    assert "strict_tools" not in body
    assert sent(chat(tools=[WEATHER], tool_choice="none"))["tool_choice"] == "NONE"
    assert "tool_choice" not in sent(chat(tools=[WEATHER], tool_choice="auto"))
    assert sent(chat(tools=[Tool("weather", strict=True)]))["strict_tools"] is True


def test_a_named_tool_is_reported_as_unsupported() -> None:
    assert COHERE.unsupported(chat(tools=[WEATHER], tool_choice="weather"), INSTANCE) == ("tool_choice",)
    assert COHERE.unsupported(chat(tools=[WEATHER], tool_choice="required"), INSTANCE) == ()
    assert "tool_choice" not in sent(chat(tools=[WEATHER], tool_choice="weather"))


def test_a_whole_conversation() -> None:
    call = ToolCall("weather_1", "weather", {"city": "Rome"})
    body = sent(
        chat(
            Message.system("Be brief."),
            Message.user("Look", Image(data=b"\x89PNG", media_type="image/png"), Image(url="https://a.b/c.png", detail="low")),
            Message.assistant(Reasoning("I will ask.", "tool_plan", provider="cohere"), call),
            Message("tool", [ToolResult("weather_1", "sunny")]),
            Message.assistant(Reasoning("hm", provider="cohere"), Reasoning("not yours", "sig", provider="anthropic"), "Sunny."),
            Message.user("Read", VendorPart("cohere", {"type": "document", "document": {"id": "1"}}), VendorPart("x", {})),
        )
    )
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
                {"type": "image_url", "image_url": {"url": "https://a.b/c.png", "detail": "low"}},
            ],
        },
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "weather_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
            ],
            "tool_plan": "I will ask.",
        },
        {"role": "tool", "tool_call_id": "weather_1", "content": "sunny"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Sunny."}]},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Read"}, {"type": "document", "document": {"id": "1"}}],
        },
    ]


def test_a_tools_answer_in_parts() -> None:
    message = Message("tool", [ToolResult("weather_1", (Text("sunny"), Text("warm")))])
    blocks = [{"type": "text", "text": "sunny"}, {"type": "text", "text": "warm"}]
    assert sent(chat(message))["messages"] == [{"role": "tool", "tool_call_id": "weather_1", "content": blocks}]


def test_documents_in_a_tools_answer_go_out_and_what_has_no_place_there_is_refused() -> None:
    document = {"type": "document", "document": {"id": "1", "data": "sunny"}}
    parts: Any = (VendorPart("cohere", document),)
    assert sent(chat(Message("tool", [ToolResult("weather_1", parts)])))["messages"][0]["content"] == [document]
    for part in (Image(data=b"x"), VendorPart("openai", {})):
        other: Any = (part,)
        with pytest.raises(InvalidRequestError, match="tool's answer"):
            sent(chat(Message("tool", [ToolResult("weather_1", other)])))


def test_a_whole_answer() -> None:
    document = answer(content=[{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hello"}])
    completion = COHERE.decode(chat(), reply(document))
    assert (completion.text, completion.reasoning) == ("Hello", "hm")
    assert (completion.model, completion.id) == (None, "c14c80c3")
    assert (completion.finish_reason, completion.raw_finish_reason) == (FinishReason.STOP, "COMPLETE")
    assert completion.usage == Usage(71, 420, 491, cache_read_tokens=64, reasoning_tokens=12)
    assert completion.raw == document


TOOL_ANSWER = answer(
    "TOOL_CALL",
    tool_plan="I will ask.",
    tool_calls=[
        {"id": "weather_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}},
        {"id": "now_2", "type": "function", "function": {"name": "now", "arguments": ""}},
    ],
)


def test_calls_beside_a_plan() -> None:
    completion = COHERE.decode(chat(), reply(TOOL_ANSWER))
    assert (completion.text, completion.reasoning, completion.finish_reason) == ("", "I will ask.", FinishReason.TOOL_CALLS)
    assert [(call.id, call.name, call.arguments, call.valid) for call in completion.tool_calls] == [
        ("weather_1", "weather", {"city": "Rome"}, True),
        ("now_2", "now", {}, True),
    ]


def test_an_answer_goes_back_as_it_came() -> None:
    message = COHERE.decode(chat(), reply(TOOL_ANSWER)).message
    back = sent(chat(message))["messages"][0]
    assert back["tool_plan"] == "I will ask."
    assert [call["function"]["arguments"] for call in back["tool_calls"]] == ['{"city":"Rome"}', "{}"]
    assert "content" not in back


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("COMPLETE", FinishReason.STOP),
        ("STOP_SEQUENCE", FinishReason.STOP),
        ("MAX_TOKENS", FinishReason.LENGTH),
        ("ERROR", FinishReason.ERROR),
        ("TIMEOUT", FinishReason.ERROR),
        ("NEW_WORD", FinishReason.UNKNOWN),
    ],
)
def test_finish_reasons(raw: str, reason: FinishReason) -> None:
    completion = COHERE.decode(chat(), reply(answer(raw, content=[{"type": "text", "text": "Hel"}])))
    assert (completion.finish_reason, completion.raw_finish_reason) == (reason, raw)


def test_billed_units_stand_in_for_missing_tokens() -> None:
    document = answer(content=[])
    del document["usage"]["tokens"]
    assert COHERE.decode(chat(), reply(document)).usage == Usage(5, 418, 423)
    document["usage"] = {}
    assert COHERE.decode(chat(), reply(document)).usage is None


CITATION = {"start": 0, "end": 5, "text": "Hello", "sources": [{"type": "document", "id": "doc:0"}], "type": "TEXT_CONTENT"}
STREAM = (
    START,
    event("content-start", 0, content={"type": "thinking", "thinking": ""}),
    event("content-delta", 0, content={"thinking": "hm é"}),
    {"type": "content-end", "index": 0},
    event("content-start", 1, content={"type": "text", "text": ""}),
    event("content-delta", 1, content={"text": "Hello"}),
    event("citation-start", 0, citations=CITATION),
    {"type": "citation-end", "index": 0},
    event("content-delta", 1, content={"text": " 🌍"}),
    {"type": "content-end", "index": 1},
    end(),
)


def test_a_stream_says_everything_in_order() -> None:
    events, error, complete = run(sse(*STREAM))
    assert (error, complete) == (None, True)
    assert events == [
        StreamStarted(id="29f14a5a"),
        ReasoningDelta("hm é"),
        TextDelta("Hello"),
        RawEvent(STREAM[6]),
        TextDelta(" 🌍"),
        UsageReported(Usage(71, 420, 491, cache_read_tokens=64, reasoning_tokens=12)),
        RawEvent({**end(), "citations": [CITATION]}),
        StreamFinished(FinishReason.STOP, "COMPLETE"),
    ]


TOOL_STREAM = (
    START,
    event("tool-plan-delta", tool_plan="I will"),
    event("tool-plan-delta", tool_plan=" ask."),
    event(
        "tool-call-start",
        0,
        tool_calls={"id": "weather_1", "type": "function", "function": {"name": "weather", "arguments": ""}},
    ),
    event("tool-call-delta", 0, tool_calls={"function": {"arguments": '{"city": '}}),
    event("tool-call-delta", 0, tool_calls={"function": {"arguments": '"Rome"}'}}),
    {"type": "tool-call-end", "index": 0},
    event("tool-call-start", 1, tool_calls={"id": "now_2", "type": "function", "function": {"name": "now", "arguments": ""}}),
    {"type": "tool-call-end", "index": 1},
    end("TOOL_CALL"),
)


def test_streamed_calls_and_their_plan() -> None:
    events, _, complete = run(sse(*TOOL_STREAM))
    assert complete
    assert events[1:7] == [
        ReasoningDelta("I will"),
        ReasoningDelta(" ask."),
        ReasoningDelta(signature="tool_plan"),
        ToolCallDelta(0, "weather_1", "weather"),
        ToolCallDelta(0, arguments='{"city": '),
        ToolCallDelta(0, arguments='"Rome"}'),
    ]
    assert events[7] == ToolCallDelta(1, "now_2", "now")
    assert events[-1] == StreamFinished(FinishReason.TOOL_CALLS, "TOOL_CALL")


@pytest.mark.parametrize("frames", [STREAM, TOOL_STREAM], ids=["text", "tools"])
def test_the_cut_of_the_bytes_and_the_line_ends_do_not_matter(frames: Any) -> None:
    whole = run(sse(*frames))
    body = sse(*frames, done=True)
    for variant in (body, body.replace(b"\n", b"\r\n"), b": ping\n\n" + body, body.removesuffix(b"\n\n")):
        for size in (1, 2, 3, 7, 64, None):
            assert run(variant, size) == whole


@pytest.mark.parametrize("frames", [STREAM, TOOL_STREAM], ids=["text", "tools"])
def test_a_cut_stream_is_not_complete(frames: Any) -> None:
    body = sse(*frames)
    for stop in range(0, body.rindex(b"event: message-end"), 5):
        decoder = COHERE.decoder(chat(stream=True), {})
        decoder.feed(body[:stop])
        assert not decoder.complete
    assert run(sse(*frames[:-1], done=True))[2] is False


@pytest.mark.parametrize("size", [1, 5, None])
def test_a_stream_that_ends_in_an_error(size: int | None) -> None:
    failed = end("ERROR", error="the tool generation is invalid", error_type="INVALID_TOOL_GENERATION")
    events, error, complete = run(sse(START, TOOL_STREAM[1], failed, done=True), size)
    assert ReasoningDelta("I will") in events
    assert type(error) is ServerError
    assert (error.message, error.vendor_code) == ("the tool generation is invalid", "INVALID_TOOL_GENERATION")
    assert (error.provider, complete) == ("cohere", False)


def test_an_error_document_as_an_event_and_rubbish() -> None:
    _, error, _ = run(b'data: {"message": "too many tokens: size limit exceeded"}\n\n')
    assert type(error) is ContextLengthError
    assert type(run(b"data: {oops\n\n")[1]) is InvalidResponseError
    with pytest.raises(InvalidResponseError):
        COHERE.decode(chat(), reply(b"<html>"))
    with pytest.raises(InvalidResponseError):
        COHERE.decode(chat(), reply({"id": "x"}))
    with pytest.raises(ServerError, match="something broke"):
        COHERE.decode(chat(), reply({"message": "something broke"}))


@pytest.mark.parametrize(
    ("status", "message", "expected", "recovery"),
    [
        (400, "invalid request: valid input_type must be provided", InvalidRequestError, Recovery.NEVER),
        (400, "too many tokens: total number of tokens in the prompt cannot exceed 4081", ContextLengthError, Recovery.NEVER),
        (401, "invalid api token", AuthenticationError, Recovery.OTHER_KEY),
        (402, "Please add or update your payment method", QuotaExceededError, Recovery.OTHER_KEY),
        (404, "model 'nope' not found, make sure the correct model ID was used", ModelNotFoundError, Recovery.OTHER_INSTANCE),
        (422, "unprocessable", InvalidRequestError, Recovery.NEVER),
        (429, "You are using a Trial key, which is limited to 40 API calls / minute.", RateLimitError, Recovery.RETRY),
        (498, "blocked input: please adjust your prompt and try again", ContentFilterError, Recovery.NEVER),
        (499, "request cancelled", ServerError, Recovery.RETRY),
        (500, "internal server error", ServerError, Recovery.RETRY),
        (503, "no healthy upstream", OverloadedError, Recovery.RETRY),
        (504, "timed out", ServerError, Recovery.RETRY),
    ],
)
def test_error_replies(status: int, message: str, expected: type[LLMError], recovery: Recovery) -> None:
    error = COHERE.error(reply({"id": "8bd5b608", "message": message}, status))
    assert (type(error), error.recovery) == (expected, recovery)
    assert (error.message, error.status, error.provider) == (message, status, "cohere")
    assert error.request_id == "8bd5b608"


def test_an_error_reply_that_is_no_json_and_one_with_a_request_id_header() -> None:
    assert type(COHERE.error(reply(b"upstream connect error", 503))) is OverloadedError
    assert COHERE.error(reply({"message": "x", "id": "1"}, 500, **{"x-request-id": "r"})).request_id == "r"


def test_embeddings() -> None:
    call = EmbedCall(deadline=DEADLINE, texts=("a",), dimensions=256)
    assert COHERE.encode(call, INSTANCE).url == "https://api.cohere.com/v2/embed"
    assert sent(call) == {
        "model": "command-a-03-2025",
        "texts": ["a"],
        "input_type": "search_document",
        "embedding_types": ["float"],
        "output_dimension": 256,
    }
    extra = EmbedCall(deadline=DEADLINE, texts=("a",), extra={"input_type": "search_query", "embedding_types": ["int8"]})
    assert (sent(extra)["input_type"], sent(extra)["embedding_types"]) == ("search_query", ["int8"])


def test_embeddings_of_every_list_type() -> None:
    call = EmbedCall(deadline=DEADLINE, texts=("a",))
    meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 4}}
    both = {"id": "x", "embeddings": {"int8": [[1, -2]], "float": [[0.25, -0.5]]}, "meta": meta}
    assert COHERE.decode(call, reply(both)).vectors == ((0.25, -0.5),)
    assert COHERE.decode(call, reply(both)).usage == Usage(4, 0, 4)
    assert COHERE.decode(call, reply({"embeddings": {"float": None, "int8": [[1, -2]]}})).vectors == ((1, -2),)
    with pytest.raises(InvalidResponseError):
        COHERE.decode(call, reply({"embeddings": {"base64": ["AAAA"]}}))


def test_models_and_their_pages() -> None:
    first = ModelsCall(deadline=DEADLINE)
    assert COHERE.encode(first, INSTANCE).url == "https://api.cohere.com/v1/models?page_size=1000"
    listed = COHERE.decode(
        first,
        reply({"models": [{"name": "command-a-03-2025", "context_length": 288000.0}], "next_page_token": "a b&c"}),
    )
    assert [(model.id, model.context_window) for model in listed.models] == [("command-a-03-2025", 288000)]
    second = COHERE.encode(ModelsCall(deadline=DEADLINE, page=listed.next_page), INSTANCE)
    assert second.url.endswith("&page_token=a%20b%26c")
    assert COHERE.decode(first, reply({"models": [], "next_page_token": ""})).next_page is None


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v2", "/v2/chat", "/v2/chat/"])
def test_roots(path: str) -> None:
    assert COHERE.root(Instance("cohere", "command-r", base_url=f"https://cohere.example.com{path}")) == (
        "https://cohere.example.com"
    )
