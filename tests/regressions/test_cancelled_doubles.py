"""A doubled stream whose task is cancelled in any turn of the event loop: connections and leases all come back."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from tests.support.colours import ScriptedAsyncClient, chunks, openai
from tests.support.virtual import VirtualRuntime, virtually

TURNS = 24


@pytest.mark.parametrize("winner", [0, 1], ids=["the first wins", "the double wins"])
@pytest.mark.parametrize("cancels", [1, 2])
def test_cancelled_in_any_turn(winner: int, cancels: int):
    """Also while the loser is called off, when there is a winner already."""
    left = [virtually(_cancelled(winner, cancels, turn)) for turn in range(TURNS)]
    assert left == [(0, 0, 0)] * TURNS


async def _cancelled(winner: int, cancels: int, turn: int) -> tuple[int, int, int]:
    """(bodies open, in flight, waiting) after a call that is cancelled so many turns after its first content has come."""
    asked = itertools.count()
    seconds = (0.2, 9.0) if winner == 0 else (9.0, 0.1)
    runtime = VirtualRuntime(lambda request: (seconds[next(asked)], chunks("a", "b")))
    instances = [openai("sk-a", name="a"), openai("sk-b", name="b")]
    client = ScriptedAsyncClient(runtime, instances, environ={}, hedge=0.1)

    async def read() -> None:
        async with client.stream("Hi") as stream:
            async for _ in stream:
                await asyncio.sleep(1)

    task: Any = asyncio.ensure_future(read())
    await asyncio.sleep(0.2)
    for _ in range(turn):
        await asyncio.sleep(0)
    for _ in range(cancels):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([task])
    for _ in range(TURNS):
        await asyncio.sleep(0)
    router = client._core.router
    result = (runtime.open_bodies, sum(route.in_flight for route in router.routes()), router.lines.waiting)
    await client.close()
    return result
