"""Whatever comes in is answered in the vendor's way: bodies with any part replaced never break a simulated half."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest

from llmkit.simulated import SimulatedRequest
from llmkit.simulator.engine import Engine
from tests.simulator.conftest import halves
from tests.simulator.wires import OPENAI, PARAMETERS, VENDORS, headers

JUNK: tuple[Any, ...] = (None, True, 0, -1, 1.5, "", "x", [], [None], ["x"], [[]], {}, {"x": 1}, {"type": "x"}, 10**30)
FUNCTION = {"name": "f", "description": "d", "parameters": PARAMETERS}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def full(vendor: str) -> tuple[str, dict[str, Any]]:
    """A request with most of what the vendor knows, and its path."""
    if vendor == "anthropic":
        use = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
        result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "r"}]}
        return "/v1/messages", {
            "model": "m", "max_tokens": 2000, "system": [{"type": "text", "text": "s"}], "temperature": 1, "stop_sequences": ["x"],
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": [{"type": "text", "text": "a"}, use]},
                {"role": "user", "content": [result]},
            ],
            "tools": [{"name": "f", "input_schema": PARAMETERS}], "tool_choice": {"type": "auto"},
            "thinking": {"type": "enabled", "budget_tokens": 1024}, "metadata": {"user_id": "u"},
            "output_config": {"format": {"type": "json_schema", "schema": PARAMETERS}},
        }  # fmt: skip
    if vendor == "google":
        return "/v1beta/models/gemini-3-x:generateContent", {
            "systemInstruction": {"parts": [{"text": "s"}]},
            "contents": [
                {"role": "user", "parts": [{"text": "hi"}, {"inlineData": {"mimeType": "image/png", "data": "AA=="}}]},
                {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"r": 1}}}]},
            ],
            "tools": [{"functionDeclarations": [FUNCTION]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
            "generationConfig": {
                "maxOutputTokens": 5, "temperature": 1, "stopSequences": ["x"], "responseMimeType": "application/json",
                "responseSchema": {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}},
            },
        }  # fmt: skip
    tools = [{"type": "function", "function": FUNCTION}]
    called = [{"role": "user", "content": "hi json"}, {"role": "assistant", "content": None, "tool_calls": [CALL]}]
    result = {"role": "tool", "tool_call_id": "c1", "content": "r"}
    if vendor == "ollama":
        call = {"function": {"name": "f", "arguments": {"a": 1}}}
        messages = [
            {"role": "user", "content": "hi", "images": ["AA=="]},
            {"role": "assistant", "content": "", "tool_calls": [call]},
        ]
        return "/api/chat", {
            "model": "m", "messages": [*messages, {"role": "tool", "content": "r", "tool_name": "f"}], "tools": tools,
            "stream": True, "format": PARAMETERS, "think": True,
            "options": {"num_predict": 5, "temperature": 1, "stop": ["x"], "seed": 1},
        }  # fmt: skip
    if vendor == "cohere":
        return "/v2/chat", {
            "model": "m", "messages": [*called, result], "tools": tools, "tool_choice": "REQUIRED", "max_tokens": 5,
            "temperature": 0.5, "p": 0.5, "k": 3, "stop_sequences": ["x"], "stream": True,
        }  # fmt: skip
    prefix = {"azure_openai": "/openai/v1", "perplexity": "", "deepseek": "", "groq": "/openai/v1", "openrouter": "/api/v1"}
    closed = {**PARAMETERS, "additionalProperties": False}
    shape = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": closed}}
    body = {
        "model": "m", "messages": [*called, result, {"role": "assistant", "content": "x"}, {"role": "user", "content":
        [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": {"url": "http://x"}}]}], "tools": tools,
        "tool_choice": {"type": "function", "function": {"name": "f"}}, "max_tokens": 5, "temperature": 1, "stop": ["x"],
        "stream": True, "response_format": shape, "n": 2,
    }  # fmt: skip
    if vendor == "deepseek":
        body["response_format"] = {"type": "json_object"}
    return prefix.get(vendor, "/v1") + "/chat/completions", body


def others(vendor: str) -> list[tuple[str, dict[str, Any]]]:
    """Requests that are no chat."""
    if vendor == "anthropic":
        return [("/v1/messages/count_tokens", {"model": "m", "messages": [{"role": "user", "content": "hi"}]})]
    if vendor == "google":
        one = {"model": "models/m", "content": {"parts": [{"text": "a"}]}, "outputDimensionality": 4}
        count = {"generateContentRequest": {"model": "models/m", "contents": [{"parts": [{"text": "a"}]}]}}
        return [("/v1beta/models/m:batchEmbedContents", {"requests": [one]}), ("/v1beta/models/m:embedContent", one),
                ("/v1beta/models/m:countTokens", count)]  # fmt: skip
    if vendor == "ollama":
        return [("/api/embed", {"model": "m", "input": ["a"], "dimensions": 4}), ("/api/show", {"model": "llama3.2:latest"})]
    if vendor == "cohere":
        return [("/v2/embed", {"model": "m", "texts": ["a"], "input_type": "search_query", "embedding_types": ["float", "int8"],
                               "output_dimension": 4})]  # fmt: skip
    path = full(vendor)[0].replace("/chat/completions", "/embeddings")
    return [(path, {"model": "m", "input": ["a"], "dimensions": 4, "encoding_format": "float"})]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in a document with every key in it."""
    found = []
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        found += [(value, key), *places(inner)]
    return found


def status(engine: Engine, vendor: str, path: str, body: Any) -> tuple[int, str]:
    raw = json.dumps(body).encode()
    plan = engine.receive(vendor, SimulatedRequest("POST", path, {}, headers(vendor), raw), 0.0, 1)
    return plan.status, plan.body.decode()


@pytest.fixture(scope="module")
def engine():
    return Engine({name: half for half in halves() for name in half.names})


@pytest.mark.parametrize("vendor", VENDORS)
def test_full_requests_are_taken(engine, vendor):
    """The requests below are right as they stand, so that it is their changes that are refused."""
    path, body = full(vendor)
    if vendor in ("perplexity", "lmstudio"):
        body["messages"] = body["messages"][-1:]
    assert status(engine, vendor, path, body)[0] == 200, status(engine, vendor, path, body)
    for path, body in others(vendor):
        assert status(engine, vendor, path, body)[0] == (404 if vendor == "deepseek" else 200), path


@pytest.mark.parametrize("vendor", [*OPENAI[:3], "perplexity", "deepseek", "anthropic", "google", "ollama", "cohere"])
def test_nothing_breaks_a_simulated_half(engine, vendor):
    """Every part of every request replaced by every kind of junk: answered or refused with a 4xx, and never an exception."""
    seen = set()
    for path, whole in [full(vendor), *others(vendor)]:
        for number in range(len(places(whole))):
            for junk in JUNK:
                body = copy.deepcopy(whole)
                container, key = places(body)[number]
                container[key] = copy.deepcopy(junk)
                code, said = status(engine, vendor, path, body)
                assert code == 200 or 400 <= code < 500, (path, body, said)
                seen.add(code)
            body = copy.deepcopy(whole)
            container, key = places(body)[number]
            del container[key]
            assert status(engine, vendor, path, body)[0] < 500
    assert {200, 400} <= seen or vendor == "mistral"


@pytest.mark.parametrize("vendor", ["openai", "anthropic", "google", "ollama", "cohere"])
def test_nor_do_several_changes(engine, vendor):
    chance = random.Random(7)
    for _ in range(300):
        path, body = full(vendor)
        body = copy.deepcopy(body)  # it shares parts with others
        for _ in range(chance.randint(2, 4)):
            container, key = chance.choice(places(body))
            container[key] = copy.deepcopy(chance.choice(JUNK))
        code, said = status(engine, vendor, path, body)
        assert code < 500, (body, said)
