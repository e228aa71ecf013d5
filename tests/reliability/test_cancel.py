"""``task.cancel()`` at any moment: it is quick, everything comes back, and the next calls find the client as good as new."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from llmkit import AsyncClient, Instance
from tests.reliability.conftest import LONG
from tests.support.remote import Remote

POINTS = 10_000 if LONG else 200
SLOTS = 32
LONGEST = 0.35
"""Seconds after which a call is left; answers take about 0.2."""


@pytest.mark.timeout(3600 if LONG else 120)
def test_cancel_at_random_points(slow: Remote):
    chance = random.Random(7)
    late: list[float] = []
    text = " ".join(["word"] * 20)

    async def one(client: AsyncClient, streamed: bool) -> str:
        if not streamed:
            return (await client.generate(text)).text
        async with client.stream(text) as stream:
            return "".join([event.text async for event in stream])

    async def cancelled(client: AsyncClient, streamed: bool) -> None:
        task = asyncio.ensure_future(one(client, streamed))
        await asyncio.sleep(chance.random() ** 2 * LONGEST)
        asked = time.monotonic()
        task.cancel()
        try:
            assert await task == text  # it was quicker
        except asyncio.CancelledError:
            late.append(time.monotonic() - asked)

    async def main() -> None:
        instances = [Instance("openai", "m", api_key="cancel", base_url=slow.base_url(), max_concurrency=SLOTS)]
        async with AsyncClient(instances, plugins=[], environ={}, timeout=30) as client:
            for start in range(0, POINTS, 50):
                await asyncio.gather(*[cancelled(client, bool(number % 2)) for number in range(start, start + 50)])
            assert (await client.health())[0].in_flight == 0
            assert await asyncio.to_thread(slow.idle, 0.5)
            texts = await asyncio.gather(*[one(client, bool(number % 2)) for number in range(64)])
            assert texts == [text] * 64
            assert (await client.health())[0].in_flight == 0

    slow.clear()
    asyncio.run(main())
    assert slow.idle()
    assert slow.books()["max_in_flight"] <= SLOTS * 2  # a slot is free before the vendor has noticed who left it
    assert len(late) > POINTS / 2
    late.sort()
    assert late[len(late) * 98 // 100] < 0.05
    assert late[-1] < 0.5  # a machine that has other things to do
