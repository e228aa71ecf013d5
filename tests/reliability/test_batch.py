"""Thousands of calls in one batch: none is lost, the event loop stays free, memory stays where it is."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from llmkit import AsyncClient, Client, Instance, LLMError
from llmkit.transports import aio, blocking
from llmkit.wire.http import HttpReply, HttpRequest
from tests.reliability.conftest import LONG
from tests.reliability.test_loop import Ticker
from tests.support.colours import Colour, chat, openai
from tests.support.remote import Remote

CALLS = 10_000 if LONG else 1_500
AT_ONCE = 500
STEADY = 100_000 if LONG else 4_000


def instances(remote: Remote) -> list[Instance]:
    return [Instance("openai", "m", api_key="batch", base_url=remote.base_url())]


@pytest.mark.timeout(900 if LONG else 120)
@pytest.mark.parametrize("kept", [False, True], ids=["as_completed", "batch"])
def test_nothing_is_lost_and_the_loop_stays_free(calm: Remote, kept: bool):
    """Run with ``LLMKIT_LONG=1 pytest -s`` for the figures in docs/explanation/performance.md. Python's collector is at work, over
    all that the batch keeps, but not over the heap of a process of thousands of tests."""
    texts = [f"call {number}" for number in range(CALLS)]

    async def ask(client: AsyncClient) -> list[str]:
        if kept:
            results = await client.batch(texts, concurrency=AT_ONCE)
            return [str(result) if isinstance(result, LLMError) else result.text for result in results]
        found = [""] * CALLS
        async for position, result in client.as_completed(texts, concurrency=AT_ONCE):
            found[position] = str(result) if isinstance(result, LLMError) else result.text
        return found

    async def main() -> tuple[list[str], Ticker]:
        async with AsyncClient(instances(calm), plugins=[], environ={}, timeout=300, retries=0) as client:
            await client.batch(texts[:20], concurrency=20)  # what is imported late is imported now
            calm.clear()
            async with Ticker() as ticker:
                return await ask(client), ticker

    gc.collect()
    gc.freeze()
    try:
        found, ticker = asyncio.run(main())
    finally:
        gc.unfreeze()
    assert found == texts
    books = calm.books()
    assert books["ok"] == CALLS
    assert sorted(books["served"]) == sorted(texts)
    print(f"{CALLS} calls: the longest turn {ticker.longest * 1e3:.1f} ms, 99 in 100 under {ticker.usual * 1e3:.1f} ms")
    assert ticker.usual < (0.05 if LONG else 0.1)  # what a machine with other work takes twice as long for
    assert ticker.longest < 0.25  # a machine that starves the loop: what piles up meanwhile is worked off in one turn


class _Canned:
    """A transport that knows the answer."""

    reply = chat()

    def _make_runtime(self, transport: Mapping[str, Any]) -> Any:
        base = blocking.Runtime if isinstance(self, Client) else aio.Runtime

        class Runtime(base):  # type: ignore[misc, valid-type]
            async def send(self, request: HttpRequest, connect: float, until: float) -> HttpReply:
                if base is aio.Runtime:
                    await asyncio.sleep(0)
                return _Canned.reply

        return Runtime(**transport)


class CannedClient(_Canned, Client):
    pass


class CannedAsyncClient(_Canned, AsyncClient):
    pass


def _steady(calls: int) -> Iterator[str]:
    for number in range(calls):
        yield f"call {number}"


@pytest.mark.timeout(900 if LONG else 120)
def test_memory_does_not_grow_with_the_requests(colour: Colour):
    """Fed by an iterator, as_completed keeps nothing: what is held at the end is what was held at the beginning."""
    client = (CannedClient if colour.sync else CannedAsyncClient)([openai()], plugins=[])

    async def use(calls: int) -> int:
        seen = 0
        async for _, answer in client.as_completed(_steady(calls), concurrency=20):
            assert answer.text == "hello"
            seen += 1
        return seen

    def used(calls: int) -> int:
        if not colour.sync:
            return colour.run(use(calls))
        return sum(answer.text == "hello" for _, answer in client.as_completed(_steady(calls), concurrency=20))

    assert used(500) == 500
    tracemalloc.start()
    try:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        assert used(STEADY) == STEADY
        gc.collect()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    held, most = (after - before) / 1024, (peak - before) / 1024
    print(f"{colour.name}: {STEADY} calls, {held:.0f} KiB more at the end, {most:.0f} at the most")
    assert after - before < 256 * 1024
    assert peak - before < 4 * 1024 * 1024
    colour.run(client.close())
