"""What a client counts: here by itself, or at the vendor."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from llmkit import (
    AsyncClient,
    Client,
    ConfigError,
    ContextLengthError,
    Instance,
    InvalidRequestError,
    Message,
    Tool,
    UnsupportedParameterError,
    hookimpl,
)
from llmkit.testing import MockClient
from llmkit.tokens.encodings import get_encoding
from llmkit.wire.http import HttpReply
from tests.recordings.cases import EVERY_CASE
from tests.support.colours import Colour, chat, openai, sent

OPENAI = Instance("openai", "gpt-4o", api_key="k")
CLAUDE = Instance("anthropic", "claude-sonnet-4-5", api_key="k", name="claude")


def silent(request):
    raise AssertionError(f"{request.url} was asked")


def test_counted_here(colour: Colour):
    """What generate would send, by the rules of the client's model; nothing is sent."""
    client = colour.scripted(silent, [OPENAI, CLAUDE])
    found = client.count_tokens("Hi")
    assert (found, found.exact, found.by) == (8, True, "tiktoken o200k_base + OpenAI's message rules")
    assert client.count_tokens("Hi", "gpt-4") == 8
    assert client.count_tokens([Message.user("Hi")], system="Be brief.") == 15
    assert not client.count_tokens("Hi", instance="claude").exact
    assert "Claude" in client.count_tokens("Hi", "anthropic/claude-opus-4-7").by
    assert client.count_tokens("Hi", tools=[Tool("f")]) > 8
    long = "The quick brown fox. " * 20_000
    assert client.count_tokens(long) == len(get_encoding("o200k_base").encode_ordinary(long)) + 7


def test_exact_here_is_exact_enough(colour: Colour):
    """The vendor is not asked for what llmkit counts exactly."""
    client = colour.scripted(silent, [OPENAI])
    assert client.count_tokens("Hi", exact=True) == 8
    with pytest.raises(UnsupportedParameterError, match=r"does not support count_tokens.*the estimate is \d+") as caught:
        client.count_tokens("Hi", tools=[Tool("f")], exact=True)
    assert caught.value.parameters == ("count_tokens",)


def test_asked_of_the_vendor(colour: Colour):
    sent = []

    def answer(request):
        sent.append((request.url, json.loads(request.body), request.headers.get("x-api-key")))
        return HttpReply(200, {}, b'{"input_tokens": 2095}')

    client = colour.scripted(answer, [OPENAI, CLAUDE])
    tool = Tool("f", "does it", {"type": "object", "properties": {}})
    found = client.count_tokens("Hi", instance="claude", system="Be brief.", tools=[tool], exact=True)
    assert (found, found.exact, found.by) == (2095, True, "Anthropic's count_tokens")
    assert client.count_tokens("Hi", "anthropic/claude-sonnet-4-5", exact=True) == 2095
    url, body, key = sent[0]
    assert (url, key) == ("https://api.anthropic.com/v1/messages/count_tokens", "k")
    assert sorted(body) == ["messages", "model", "system", "tools"]


@pytest.mark.parametrize(("body", "said"), [(b"{}", "no number"), (b'{"input_tokens": -1}', "no number"), (b"[", "JSON")])
def test_an_answer_that_is_none(colour: Colour, body: bytes, said: str):
    client = colour.scripted(lambda request: HttpReply(200, {}, body), [CLAUDE], retries=0)
    with pytest.raises(Exception, match=said):
        client.count_tokens("Hi", exact=True)


def test_bad_arguments(colour: Colour):
    client = colour.scripted(silent, [Instance("openai", "*", api_key="k")])
    for wrong in ({"instance": "nobody"}, {}, {"instance": "openai/*"}):
        with pytest.raises(ConfigError, match="model: whose tokens"):
            client.count_tokens("Hi", **wrong)
    for wrong in ({"timeout": -1}, {"system": 5}, {"tools": 5}, {"model": 5}, {"model": "a b"}):
        with pytest.raises((InvalidRequestError, ConfigError)):
            client.count_tokens("Hi", **{"model": "gpt-4o", **wrong})
    with pytest.raises(InvalidRequestError):
        client.count_tokens([], "gpt-4o")


def test_registered_tokenizers(colour: Colour):
    """The hook's tokenizers are used, by that client alone."""

    class Plugin:
        @hookimpl
        def llmkit_register_tokenizers(self):
            return {"gpt-4o": lambda text: 1000 * len(text)}

    client = colour.scripted(silent, [OPENAI], plugins=[Plugin()])
    found = client.count_tokens("Hi")
    assert (found, found.exact) == (2007, False)
    assert "registered for openai/gpt-4o" in found.by
    assert colour.scripted(silent, [OPENAI]).count_tokens("Hi") == 8


def test_no_key_is_needed_to_count_here():
    with Client(environ={}, plugins=[]) as client:
        assert client.count_tokens("Hi", "openai/gpt-4o") == 8
        with pytest.raises(ConfigError, match="key"):
            client.count_tokens("Hi", "anthropic/claude-opus-4-6", exact=True)


def test_the_mock_vendor_counts():
    assert MockClient(["fine"]).count_tokens("one two", "mock", exact=True) == 2


def test_the_loop_is_not_held_up():
    """A megabyte, and the worst texts known, are counted in a thread, in pieces: the loop waits at most 50 ms. The least of five
    longest waits, since other programs' turns on a busy machine are none of llmkit's."""
    get_encoding("o200k_base")
    texts = ["The quick brown fox. " * 50_000, "a" * 1_000_000, "字" * 400_000, " " * 1_500_000, "😀" * 300_000]

    async def longest_wait(client: AsyncClient, text: str) -> float:
        task = asyncio.create_task(client.count_tokens(text))
        worst = 0.0
        while not task.done():
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            worst = max(worst, time.perf_counter() - began)
        assert await task > 1000
        return worst

    async def main() -> None:
        async with AsyncClient([OPENAI], plugins=[], environ={}) as client:
            for text in texts:
                assert min([await longest_wait(client, text) for _ in range(5)]) < 0.05, text[:10]

    asyncio.run(main())


COUNTED = [case for case in EVERY_CASE if case.kind == "count_tokens" and case.status == 200]


@pytest.mark.skipif(not COUNTED, reason="no recordings; LLMKIT_RECORDINGS may name their folder")
def test_recorded_counts():
    """Recorded replies are read, and what llmkit sends holds what the recorded client sent."""
    from llmkit.plugins.registry import REGISTRY
    from llmkit.values.calls import Deadline
    from llmkit.values.other_calls import CountCall
    from tests.recordings.asked import CHATS

    for case in COUNTED:
        provider = REGISTRY.get(case.provider)
        asked = dict((case.request or {}).get("generateContentRequest") or case.request or {})
        system = asked.get("systemInstruction")
        if system and isinstance(system["parts"], dict):  # a single part may stand without its list
            asked["systemInstruction"] = {"parts": [system["parts"]]}
        messages, options = CHATS["anthropic" if case.provider == "anthropic" else "gemini"](asked, case.provider)
        call = CountCall(deadline=Deadline(1e9, 600), messages=messages, options=options)
        found = provider.decode(call, HttpReply(case.status, case.headers, case.body))
        assert (found, found.exact) == (case.expected["tokens"], True), case.id
        request = provider.encode(call, Instance(case.provider, case.model, api_key="k"))
        assert request.url.endswith(case.path.rpartition("/")[2]), case.id
        sent = json.loads(request.body)
        sent = sent.get("generateContentRequest", sent)
        assert set(sent) >= {name for name in ("messages", "contents", "tools", "system") if asked.get(name)}, case.id


def test_a_prompt_that_is_too_long_is_not_sent(colour: Colour):
    """The error names the overflow; a larger model that can serve the call gets it instead; an unknown model takes anything."""
    instances = [openai(name="small", model="gpt-4o-mini"), openai(name="unknown", model="my-own")]
    client = colour.scripted(lambda request: chat("here"), instances)
    words = "word " * 140_000

    with pytest.raises(ContextLengthError, match=r"gpt-4o-mini: the prompt has 140,\d{3} tokens, 12,\d{3} over its context window"):
        client.generate(words, instance="small", retries=0)
    with pytest.raises(ContextLengthError), client.stream(words, instance="small"):
        pass
    assert sent(client) == []
    assert client.generate(words, retries=0).instance == "unknown"
    assert client.generate("word " * 100_000, instance="small").text == "here"
