"""Streamed answers of the OpenAI dialect, from bodies written by hand after
https://platform.openai.com/docs/api-reference/chat-streaming."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from llmkit.errors import (
    InvalidRequestError,
    InvalidResponseError,
    LLMError,
    OverloadedError,
    ServerError,
)
from llmkit.values.completion import FinishReason
from llmkit.values.events import (
    PartDone,
    ReasoningDelta,
    RefusalDelta,
    StreamFinished,
    StreamStarted,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from llmkit.values.messages import Image, VendorPart
from llmkit.values.usage import Usage
from tests.support.openai_wire import (
    PNG,
    answer,
    broken,
    chunk,
    raw,
    sse,
    streamed,
)

# ------------------------------------------------------------------------------------------------- streams


def test_a_stream_of_text_with_its_usage_in_a_chunk_without_choices():
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    body = sse(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hel"}),
        chunk({"role": "assistant", "content": "lo…"}),
        chunk({"content": None}),
        chunk({}, "stop"),
        {**chunk(usage=usage), "choices": []},
    )
    assert streamed(body) == (
        [
            StreamStarted("gpt-4o-mini", "chatcmpl-1"),
            TextDelta("Hel"),
            TextDelta("lo…"),
            StreamFinished(FinishReason.STOP, "stop"),
            UsageReported(Usage(3, 2, 5)),
        ],
        True,
    )


@pytest.mark.parametrize("ending", [b"\r\n\r\n", b"\r\r"])
def test_other_line_ends_change_nothing(ending: bytes):
    body = sse(b": waiting", chunk({"content": "Hi"}), chunk({}, "stop"))
    assert streamed(body.replace(b"\n\n", ending)) == streamed(body)


def test_usage_in_every_chunk_and_a_finish_reason_sent_twice():
    usages = [{"prompt_tokens": 3, "completion_tokens": count} for count in (1, 2)]
    body = sse(chunk({"content": "Hi"}, usage=usages[0]), chunk({}, "stop"), chunk({}, "stop", usage=usages[1]))
    events, _ = streamed(body)
    assert [type(event) for event in events] == [StreamStarted, TextDelta, UsageReported, StreamFinished, UsageReported]
    assert events[-1] == UsageReported(Usage(3, 2, 5))


def test_the_first_chunk_without_choices_at_azure():
    """https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter"""
    first = {"id": "", "model": "", "object": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}
    lone = {"id": "", "model": "", "choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {}}]}
    events, complete = streamed(sse(first, chunk({"content": "Hi"}), lone, chunk({}, "stop")))
    assert events[0] == StreamStarted("gpt-4o-mini", "chatcmpl-1")
    assert events[1:] == [TextDelta("Hi"), StreamFinished(FinishReason.STOP, "stop")]
    assert complete


def call_events(*deltas: list[Any], finish: str | None = "tool_calls") -> list[tuple[Any, ...]]:
    events, complete = streamed(sse(*[chunk({"tool_calls": delta}) for delta in deltas], chunk({}, finish)))
    assert complete
    assert StreamFinished(FinishReason.TOOL_CALLS, finish) in events
    return [(e.position, e.id, e.name, e.arguments) for e in events if isinstance(e, ToolCallDelta)]


def function(name: Any = None, arguments: Any = None, **more: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}, **more}


def test_tool_calls_in_fragments():
    assert call_events(
        [function("add", "", index=0, id="call_a", type="function")],
        [function(None, '{"a', index=0)],
        [function(None, '": 1}', index=0)],
        [function("now", "", index=1, id="call_b", type="function")],
    ) == [
        (0, "call_a", "add", ""),
        (0, None, None, '{"a'),
        (0, None, None, '": 1}'),
        (1, "call_b", "now", ""),
    ]


def test_one_index_for_several_calls_whose_ids_differ():
    events = call_events([function("a", "{}", index=0, id="x")], [function("b", "{}", index=0, id="y"), function("", "", index=0)])
    assert events == [(0, "x", "a", "{}"), (1, "y", "b", "{}")]


def test_calls_without_index():
    events = call_events([function("a", "{}", id="x"), function("b", '{"c"', id="y")], [function(None, ": 1}")])
    assert events == [(0, "x", "a", "{}"), (1, "y", "b", '{"c"'), (1, None, None, ": 1}")]


def test_calls_without_ids():
    events = call_events([function("a", "{}", index=0)], [function("a", '{"b": 1}', index=0)], [function("c", None, id="")])
    assert events == [(0, "call_0", "a", "{}"), (1, "call_1", "a", '{"b": 1}'), (2, "call_2", "c", "")]


def test_whole_calls_in_one_chunk_and_arguments_as_an_object():
    events = call_events([function("a", {"b": 1}), function("a", {"b": 2})], finish="stop")
    assert events == [(0, "call_0", "a", '{"b":1}'), (1, "call_1", "a", '{"b":2}')]


def test_a_name_repeated_in_every_fragment_is_not_repeated():
    events = call_events(
        [function("add", '{"a"', index=0, id="x")],
        [function("add", ": 1", index=0, id="x")],
        [function("add", "}", index=0)],
    )
    assert events == [(0, "x", "add", '{"a"'), (0, None, None, ": 1"), (0, None, None, "}")]


def test_a_name_that_comes_late():
    assert call_events([function(None, "", index=0, id="x")], [function("add", "{}", index=0)])[1] == (0, None, "add", "{}")


def test_a_finish_reason_that_is_missing_or_empty_beside_calls():
    body = sse(chunk({"tool_calls": [function("a", "{}", id="x")]}), chunk({}, ""))
    events, complete = streamed(body)
    assert complete
    assert events[-1] == StreamFinished(FinishReason.TOOL_CALLS, None)


def test_thinking_refusal_pictures_and_parts():
    url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    events, _ = streamed(
        sse(
            chunk({"reasoning_content": "Hm"}),
            chunk({"reasoning": "m"}),
            chunk({"refusal": "No"}),
            chunk({"images": [{"image_url": {"url": url}}]}),
            chunk({"content": [{"type": "text", "text": "A"}, {"type": "reference", "reference_ids": [1]}]}),
            chunk({}, "stop"),
        )
    )
    assert events[1:-1] == [
        ReasoningDelta("Hm"),
        ReasoningDelta("m"),
        RefusalDelta("No"),
        PartDone(Image(data=PNG, media_type="image/png")),
        TextDelta("A"),
        PartDone(VendorPart("openai", {"type": "reference", "reference_ids": [1]})),
    ]


def test_several_choices_side_by_side():
    body = sse(chunk({"content": "a"}), chunk({"content": "b"}, index=1), chunk({}, "stop"), chunk({}, "length", index=1))
    events, complete = streamed(body)
    assert events[1:] == [
        TextDelta("a", 0),
        TextDelta("b", 1),
        StreamFinished(FinishReason.STOP, "stop", 0),
        StreamFinished(FinishReason.LENGTH, "length", 1),
    ]
    assert complete
    assert not streamed(sse(*[chunk({"content": "a"}, index=i) for i in (0, 1)], chunk({}, "stop"), done=False))[1]


def test_what_makes_a_stream_complete():
    assert streamed(sse(chunk({"content": "Hi"}, "stop"), done=False))[1]
    assert streamed(sse(chunk({"content": "Hi"})))[1]
    assert not streamed(sse(chunk({"content": "Hi"}), done=False))[1]
    assert not streamed(sse())[1]
    assert not streamed(b"")[1]
    assert not streamed(b": waiting\n\n: wai")[1]
    assert not streamed(b"<html>Bad gateway</html>")[1]


def test_what_follows_the_end_is_ignored():
    body = sse(chunk({"content": "Hi"}, "stop"))
    assert streamed(body + b"data: {broken\n\ndata: [DONE]\n\n") == streamed(body)


def test_the_last_chunk_goes_out_as_it_came():
    last = chunk({}, "stop", citations=["https://host"])
    assert raw(sse(chunk({"content": "Hi"}), last)) == [last]
    assert raw(sse(chunk({"content": "Hi"}), last, done=False)) == [last]
    assert raw(json.dumps(answer()).encode()) == [answer()]


def test_the_last_event_without_its_blank_line():
    body = sse(chunk({"content": "Hi"}), chunk({}, "stop"), done=False)
    assert streamed(body.rstrip(b"\n")) == streamed(body)


def test_an_error_in_the_middle_comes_after_the_text_before_it():
    error = {"error": {"message": "The server is overloaded", "type": "overloaded_error", "code": None}}
    events, raised = broken(sse(chunk({"content": "Hel"}), chunk({"content": "lo"}), error, chunk({"content": "?"})))
    assert [event.text for event in events] == ["", "Hel", "lo"]
    assert type(raised) is OverloadedError


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"error": {"message": "no call", "code": "tool_use_failed"}}', InvalidRequestError),
        (b'{"message": "boom", "type": "server_error"}', ServerError),
        (b"boom", ServerError),
    ],
)
def test_an_event_named_error(data: bytes, expected: type[LLMError]):
    _, raised = broken(sse(b"event: error\ndata: " + data, done=False))
    assert type(raised) is expected


@pytest.mark.parametrize("data", [b"{broken", b"[1]", b"7", b'"text"', b'{"a": ' * 300])
def test_an_event_that_is_no_object_is_an_invalid_response(data: bytes):
    events, raised = broken(sse(chunk({"content": "Hi"}), b"data: " + data))
    assert isinstance(raised, InvalidResponseError)
    assert events[-1] == TextDelta("Hi")


@pytest.mark.parametrize("before", [b"", b"\n\n\n", b": OPENROUTER PROCESSING\n\n: x\r\n", b"\xef\xbb\xbf"])
def test_a_whole_document_in_place_of_a_stream(before: bytes):
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    document = json.dumps(answer("Hi", usage=usage, tool_calls=calls, reasoning="Hm", refusal="No"), indent=1).encode()
    events, complete = streamed(before + document)
    assert complete
    assert events == [
        StreamStarted("gpt-4o-mini-2024-07-18", "chatcmpl-1"),
        ReasoningDelta("Hm"),
        TextDelta("Hi"),
        RefusalDelta("No"),
        ToolCallDelta(0, "a", "f", "{}"),
        StreamFinished(FinishReason.TOOL_CALLS, "stop"),
        UsageReported(Usage(1, 2, 3)),
    ]


def test_a_whole_document_that_is_an_error_or_cut_short():
    assert type(broken(b'{"error": {"message": "busy", "code": 503}}')[1]) is OverloadedError
    assert type(broken(b'{"choices": [{"message": ')[1]) is InvalidResponseError
