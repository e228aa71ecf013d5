"""How to test code that uses llmkit: ``pytest testing_your_app.py``. Needs no key and no network."""

from __future__ import annotations

import pytest

from llmkit import Client, Instance, LLMError, NetworkError, RateLimitError, StreamInterrupted
from llmkit.testing import AsyncMockClient, MockClient


def headline(client: Client, text: str) -> str:
    """The code under test: it takes the client that it uses."""
    try:
        return client.generate(f"A headline for: {text}", max_tokens=20, temperature=0).text.strip()
    except LLMError:
        return text[:20]


def test_an_answer() -> None:
    """The answer is used, and the question was asked as meant."""
    client = MockClient([" Rain stops \n"])

    assert headline(client, "It has stopped raining.") == "Rain stops"
    assert client.calls[0].options.max_tokens == 20


def test_a_retry() -> None:
    """A rate limit is waited out by llmkit, on the mock's own clock: the test takes no time."""
    client = MockClient([RateLimitError("slow down", retry_after=30), "Rain stops"])

    assert headline(client, "It has stopped raining.") == "Rain stops"
    assert len(client.calls) == 2


def test_a_failure() -> None:
    """Where every try fails the text itself is the headline."""
    client = MockClient([RateLimitError("slow down")] * 4)

    assert headline(client, "It has stopped raining.") == "It has stopped raini"


def test_a_broken_stream() -> None:
    """What had come is kept."""
    client = MockClient([["Once ", "upon", NetworkError("gone")]])

    with pytest.raises(StreamInterrupted) as caught, client.stream("A story") as stream:
        list(stream)

    assert caught.value.partial is not None
    assert caught.value.partial.text == "Once upon"


def test_async_code() -> None:
    """The async twin."""
    import asyncio

    async def ask() -> str:
        async with AsyncMockClient(lambda call: f"heard: {call.messages[-1].text}") as client:
            return (await client.generate("Hello")).text

    assert asyncio.run(ask()) == "heard: Hello"


def test_over_real_http(llmkit_simulator) -> None:
    """The fixture comes with llmkit: a server that speaks the vendor's wire, with a failure on demand."""
    llmkit_simulator.fail("503", vendor="openai", times=1)
    here = llmkit_simulator.base_url("openai")

    with Client([Instance("openai", "gpt-4o-mini", api_key="k1", base_url=here)], retry_initial_delay=0.01) as client:
        assert headline(client, "Sun") == "A headline for: Sun"

    assert llmkit_simulator.ledger.account("openai", "k1")["calls"] == 2
