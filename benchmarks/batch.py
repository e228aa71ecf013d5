"""What a result of a batch costs beside the call itself, by how many run at once.

``python benchmarks/batch.py [rounds]``. The work is a pause of about 50 ms (async) or 5 ms (sync) in place of a call, so what is
counted is the runtime's: beginning the work, waiting for the next result, handing it on. CPU time of the process, median of the
rounds. Needs nothing but llmkit, so the same file measures an older checkout (``PYTHONPATH=...``).
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from typing import Any

from llmkit.finish import finish
from llmkit.transports import aio, blocking

RESULTS = 4_000
PAUSES = {"async": 0.05, "sync": 0.005}


async def run(runtime: Any, concurrency: int, pause: float, sync: bool) -> float:
    """Microseconds of CPU time for a result."""
    chance = random.Random(1)

    async def work(seconds: float) -> None:
        if sync:
            time.sleep(seconds)  # noqa: ASYNC251 (that is what sync means here)
        else:
            await asyncio.sleep(seconds)

    begun = time.process_time()
    async for _ in runtime.each(work, (pause * (0.5 + chance.random()) for _ in range(RESULTS)), concurrency):
        pass
    return (time.process_time() - begun) / RESULTS * 1e6


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for colour in ("async", "sync"):
        for concurrency in (10, 50, 500) if colour == "async" else (10, 50):
            found = []
            for _ in range(rounds):
                runtime = (aio if colour == "async" else blocking).Runtime()
                work = run(runtime, concurrency, PAUSES[colour], colour == "sync")
                found.append(asyncio.run(work) if colour == "async" else finish(work))
                runtime.close()
            said = f"{statistics.median(found):6.1f} µs a result ({min(found):.1f} to {max(found):.1f})"
            print(f"{colour:5} {concurrency:4} at once  {said}")


if __name__ == "__main__":
    main()
