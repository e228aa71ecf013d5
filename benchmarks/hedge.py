"""What a hedge costs a call that is never late, over a transport that knows the answer.

``python benchmarks/hedge.py [calls]``. Wall time of a call, in microseconds, one at a time: without a hedge, and with one, where
the try runs beside its caller (a thread in the sync client, a task in the async one).
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Mapping
from typing import Any

from llmkit import AsyncClient, Client, Instance
from llmkit.transports import aio, blocking
from llmkit.wire.http import HttpReply, HttpRequest

BODY = b'{"id":"1","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]}'
ROUNDS = 5


class Canned:
    """A transport that knows the answer."""

    def _make_runtime(self, transport: Mapping[str, Any]) -> Any:
        base: Any = blocking.Runtime if isinstance(self, Client) else aio.Runtime

        class Runtime(base):
            async def send(self, request: HttpRequest, connect: float, until: float) -> HttpReply:
                return HttpReply(200, {}, BODY)

        return Runtime(**transport)


class Sync(Canned, Client):
    pass


class Async(Canned, AsyncClient):
    pass


def sync(calls: int, **options: Any) -> float:
    with Sync([Instance("openai", "m", api_key="k")], plugins=[]) as client:
        begun = time.perf_counter()
        for _ in range(calls):
            client.generate("Hi", **options)
        return (time.perf_counter() - begun) / calls * 1e6


async def run(calls: int, **options: Any) -> float:
    async with Async([Instance("openai", "m", api_key="k")], plugins=[]) as client:
        begun = time.perf_counter()
        for _ in range(calls):
            await client.generate("Hi", **options)
        return (time.perf_counter() - begun) / calls * 1e6


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for colour, measure in (("sync", sync), ("async", lambda calls, **options: asyncio.run(run(calls, **options)))):
        found: dict[str, list[float]] = {"plain": [], "hedged": []}
        for _ in range(ROUNDS):
            found["plain"].append(measure(calls, hedge=False))
            found["hedged"].append(measure(calls, hedge=5.0))
        print(colour, {name: round(statistics.median(times)) for name, times in found.items()})


if __name__ == "__main__":
    main()
