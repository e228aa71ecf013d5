"""CPU of one call, against plain ``requests`` and plain ``aiohttp`` in the same run: ``python benchmarks/calls.py [rounds]``.

The OpenAI SDK and litellm take part where they are installed. They are not needed, and not among the project's requirements.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import requests
from common import PAYLOAD, rounds, show, vendor

from llmkit import AsyncClient, Client, Instance

HEADERS = {"Authorization": "Bearer sk-benchmark"}
PROMPT = "What is the capital of France?"
IN_FLIGHT = 50


def instance(url: str) -> Instance:
    return Instance("openai", "gpt-4o-mini", api_key="sk-benchmark", base_url=url)


MESSAGES: Any = PAYLOAD["messages"]


def installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def sync_peers(url: str) -> dict[str, Callable[[], object]]:
    """One sync call of each other library that is installed."""
    peers: dict[str, Callable[[], object]] = {}
    if installed("openai"):
        import openai

        sdk = openai.OpenAI(api_key="sk-benchmark", base_url=url)
        peers["openai"] = lambda: sdk.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    if installed("litellm"):
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        import litellm

        named = {"model": "openai/gpt-4o-mini", "api_base": url, "api_key": "sk-benchmark"}
        peers["litellm"] = lambda: litellm.completion(messages=MESSAGES, **named)
    return peers


def async_peers(url: str) -> dict[str, Callable[[], Awaitable[Any]]]:
    """One async call of each other library that is installed."""
    peers: dict[str, Callable[[], Awaitable[Any]]] = {}
    if installed("openai"):
        import openai

        sdk = openai.AsyncOpenAI(api_key="sk-benchmark", base_url=url)
        peers["openai"] = lambda: sdk.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    if installed("litellm"):
        import litellm

        named = {"model": "openai/gpt-4o-mini", "api_base": url, "api_key": "sk-benchmark"}
        peers["litellm"] = lambda: litellm.acompletion(messages=MESSAGES, **named)
    return peers


def repeated(one: Callable[[], object], calls: int = 100) -> Callable[[], int]:
    def run() -> int:
        for _ in range(calls):
            one()
        return calls

    return run


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

        peers = {name: repeated(one) for name, one in sync_peers(url).items()}
        show("sync, whole answers", rounds({"requests": plain, "llmkit.Client": ours, **peers}, count), "requests")


async def in_flight(one: Callable[[], Awaitable[object]], calls: int) -> None:
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

            contestants = {"aiohttp": plain, "llmkit.AsyncClient": ours, **async_peers(url)}
            times: dict[str, list[float]] = {name: [] for name in contestants}
            for turn in range(count + 1):
                for name, one in contestants.items():
                    calls = 2000 if name in ("aiohttp", "llmkit.AsyncClient") else 200
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
