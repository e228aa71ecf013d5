"""What a choice among many instances costs, and what a client of many instances costs to build.

    python benchmarks/routing.py

Prints, for each built-in strategy, microseconds of CPU for admitting a call and giving its lease back, with 10 and with 10,000
instances and nothing in flight but that call.
"""

from __future__ import annotations

import statistics
import time

from llmkit import Client, Instance
from llmkit.policy.routes import NOTHING_TRIED, Lease
from llmkit.policy.strategies import STRATEGIES
from llmkit.values.calls import ChatCall, Deadline
from llmkit.values.messages import Message

CALL = ChatCall(deadline=Deadline(1e9, 1e9), messages=(Message("user", "q"),))
TURNS = 20_000
ROUNDS = 5


def built(count: int, strategy: str) -> tuple[Client, float]:
    instances = [Instance("openai", f"m{number}", api_key=f"k{number}", weight=1 + number % 7) for number in range(count)]
    began = time.process_time()
    client = Client(instances, strategy=strategy, plugins=[], environ={})
    return client, time.process_time() - began


def one_choice(client: Client) -> float:
    """Microseconds for admitting a call and releasing it answered."""
    router, now = client._core.router, 0.0
    costs = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(TURNS):
            now += 0.001
            lease = router.admit(CALL, NOTHING_TRIED, now, None)  # type: ignore[arg-type]
            assert isinstance(lease, Lease)
            router.release(lease, now + 0.0005, answered=True)
        costs.append((time.process_time() - began) / TURNS * 1e6)
    return statistics.median(costs)


def main() -> None:
    _, seconds = built(10_000, "lru")
    print(f"a client of 10,000 instances: {seconds * 1e3:.0f} ms")
    print(f"{'strategy':<20}{'10':>8}{'10,000':>8}   µs for a choice and its release")
    for strategy in STRATEGIES:
        small, large = (one_choice(built(count, strategy)[0]) for count in (10, 10_000))
        print(f"{strategy:<20}{small:>8.2f}{large:>8.2f}   {large / small:.2f}x")


if __name__ == "__main__":
    main()
