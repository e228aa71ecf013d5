"""R25: the whole of routing under a simulated clock and seeded luck. Calls of every kind for a million virtual seconds, while
instances fail, limit, hang, refuse keys, are switched off and on, and strategies change; then the books are looked at."""

from __future__ import annotations

import os
import random
import re
import time
from collections import Counter, deque
from typing import Any

import pytest

from llmkit import Instance, LLMError, NetworkError, StreamInterrupted
from llmkit.policy.strategies import STRATEGIES
from llmkit.runtime import Cancelled
from llmkit.wire.http import HttpRequest
from tests.support.colours import ScriptedAsyncClient, chat, chunks, key_of, refusal, streamed
from tests.support.simulation import Simulation, Work

SECONDS = 1_000_000
EVERY = 30.0 if os.environ.get("LLMKIT_LONG") else 100.0
"""Mean seconds between calls outside of bursts."""
MOODS = ("well", "well", "well", "flaky", "limited", "down", "slow", "hanging", "refusing")
TIMEOUT = 90.0


def instance(name: str, model: str, **more: Any) -> Instance:
    keys = [f"sk-{name}-{number:08}" for number in range(more.pop("keys", 2))]
    return Instance("openai", model, name=name, api_keys=keys, base_url=f"https://{name}.test/v1", **more)


INSTANCES = [
    instance("a", "big", rpm=30, max_concurrency=4, weight=3),
    instance("b", "big", tpm=20_000, max_concurrency_per_key=2),
    instance("c", "big", keys=3, rpm_per_key=10, priority=1),
    instance("d", "big", weight=0.5, priority=1),
    instance("e", "small", rpm=20, rpd=9_000),
    instance("f", "small", keys=1, max_concurrency=1, priority=2),
]


class World:
    """The vendors, and what each of them saw."""

    def __init__(self, luck: random.Random) -> None:
        self.luck = luck
        self.simulation: Simulation = Simulation(self, luck.random)
        self.mood = {one.name: "well" for one in INSTANCES}
        self.off: set[str] = set()
        self.in_flight: Counter[str] = Counter()
        self.recent: dict[str, deque[float]] = {}
        self.rests: dict[str, tuple[float, float]] = {}
        """When each key's vendor last said that it is to rest, and until when."""
        self.tries: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.requests = 0

    def __call__(self, request: HttpRequest) -> tuple[float, Any]:
        now, key = self.simulation.clock, key_of(request)
        name = key.split("-")[1]
        one = next(one for one in INSTANCES if one.name == name)
        assert f"//{name}.test/" in request.url, "a key of another instance"
        assert name not in self.off, "it is switched off"
        told, until = self.rests.get(key, (0.0, 0.0))
        assert now == told or now >= until - 1e-9, "Retry-After is law"  # what is sent in the same instant could not know
        self._limits(one, key, now)
        number = re.findall(rb"question (\d+)", request.body or b"")[0].decode()
        self.tries[number] += 1
        self.requests += 1
        self.in_flight[name] += 1
        self.in_flight[key] += 1
        assert self.in_flight[name] <= (one.max_concurrency or 1e9)
        assert self.in_flight[key] <= (one.max_concurrency_per_key or 1e9)
        return self._reply(name, key, number, streamed(request))

    def _limits(self, one: Instance, key: str, now: float) -> None:
        for who, limit, span in ((one.name, one.rpm, 60.0), (key, one.rpm_per_key, 60.0), (f"{one.name} a day", one.rpd, 86400.0)):
            if limit is not None:
                recent = self.recent.setdefault(who, deque())
                recent.append(now)
                while recent and recent[0] <= now - span:
                    recent.popleft()
                assert len(recent) <= limit, "a limit is breached"

    def _reply(self, name: str, key: str, number: str, stream: bool) -> tuple[float, Any]:
        luck, mood = self.luck.random(), self.mood[name]
        seconds = 0.2 + 2 * self.luck.random()
        if mood == "down":
            if luck < 0.5:
                return 0.1, refusal(500)
            for who in (name, key, f"{name} a day"):  # it never came
                if who in self.recent:
                    self.recent[who].pop()
            return 0.0, NetworkError("refused")
        if mood == "limited" and luck < 0.5:
            rest = round(1 + 20 * self.luck.random(), 1)
            now = self.simulation.clock
            self.simulation.at(now, lambda: self.rests.update({key: (now, max(self.rests.get(key, (0, 0))[1], now + rest))}))
            return 0.0, refusal(429, retry_after=str(rest))
        if mood == "refusing" and key.endswith("0"):
            return 0.1, refusal(401)
        if mood == "hanging" and luck < 0.3:
            return 1e6, chat()
        if mood == "flaky" and luck < 0.3:
            return seconds, refusal(503)
        if mood == "slow":
            seconds *= 8
        if stream:
            cut = mood == "flaky" and luck < 0.4
            return seconds, chunks("answer ", 0.5, f"{number} ", *([NetworkError("reset", ambiguous=True)] if cut else ["whole"]))
        return seconds, chat(f"answer {number} whole")

    def done(self, request: HttpRequest) -> None:
        key = key_of(request)
        self.in_flight[key] -= 1
        self.in_flight[key.split("-")[1]] -= 1


class Traffic:
    """The client's side: calls that come, go and are called off; and somebody who changes things."""

    def __init__(self, seed: int) -> None:
        self.luck = random.Random(seed)
        self.world = World(self.luck)
        self.simulation = self.world.simulation
        self.client = ScriptedAsyncClient(
            self.simulation, INSTANCES, retries=4, timeout=TIMEOUT, max_wait=20, rpm=60, max_pending=200, strategy="lru"
        )
        self.client._core._rng.seed(seed)
        self.asked = 0
        self.outcomes: Counter[str] = Counter()
        self.trace: list[tuple[float, str]] = []
        self.tokens = self.calls = 0

    def run(self, seconds: float) -> None:
        self.end = seconds
        self._next()
        self._change()
        self.simulation.play()

    def _next(self) -> None:
        burst = 30 if self.luck.random() < 0.01 else 1
        for _ in range(burst):
            self._ask()
        after = self.simulation.clock + self.luck.expovariate(1 / EVERY)
        if after < self.end:
            self.simulation.at(after, self._next)

    def _ask(self) -> None:
        number, began = self.asked, self.simulation.clock
        self.asked += 1
        luck = self.luck.random()
        options: dict[str, Any] = {}
        if luck < 0.4:
            options = {"model": "openai/big", "fallbacks": ["openai/small"]}
        elif luck < 0.5:
            options = {"priority": 1, "model": "openai/small"}
        flow = self._stream(number, options) if luck > 0.8 else self.client.generate(f"question {number}", **options)
        work = self.simulation.start(flow, lambda work: self._ended(work, number, began))
        if self.luck.random() < 0.03:
            self.simulation.at(began + 4 * self.luck.random(), lambda: self.simulation.cancel(work))

    async def _stream(self, number: int, options: dict[str, Any]) -> Any:
        async with self.client.stream(f"question {number}", **options) as stream:
            shown = "".join([event.text async for event in stream])
            completion = await stream.completion()
        assert completion.text == shown
        return completion

    def _ended(self, work: Work, number: int, began: float) -> None:
        result = work.result
        tries = self.world.tries.pop(str(number), 0)
        assert self.simulation.clock <= began + TIMEOUT + 0.01
        self.outcomes[type(result).__name__] += 1
        self.trace.append((self.simulation.clock, type(result).__name__))
        if isinstance(result, Cancelled):
            return
        if isinstance(result, LLMError):
            if isinstance(result, StreamInterrupted):
                assert f"answer {number} whole".startswith(result.partial.text)
        else:
            assert not isinstance(result, BaseException), repr(result)
            assert result.text == f"answer {number} whole"
            self.calls += 1
            self.tokens += result.usage.total_tokens
        assert len(result.attempts) == tries, "a try that nobody tells of"

    def _change(self) -> None:
        """Somebody's moods, and somebody's hand on the switches."""
        world, core, name = self.world, self.client, self.luck.choice(INSTANCES).name
        what = self.luck.random()
        if what < 0.6:
            world.mood[name] = self.luck.choice(MOODS)
        elif what < 0.8:
            if name in world.off:
                world.off.discard(name)
                self._wake(name)
                core.enable(name)
            elif len(world.off) < 4:
                world.off.add(name)
                core.disable(name)
        elif what < 0.9:
            core.set_strategy(self.luck.choice(sorted(STRATEGIES)))
        after = self.simulation.clock + self.luck.expovariate(1 / 300)
        if after < self.end:
            self.simulation.at(after, self._change)

    def _wake(self, name: str) -> None:
        """Switched on, an instance's keys start afresh: somebody knows better than what their vendor said before."""
        for key in [key for key in self.world.rests if key.split("-")[1] == name]:
            del self.world.rests[key]


def check_the_books(traffic: Traffic) -> None:
    client, world = traffic.client, traffic.world
    router = client._core.router
    assert traffic.simulation.running == 0
    assert sum(traffic.outcomes.values()) == traffic.asked
    assert router.lines.waiting == 0
    assert not router.lines.open
    for route in router.routes():
        assert route.in_flight == 0
        assert not any(key.in_flight for key in route.keys.keys)
        assert route.uses == sum(key.uses for key in route.keys.keys)
    assert not any(world.in_flight.values())
    assert not world.tries - Counter()  # each try belongs to a call that has ended
    rows = client.usage()
    assert sum(row.calls for row in rows) == traffic.calls
    assert sum(row.usage.total_tokens for row in rows) == traffic.tokens
    assert sum(route.uses for route in router.routes()) == world.requests


def test_a_million_seconds():
    began = time.process_time()
    traffic = Traffic(seed=1)
    traffic.run(SECONDS)

    check_the_books(traffic)
    assert traffic.simulation.clock >= SECONDS - 10 * EVERY
    assert traffic.asked > 0.9 * SECONDS / EVERY
    assert traffic.outcomes["Completion"] > 0.85 * traffic.asked
    assert {"Cancelled", "StreamInterrupted"} < set(traffic.outcomes)
    assert time.process_time() - began < 60


def test_the_same_seed_is_the_same_run():
    runs = [Traffic(seed=7) for _ in range(2)]
    for run in runs:
        run.run(20_000)

    assert runs[0].trace == runs[1].trace
    assert len(runs[0].trace) > 100


@pytest.mark.parametrize("seed", range(5))
def test_other_luck(seed: int):
    traffic = Traffic(seed=100 + seed)
    traffic.run(20_000)

    check_the_books(traffic)
