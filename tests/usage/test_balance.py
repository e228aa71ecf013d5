"""R14: the client's books are the vendor's, to the token, through faults, cuts, streams that are left, and both colours.

2,000 calls; with ``LLMKIT_LONG=1``, 100,000.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llmkit import AsyncClient, Budget, Client, Completion, Instance, LLMError, StreamInterrupted, Task, Usage
from llmkit.observe.rows import grouped, saving_at
from llmkit.observe.store import UsageStore
from llmkit.simulator import Simulator
from tests.usage.conftest import price_of

CALLS = 100_000 if os.environ.get("LLMKIT_LONG", "0") not in ("", "0") else 2_000
KEYS = tuple(f"sk-balance-{number}-0123456789" for number in range(3))
MODELS = {"openai": "gpt-4o", "anthropic": "claude-haiku-4-5"}
TASKS = (None, "short", "long")
TAGS = ((), ("night",), ("night", "batch"))


@pytest.fixture
def vendor() -> Iterator[Simulator]:
    with Simulator() as running:
        for fault, chance in (("429;retry-after=0", 0.03), ("500", 0.03), ("reset", 0.02), ("cut:2", 0.03), ("garbage", 0.01)):
            running.fail(fault, rate=chance)
        yield running


def instances(vendor: Simulator) -> list[Instance]:
    shared: dict[str, Any] = {"api_keys": KEYS, "tasks": ["short", "long"], "max_concurrency": 16}
    return [
        Instance(provider, model, base_url=vendor.base_url(provider), name=model, **shared)
        for provider, model in MODELS.items()
    ]


SETTINGS: dict[str, Any] = {
    "tasks": [Task("short", max_tokens=50), Task("long")],
    "plugins": [],
    "retries": 6,
    "retry_initial_delay": 0.001,
    "retry_max_delay": 0.002,
    "budget": Budget(tokens=10**12, window=None),
}


class Tally:
    """What the callers saw."""

    def __init__(self) -> None:
        self.whole: Counter[tuple[str, Any]] = Counter()
        self.tokens: Counter[tuple[str, Any]] = Counter()
        self.interrupted = 0
        self.partial = 0
        self.attempts = 0

    def answer(self, answer: Completion, task: Any, tags: Any) -> None:
        assert answer.usage is not None
        for place in (("task", task), ("instance", answer.instance), *[("tag", tag) for tag in tags or (None,)]):
            self.whole[place] += 1
            self.tokens[place] += answer.usage.total_tokens

    def broke(self, partial: Completion | None) -> None:
        self.interrupted += 1
        self.partial += partial.usage.total_tokens if partial is not None and partial.usage is not None else 0


def plan(number: int) -> tuple[str, dict[str, Any], str]:
    rng = random.Random(number)
    options: dict[str, Any] = {"tags": rng.choice(TAGS)}
    if task := rng.choice(TASKS):
        options["task"] = task
    return f"question {number} " + "word " * rng.randrange(20), options, rng.choice(("whole", "stream", "stream", "leave"))


def ask(client: Client, tally: Tally, number: int) -> None:
    prompt, options, how = plan(number)
    try:
        if how == "whole":
            tally.answer(client.generate(prompt, **options), options.get("task"), options["tags"])
            return
        with client.stream(prompt, **options) as stream:
            if how == "leave":
                next(stream)
                return
            for _ in stream:
                pass
        tally.answer(stream.completion(), options.get("task"), options["tags"])
    except StreamInterrupted as error:
        tally.broke(error.partial)
    except LLMError:
        pass


async def aask(client: AsyncClient, tally: Tally, number: int) -> None:
    prompt, options, how = plan(number)
    try:
        if how == "whole":
            tally.answer(await client.generate(prompt, **options), options.get("task"), options["tags"])
            return
        async with client.stream(prompt, **options) as stream:
            if how == "leave":
                await stream.__anext__()
                return
            async for _ in stream:
                pass
        tally.answer(await stream.completion(), options.get("task"), options["tags"])
    except StreamInterrupted as error:
        tally.broke(error.partial)
    except LLMError:
        pass


def sync_run(vendor: Simulator, tally: Tally, path: Path) -> Any:
    client = Client(instances(vendor), usage_db=path, **SETTINGS)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: ask(client, tally, number), range(CALLS)))
    client.close()
    return client


def async_run(vendor: Simulator, tally: Tally, path: Path) -> Any:
    async def main() -> Any:
        client = AsyncClient(instances(vendor), usage_db=path, **SETTINGS)
        numbers = iter(range(CALLS))

        async def work() -> None:
            for number in numbers:
                await aask(client, tally, number)

        await asyncio.gather(*[work() for _ in range(16)])
        await client.close()
        return client

    return asyncio.run(main())


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("run", [sync_run, async_run], ids=["sync", "async"])
def test_books_balance(run: Any, vendor: Simulator, tmp_path: Path):
    tally = Tally()
    client = run(vendor, tally, tmp_path / "u.db")
    total = client.total_usage()
    assert total.calls > CALLS * 0.5
    assert total.interrupted > CALLS * 0.1

    # per key: what the vendor served whole was read whole, or left by its reader when the vendor was done already
    for row in client.usage("key"):
        served = vendor.ledger.account(row.provider, KEYS[int(row.key.rpartition("#")[2]) - 1], row.model)
        assert row.calls <= served["ok"] <= row.calls + row.interrupted
    # per task, tag and instance: what the callers were given
    for by in ("task", "tag", "instance"):
        for row in client.usage(by):
            place = (by, getattr(row, by))
            assert (row.calls, row.usage.total_tokens) == (tally.whole[place], tally.tokens[place])
    assert sum(row.calls for row in client.usage("task")) == total.calls
    assert total.interrupted >= tally.interrupted
    # on disk: the same
    stored = grouped(UsageStore(tmp_path / "u.db").lines(), "key", saving_at(price_of))
    assert {row.key: repr(row) for row in stored} == {row.key: repr(row) for row in client.usage("key")}
    assert client.budgets()[0].held == 0
    assert client.budgets()[0].used >= total.usage.total_tokens


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("run", [sync_run, async_run], ids=["sync", "async"])
def test_books_are_the_vendors_to_the_token(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where nobody leaves a stream, every key's and model's tokens are equal on both sides, whatever else goes wrong."""
    honest = plan
    monkeypatch.setattr("tests.usage.test_balance.plan", lambda number: (*honest(number)[:2], ("whole", "stream")[number % 2]))
    with Simulator() as vendor:
        for fault, chance in (("429;retry-after=0", 0.05), ("500", 0.05), ("cut:2", 0.05)):
            vendor.fail(fault, rate=chance)
        tally = Tally()
        client = run(vendor, tally, tmp_path / "u.db")
        spent = Usage()
        for row in client.usage("key"):
            number = int(row.key.rpartition("#")[2])
            served = vendor.ledger.account(row.provider, KEYS[number - 1], row.model)
            assert row.calls == served["ok"] > 0
            assert row.usage.prompt_tokens == served["prompt_tokens"]
            assert row.usage.completion_tokens == served["completion_tokens"]
            assert row.errors == sum(served["errors"].values())
            assert row.calls + row.errors == served["calls"]
            spent = spent + row.usage
        total = client.total_usage()
        assert total.usage == spent
        assert total.interrupted == tally.interrupted > 0
        assert total.partial_usage.total_tokens == tally.partial > 0
        books = vendor.ledger.snapshot()["total"]
        assert (books["ok"], books["prompt_tokens"]) == (total.calls, total.usage.prompt_tokens)
