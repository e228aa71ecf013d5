"""What the OpenAI dialect sends, after https://platform.openai.com/docs/api-reference/chat/create."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from llmkit.errors import (
    ConfigError,
    InvalidRequestError,
    UnsupportedParameterError,
)
from llmkit.values.instances import Instance
from llmkit.values.messages import Audio, File, Image, Message, Reasoning, Refusal, Text, ToolCall, ToolResult, VendorPart
from llmkit.values.other_calls import RawCall
from llmkit.values.tools import JsonSchema, Tool
from llmkit_providers.groq import Groq
from llmkit_providers.openai_compatible import OpenAICompatible
from tests.support.openai_wire import (
    DEADLINE,
    INSTANCE,
    PNG,
    VENDOR,
    chat,
    embed,
    message,
    sent,
)

# ------------------------------------------------------------------------------------------------- what goes out


def test_the_smallest_call_sends_nothing_but_the_model_and_the_messages():
    request = VENDOR.encode(chat(), INSTANCE)
    assert (request.method, request.url) == ("POST", "https://api.openai.com/v1/chat/completions")
    assert json.loads(request.body or b"") == {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    assert "authorization" not in {name.lower() for name in request.headers}


def test_every_option_has_its_field():
    body = sent(chat(max_tokens=5, temperature=0, top_p=0.5, stop="END", seed=7, reasoning_effort="low", extra={"n": 2, "seed": 8}))
    del body["messages"], body["model"]
    assert body == {
        "max_completion_tokens": 5,
        "temperature": 0,
        "top_p": 0.5,
        "stop": ["END"],
        "seed": 8,
        "reasoning_effort": "low",
        "n": 2,
    }


def test_a_stream_asks_for_its_usage_and_extra_has_the_last_word_without_being_merged_deeply():
    assert sent(chat(stream=True))["stream_options"] == {"include_usage": True}
    body = sent(chat(stream=True, extra={"stream_options": {"include_obfuscation": False}}))
    assert body["stream_options"] == {"include_obfuscation": False}


def test_media_parts():
    parts = message(
        Message.user(
            "Look",
            Image(url="https://host/cat.png", detail="low"),
            Image(data=PNG),
            Audio(data=b"ID3...", media_type="audio/mpeg"),
            File(file_id="file-1"),
            File(data=b"%PDF-1.7", name="a.pdf"),
        )
    )[0]["content"]
    assert parts == [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "https://host/cat.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(PNG).decode()}},
        {"type": "input_audio", "input_audio": {"data": base64.b64encode(b"ID3...").decode(), "format": "mp3"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjc="}},
    ]


@pytest.mark.parametrize(
    "part",
    [Image(file_id="file-1"), Audio(url="https://host/a.mp3"), File(url="https://host/a.pdf"), Image(data=b"?")],
    ids=["image by id", "audio by url", "file by url", "unknown media type"],
)
def test_media_the_vendor_does_not_take_is_refused_before_sending(part: Any):
    with pytest.raises(InvalidRequestError):
        message(Message.user(part))


def test_a_turn_with_tools_goes_back_as_it_came():
    call = ToolCall("call_a", "add", {"a": 1}, '{"a": 1}')
    other = ToolCall("call_b", "now", {})
    cut = ToolCall("call_c", "add", {}, '{"a": ', valid=False)
    turn = message(
        Message.system("Be brief."),
        Message("assistant", (Text("Let me see."), call, other, cut)),
        Message("tool", (ToolResult("call_a", "1"), ToolResult("call_b", (Text("no"), Text("on")), name="now"))),
    )
    assert turn[0] == {"role": "system", "content": "Be brief."}
    assert turn[1]["content"] == "Let me see."
    assert [entry["function"]["arguments"] for entry in turn[1]["tool_calls"]] == ['{"a": 1}', "{}", '{"a": ']
    assert turn[2:] == [
        {"role": "tool", "tool_call_id": "call_a", "content": "1"},
        {"role": "tool", "tool_call_id": "call_b", "content": "noon"},
    ]


def test_an_assistant_turn_of_calls_alone_has_null_content():
    assert message(Message.assistant(ToolCall("a", "f")))[0]["content"] is None


def test_refusal_has_its_own_field_at_openai_and_is_text_elsewhere():
    assert message(Message.assistant(Refusal("No.")))[0] == {"role": "assistant", "content": None, "refusal": "No."}
    assert message(Message.assistant(Refusal("No.")), vendor=Groq())[0]["content"] == "No."


def test_thinking_and_parts_of_other_vendors_do_not_go_out():
    said = Message("assistant", (Reasoning("Hm", "sig", provider="anthropic"), VendorPart("google", {"type": "x"}), Text("Yes")))
    assert message(said)[0] == {"role": "assistant", "content": [{"type": "text", "text": "Yes"}]}


def test_extra_reaches_its_own_vendor_alone():
    marked = Message("user", (Text("Hi", extra={"openai": {"mark": 1}, "mistral": {"mark": 2}}),), extra={"openai": {"x": 3}})
    assert message(marked)[0] == {"role": "user", "content": [{"type": "text", "text": "Hi", "mark": 1}], "x": 3}


def test_a_tool_result_holds_text_only():
    with pytest.raises(InvalidRequestError, match="text only"):
        message(Message("tool", ToolResult("a", (Image(url="https://host/a.png"),))))


@pytest.mark.parametrize(
    ("choice", "field"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("add", {"type": "function", "function": {"name": "add"}}),
    ],
)
def test_tools_and_the_choice_among_them(choice: str, field: Any):
    raw = {"type": "web_search_preview"}
    body = sent(chat(tools=[Tool("add", "Adds", {"type": "object"}), raw], tool_choice=choice))
    function = {"name": "add", "description": "Adds", "parameters": {"type": "object"}}
    assert body["tools"] == [{"type": "function", "function": function}, raw]
    assert body["tool_choice"] == field


def test_strict_schemas_follow_the_vendors_rules():
    """https://platform.openai.com/docs/guides/structured-outputs#supported-schemas"""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"$ref": "#/$defs/B"}, "required": {"enum": [{"type": "object"}]}},
        "required": ["b"],
        "$defs": {"B": {"type": "object", "properties": {"c": {"type": "string"}}}},
    }
    format_ = sent(chat(response_format=JsonSchema(schema, "thing")))["response_format"]
    assert format_["json_schema"] == {
        "name": "thing",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"$ref": "#/$defs/B"}, "required": {"enum": [{"type": "object"}]}},
            "required": ["b", "a", "required"],
            "additionalProperties": False,
            "$defs": {
                "B": {
                    "type": "object",
                    "properties": {"c": {"type": "string"}},
                    "required": ["c"],
                    "additionalProperties": False,
                }
            },
        },
    }
    loose = sent(chat(response_format=JsonSchema(schema, strict=False)))["response_format"]["json_schema"]
    assert loose == {"name": "answer", "schema": schema, "strict": False}
    assert sent(chat(response_format="json"))["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://proxy.example/v1/", "https://proxy.example/v1/chat/completions"),
        ("https://proxy.example/v1/chat/completions", "https://proxy.example/v1/chat/completions"),
        ("https://proxy.example/v1/embeddings?x=1", "https://proxy.example/v1/chat/completions"),
    ],
)
def test_base_urls(base_url: str, url: str):
    assert VENDOR.encode(chat(), Instance("openai", "gpt-4o", base_url=base_url)).url == url


def test_a_server_of_ones_own_needs_its_address():
    with pytest.raises(ConfigError, match="base_url"):
        OpenAICompatible().encode(chat(), Instance("openai_compatible", "m"))


def test_a_raw_call_is_joined_to_the_root():
    call = RawCall(deadline=DEADLINE, method="post", path="/moderations", json={"input": "x"})
    assert VENDOR.encode(call, INSTANCE).url == "https://api.openai.com/v1/moderations"


# ------------------------------------------------------------------------------------------------- what is possible


@pytest.mark.parametrize(
    ("model", "options", "refused"),
    [
        ("gpt-4o", {"temperature": 0.5, "stop": "x"}, ()),
        ("gpt-4o", {"reasoning_effort": "low"}, ("reasoning_effort",)),
        ("o3-mini", {"temperature": 0.5, "top_p": 0.5, "stop": "x", "max_tokens": 5}, ("temperature", "top_p", "stop")),
        ("o3", {"temperature": 1, "top_p": 1, "reasoning_effort": "low"}, ()),
        ("gpt-5-mini", {"temperature": 0}, ("temperature",)),
        ("gpt-5-chat-latest", {"temperature": 0}, ()),
        ("gpt-5.2", {"temperature": 0}, ()),
        ("gpt-5.2", {"temperature": 0, "reasoning_effort": "none"}, ()),
        ("gpt-5.2", {"temperature": 0, "reasoning_effort": "high"}, ("temperature",)),
    ],
)
def test_what_openais_models_refuse(model: str, options: dict[str, Any], refused: tuple[str, ...]):
    """https://platform.openai.com/docs/guides/reasoning, https://platform.openai.com/docs/guides/latest-model"""
    assert VENDOR.unsupported(chat(**options), Instance("openai", model)) == refused


def test_the_organization_and_the_project_are_headers():
    headers = VENDOR.encode(chat(), Instance("openai", "m", settings={"organization": "org-1", "project": "p"})).headers
    assert (headers["OpenAI-Organization"], headers["OpenAI-Project"]) == ("org-1", "p")


def test_what_a_vendor_has_not_is_refused_before_sending():
    with pytest.raises(UnsupportedParameterError, match="embeddings"):
        Groq().encode(embed(), Instance("groq", "m"))
