"""CPU of one call, against plain ``requests`` and plain ``aiohttp`` in the same run: ``python benchmarks/calls.py [rounds]``."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

import aiohttp
import requests
from common import PAYLOAD, rounds, show, vendor

from llmkit import AsyncClient, Client, Instance

HEADERS = {"Authorization": "Bearer sk-benchmark"}
PROMPT = "What is the capital of France?"
IN_FLIGHT = 50


def instance(url: str) -> Instance:
    return Instance("openai", "gpt-4o-mini", api_key="sk-benchmark", base_url=url)


def sync(count: int) -> None:
    with vendor() as url, Client([instance(url)]) as client, requests.Session() as session:

        def plain(calls: int = 300) -> int:
            for _ in range(calls):
                answer = session.post(f"{url}/chat/completions", json=PAYLOAD, headers=HEADERS).json()
                assert answer["choices"][0]["message"]["content"]
            return calls

        def ours(calls: int = 300) -> int:
            for _ in range(calls):
                assert client.generate(PROMPT).text
            return calls

        show("sync, whole answers", rounds({"requests": plain, "llmkit.Client": ours}, count), "requests")


async def in_flight(one: Callable[[], Awaitable[None]], calls: int) -> None:
    async def worker() -> None:
        for _ in range(calls // IN_FLIGHT):
            await one()

    await asyncio.gather(*[worker() for _ in range(IN_FLIGHT)])


async def asynchronous(count: int, latency: float) -> None:
    """As :func:`rounds`, awaited on one loop."""
    with vendor(latency) as url:
        connector = aiohttp.TCPConnector(limit=0)
        async with AsyncClient([instance(url)]) as client, aiohttp.ClientSession(connector=connector) as session:

            async def plain() -> None:
                reply = await session.post(f"{url}/chat/completions", json=PAYLOAD, headers=HEADERS)
                assert (await reply.json())["choices"]

            async def ours() -> None:
                assert (await client.generate(PROMPT)).text

            contestants = {"aiohttp": plain, "llmkit.AsyncClient": ours}
            times: dict[str, list[float]] = {name: [] for name in contestants}
            calls = 2000
            for turn in range(count + 1):
                for name, one in contestants.items():
                    begun = time.process_time()
                    await in_flight(one, calls)
                    if turn:
                        times[name].append((time.process_time() - begun) / calls * 1e6)
            medians = {name: sorted(values)[len(values) // 2] for name, values in times.items()}
            show(f"async, {IN_FLIGHT} in flight, vendor takes {latency * 1000:g} ms", medians, "aiohttp")


if __name__ == "__main__":
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    sync(turns)
    asyncio.run(asynchronous(turns, 0.0))
    asyncio.run(asynchronous(turns, 0.05))
