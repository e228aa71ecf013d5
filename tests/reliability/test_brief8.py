"""Eight faults at 10 % each, on real sockets: one outcome for each request, success as the maths allows, and books that balance."""

from __future__ import annotations

import asyncio
import math
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from llmkit import AsyncClient, Client, Completion, Instance, LLMError, StreamInterrupted, Timeouts
from tests.reliability.conftest import LONG
from tests.support.remote import Remote

FAULTS = ("429;retry-after-ms=20", "500", "reset", "reset_body", "cut:1", "garbage", "slow:0.05", "stall")
RATE = 0.1
TRIES = 8
REQUESTS = int(os.environ.get("LLMKIT_BRIEF8", "100000" if LONG else "600"))
PATIENCE = 0.5
"""Seconds for one try; slow and silent ones take all of them."""
WORDS = 4
"""In every prompt, and so in every answer."""


def rules() -> list[dict[str, Any]]:
    """Rules are tried one after the other, so that each needs its share of what those before it have left."""
    return [{"fault": fault, "rate": RATE / (1 - RATE * number)} for number, fault in enumerate(FAULTS)]


def least(streamed: bool, requests: int) -> float:
    """The smallest share of successes that the maths allows, three standard deviations down.

    A stream that breaks after its first content (``reset_body``, ``cut``) is over; every other fault is tried again.
    """
    good, over = 1 - RATE * len(FAULTS), 2 * RATE if streamed else 0.0
    again = 1 - good - over
    share = good * (1 - again**TRIES) / (1 - again)
    return share - 3 * math.sqrt(share * (1 - share) / requests)


def settings(calm: Remote) -> tuple[list[Instance], dict[str, Any]]:
    keys = [f"key-{number}" for number in range(256)]  # so that a key that rests is never waited for
    instances = [Instance("openai", "m", api_keys=keys, base_url=calm.base_url())]
    more = {"retries": TRIES - 1, "retry_initial_delay": 0.001, "timeouts": Timeouts(attempt=PATIENCE), "timeout": 60.0}
    return instances, {**more, "breaker": False, "retry_budget": None, "plugins": [], "environ": {}}


def prompt(number: int) -> str:
    return f"question {number} one two"


def ask_all(colour: str, streamed: bool, calm: Remote) -> tuple[list[Any], Any]:
    """Every request's outcome, in order, and the client's books."""
    instances, more = settings(calm)
    if colour == "sync":
        with Client(instances, **more) as client, ThreadPoolExecutor(64) as pool:

            def ask(number: int) -> Any:
                try:
                    return client.stream(prompt(number)).completion() if streamed else client.generate(prompt(number))
                except Exception as error:
                    return error

            return list(pool.map(ask, range(REQUESTS))), client.usage()[0]

    async def main() -> tuple[list[Any], Any]:
        room = asyncio.Semaphore(128)

        async def ask(number: int) -> Any:
            async with room:
                try:
                    if streamed:
                        return await client.stream(prompt(number)).completion()
                    return await client.generate(prompt(number))
                except Exception as error:
                    return error

        async with AsyncClient(instances, **more) as client:
            return await asyncio.gather(*[ask(number) for number in range(REQUESTS)]), client.usage()[0]

    return asyncio.run(main())


@pytest.mark.timeout(7200 if LONG else 120)
@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_one_outcome_each(calm: Remote, colour: str, streamed: bool):
    calm.clear()
    calm.fail(*rules())
    try:
        outcomes, row = ask_all(colour, streamed, calm)
        assert calm.idle()
        books = calm.books()
    finally:
        calm.clear()
    whole = [one for one in outcomes if isinstance(one, Completion)]
    failed = [one for one in outcomes if isinstance(one, LLMError)]
    foreign = [one for one in outcomes if not isinstance(one, (Completion, LLMError))]
    assert foreign == []
    assert len(whole) + len(failed) == REQUESTS

    for number, one in enumerate(outcomes):
        if isinstance(one, Completion):
            assert one.text == prompt(number)
        elif isinstance(one, StreamInterrupted):
            assert prompt(number).startswith(one.partial.text)
            assert one.partial.text
        assert len(one.attempts) <= TRIES
    assert len(whole) / REQUESTS >= least(streamed, REQUESTS)

    served = Counter(books["served"])
    for number, one in enumerate(outcomes):
        spare = served.pop(prompt(number), 0) - isinstance(one, Completion)
        ambiguous = sum([attempt.ambiguous for attempt in one.attempts])
        assert 0 <= spare <= ambiguous, "an answer was lost or served twice, and no attempt says so"
    assert not served

    doubled = books["ok"] - len(whole)
    assert row.calls == len(whole)
    assert row.usage.prompt_tokens == books["prompt_tokens"] - doubled * WORDS == WORDS * len(whole)
    assert row.usage.completion_tokens == books["completion_tokens"] - doubled * WORDS == WORDS * len(whole)
    assert row.usage == sum([one.usage for one in whole[1:]], whole[0].usage)
    tries = sum([len(one.attempts) for one in outcomes])
    assert row.calls + row.errors == tries
    assert books["calls"] - tries <= books["errors"]["reset"], "only a kept connection that is reset is tried again unseen"
