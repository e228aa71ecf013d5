"""Real vendors: ``pytest -m live tests/live``, with their keys in the environment under their usual names.

========================================  =================================================================================
``OPENAI_API_KEY``, ...                   the vendor's key, under the names its provider lists; without it the vendor is skipped
``LLMKIT_LIVE_<PROVIDER>_MODEL``          the model, where not the cheap one of the table below
``LLMKIT_LIVE_<PROVIDER>_EMBED_MODEL``    the model for embeddings; without one these are tested only where the table has one
``LLMKIT_LIVE_BASE_URL_<PROVIDER>``       the vendor's address, where not its own; local servers are tested only with one
========================================  =================================================================================

A run asks each vendor a dozen questions of a few words, with answers of at most 64 tokens (1,000 where a model may think first).
"""

from __future__ import annotations

import os

import pytest

from llmkit import FinishReason, Instance, Message, Tool
from tests.support.colours import Both, Colour, colour
from tests.support.vendors import VENDORS, provider

__all__ = ["colour"]

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

MODELS = {
    "anthropic": "claude-haiku-4-5",
    "azure_openai": "gpt-4o-mini",
    "cohere": "command-r7b-12-2024",
    "deepseek": "deepseek-flash",
    "google": "gemini-2.5-flash-lite",
    "groq": "openai/gpt-oss-20b",
    "mistral": "mistral-small-latest",
    "openai": "gpt-5.4-nano",
    "openrouter": "google/gemini-2.5-flash-lite",
    "perplexity": "perplexity/sonar",
    "together": "openai/gpt-oss-120b",
    "xai": "grok-4.20-non-reasoning",
}
"""A cheap model of each vendor that is not retired by the pages that llmkit/cli/demo_live.py names; on Azure, a deployment's
name."""
EMBED_MODELS = {
    "cohere": "embed-v4.0",
    "google": "gemini-embedding-001",
    "mistral": "mistral-embed",
    "openai": "text-embedding-3-small",
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
WEATHER = Tool("weather", "Tells the weather in a city.", CITY)
ASK_WEATHER = 'What is the weather in Oslo? Call the tool like this: call:weather {"city": "Oslo"}'


def environment(name: str) -> tuple[str | None, str | None, str | None]:
    """Key, address and the variable that is missing, for a vendor."""
    vendor, own = provider(name), f"LLMKIT_LIVE_BASE_URL_{name.upper()}"
    key = next((os.environ[one] for one in vendor.key_names if os.environ.get(one)), None)
    named = next((vendor.base_url_from(os.environ[one]) for one in vendor.base_url_names if os.environ.get(one)), None)
    address = os.environ.get(own) or named
    if vendor.needs_key and not key:
        return None, address, " or ".join(vendor.key_names)
    local = not vendor.needs_key or not vendor.base_url
    return key, address, own if local and not address else None


class Vendor:
    """One vendor, and a client of it."""

    def __init__(self, name: str, colour: Colour) -> None:
        key, address, missing = environment(name)
        if missing:
            pytest.skip(f"{missing} is not set")
        variable = f"LLMKIT_LIVE_{name.upper()}_MODEL"
        model = os.environ.get(variable) or MODELS.get(name)
        if model is None:
            pytest.skip(f"{variable} is not set")
        self.name = name
        self.features = provider(name).features
        instances = [Instance(name, model, api_key=key, base_url=address, name="chat")]
        self.embeds = os.environ.get(f"LLMKIT_LIVE_{name.upper()}_EMBED_MODEL") or EMBED_MODELS.get(name)
        if self.embeds:
            instances.append(Instance(name, self.embeds, api_key=key, base_url=address, name="embed"))
        self.client: Both = colour.real(instances, timeout=120, retries=2)

    def options(self, tokens: int = 64) -> dict[str, int]:
        """A bound on the cost."""
        return {"max_tokens": tokens} if "max_tokens" in self.features else {}

    def needs(self, *features: str) -> None:
        lacking = [feature for feature in features if feature not in self.features]
        if lacking:
            pytest.skip(f"{self.name} has no {', '.join(lacking)}")


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest, colour: Colour) -> Vendor:
    """One vendor in one colour."""
    return Vendor(request.param, colour)


def counted(answer) -> bool:
    usage = answer.usage
    return usage.prompt_tokens > 0 < usage.completion_tokens and usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_generate(vendor: Vendor):
    answer = vendor.client.generate(
        [Message.system("Answer with one word."), Message.user("Say hello.")], instance="chat", **vendor.options(1000)
    )
    assert answer.text.strip()
    assert answer.finish_reason in (FinishReason.STOP, FinishReason.LENGTH)
    assert counted(answer)
    assert vendor.client.usage()[0].usage == answer.usage


def test_stream(vendor: Vendor):
    vendor.needs("stream")
    with vendor.client.stream("Count from one to ten in words.", instance="chat", **vendor.options(1000)) as stream:
        text = "".join([event.text for event in stream])
        answer = stream.completion()
    assert text == answer.text != ""
    assert answer.finish_reason in (FinishReason.STOP, FinishReason.LENGTH)
    assert counted(answer)


def test_length(vendor: Vendor):
    """A small limit is kept and told."""
    vendor.needs("max_tokens")
    prompt = "Write a story about the sea and everybody on it, a hundred words at least, and take all the time you need for it."
    answer = vendor.client.generate(prompt, instance="chat", max_tokens=16)
    assert answer.finish_reason in (FinishReason.LENGTH, FinishReason.STOP)
    assert counted(answer)


def test_tools(vendor: Vendor):
    """A call and its result."""
    vendor.needs("tools")
    options = {"instance": "chat", "tools": [WEATHER], **vendor.options(1000)}
    asked = vendor.client.generate(ASK_WEATHER, **options)
    assert asked.finish_reason is FinishReason.TOOL_CALLS
    first = asked.tool_calls[0]
    assert (first.name, set(first.arguments)) == ("weather", {"city"})
    results = [Message.tool(call, "sunny, 20 degrees") for call in asked.tool_calls]
    told = vendor.client.generate([Message.user(ASK_WEATHER), asked.message, *results], **options)
    assert told.text or told.tool_calls
    assert counted(told)


def test_streamed_tools(vendor: Vendor):
    vendor.needs("tools", "stream")
    options = {"instance": "chat", "tools": [WEATHER], **vendor.options(1000)}
    with vendor.client.stream(ASK_WEATHER, **options) as stream:
        asked = stream.completion()
    assert asked.finish_reason is FinishReason.TOOL_CALLS
    assert asked.tool_calls[0].valid
    assert asked.tool_calls[0].name == "weather"


def test_list_models(vendor: Vendor):
    vendor.needs("models")
    models = vendor.client.list_models("chat")
    assert models
    assert all(model.id and model.provider == vendor.name for model in models)


def test_embeddings(vendor: Vendor):
    vendor.needs("embeddings")
    if not vendor.embeds:
        pytest.skip(f"LLMKIT_LIVE_{vendor.name.upper()}_EMBED_MODEL is not set")
    found = vendor.client.embed(["one", "two"], instance="embed")
    assert len(found.vectors) == 2
    assert len(found.vectors[0]) == len(found.vectors[1]) > 0
