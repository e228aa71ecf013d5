"""``cache_prompt``: each vendor is asked in its own way, and the simulated vendors take it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmkit import Client, Instance, InvalidRequestError, Message, Reasoning, Text, Tool
from llmkit.cache.keys import Keys
from llmkit.plugins.registry import REGISTRY
from llmkit.simulator import Simulator

MARK = {"type": "ephemeral"}


def body(provider: str, prompt: Any = "Hi", **options: Any) -> dict[str, Any]:
    with Client([Instance(provider, "m", api_key="k")], plugins=[], environ={}) as client:
        call = client._chat_call(prompt, {"cache_prompt": True, **options})
        found: dict[str, Any] = json.loads(REGISTRY.get(provider).encode(call, client.instances[0]).body or b"")
        return found


def test_anthropic_marks_the_ends():
    said = body("anthropic", system="Be brief.", tools=[Tool("f")])
    assert said["system"] == [{"type": "text", "text": "Be brief.", "cache_control": MARK}]
    assert said["messages"][-1]["content"] == [{"type": "text", "text": "Hi", "cache_control": MARK}]
    assert "cache_control" not in said["tools"][0]
    assert body("anthropic", tools=[Tool("f")])["tools"][0]["cache_control"] == MARK
    own = {"type": "ephemeral", "ttl": "1h"}
    kept = body("anthropic", [Message.user(Text("a", {"anthropic": {"cache_control": own}}))])
    assert kept["messages"][0]["content"][0]["cache_control"] == own
    thought = Message.assistant(Text("a"), Reasoning("t", "s", provider="anthropic"))
    blocks = body("anthropic", [Message.user("q"), thought])["messages"][-1]["content"]
    assert [block.get("cache_control") for block in blocks] == [MARK, None]


def test_openai_gets_the_same_key_for_what_begins_alike():
    keys = [body("openai", prompt, system="Be brief.")["prompt_cache_key"] for prompt in ("a", "b")]
    assert keys[0] == keys[1] != body("openai", system="Be long.")["prompt_cache_key"]
    assert body("openai", extra={"prompt_cache_key": "mine"})["prompt_cache_key"] == "mine"


@pytest.mark.parametrize("provider", ["google", "groq", "mistral", "cohere", "ollama", "deepseek"])
def test_others_are_not_told(provider: str):
    with Client([Instance(provider, "m", api_key="k")], plugins=[], environ={}) as client:
        made = [client._chat_call("Hi", given) for given in ({"cache_prompt": True}, {})]
        encode = REGISTRY.get(provider).encode
        assert encode(made[0], client.instances[0]).body == encode(made[1], client.instances[0]).body
        keys = Keys("", lambda call: None)
        assert keys.of_call(made[0]) is not None


def test_simulated_vendors_take_it():
    with Simulator() as simulator:
        for vendor in ("anthropic", "openai"):
            instance = Instance(vendor, "m", api_key="sk-simulated-0123456789", base_url=simulator.base_url(vendor))
            with Client([instance], plugins=[]) as client:
                assert client.generate("Hi", system="Be brief.", cache_prompt=True).text


def test_a_wrong_wish_is_refused():
    with pytest.raises(InvalidRequestError, match="cache_prompt: expected True or False"):
        body("openai", cache_prompt="yes")
