"""Anthropic's wire, from https://platform.claude.com/docs: requests, answers, streams, errors. Nothing here does I/O."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmkit.errors import (
    AuthenticationError,
    ContextLengthError,
    InvalidRequestError,
    InvalidResponseError,
    LLMError,
    ModelNotFoundError,
    OverloadedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    UnsupportedParameterError,
)
from llmkit.values.calls import ChatCall, Deadline
from llmkit.values.completion import Completion, FinishReason
from llmkit.values.events import Event, PartDone, ReasoningDelta, StreamFinished, TextDelta, ToolCallDelta, UsageReported
from llmkit.values.instances import Instance
from llmkit.values.messages import (
    Audio,
    File,
    Image,
    Message,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    VendorPart,
)
from llmkit.values.options import Options
from llmkit.values.other_calls import ModelsCall, RawCall
from llmkit.values.secret import Secret
from llmkit.values.tools import JsonSchema, Tool
from llmkit.values.usage import Usage
from llmkit.wire.fold import fold
from llmkit.wire.http import HttpReply
from llmkit_providers.anthropic import DEFAULT_MAX_TOKENS, DEFAULT_MAX_TOKENS_THINKING, Anthropic

PROVIDER = Anthropic()
DEADLINE = Deadline(600.0, 600.0)
PNG = b"\x89PNG\r\n\x1a\n0000"


def call(*messages: Message, stream: bool = False, **options: Any) -> ChatCall:
    return ChatCall(deadline=DEADLINE, messages=messages or (Message.user("Hi"),), options=Options(**options), stream=stream)


def sent(chat: ChatCall, model: str = "claude-sonnet-4-5", **instance: Any) -> dict[str, Any]:
    body = PROVIDER.encode(chat, Instance("anthropic", model, **instance)).body
    assert body is not None
    return json.loads(body)


def blocks(*messages: Message) -> Any:
    return sent(call(*messages))["messages"]


def reply(document: Any, status: int = 200, **headers: str) -> HttpReply:
    return HttpReply(status, headers, json.dumps(document).encode())


def message(*content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": list(content),
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 5},
        **fields,
    }


def decode(*content: dict[str, Any], **fields: Any) -> Completion:
    return PROVIDER.decode(call(), reply(message(*content, **fields)))


# ---------------------------------------------------------------------------------------------------- requests


class TestRequests:
    def test_plain(self) -> None:
        request = PROVIDER.encode(call(), Instance("anthropic", "claude-sonnet-4-5"))
        assert (request.method, request.url) == ("POST", "https://api.anthropic.com/v1/messages")
        assert request.headers == {"Content-Type": "application/json", "anthropic-version": "2023-06-01"}
        assert json.loads(request.body or b"") == {
            "model": "claude-sonnet-4-5",
            "messages": [{"role": "user", "content": "Hi"}],
            "max_tokens": DEFAULT_MAX_TOKENS,
        }

    @pytest.mark.parametrize(
        "base_url", ["https://proxy.test", "https://proxy.test/", "https://proxy.test/v1", "https://proxy.test/v1/messages"]
    )
    def test_base_url_with_and_without_its_path(self, base_url: str) -> None:
        request = PROVIDER.encode(call(), Instance("anthropic", "m", base_url=base_url))
        assert request.url == "https://proxy.test/v1/messages"

    def test_key_goes_into_its_header(self) -> None:
        request = PROVIDER.authorize(PROVIDER.encode(call(), Instance("anthropic", "m")), Secret("sk-1"))
        assert request.headers["x-api-key"] == "sk-1"
        assert "sk-1" not in request.url

    def test_version_and_beta(self) -> None:
        instance = Instance("anthropic", "m", settings={"version": "2030-01-01", "beta": "files-api-2025-04-14,x"})
        for request in (PROVIDER.encode(call(), instance), PROVIDER.encode(ModelsCall(deadline=DEADLINE), instance)):
            assert request.headers["anthropic-version"] == "2030-01-01"
            assert request.headers["anthropic-beta"] == "files-api-2025-04-14,x"

    def test_on_vertex(self) -> None:
        """https://platform.claude.com/docs/en/api/claude-on-vertex-ai"""
        place = "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5"
        settings = {"vertex": True, "beta": "b"}
        for base_url in (place, f"{place}/publishers/anthropic/"):
            instance = Instance("anthropic", "claude-sonnet-4-5@20250929", base_url=base_url, settings=settings)
            request = PROVIDER.encode(call(), instance)
            assert request.url == f"{place}/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict"
            assert request.headers == {"Content-Type": "application/json", "anthropic-beta": "b"}
        assert json.loads(request.body or b"") == {
            "anthropic_version": "vertex-2023-10-16",
            "messages": [{"role": "user", "content": "Hi"}],
            "max_tokens": DEFAULT_MAX_TOKENS,
        }
        authorized = PROVIDER.authorize(request, Secret("ya29.token"))
        assert authorized.headers["Authorization"] == "Bearer ya29.token"
        assert "x-api-key" not in authorized.headers
        streamed = PROVIDER.encode(call(stream=True), instance)
        assert streamed.url.endswith(":streamRawPredict")
        assert b'"stream":true' in (streamed.body or b"")
        raw = PROVIDER.encode(RawCall(deadline=DEADLINE, method="POST", path="models/x:rawPredict", json={}), instance)
        assert raw.url == f"{place}/publishers/anthropic/models/x:rawPredict"

    def test_on_vertex_errors_are_googles_and_models_are_not_listed(self) -> None:
        refused = {"error": {"code": 404, "message": "Publisher Model was not found", "status": "NOT_FOUND"}}
        assert type(PROVIDER.error(reply(refused, 404))) is ModelNotFoundError
        assert type(PROVIDER.error(reply([refused], 404))) is ModelNotFoundError
        with pytest.raises(UnsupportedParameterError):
            PROVIDER.encode(ModelsCall(deadline=DEADLINE), Instance("anthropic", "m", settings={"vertex": True}))

    def test_raw_call_has_the_version(self) -> None:
        raw = RawCall(deadline=DEADLINE, method="post", path="/v1/messages/count_tokens", json={"a": 1})
        request = PROVIDER.encode(raw, Instance("anthropic", "m"))
        assert request.url == "https://api.anthropic.com/v1/messages/count_tokens"
        assert request.headers["anthropic-version"] == "2023-06-01"
        assert request.body == b'{"a":1}'

    def test_options(self) -> None:
        schema = {"type": "object", "properties": {"a": {"type": "object", "properties": {}}, "additionalProperties": {}}}
        body = sent(
            call(
                stream=True,
                max_tokens=7,
                temperature=0.5,
                top_p=0.9,
                stop=["END"],
                reasoning_effort="low",
                response_format=JsonSchema(schema),
                tools=[
                    Tool("f", "does", {"type": "object"}),
                    Tool("g", strict=True),
                    {"type": "web_search_20250305", "name": "w"},
                ],
                tool_choice="required",
                extra={"metadata": {"user_id": "u"}, "output_config": {"task_budget": {"total": 1}}},
            )
        )
        closed = {"type": "object", "properties": {}, "additionalProperties": False}
        assert body | {"messages": 0} == {
            "model": "claude-sonnet-4-5",
            "messages": 0,
            "stream": True,
            "max_tokens": 7,
            "temperature": 0.5,
            "top_p": 0.9,
            "stop_sequences": ["END"],
            "tools": [
                {"name": "f", "description": "does", "input_schema": {"type": "object"}},
                {"name": "g", "input_schema": closed, "strict": True},
                {"type": "web_search_20250305", "name": "w"},
            ],
            "tool_choice": {"type": "any"},
            "output_config": {
                "effort": "low",
                "task_budget": {"total": 1},
                "format": {
                    "type": "json_schema",
                    "schema": {
                        "type": "object",
                        "properties": {"a": closed, "additionalProperties": {}},
                        "additionalProperties": False,
                    },
                },
            },
            "metadata": {"user_id": "u"},
        }

    @pytest.mark.parametrize(
        ("choice", "expected"),
        [("auto", {"type": "auto"}), ("none", {"type": "none"}), ("f", {"type": "tool", "name": "f"})],
    )
    def test_tool_choice(self, choice: str, expected: dict[str, str]) -> None:
        assert sent(call(tool_choice=choice))["tool_choice"] == expected

    def test_effort_none_switches_thinking_off(self) -> None:
        body = sent(call(reasoning_effort="none"))
        assert body["thinking"] == {"type": "disabled"}
        assert "output_config" not in body

    def test_default_max_tokens_leaves_room_for_thinking(self) -> None:
        thinking = {"thinking": {"type": "enabled", "budget_tokens": 2000}}
        assert sent(call(extra=thinking))["max_tokens"] == 2000 + DEFAULT_MAX_TOKENS
        assert sent(call(), "claude-opus-5")["max_tokens"] == DEFAULT_MAX_TOKENS_THINKING
        assert sent(call(extra={"max_tokens": 3}))["max_tokens"] == 3

    @pytest.mark.parametrize("model", ["claude-opus-4-7", "claude-opus-4-8-20260101", "claude-opus-5", "claude-sonnet-5-5"])
    def test_sampling_is_refused_where_the_model_refuses_it(self, model: str) -> None:
        asked = call(temperature=0.1, top_p=0.1)
        assert PROVIDER.unsupported(asked, Instance("anthropic", model)) == ("temperature", "top_p")
        assert PROVIDER.unsupported(call(), Instance("anthropic", model)) == ()

    @pytest.mark.parametrize("model", ["claude-opus-4-20250514", "claude-opus-4-6", "claude-sonnet-4-6", "claude-3-5-haiku-latest"])
    def test_sampling_is_allowed_elsewhere(self, model: str) -> None:
        assert PROVIDER.unsupported(call(temperature=0.1), Instance("anthropic", model)) == ()

    @pytest.mark.parametrize(
        ("model", "takes"),
        [
            ("claude-3-7-sonnet-latest", False),
            ("claude-opus-4-20250514", False),
            ("claude-opus-4-1", False),
            ("claude-sonnet-4-5-20250929", False),
            ("claude-haiku-4-5", False),
            ("claude-opus-4-5", True),
            ("claude-sonnet-4-6", True),
            ("claude-haiku-5-5", True),
        ],
    )
    def test_effort_by_model(self, model: str, takes: bool) -> None:
        expected = () if takes else ("reasoning_effort",)
        assert PROVIDER.unsupported(call(reasoning_effort="low"), Instance("anthropic", model)) == expected

    def test_what_the_vendor_does_not_have(self) -> None:
        asked = call(Message.user(Audio(b"1", media_type="audio/wav")), seed=1, response_format="json")
        assert set(PROVIDER.unsupported(asked, Instance("anthropic", "m"))) == {"seed", "json", "audio"}
        with pytest.raises(InvalidRequestError, match="audio"):
            sent(asked)


class TestMessages:
    def test_system_stands_above(self) -> None:
        cached = Text("More", extra={"anthropic": {"cache_control": {"type": "ephemeral"}}})
        assert sent(call(Message.system("Be brief."), Message.user("Hi")))["system"] == "Be brief."
        assert sent(call(Message.system("Be brief."), Message.user("Hi"), Message.system(cached)))["system"] == [
            {"type": "text", "text": "Be brief."},
            {"type": "text", "text": "More", "cache_control": {"type": "ephemeral"}},
        ]

    def test_turns_of_one_role_are_merged(self) -> None:
        first = Message.assistant(ToolCall("t1", "f", {"a": 1}), ToolCall("t2", "g"))
        assert blocks(
            Message.user("A"),
            Message.user("B"),
            first,
            Message.tool("t1", "1"),
            Message.tool("t2", "bad", is_error=True),
            Message.user("C"),
        ) == [
            {"role": "user", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                    {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "1"},
                    {"type": "tool_result", "tool_use_id": "t2", "content": "bad", "is_error": True},
                    {"type": "text", "text": "C"},
                ],
            },
        ]

    def test_media(self) -> None:
        (turn,) = blocks(
            Message.user(
                Image(PNG),
                Image(url="https://x.test/a.png"),
                Image(file_id="file_1", extra={"anthropic": {"cache_control": {"type": "ephemeral"}}, "openai": {"no": 1}}),
                File(b"%PDF-1.4", name="a.pdf"),
                File(b"caf\xc3\xa9", media_type="text/markdown"),
                File(url="https://x.test/a.pdf"),
            )
        )
        assert turn["content"] == [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgowMDAw"}},
            {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
            {"type": "image", "source": {"type": "file", "file_id": "file_1"}, "cache_control": {"type": "ephemeral"}},
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQ="},
                "title": "a.pdf",
            },
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "café"}},
            {"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}},
        ]

    def test_media_type_that_cannot_be_told(self) -> None:
        with pytest.raises(InvalidRequestError, match="media_type"):
            blocks(Message.user(Image(b"????")))

    def test_ids_of_other_vendors_are_made_to_fit(self) -> None:
        tool = ToolCall("functions.f:0", "f")
        _, asked, answered = blocks(Message.user("A"), Message.assistant(tool), Message.tool(tool, "1"))
        assert asked["content"][0]["id"] == answered["content"][0]["tool_use_id"] == "functions_f_0"

    def test_picture_in_a_tool_result(self) -> None:
        result = ToolResult("t1", (Text("see"), Image(PNG)))
        (turn,) = blocks(Message("tool", result))
        assert [block["type"] for block in turn["content"][0]["content"]] == ["text", "image"]

    def test_what_belongs_to_another_vendor_stays_here(self) -> None:
        said = Message.assistant(
            Reasoning("hm", "sig", provider="google"),
            Reasoning("no signature", provider="anthropic"),
            VendorPart("openai", {"type": "x"}),
            Refusal("I will not."),
        )
        assert blocks(Message.user("A"), said)[1] == {"role": "assistant", "content": "I will not."}

    def test_message_without_content_is_left_out(self) -> None:
        assert blocks(Message.user("A"), Message.assistant(Text("")), Message.user("B")) == [
            {"role": "user", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]}
        ]


# ---------------------------------------------------------------------------------------------------- answers

EXCHANGE = [
    {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"},
    {"type": "redacted_thinking", "data": "b3BhcXVl"},
    {"type": "text", "text": "Looking.", "citations": [{"type": "char_location", "cited_text": "x"}]},
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
    {"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "echo", "server_name": "s", "input": {}},
    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}, "caller": {"type": "direct"}},
]


class TestAnswers:
    def test_text(self) -> None:
        completion = decode({"type": "text", "text": "Hello", "citations": None})
        assert completion.message == Message.assistant("Hello")
        assert (completion.id, completion.model, completion.raw_finish_reason) == ("msg_1", "claude-sonnet-4-5", "end_turn")
        assert completion.finish_reason is FinishReason.STOP
        assert completion.usage == Usage(10, 5, 15)

    def test_thinking_and_tools_go_back_as_they_came(self) -> None:
        completion = decode(*EXCHANGE, stop_reason="tool_use")
        assert completion.reasoning == "Let me see."
        assert [(tool.id, tool.name, tool.arguments) for tool in completion.tool_calls] == [("toolu_1", "f", {"a": 1})]
        assert completion.finish_reason is FinishReason.TOOL_CALLS
        assert blocks(Message.user("A"), completion.message)[1] == {"role": "assistant", "content": EXCHANGE}

    @pytest.mark.parametrize(
        ("raw", "expected"),
        [
            ("end_turn", "stop"),
            ("stop_sequence", "stop"),
            ("max_tokens", "length"),
            ("model_context_window_exceeded", "length"),
            ("refusal", "content_filter"),
            ("pause_turn", "unknown"),
            ("something_new", "unknown"),
            (None, "unknown"),
        ],
    )
    def test_finish_reasons(self, raw: str | None, expected: str) -> None:
        completion = decode({"type": "text", "text": "x"}, stop_reason=raw)
        assert (completion.finish_reason, completion.raw_finish_reason) == (expected, raw)

    def test_calls_make_it_tool_calls_also_where_the_vendor_says_end_turn(self) -> None:
        assert decode({"type": "tool_use", "id": "t", "name": "f", "input": {}}).finish_reason == "tool_calls"

    def test_cached_tokens_are_part_of_the_prompt(self) -> None:
        counts = {
            "input_tokens": 10,
            "cache_creation_input_tokens": 20,
            "cache_read_input_tokens": 30,
            "output_tokens": 5,
            "output_tokens_details": {"thinking_tokens": 4},
        }
        assert decode(usage=counts).usage == Usage(60, 5, 65, 30, 20, 4)

    @pytest.mark.parametrize("counts", [None, "many", {"input_tokens": -1}, {"input_tokens": "3"}])
    def test_rubbish_for_usage_is_none(self, counts: Any) -> None:
        assert decode(usage=counts).usage is None

    def test_no_content_is_an_empty_answer(self) -> None:
        completion = decode()
        assert (completion.text, completion.finish_reason) == ("", "stop")

    @pytest.mark.parametrize("document", [{}, {"content": None}, {"content": ["x"]}, []])
    def test_what_is_no_message_is_an_error(self, document: Any) -> None:
        with pytest.raises(InvalidResponseError):
            PROVIDER.decode(call(), reply(document))

    def test_error_inside_a_200(self) -> None:
        with pytest.raises(OverloadedError):
            PROVIDER.decode(call(), reply({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}))


# ---------------------------------------------------------------------------------------------------- streams


def sse(*documents: dict[str, Any]) -> bytes:
    return b"".join([f"event: {document['type']}\ndata: {json.dumps(document)}\n\n".encode() for document in documents])


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *[{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas],
        {"type": "content_block_stop", "index": index},
    ]


START = {
    "type": "message_start",
    "message": message(stop_reason=None, usage={"input_tokens": 9, "cache_read_input_tokens": 3, "output_tokens": 1}),
}
END = [
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"input_tokens": None, "output_tokens": 12}},
    {"type": "message_stop"},
]
STREAM = sse(
    START,
    {"type": "ping"},
    *block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "Let me "},
        {"type": "thinking_delta", "thinking": "sée."},
        {"type": "signature_delta", "signature": "c2ln"},
    ),
    *block(1, {"type": "redacted_thinking", "data": "b3BhcXVl"}),
    *block(
        2,
        {"type": "text", "text": "", "citations": []},
        {"type": "text_delta", "text": "Look"},
        {"type": "text_delta", "text": "ing 🌍"},
        {"type": "citations_delta", "citation": {"type": "char_location", "cited_text": "x"}},
    ),
    *block(
        3,
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"query": '},
        {"type": "input_json_delta", "partial_json": '"q"}'},
    ),
    *block(4, {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}),
    {"type": "something_new", "data": 1},
    *block(
        5,
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
        {"type": "input_json_delta", "partial_json": ""},
        {"type": "input_json_delta", "partial_json": '{"a": '},
        {"type": "input_json_delta", "partial_json": "1}"},
    ),
    *block(6, {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}}),
    *END,
)


def run(body: bytes, size: int = 1 << 20) -> tuple[list[Event], bool]:
    decoder = PROVIDER.decoder(call(stream=True), {"content-type": "text/event-stream"})
    events: list[Event] = []
    for start in range(0, len(body), size):
        events += decoder.feed(body[start : start + size])
    return events + decoder.finish(), decoder.complete


class TestStreams:
    def test_everything(self) -> None:
        events, complete = run(STREAM)
        completion = fold(events, "anthropic")
        assert complete
        assert completion.message.content == (
            Reasoning("Let me sée.", "c2ln", provider="anthropic"),
            Reasoning(redacted="b3BhcXVl", provider="anthropic"),
            Text("Looking 🌍"),
            Text("", {"anthropic": {"citations": [{"type": "char_location", "cited_text": "x"}]}}),
            VendorPart("anthropic", {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}),
            VendorPart("anthropic", {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}),
            ToolCall("toolu_1", "f", {"a": 1}, '{"a": 1}'),
            ToolCall("toolu_2", "g", {}, ""),
        )
        assert completion.usage == Usage(12, 12, 24, 3)
        assert (completion.finish_reason, completion.raw_finish_reason) == ("tool_calls", "tool_use")
        assert (completion.id, completion.model) == ("msg_1", "claude-sonnet-4-5")

    def test_goes_back_as_it_came(self) -> None:
        said = fold(run(STREAM)[0], "anthropic").message
        content = blocks(Message.user("A"), said)[1]["content"]
        assert [part["type"] for part in content] == [
            "thinking",
            "redacted_thinking",
            "text",
            "server_tool_use",
            "web_search_tool_result",
            "tool_use",
            "tool_use",
        ]
        assert content[2] == {"type": "text", "text": "Looking 🌍", "citations": [{"type": "char_location", "cited_text": "x"}]}

    def test_cut_at_every_byte(self) -> None:
        whole = run(STREAM)
        for at in range(len(STREAM)):
            decoder = PROVIDER.decoder(call(stream=True), {})
            events = decoder.feed(STREAM[:at]) + decoder.feed(STREAM[at:])
            assert (events + decoder.finish(), decoder.complete) == whole
        assert run(STREAM, 1) == whole
        assert run(STREAM.replace(b"\n", b"\r\n"), 1) == whole

    def test_is_complete_only_after_its_end(self) -> None:
        end = STREAM.index(b"event: message_delta")
        for at in range(0, end, 7):
            decoder = PROVIDER.decoder(call(stream=True), {})
            decoder.feed(STREAM[:at])
            assert not decoder.complete

    def test_input_that_comes_with_the_start(self) -> None:
        tool = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}
        assert fold(run(sse(START, *block(0, tool), *END))[0]).tool_calls[0].arguments == {"a": 1}

    def test_arguments_cut_off_by_the_limit(self) -> None:
        tool = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
        stop = {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 2}}
        cut = sse(START, *block(0, tool, {"type": "input_json_delta", "partial_json": '{"a'}), stop)
        completion = fold(run(cut)[0])
        assert completion.tool_calls == (ToolCall("t", "f", {}, '{"a', False),)
        assert completion.finish_reason == "length"

    def test_kinds_of_events(self) -> None:
        kinds = {type(event) for event in run(STREAM)[0]}
        assert {TextDelta, ReasoningDelta, ToolCallDelta, PartDone, UsageReported, StreamFinished} < kinds

    def test_overload_in_the_middle(self) -> None:
        """What came before the error is given first, wherever the bytes are cut."""
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"}
        body = sse(START, *block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hel"}), error)
        for size in (1, 50, len(body)):
            decoder = PROVIDER.decoder(call(stream=True), {})
            events: list[Event] = []

            def feed(decoder: Any = decoder, events: list[Event] = events, size: int = size) -> None:
                for start in range(0, len(body), size):
                    events += decoder.feed(body[start : start + size])
                decoder.finish()

            with pytest.raises(OverloadedError) as caught:
                feed()
            assert fold(events).text == "Hel"
            assert not decoder.complete
            assert caught.value.request_id == "req_1"

    @pytest.mark.parametrize("mark", [b"event: message_stop", b"event: message_delta"])
    def test_end_in_the_middle_of_an_event(self, mark: bytes) -> None:
        """A cut is no broken answer: whether the stream was complete is said by what came before."""
        events, complete = run(STREAM[: STREAM.index(mark) + len(mark) + 20])
        assert fold(events).text == "Looking 🌍"
        assert complete is (mark == b"event: message_stop")

    def test_data_that_is_no_json(self) -> None:
        with pytest.raises(InvalidResponseError):
            run(b"data: {nope\n\n")

    def test_whole_message_instead_of_a_stream(self) -> None:
        document = message(*EXCHANGE, stop_reason="tool_use")
        events, complete = run(json.dumps(document).encode(), 5)
        assert complete
        completion = fold(events, "anthropic")
        assert completion.tool_calls == (
            ToolCall("toolu_1", "f", {"a": 1}, '{"a":1}', extra={"anthropic": {"caller": {"type": "direct"}}}),
        )
        assert (completion.text, completion.reasoning, completion.usage) == ("Looking.", "Let me see.", Usage(10, 5, 15))

    def test_error_document_instead_of_a_stream(self) -> None:
        with pytest.raises(RateLimitError):
            run(b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}')

    def test_done_mark_of_a_gateway(self) -> None:
        assert run(STREAM + b"data: [DONE]\n\n") == run(STREAM)


# ---------------------------------------------------------------------------------------------------- errors and lists


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "kind", "said", "expected"),
        [
            (400, "invalid_request_error", "max_tokens: too large", InvalidRequestError),
            (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum", ContextLengthError),
            (400, "invalid_request_error", "Your credit balance is too low to access the API", QuotaExceededError),
            (401, "authentication_error", "invalid x-api-key", AuthenticationError),
            (402, "billing_error", "pay", QuotaExceededError),
            (404, "not_found_error", "model: claude-x", ModelNotFoundError),
            (413, "request_too_large", "Request exceeds the maximum size", InvalidRequestError),
            (429, "rate_limit_error", "slow down", RateLimitError),
            (500, "api_error", "Internal server error", ServerError),
            (504, "timeout_error", "timed out", ServerError),
            (529, "overloaded_error", "Overloaded", OverloadedError),
        ],
    )
    def test_documented_errors(self, status: int, kind: str, said: str, expected: type[LLMError]) -> None:
        """https://platform.claude.com/docs/en/api/errors"""
        body = {"type": "error", "error": {"type": kind, "message": said}, "request_id": "req_1"}
        error = PROVIDER.error(reply(body, status, **{"retry-after": "7"}))
        assert type(error) is expected
        assert (error.status, error.vendor_code, error.message, error.request_id) == (status, kind, said, "req_1")
        assert (error.provider, error.retry_after) == ("anthropic", 7.0)

    def test_body_that_is_no_json(self) -> None:
        error = PROVIDER.error(HttpReply(502, {"request-id": "req_2"}, b"<html>Bad gateway</html>"))
        assert type(error) is ServerError
        assert error.request_id == "req_2"

    def test_other_shapes(self) -> None:
        assert PROVIDER.error(reply({"error": "nope"}, 500)).message == "nope"
        assert PROVIDER.error(reply({"message": "nope"}, 403)).message == "nope"
        assert PROVIDER.error(reply({"detail": "nope"}, 403)).message == "nope"


class TestModels:
    def test_request(self) -> None:
        instance = Instance("anthropic", "m")
        first = PROVIDER.encode(ModelsCall(deadline=DEADLINE), instance)
        assert (first.method, first.url, first.body) == ("GET", "https://api.anthropic.com/v1/models?limit=1000", None)
        assert PROVIDER.encode(ModelsCall(deadline=DEADLINE, page="a&b"), instance).url.endswith("&after_id=a%26b")

    def test_pages(self) -> None:
        model = {"type": "model", "id": "claude-x", "display_name": "Claude X", "max_input_tokens": 200000, "max_tokens": 64000}
        page = PROVIDER.decode(ModelsCall(deadline=DEADLINE), reply({"data": [model], "has_more": True, "last_id": "claude-x"}))
        (found,) = page.models
        assert (found.id, found.name, found.context_window, found.max_output_tokens) == ("claude-x", "Claude X", 200000, 64000)
        assert page.next_page == "claude-x"
        last = PROVIDER.decode(ModelsCall(deadline=DEADLINE), reply({"data": [], "has_more": False, "last_id": None}))
        assert (last.models, last.next_page) == ((), None)
