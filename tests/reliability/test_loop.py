"""The event loop stays free: under hundreds of streams, and while a decompression bomb is refused."""

from __future__ import annotations

import asyncio
import gc
import time
import zlib
from collections.abc import Iterator

import pytest

from llmkit import AsyncClient, Instance, ResponseTooLarge
from tests.reliability.conftest import LONG
from tests.support.faultserver import FaultServer, head, raw
from tests.support.remote import remote

EVERY = 0.005
STREAMS = 500
WORDS_A_SECOND = 10.0
"""Of each stream: together 5,000 events a second, which is what many models say, and no more than one core can read."""
BOMB = 192 * 1024 * 1024


class Ticker:
    """How long the loop was kept busy between two ticks. What another process took of it is not counted: of the wall
    clock and this thread's own time the shorter one counts."""

    def __init__(self) -> None:
        self.busy: list[float] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def longest(self) -> float:
        """The longest time of all."""
        return max(self.busy, default=0.0)

    @property
    def usual(self) -> float:
        """The longest time of 99 in a hundred. The others are left to a machine that starves the loop: what piles up meanwhile is
        worked off in one turn."""
        return sorted(self.busy)[len(self.busy) * 99 // 100]

    async def _tick(self) -> None:
        wall, own = time.monotonic(), time.thread_time()
        while True:
            await asyncio.sleep(EVERY)
            now, mine = time.monotonic(), time.thread_time()
            self.busy.append(min(now - wall - EVERY, mine - own))
            wall, own = now, mine

    async def __aenter__(self) -> Ticker:
        self._task = asyncio.ensure_future(self._tick())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *told: object) -> None:
        assert self._task is not None
        self._task.cancel()


@pytest.fixture(autouse=True)
def frozen_heap() -> Iterator[None]:
    """Python's collector stops everything while it walks the heap, which in a process of thousands of tests takes a quarter of a
    second; what was there before the test is left out of that."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.timeout(100)
def test_five_hundred_streams():
    text = " ".join(["word"] * 30)

    async def main() -> tuple[list[str], Ticker]:
        instances = [Instance("openai", "m", api_key="loop", base_url=slow.base_url())]
        async with AsyncClient(instances, plugins=[], environ={}, timeout=60) as client:

            async def one(number: int) -> str:
                await asyncio.sleep(number / STREAMS)  # not all in one turn of the loop, which would be this test's doing
                async with client.stream(text) as stream:
                    return "".join([event.text async for event in stream])

            assert await one(0) == text  # what is imported late is imported now
            async with Ticker() as ticker:
                return await asyncio.gather(*[one(number) for number in range(STREAMS)]), ticker

    with remote(token_rate=WORDS_A_SECOND) as slow:
        texts, ticker = asyncio.run(main())
        assert texts == [text] * STREAMS
        assert slow.books()["max_in_flight"] > STREAMS * 0.8
    assert ticker.usual < (0.05 if LONG else 0.1)  # what a machine with other work takes twice as long for
    assert ticker.longest < 0.25


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_refusing_a_bomb(server: FaultServer, streamed: bool):
    """192 MiB of nothing, squeezed into little; refused at the cap, in steps that leave room for others."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    body = b"".join([squeezer.compress(bytes(1024 * 1024)) for _ in range(BOMB // 1024 // 1024)]) + squeezer.flush()
    headers = {"Content-Encoding": "gzip", "Content-Length": str(len(body)), "Content-Type": "text/event-stream"}
    server.on("/v1/chat/completions", raw(head(200, headers) + body, "hang"))

    async def main() -> float:
        instances = [Instance("openai", "m", api_key="k", base_url=server.url + "/v1")]
        async with AsyncClient(instances, plugins=[], environ={}, timeout=30, retries=0) as client:
            async with Ticker() as ticker:
                with pytest.raises(ResponseTooLarge):
                    await (client.stream("Hi").completion() if streamed else client.generate("Hi"))
            return ticker.longest

    assert asyncio.run(main()) < 0.1
