"""Memory of calls in flight, and growth over many calls, beside plain ``aiohttp``.

``python benchmarks/memory.py [rounds]``, on Linux. Each contestant runs in a process of its own. In flight: resident memory while
1,000 calls wait for a vendor that takes 2 s, over what the process had after its first calls; connections are part of it. Growth:
20,000 calls, 20 at once, after 4,000 to warm up.
"""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from common import PAYLOAD, vendor

IN_FLIGHT = 1000
LATENCY = 2.0
CALLS, AT_ONCE, WARM_UP = 20_000, 20, 4_000
PAGE = os.sysconf("SC_PAGE_SIZE")
One = Callable[[], Awaitable[None]]


def resident() -> float:
    """This process's resident memory, in kB."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1024


async def many(one: One, calls: int) -> None:
    async def worker() -> None:
        for _ in range(calls // AT_ONCE):
            await one()

    await asyncio.gather(*[worker() for _ in range(AT_ONCE)])


async def in_flight(one: One) -> None:
    """Print kB per call in flight, and the seconds that all of them took."""
    await asyncio.gather(*[one() for _ in range(AT_ONCE)])
    before, begun = resident(), time.monotonic()
    calls = asyncio.gather(*[one() for _ in range(IN_FLIGHT)])
    await asyncio.sleep(LATENCY * 0.75)
    print((resident() - before) / IN_FLIGHT)
    await calls
    print(time.monotonic() - begun)


async def growth(one: One) -> None:
    """Print kB per 1,000 calls."""
    await many(one, WARM_UP)
    before = resident()
    await many(one, CALLS)
    print((resident() - before) / (CALLS / 1000))


async def contestant(name: str, url: str, measure: Callable[[One], Awaitable[None]]) -> None:
    if name == "aiohttp":
        import aiohttp

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def plain() -> None:
                reply = await session.post(f"{url}/chat/completions", json=PAYLOAD, headers={"Authorization": "Bearer k"})
                assert (await reply.json())["choices"]

            await measure(plain)
        return
    from llmkit import AsyncClient, Instance

    async with AsyncClient([Instance("openai", "gpt-4o-mini", api_key="k", base_url=url)]) as client:

        async def ours() -> None:
            assert (await client.generate("What is the capital of France?")).text

        await measure(ours)


def measured(name: str, what: str, url: str) -> list[float]:
    """What a contestant in a new process prints."""
    command = [sys.executable, __file__, name, what, url]
    return [float(line) for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()]


def main(count: int) -> None:
    names = ("aiohttp", "llmkit")
    with vendor(LATENCY) as slow, vendor() as quick:
        flights = {name: [measured(name, "in_flight", slow) for _ in range(count)] for name in names}
        grown = {name: [measured(name, "growth", quick)[0] for _ in range(count)] for name in names}
    print(f"{IN_FLIGHT} calls in flight, vendor takes {LATENCY:g} s; then {CALLS} calls ({count} rounds: median, least to most)")
    for name in names:
        sizes, seconds = zip(*flights[name], strict=True)
        print(f"  {name:<10}{spread(sizes)} kB a call, {spread(seconds)} s in all, {spread(grown[name])} kB per 1,000 calls")


def spread(values: tuple[float, ...] | list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    if len(sys.argv) == 4:
        asyncio.run(contestant(sys.argv[1], sys.argv[3], in_flight if sys.argv[2] == "in_flight" else growth))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
