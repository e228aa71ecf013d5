"""CPU of an answer from the cache, request of 2 kB: ``python benchmarks/cache.py [rounds]``.

The whole of ``generate()``, and beside it its parts: making the call, its key, looking into memory, copying the answer.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from common import rounds, show, vendor

from llmkit import Client, Instance

PROMPT = "What is the capital of France? " * 66
CALLS = 5000


def repeated(one: Callable[[], object], calls: int = CALLS) -> Callable[[], int]:
    def run() -> int:
        for _ in range(calls):
            one()
        return calls

    return run


def awaited(client: Client) -> Callable[[], int]:
    async def main() -> None:
        other = client.as_async()
        for _ in range(CALLS):
            await other.generate(PROMPT)

    def run() -> int:
        asyncio.run(main())
        return CALLS

    return run


def parts(client: Client) -> dict[str, Callable[[], int]]:
    cache: Any = client._core.cache
    call = client._chat_call(PROMPT, {})
    key = cache.keys.of_call(call)
    entry = cache.memory.get(key, time.monotonic())
    return {
        "the call": repeated(lambda: client._chat_call(PROMPT, {})),
        "its key": repeated(lambda: cache.keys.of_call(call)),
        "memory": repeated(lambda: cache.memory.get(key, 0.0)),
        "the copy": repeated(lambda: entry.answer(0.0)),
    }


def main(count: int) -> None:
    with vendor() as url, tempfile.TemporaryDirectory() as folder:
        instances = [Instance("openai", "gpt-4o-mini", api_key="sk-benchmark", base_url=url)]
        with Client(instances, cache="memory") as client, Client(instances, cache=f"sqlite:///{folder}/cache.db") as file:
            assert not client.generate(PROMPT).cached
            assert client.generate(PROMPT).cached
            file.generate(PROMPT)

            def from_file() -> None:
                file._core.cache.memory.clear()  # type: ignore[union-attr]
                assert file.generate(PROMPT).cached

            contestants = {
                "hit, sync": repeated(lambda: client.generate(PROMPT)),
                "hit, async": awaited(client),
                "hit in a file, sync": repeated(from_file, 500),
                **parts(client),
            }
            show("answers from the cache", rounds(contestants, count), "hit, sync")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
