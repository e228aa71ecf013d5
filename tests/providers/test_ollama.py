"""Ollama's wire, from bodies written by hand after https://docs.ollama.com/api/chat and https://docs.ollama.com/api/errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmkit.errors import (
    InvalidRequestError,
    InvalidResponseError,
    LLMError,
    ModelNotFoundError,
    OverloadedError,
    RateLimitError,
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
from llmkit.values.messages import File, Image, Message, Reasoning, Text, ToolCall, ToolResult
from llmkit.values.options import Options
from llmkit.values.other_calls import EmbedCall, ModelsCall, RawCall
from llmkit.values.secret import Secret
from llmkit.values.tools import JsonSchema, Tool
from llmkit.values.usage import Usage
from llmkit.wire.http import HttpReply
from llmkit_providers.ollama import Ollama

OLLAMA = Ollama()
INSTANCE = Instance("ollama", "qwen3")
DEADLINE = Deadline(1e9, 600)
WEATHER = Tool("weather", "Weather in a city.", {"type": "object", "properties": {"city": {"type": "string"}}})


def chat(*messages: Message, stream: bool = False, **options: Any) -> ChatCall:
    return ChatCall(deadline=DEADLINE, messages=messages or (Message.user("Hi"),), stream=stream, options=Options(**options))


def sent(call: Any, instance: Instance = INSTANCE) -> dict[str, Any]:
    request = OLLAMA.encode(call, instance)
    assert request.body is not None
    return json.loads(request.body)


def reply(document: Any, status: int = 200) -> HttpReply:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return HttpReply(status, {"content-type": "application/json"}, body)


def line(**message: Any) -> dict[str, Any]:
    return {"model": "qwen3", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant", **message}, "done": False}


def last(**fields: Any) -> dict[str, Any]:
    return {**line(content=""), "done": True, "done_reason": "stop", "prompt_eval_count": 26, "eval_count": 298, **fields}


def ndjson(*lines: Any) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in lines)


def stream(body: bytes, size: int | None = None, call: ChatCall | None = None) -> tuple[list[Event], LLMError | None, bool]:
    decoder = OLLAMA.decoder(call or chat(stream=True), {})
    events: list[Event] = []
    try:
        for start in range(0, len(body), size or len(body)):
            events += decoder.feed(body[start : start + (size or len(body))])
        events += decoder.finish()
    except LLMError as error:
        return events, error, decoder.complete
    return events, None, decoder.complete


def test_the_smallest_request_sends_stream_and_no_default() -> None:
    request = OLLAMA.encode(chat(), INSTANCE)
    assert (request.method, request.url) == ("POST", "http://localhost:11434/api/chat")
    assert sent(chat()) == {"model": "qwen3", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
    assert sent(chat(stream=True))["stream"] is True


def test_sampling_parameters_go_into_options_under_ollamas_names() -> None:
    body = sent(chat(temperature=0.0, top_p=0.5, max_tokens=10, seed=7, stop=["a", "b"], extra={"keep_alive": "1m"}))
    assert body["options"] == {"temperature": 0.0, "top_p": 0.5, "num_predict": 10, "seed": 7, "stop": ["a", "b"]}
    assert body["keep_alive"] == "1m"


def test_options_in_extra_are_merged_option_by_option() -> None:
    assert sent(chat(seed=7, extra={"options": {"num_ctx": 8192}}))["options"] == {"seed": 7, "num_ctx": 8192}


@pytest.mark.parametrize(("effort", "think"), [("none", False), ("true", True), ("low", "low"), ("high", "high")])
def test_reasoning_effort_is_think(effort: str, think: bool | str) -> None:
    assert sent(chat(reasoning_effort=effort))["think"] == think


def test_response_formats() -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
    assert sent(chat(response_format="json"))["format"] == "json"
    assert sent(chat(response_format=JsonSchema(schema)))["format"] == schema


def test_tools_have_the_openai_shape_and_are_left_out_for_tool_choice_none() -> None:
    body = sent(chat(tools=[WEATHER]))
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "weather", "description": "Weather in a city.", "parameters": dict(WEATHER.parameters)},
        }
    ]
    assert "tools" not in sent(chat(tools=[WEATHER], tool_choice="none"))


def test_a_whole_conversation_with_pictures_thinking_tools_and_results() -> None:
    call = ToolCall("call_0", "weather", {"city": "Rome"})
    given = ToolCall("call_x7", "weather", {"city": "Oslo"})
    body = sent(
        chat(
            Message.system("Be brief."),
            Message.user("Look", Image(data=b"\x89PNG", media_type="image/png")),
            Message.assistant(Reasoning("hm", provider="ollama"), Reasoning("secret", provider="anthropic"), "Ok", call, given),
            Message("tool", [ToolResult("call_0", "sunny"), ToolResult("call_x7", "rain", name="weather")]),
        )
    )
    function = {"name": "weather", "arguments": {"city": "Rome"}}
    other = {"name": "weather", "arguments": {"city": "Oslo"}}
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Look", "images": ["iVBORw=="]},
        {
            "role": "assistant",
            "content": "Ok",
            "thinking": "hm",
            "tool_calls": [
                {"type": "function", "function": function},
                {"id": "call_x7", "type": "function", "function": other},
            ],
        },
        {"role": "tool", "content": "sunny", "tool_name": "weather"},
        {"role": "tool", "content": "rain", "tool_name": "weather", "tool_call_id": "call_x7"},
    ]


def test_what_ollama_cannot_do_is_reported() -> None:
    url = Message.user("Look", Image(url="https://example.com/cat.png"))
    assert OLLAMA.unsupported(chat(url), INSTANCE) == ("image_urls",)
    assert OLLAMA.unsupported(chat(tools=[WEATHER], tool_choice="required"), INSTANCE) == ("tool_choice",)
    assert OLLAMA.unsupported(chat(tools=[WEATHER], tool_choice="auto"), INSTANCE) == ()
    assert "images" not in sent(chat(url))["messages"][0]


def test_pictures_in_a_tools_answer_go_out_and_what_has_no_place_there_is_refused() -> None:
    message = Message("tool", [ToolResult("call_0", (Text("here"), Image(data=b"\x89PNG")), name="draw")])
    assert sent(chat(message))["messages"] == [{"role": "tool", "content": "here", "images": ["iVBORw=="], "tool_name": "draw"}]
    for part in (Image(url="https://a.b/c.png"), File(data=b"%PDF")):
        with pytest.raises(InvalidRequestError, match="tool's answer"):
            sent(chat(Message("tool", [ToolResult("call_0", (part,))])))


def test_a_whole_answer() -> None:
    document = last(message={"role": "assistant", "thinking": "hm", "content": "Hello"})
    completion = OLLAMA.decode(chat(), reply(document))
    assert (completion.text, completion.reasoning, completion.model) == ("Hello", "hm", "qwen3")
    assert (completion.finish_reason, completion.raw_finish_reason) == (FinishReason.STOP, "stop")
    assert completion.usage == Usage(26, 298, 324)
    assert completion.raw == document


def test_calls_get_ids_that_the_conversation_does_not_have_and_finish_as_tool_calls() -> None:
    earlier = Message.assistant(ToolCall("call_0", "weather"), ToolCall("call_2", "weather"))
    calls = [
        {"function": {"name": "weather", "arguments": {"city": "Rome"}}},
        {"id": "call_abc", "function": {"name": "weather", "arguments": {}}},
        {"function": {"name": "weather", "arguments": '{"city": "Oslo"}'}},
    ]
    document = last(message={"role": "assistant", "content": "", "tool_calls": calls})
    completion = OLLAMA.decode(chat(earlier), reply(document))
    assert [call.id for call in completion.tool_calls] == ["call_3", "call_abc", "call_4"]
    assert [call.arguments for call in completion.tool_calls] == [{"city": "Rome"}, {}, {"city": "Oslo"}]
    assert (completion.finish_reason, completion.raw_finish_reason) == (FinishReason.TOOL_CALLS, "stop")


def test_a_missing_prompt_count_is_zero_and_no_counts_are_no_usage() -> None:
    document = last()
    del document["prompt_eval_count"]
    assert OLLAMA.decode(chat(), reply(document)).usage == Usage(0, 298, 298)
    del document["eval_count"]
    assert OLLAMA.decode(chat(), reply(document)).usage is None
    assert OLLAMA.decode(chat(), reply(last(eval_count=-1))).usage is None


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("stop", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("load", FinishReason.UNKNOWN),
        (None, FinishReason.UNKNOWN),
    ],
)
def test_finish_reasons(raw: str | None, reason: FinishReason) -> None:
    completion = OLLAMA.decode(chat(), reply(last(done_reason=raw)))
    assert (completion.finish_reason, completion.raw_finish_reason) == (reason, raw)


STREAM = ndjson(
    line(content="", thinking="Let me é"),
    line(content="Hel"),
    line(content="lo 🌍"),
    line(content="", tool_calls=[{"function": {"name": "weather", "arguments": {"city": "Rome"}}}]),
    last(),
)


def test_a_stream_says_everything_in_order() -> None:
    events, error, complete = stream(STREAM)
    assert (error, complete) == (None, True)
    assert events == [
        StreamStarted("qwen3"),
        ReasoningDelta("Let me é"),
        TextDelta("Hel"),
        TextDelta("lo 🌍"),
        ToolCallDelta(0, "call_0", "weather", '{"city":"Rome"}'),
        UsageReported(Usage(26, 298, 324)),
        RawEvent(last()),
        StreamFinished(FinishReason.TOOL_CALLS, "stop"),
    ]


def test_the_cut_of_the_bytes_does_not_matter() -> None:
    whole = stream(STREAM)
    for body in (STREAM, STREAM.replace(b"\n", b"\r\n"), STREAM.rstrip(b"\n")):
        for size in (1, 2, 3, 7, 64):
            assert stream(body, size) == whole


def test_a_stream_cut_anywhere_before_its_last_line_is_not_complete() -> None:
    for end in range(STREAM.rindex(b'{"model')):
        decoder = OLLAMA.decoder(chat(stream=True), {})
        decoder.feed(STREAM[:end])
        assert not decoder.complete


ERROR_STREAM = ndjson(line(content="Yes"), {"error": "an error was encountered while running the model"})


@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_an_error_line_is_a_typed_error_after_the_text_before_it(size: int) -> None:
    events, error, complete = stream(ERROR_STREAM, size)
    assert TextDelta("Yes") in events
    assert type(error) is ServerError
    assert error.message == "an error was encountered while running the model"
    assert error.provider == "ollama"
    assert not complete


def test_an_error_document_in_a_200_and_rubbish() -> None:
    with pytest.raises(ServerError, match="failed to generate"):
        OLLAMA.decode(chat(), reply({"error": "the model failed to generate a response"}))
    with pytest.raises(InvalidResponseError):
        OLLAMA.decode(chat(), reply(b"<html>"))
    with pytest.raises(InvalidResponseError):
        OLLAMA.decode(chat(), reply({"done": True}))
    events, error, complete = stream(b"not json\n")
    assert (events, type(error), complete) == ([], InvalidResponseError, False)


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (400, "registry.ollama.ai/library/llama3 does not support thinking", InvalidRequestError),
        (404, "model 'nope' not found", ModelNotFoundError),
        (429, "too many requests", RateLimitError),
        (500, "llama runner process has terminated", ServerError),
        (502, "upstream unreachable", ServerError),
        (503, "server busy, please try again. maximum pending requests exceeded", OverloadedError),
    ],
)
def test_error_replies(status: int, message: str, expected: type[LLMError]) -> None:
    error = OLLAMA.error(reply({"error": message}, status))
    assert type(error) is expected
    assert (error.message, error.status, error.provider) == (message, status, "ollama")


def test_an_error_reply_that_is_no_json() -> None:
    assert type(OLLAMA.error(reply(b"<html>bad gateway</html>", 502))) is ServerError
    assert type(OLLAMA.error(reply(b"", 500))) is ServerError


def test_embeddings() -> None:
    call = EmbedCall(deadline=DEADLINE, texts=("a", "b"), dimensions=2, extra={"truncate": False})
    assert sent(call) == {"model": "qwen3", "input": ["a", "b"], "dimensions": 2, "truncate": False}
    document = {"model": "all-minilm", "embeddings": [[0.25, -0.5], [1, 0]], "prompt_eval_count": 8}
    embeddings = OLLAMA.decode(call, reply(document))
    assert embeddings.vectors == ((0.25, -0.5), (1, 0))
    assert (embeddings.model, embeddings.usage) == ("all-minilm", Usage(8, 0, 8))
    with pytest.raises(InvalidResponseError):
        OLLAMA.decode(call, reply({"model": "all-minilm"}))


def test_models() -> None:
    call = ModelsCall(deadline=DEADLINE)
    assert OLLAMA.encode(call, INSTANCE).url == "http://localhost:11434/api/tags"
    listed = OLLAMA.decode(call, reply({"models": [{"name": "qwen3:4b", "size": 3}, {"model": "gemma3:1b"}]}))
    assert [model.id for model in listed.models] == ["qwen3:4b", "gemma3:1b"]
    assert listed.next_page is None


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("localhost", "http://localhost:11434"),
        (":8080", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("[::1]:9000", "http://[::1]:9000"),
        ("http://box:1234/", "http://box:1234/"),
        ("https://ollama.com", "https://ollama.com"),
        (' "10.0.0.5" ', "http://10.0.0.5:11434"),
    ],
)
def test_ollama_host_in_all_its_spellings(value: str, url: str) -> None:
    assert OLLAMA.base_url_from(value) == url


@pytest.mark.parametrize(
    ("base_url", "root"),
    [
        (None, "http://localhost:11434"),
        ("http://localhost:11434/", "http://localhost:11434"),
        ("https://ollama.com/api", "https://ollama.com"),
        ("http://127.0.0.1:11434/api/chat", "http://127.0.0.1:11434"),
    ],
)
def test_roots(base_url: str | None, root: str) -> None:
    instance = Instance("ollama", "qwen3", base_url=base_url)
    assert OLLAMA.root(instance) == root
    assert OLLAMA.encode(RawCall(deadline=DEADLINE, method="get", path="/api/ps"), instance).url == f"{root}/api/ps"


def test_a_key_is_optional_and_goes_into_a_header() -> None:
    assert not Ollama.needs_key
    request = OLLAMA.authorize(OLLAMA.encode(chat(), INSTANCE), Secret("abc"))
    assert request.headers["Authorization"] == "Bearer abc"
