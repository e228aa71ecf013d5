"""What a choice among many instances costs, and what a client of many instances costs to build.

    python benchmarks/routing.py

Prints, for each built-in strategy, microseconds of CPU for admitting a call, and for giving its lease back, with 10 and with 10,000
instances and up to 50 calls in flight. Then, for a whole ``generate`` without a network, what 100 instances with limits,
breakers and a retry budget add to one plain instance.
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


def built(count: int, strategy: str) -> tuple[Client, float]:
    instances = [Instance("openai", f"m{number}", api_key=f"k{number}", weight=1 + number % 7) for number in range(count)]
    began = time.process_time()
    client = Client(instances, strategy=strategy, plugins=[], environ={})
    return client, time.process_time() - began


def one_choice(client: Client) -> tuple[float, float]:
    """Microseconds for admitting a call, and for releasing it answered, with up to :data:`TOGETHER` calls in flight."""
    router, now = client._core.router, 0.0
    choices, releases = [], []
    for _ in range(ROUNDS):
        choice = release = 0.0
        for _ in range(TURNS // TOGETHER):
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
            release += time.process_time() - middle
            choice += middle - began
        choices.append(choice / TURNS * 1e6)
        releases.append(release / TURNS * 1e6)
    return statistics.median(choices), statistics.median(releases)


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


def whole_calls(turns: int = 3000) -> dict[str, float]:
    """Microseconds for a call over each client; they take turns."""
    keys = ["k1", "k2"]
    alone = Instance("openai", "m", api_key="k")
    clients = {
        "1 plain instance": Stubbed([alone], breaker=False, retry_budget=None, plugins=[], environ={}),
        "100 instances with limits, breakers, budgets": Stubbed(
            [Instance("openai", "m", api_keys=keys, name=f"i{number}", **LIMITS) for number in range(100)], plugins=[], environ={}
        ),
        "the same, and limits of the client": Stubbed(
            [Instance("openai", "m", api_keys=keys, name=f"i{number}", **LIMITS) for number in range(100)],
            rpm=10**6,
            tpm=10**9,
            plugins=[],
            environ={},
        ),
    }
    costs: dict[str, list[float]] = {name: [] for name in clients}
    for turn in range(ROUNDS + 1):
        for name, client in clients.items():
            began = time.process_time()
            for _ in range(turns):
                client.generate("What is the capital of France?")
            if turn:
                costs[name].append((time.process_time() - began) / turns * 1e6)
    return {name: statistics.median(times) for name, times in costs.items()}


def main() -> None:
    built(1, "lru")  # the plugin is loaded, and what it needs
    _, seconds = built(10_000, "lru")
    print(f"a client of 10,000 instances: {seconds * 1e3:.0f} ms")
    print(f"{'':<20}{'a choice, µs':^24}{'its release, µs':^18}")
    print(f"{'strategy':<20}{'10':>7}{'10,000':>8}{'ratio':>9}{'10':>9}{'10,000':>9}")
    for strategy in STRATEGIES:
        (small, freed), (large, freed_large) = (one_choice(built(count, strategy)[0]) for count in (10, 10_000))
        print(f"{strategy:<20}{small:>7.2f}{large:>8.2f}{large / small:>8.2f}x{freed:>9.2f}{freed_large:>9.2f}")
    whole = whole_calls()
    plain = next(iter(whole.values()))
    print("generate() without a network, µs")
    for name, cost in whole.items():
        print(f"{name:<46}{cost:>8.1f}   +{cost - plain:.1f}")


if __name__ == "__main__":
    main()
