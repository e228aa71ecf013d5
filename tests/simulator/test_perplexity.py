"""Perplexity's Agent API, simulated: what it takes, what it refuses, and how its streams look.

https://github.com/perplexityai/api-platform-developers/tree/main/skills/migrate-sonar-to-agent-api
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from llmkit.simulated import Answer
from llmkit.simulator.engine import Engine
from tests.simulator.conftest import halves
from tests.simulator.test_refusals import message
from tests.simulator.test_strictness import JUNK, places, status
from tests.simulator.wires import PARAMETERS, events, headers

FUNCTION = {"type": "function", "name": "f", "description": "d", "parameters": PARAMETERS}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "thought_signature": "c2ln"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "r", "name": "f", "thought_signature": "c2ln"}
USER = {"type": "message", "role": "user", "content": "hi"}
CLOSED = {**PARAMETERS, "additionalProperties": False}
SHAPE = {"type": "json_schema", "json_schema": {"name": "n", "schema": CLOSED, "strict": True}}
FULL: dict[str, Any] = {
    "model": "openai/gpt-5.1", "preset": "low", "instructions": "s", "max_output_tokens": 5, "temperature": 1, "top_p": 0.5,
    "reasoning": {"effort": "high"}, "tools": [FUNCTION, {"type": "web_search", "filters": {}}], "tool_choice": {"name": "f"},
    "response_format": SHAPE, "stream": True, "max_steps": 3,
    "input": [USER, CALL, RESULT, {"role": "assistant", "content": "a"}, {"role": "user", "content": [
        {"type": "input_text", "text": "t"}, {"type": "input_image", "image_url": "https://host/a.png"},
    ]}],
}  # fmt: skip


def post(simulator: Any, http: Any, path: str = "/v1/agent", **change: Any) -> Any:
    body = {"preset": "fast", "input": "one two", **change}
    return http.post(simulator.base_url("perplexity") + path, json=body, headers=headers("perplexity"))


@pytest.mark.parametrize("path", ["/v1/agent", "/v1/responses"])
def test_an_echo(simulator, http, path):
    document = post(simulator, http, path).json()
    (item,) = document["output"]
    assert (item["type"], item["content"][0]["text"], document["status"]) == ("message", "one two", "completed")
    assert (document["usage"]["input_tokens"], document["usage"]["output_tokens"]) == (2, 2)
    assert document["model"] == "fast"


def test_a_stream_has_numbered_events_without_names_and_one_end(simulator, http):
    reply = post(simulator, http, stream=True).content
    found = events(reply)
    assert b"event:" not in reply
    assert b"[DONE]" not in reply
    assert [each["sequence_number"] for each in found] == list(range(len(found)))
    assert [each["type"] for each in found] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.output_text.delta",
        "response.output_text.delta", "response.output_text.done", "response.output_item.done", "response.completed",
    ]  # fmt: skip
    assert found[-1]["response"]["output"][0]["content"][0]["text"] == "one two"


def test_cut_and_filtered_answers_are_incomplete(make, http):
    one = make(script=lambda question: Answer(text="one", finish=question.text, refusal="No." if question.text == "stop" else ""))
    for finish, reason in (("length", "max_output_tokens"), ("content_filter", "content_filter")):
        document = post(one, http, input=finish).json()
        assert (document["status"], document["incomplete_details"]) == ("incomplete", {"reason": reason})
        assert events(post(one, http, input=finish, stream=True).content)[-1]["type"] == "response.incomplete"
    parts = post(one, http, input="stop").json()["output"][0]["content"]
    assert [part["type"] for part in parts] == ["output_text", "refusal"]


def test_tools_and_their_results(simulator, http):
    called = post(simulator, http, input='call:f {"city": "Oslo"}', tools=[FUNCTION]).json()["output"]
    assert [(item["type"], item["name"], json.loads(item["arguments"])) for item in called] == [
        ("function_call", "f", {"city": "Oslo"}),
    ]  # fmt: skip
    call = {name: called[0][name] for name in ("type", "call_id", "name", "arguments")}
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
    told = post(simulator, http, input=[USER, call, result], tools=[FUNCTION]).json()
    assert told["output"][0]["content"][0]["text"] == "sunny"


@pytest.mark.parametrize(("change", "words"), [
    ({"messages": []}, 'unknown field "messages"'),
    ({"stop": ["x"]}, 'unknown field "stop"'),
    ({"text": {"format": {"type": "text"}}}, 'unknown field "text"'),
    ({"preset": None}, "one of model, models or preset is required"),
    ({"model": "sonar-pro"}, "expected provider/model"),
    ({"model": "anthropic/claude-haiku-4-5"}, "max_output_tokens is required"),
    ({"reasoning": {"effort": "none"}}, "reasoning.effort"),
    ({"temperature": 3}, "temperature"),
    ({"input": []}, "not empty"),
    ({"input": [{"role": "tool", "content": "x"}]}, "unknown role"),
    ({"input": [{**USER, "name": "Ann"}]}, 'unknown field "name"'),
    ({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "x"}]}]}, "unknown part type"),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x", "detail": "low"}]}]}, 'field "detail"'),
    ({"input": [USER, CALL]}, "No tool output found"),
    ({"input": [USER, RESULT]}, "No tool call found"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 'unknown field "function"'),
    ({"tools": [{**FUNCTION, "name": "web_search"}]}, "reserved"),
    ({"tools": [{"type": "telepathy"}]}, "unknown tool type"),
    ({"tools": [FUNCTION], "tool_choice": {"name": "g"}}, "no such tool"),
    ({"response_format": {"type": "json_object"}}, "expected json_schema"),
])  # fmt: skip
def test_refusals(simulator, http, change, words):
    reply = post(simulator, http, **change)
    assert reply.status_code == 400
    assert words in message(reply.json())
    assert reply.json()["error"]["code"] == 400


def test_methods_and_keys(simulator, http):
    url = simulator.base_url("perplexity") + "/v1/agent"
    assert http.get(url, headers=headers("perplexity")).status_code == 405
    assert http.post(url, json={"preset": "fast", "input": "hi"}).status_code == 401


def test_a_full_request_is_taken_and_none_breaks_it():
    """Every part replaced by every kind of junk, or taken out: answered or refused with a 4xx, and never an exception."""
    engine = Engine({name: half for half in halves() for name in half.names})
    assert status(engine, "perplexity", "/v1/agent", FULL)[0] == 200
    for number in range(len(places(FULL))):
        for junk in JUNK:
            body = copy.deepcopy(FULL)
            container, key = places(body)[number]
            container[key] = copy.deepcopy(junk)
            code, words = status(engine, "perplexity", "/v1/agent", body)
            assert code == 200 or 400 <= code < 500, (body, words)
        body = copy.deepcopy(FULL)
        container, key = places(body)[number]
        del container[key]
        assert status(engine, "perplexity", "/v1/agent", body)[0] < 500
