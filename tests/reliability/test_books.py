"""The client's books equal the vendors', to the token: a mixed batch in either colour. ``LLMKIT_LONG=1`` makes it long."""

from __future__ import annotations

from typing import Any

from llmkit import Instance, LLMError
from llmkit.simulator import Simulator
from tests.reliability.conftest import LONG
from tests.support.colours import Colour

COUNT = 10_000 if LONG else 300
VENDORS = {"openai": "gpt-4o-mini", "anthropic": "claude-3-5-haiku-latest", "mistral": "mistral-small-latest"}


def test_the_books_are_the_vendors(colour: Colour):
    """Whole answers in batches and streams, three vendors, two keys each, with limits; some requests are refused on the way."""
    with Simulator(seed=5) as simulator:
        for vendor in VENDORS:
            simulator.fail("500", vendor=vendor, rate=0.05)
            simulator.fail("429;retry-after=0", vendor=vendor, rate=0.05)
        shared = {"api_keys": ["sk-books-one", "sk-books-two"], "rpm": 10**6, "max_concurrency": 20}
        instances = [
            Instance(vendor, model, name=vendor, base_url=simulator.base_url(vendor), **shared) for vendor, model in VENDORS.items()
        ]
        client = colour.real(instances, retries=6, retry_initial_delay=0.01, retry_budget=None, breaker=False, strategy="random")
        questions = [f"question {number} {'more ' * (number % 7)}" for number in range(COUNT)]
        answers: list[Any] = client.batch(questions, concurrency=20)
        for number in range(COUNT // 5):
            with client.stream(f"stream {number} {'more ' * (number % 5)}") as stream:
                answers.append(stream.completion())

        assert not [answer for answer in answers if isinstance(answer, LLMError)]
        for row in client.usage():
            books = simulator.ledger.account(row.instance)
            mine = [answer.usage for answer in answers if answer.instance == row.instance]
            assert mine
            assert row.calls == len(mine) == books["ok"]
            assert row.usage.prompt_tokens == sum(usage.prompt_tokens for usage in mine) == books["prompt_tokens"]
            assert row.usage.completion_tokens == sum(usage.completion_tokens for usage in mine) == books["completion_tokens"]
            assert sum(books["errors"].values()) == sum(
                attempt.error is not None for answer in answers for attempt in answer.attempts if attempt.instance == row.instance
            )
