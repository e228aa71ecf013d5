"""What a choice among many instances costs, and what a client of many instances costs to build.

    python benchmarks/routing.py

Prints what a client of 10,000 instances costs to build; what 100 instances with limits, breakers and a retry budget add to one
plain instance in a whole ``generate`` without a network; then, for each built-in strategy, with 10 and with 10,000 instances,
microseconds of CPU for the choice of an instance, for the whole admission of a call (the lock, the way of its kind of call, the
choice, the key, the lease), and for giving the lease back, with up to 50 calls in flight.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

from llmkit import Client, Instance
from llmkit.policy.routes import NOTHING_TRIED
from llmkit.policy.strategies import STRATEGIES
from llmkit.testing import ScriptedRuntime
from llmkit.values.calls import ChatCall, Deadline
from llmkit.values.messages import Message
from llmkit.wire.http import HttpReply

CALL = ChatCall(deadline=Deadline(1e9, 1e9), messages=(Message("user", "q"),))
TURNS = 20_000
TOGETHER = 50
ROUNDS = 5
WARM = 5


def built(count: int, strategy: str) -> tuple[Client, float]:
    instances = [Instance("openai", f"m{number}", api_key=f"k{number}", weight=1 + number % 7) for number in range(count)]
    began = time.process_time()
    client = Client(instances, strategy=strategy, plugins=[], environ={})
    return client, time.process_time() - began


def choice(client: Client) -> float:
    """Microseconds for choosing an instance, and for noting that it was chosen."""
    router, now = client._core.router, 0.0
    admission(client, TOGETHER)  # finds the way of this kind of call
    index = next(iter(router._plans.values())).groups[0].index
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(TURNS):
            now += 0.001
            seat = index.pick(now, None, False)
            router._given = seat.route.last_given = router._given + 1
            index.given(seat)
        times.append((time.process_time() - began) / TURNS * 1e6)
    return statistics.median(times)


def admission(client: Client, turns: int = TURNS) -> tuple[float, float]:
    """Microseconds for admitting a call, and for releasing it answered, with up to :data:`TOGETHER` calls in flight."""
    router, now = client._core.router, 0.0
    admissions, releases = [], []
    for _ in range(ROUNDS):
        admitting = releasing = 0.0
        for _ in range(turns // TOGETHER):
            leases = []
            began = time.process_time()
            for _ in range(TOGETHER):
                now += 0.001
                lease = router.admit(CALL, NOTHING_TRIED, now, None)  # type: ignore[arg-type]
                leases.append(lease)
            middle = time.process_time()
            for lease in leases:
                now += 0.001
                router.release(lease, now, answered=True)  # type: ignore[arg-type]
            releasing += time.process_time() - middle
            admitting += middle - began
        admissions.append(admitting / turns * 1e6)
        releases.append(releasing / turns * 1e6)
    return statistics.median(admissions), statistics.median(releases)


class Still(ScriptedRuntime):
    """A runtime that answers at once, a millisecond later by its clock."""

    async def send(self, *_: Any) -> HttpReply:
        self.clock += 0.001
        return REPLY


class Stubbed(Client):
    """A client without a network."""

    def _make_runtime(self, transport: Any) -> Any:
        return Still(lambda request: REPLY)


MESSAGE = {"index": 0, "message": {"role": "assistant", "content": "Paris."}, "finish_reason": "stop"}
COUNTS = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
REPLY = HttpReply(200, {}, json.dumps({"id": "1", "model": "m", "choices": [MESSAGE], "usage": COUNTS}).encode())
LIMITS = {"rpm": 10**6, "tpm": 10**9, "rpm_per_key": 10**6, "max_concurrency": 100, "max_concurrency_per_key": 50}


def whole_calls(rounds: int = 25, turns: int = 600) -> dict[str, list[float]]:
    """Microseconds for a call over each client, round by round; they take turns."""
    keys = ["k1", "k2"]
    alone = Instance("openai", "m", api_key="k")
    limited = [Instance("openai", "m", api_keys=keys, name=f"i{number}", **LIMITS) for number in range(100)]
    clients = {
        "1 plain instance": Stubbed([alone], breaker=False, retry_budget=None, plugins=[], environ={}),
        "100 instances with limits, breakers, budgets": Stubbed(limited, plugins=[], environ={}),
        "the same, and limits of the client": Stubbed(limited, rpm=10**6, tpm=10**9, plugins=[], environ={}),
    }
    costs: dict[str, list[float]] = {name: [] for name in clients}
    for turn in range(rounds + WARM):
        for name, client in clients.items():
            began = time.process_time()
            for _ in range(turns):
                client.generate("What is the capital of France?")
            if turn >= WARM:
                costs[name].append((time.process_time() - began) / turns * 1e6)
    return costs


def main() -> None:
    built(1, "lru")  # the plugin is loaded, and what it needs
    print(f"a client of 10,000 instances: {built(10_000, 'lru')[1] * 1e3:.0f} ms")
    whole = whole_calls()
    plain = next(iter(whole.values()))
    print("generate() without a network, µs; what it costs more, the median of pairs")
    for name, costs in whole.items():
        more = statistics.median([cost - base for cost, base in zip(costs, plain, strict=True)])
        print(f"{name:<46}{statistics.median(costs):>8.1f}   +{more:.1f}")
    print(f"{'':<20}{'a choice, µs':^24}{'its admission, µs':^24}{'its release, µs':^18}")
    print(f"{'strategy':<20}" + f"{'10':>7}{'10,000':>8}{'ratio':>9}" * 2 + f"{'10':>9}{'10,000':>9}")
    for strategy in STRATEGIES:
        clients = [built(count, strategy)[0] for count in (10, 10_000)]
        chosen = [choice(client) for client in clients]
        (small, freed), (large, freed_large) = (admission(client) for client in clients)
        pairs = "".join(f"{few:>7.2f}{many:>8.2f}{many / few:>8.2f}x" for few, many in (chosen, (small, large)))
        print(f"{strategy:<20}{pairs}{freed:>9.2f}{freed_large:>9.2f}")


if __name__ == "__main__":
    main()
