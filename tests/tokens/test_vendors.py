"""What vendors are sent for a count, and what they answer, beside the common form that tests/conformance covers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmkit import Image, Instance, InvalidRequestError, InvalidResponseError, JsonSchema, Message, Options, Tool, ToolResult
from llmkit.errors import UnsupportedParameterError
from llmkit.plugins.registry import REGISTRY
from llmkit.values.calls import Deadline
from llmkit.values.other_calls import CountCall
from llmkit.wire.http import HttpReply

SAID = (Message.system("Be brief."), Message.user("one two"))
TOOL = Tool("weather", "Weather.", {"type": "object", "properties": {"city": {"type": "string"}}})
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def call(*messages: Message, **options: Any) -> CountCall:
    return CountCall(deadline=Deadline(1e9, 600), messages=messages or SAID, options=Options(**options))


def sent(provider: str, asked: CountCall, **instance: Any) -> tuple[str, dict[str, Any]]:
    request = REGISTRY.get(provider).encode(asked, Instance(provider, "m", api_key="k", **instance))
    return request.url, json.loads(request.body or b"")


def read(provider: str, body: Any) -> Any:
    return REGISTRY.get(provider).decode(call(), HttpReply(200, {}, json.dumps(body).encode()))


def test_anthropic():
    """What shapes the prompt goes along; what shapes the answer does not."""
    asked = call(
        tools=[TOOL], tool_choice="required", max_tokens=5, temperature=1, stop=["x"], response_format=JsonSchema(SCHEMA),
        extra={"thinking": {"type": "enabled", "budget_tokens": 1024}, "metadata": {"user_id": "u"}, "max_tokens": 9},
    )  # fmt: skip
    url, body = sent("anthropic", asked)
    assert url == "https://api.anthropic.com/v1/messages/count_tokens"
    assert sorted(body) == ["messages", "model", "output_config", "system", "thinking", "tool_choice", "tools"]


def test_anthropic_on_vertex():
    root = "https://europe-west1-aiplatform.googleapis.com/v1/projects/P/locations/europe-west1"
    url, body = sent("anthropic", call(), base_url=root, settings={"vertex": True})
    assert url == f"{root}/publishers/anthropic/models/count-tokens:rawPredict"
    assert (body["model"], body["anthropic_version"]) == ("m", "vertex-2023-10-16")


def test_gemini():
    url, body = sent("google", call(tools=[TOOL], temperature=1, extra={"cachedContent": "c", "labels": {"a": "b"}}))
    assert url == "https://generativelanguage.googleapis.com/v1beta/models/m:countTokens"
    assert list(body) == ["generateContentRequest"]
    inner = body["generateContentRequest"]
    assert sorted(inner) == ["cachedContent", "contents", "model", "systemInstruction", "tools"]
    assert inner["model"] == "models/m"


def test_gemini_on_vertex():
    root = "https://aiplatform.googleapis.com/v1/projects/P/locations/L"
    url, body = sent("google", call(), base_url=root)
    assert url == f"{root}/publishers/google/models/m:countTokens"
    assert sorted(body) == ["contents", "systemInstruction"]


@pytest.mark.parametrize(("provider", "settings"), [("vllm", {}), ("openai_compatible", {"tokenize": "vllm"})])
def test_vllm(provider: str, settings: dict[str, str]):
    url, body = sent(provider, call(tools=[TOOL]), base_url="http://localhost:8000/v1", settings=settings)
    assert url == "http://localhost:8000/tokenize"
    assert sorted(body) == ["messages", "model", "tools"]
    found = read(provider, {"count": 12, "max_model_len": 4096, "tokens": [1] * 12})
    assert (found, found.exact, found.by) == (12, True, "vLLM's tokenize")


def test_llama_cpp():
    url, body = sent("openai_compatible", call(), base_url="http://localhost:8080/v1", settings={"tokenize": "llama.cpp"})
    assert (url, body) == ("http://localhost:8080/tokenize", {"content": "Be brief.\none two", "add_special": True})
    found = read("openai_compatible", {"tokens": [1, 2, 3]})
    assert (found, found.exact) == (3, False)
    with pytest.raises(UnsupportedParameterError):
        sent("openai_compatible", call(), base_url="http://localhost:8080/v1")


def test_texts_only():
    """Vendors that tokenize texts refuse what is none before anything is sent."""
    for wrong in (call(Message.user("x", Image(url="https://a/b.png"))), call(tools=[TOOL]), call(Message.user("x" * 70_000))):
        with pytest.raises(InvalidRequestError, match="count_tokens: this vendor"):
            sent("cohere", wrong)
    assert sent("cohere", call(Message("tool", ToolResult("c", "sunny"))))[1]["text"] == "sunny"
    assert not read("cohere", {"tokens": [1, 2]}).exact


@pytest.mark.parametrize("provider", ["anthropic", "google", "cohere", "vllm", "openai_compatible"])
@pytest.mark.parametrize("body", [{}, {"input_tokens": None}, {"totalTokens": "5"}, {"tokens": 5}, {"count": True}, {"count": -1}])
def test_replies_that_make_no_sense(provider: str, body: dict[str, Any]):
    with pytest.raises(InvalidResponseError):
        read(provider, body)
