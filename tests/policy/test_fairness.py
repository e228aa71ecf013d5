"""R9: turns and shares are fair at every moment, and nobody starves in line."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.policy.allowance import allowance
from llmkit.policy.router import Router
from llmkit.policy.routes import Lease, Parked, Tried
from llmkit.policy.strategies import make_strategy
from llmkit.testing import ScriptedRuntime
from llmkit.values.options import Options
from llmkit.wire.http import HttpRequest
from tests.core.test_rotation import CALL, KEYS, Note, route, router
from tests.support.colours import ScriptedAsyncClient, ScriptedClient, openai, reply_to
from tests.support.simulation import Simulation

THREADS, LOOPS, EACH = 8, 4, 40


class Watched(Router):
    """A router that looks, under its own lock, at how often each key and instance was given out."""

    worst = 0

    def _give(self, lease: Lease) -> None:
        super()._give(lease)
        for uses in ([one.uses for one in self._routes.values()], [key.uses for key in lease.route.keys.keys]):
            self.worst = max(self.worst, max(uses) - min(uses))


def test_turns_are_fair_at_any_moment_over_threads_and_loops():
    """Round robin over instances and keys: at no moment do the uses of two healthy ones differ by more than one, with whole answers
    and streams from 8 threads and 4 event loops over one state."""
    client = ScriptedClient(
        ScriptedRuntime(reply_to), [openai(*KEYS, name=name) for name in "abc"], strategy="round_robin", breaker=False
    )
    client._core.router.__class__ = Watched
    problems: list[BaseException] = []
    start = threading.Barrier(THREADS + LOOPS)

    def threaded(number: int) -> None:
        for turn in range(EACH):
            client.generate("q") if (turn + number) % 2 else client.stream("q").text()

    async def looped() -> None:
        face: Any = ScriptedAsyncClient.__new__(ScriptedAsyncClient)
        face.given = ScriptedRuntime(reply_to)
        face._join(client._core)

        async def one(number: int) -> None:
            await asyncio.sleep(0)
            await (face.generate("q") if number % 2 else face.stream("q").text())

        await asyncio.gather(*(one(number) for number in range(EACH)))

    def guarded(number: int) -> None:
        try:
            start.wait()
            threaded(number) if number < THREADS else asyncio.run(looped())
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(THREADS + LOOPS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not problems
    router = client._core.router
    assert isinstance(router, Watched)
    assert router.worst == 1
    assert [one.uses for one in router.routes()] == [(THREADS + LOOPS) * EACH // 3] * 3


WEIGHTS = st.lists(st.floats(0.05, 20), min_size=2, max_size=12)


@given(weights=WEIGHTS, calls=st.integers(1, 400))
@settings(max_examples=150, deadline=None)
def test_weighted_is_within_one_of_its_share_at_any_moment(weights: list[float], calls: int):
    instances = router("weighted")
    for number, weight in enumerate(weights):
        instances.add(route(f"i{number}", weight=weight))
    got: Counter[str] = Counter()
    for turn in range(1, calls + 1):
        lease = instances.admit(CALL, Tried(), 0.0, Note)
        instances.release(lease, 0.0)
        got[lease.route.name] += 1
        for number, weight in enumerate(weights):
            assert abs(got[f"i{number}"] - turn * weight / sum(weights)) <= 1 + 1e-6


@given(
    weights=st.lists(st.floats(0.2, 10), min_size=3, max_size=8),
    phases=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 120)), min_size=1, max_size=6),
)
@settings(max_examples=100, deadline=None)
def test_weighted_where_instances_drop_out_and_come_back(weights: list[float], phases: list[tuple[int, int]]):
    """One at a time is at its limit for a while. Nobody makes up for time it was away: as long as the same ones are there, each
    is within two of its share of them, one for either end."""
    instances = router("weighted")
    for number, weight in enumerate(weights):
        instances.add(route(f"i{number}", weight=weight, max_concurrency=1 if number else None))
    away: Lease | None = None
    for which, calls in phases:
        if away is not None:
            instances.release(away, 0.0)
        away = None
        while which % len(weights) and away is None:  # taken by a call that lasts, when its turn comes
            lease = instances.admit(CALL, Tried(), 0.0, Note)
            if lease.route.name == f"i{which % len(weights)}":
                away = lease
            else:
                instances.release(lease, 0.0)
        there = {f"i{number}": weight for number, weight in enumerate(weights) if away is None or away.route.name != f"i{number}"}
        got: Counter[str] = Counter()
        for turn in range(1, calls + 1):
            lease = instances.admit(CALL, Tried(), 0.0, Note)
            instances.release(lease, 0.0)
            got[lease.route.name] += 1
            for name, weight in there.items():
                assert abs(got[name] - turn * weight / sum(there.values())) <= 2 + 1e-6


@pytest.mark.parametrize("streams", [False, True])
def test_nobody_waits_longer_than_his_fair_share(streams: bool):
    """Calls come at random to slots that they overload: they are served in the order in which they came, and none waits longer than
    those before it take, and one more."""
    luck = random.Random(4)
    slots, seconds = 3, 1.0
    order: list[bytes] = []

    def server(request: HttpRequest) -> tuple[float, Any]:
        order.append((request.body or b"").split(b"number ")[1].split(b'"')[0])
        return seconds, reply_to(request)

    simulation = Simulation(server)
    client = ScriptedAsyncClient(simulation, [openai(*KEYS[:3], max_concurrency_per_key=1)])
    waits: list[tuple[float, int]] = []

    async def one(number: int) -> None:
        before = client._core.router.lines.waiting
        answer = client.stream(f"number {number}").completion() if streams else client.generate(f"number {number}")
        waits.append(((await answer).timing.queued, before))

    for number in range(300):
        simulation.at(luck.random() * 80, lambda number=number: simulation.start(one(number)))
    simulation.play()

    assert len(waits) == 300
    assert max(wait for wait, _ in waits) > 5
    for wait, before in waits:
        assert wait <= (before // slots + 1) * seconds + 1e-6
    assert len(order) == 300


LARGE = attrs.evolve(CALL, options=Options(max_tokens=900))
SMALL = attrs.evolve(CALL, options=Options(max_tokens=90))


@pytest.mark.parametrize("model", [None, "p/m"], ids=["same line", "another line"])
@pytest.mark.parametrize("where", ["instance", "key", "client"])
def test_a_large_call_is_not_starved_by_small_ones(where: str, model: str | None):
    """A call that needs nearly a whole minute's tokens, among small ones that would always find room before it."""
    limits = {"instance": {"tpm": 1000}, "key": {"tpm_per_key": 1000}, "client": {}}[where]
    instances = Router(make_strategy("lru", random.Random(1).random), limiter=allowance(tpm=1000 if where == "client" else None))
    instances.add(route("a", 1, **limits))
    small = attrs.evolve(SMALL, model=model)
    parked: Parked | None = None
    now, served = 0.0, 0
    while now < 300:
        now += 5
        if now == 60:
            found = instances.admit(LARGE, Tried(), now, Note)
            assert isinstance(found, Parked)
            parked = found
        found = instances.admit(small, Tried(), now, Note)
        if isinstance(found, Lease):
            instances.release(found, now)
            served += 1
        if parked is not None and instances.look(parked, now, Note) is not None:
            break
    assert served >= 10
    assert now <= 60 + 70, "the small ones went before it again and again"


@pytest.mark.parametrize("where", ["instance", "client"])
def test_a_large_call_that_leaves_gives_its_room_to_the_small_ones(where: str):
    instances = Router(make_strategy("lru", random.Random(1).random), limiter=allowance(tpm=1000 if where == "client" else None))
    instances.add(route("a", **({} if where == "client" else {"tpm": 1000})))
    for _ in range(5):
        assert isinstance(instances.admit(SMALL, Tried(), 0.0, Note), Lease)
    large = instances.admit(LARGE, Tried(), 1.0, Note)
    small = instances.admit(attrs.evolve(SMALL, model="p/m"), Tried(), 1.0, Note)
    assert isinstance(large, Parked)
    assert isinstance(small, Parked)
    instances.leave(large, 2.0)

    assert small.lease is not None or isinstance(instances.look(small, 2.0, Note), Lease)


@pytest.mark.parametrize("waits", [False, True], ids=["served at once", "served after a wait"])
def test_what_was_kept_for_a_large_call_that_went_elsewhere_is_the_small_ones(waits: bool):
    instances = Router(make_strategy("priority", random.Random(1).random))
    instances.add(route("a", tpm=1000))
    instances.add(route("b", priority=1, max_concurrency=1))
    held = instances.admit(attrs.evolve(CALL, instance="b"), Tried(), 0.0, Note) if waits else None
    for _ in range(2):
        assert isinstance(instances.admit(SMALL, Tried(), 0.0, Note), Lease)
    large = instances.admit(LARGE, Tried(), 1.0, Note)
    assert isinstance(large, Parked if waits else Lease)
    if isinstance(held, Lease):
        instances.release(held, 2.0)
        assert isinstance(large, Parked)
        assert large.lease is not None
        assert large.lease.route.name == "b"
    small = instances.admit(SMALL, Tried(), 2.0, Note)
    assert isinstance(small, Lease)
    assert small.route.name == "a"


def test_a_call_of_higher_priority_takes_what_is_kept_for_a_larger_one():
    instances = Router(make_strategy("lru", random.Random(1).random))
    instances.add(route("a", tpm=1000))
    for _ in range(2):
        assert isinstance(instances.admit(SMALL, Tried(), 0.0, Note), Lease)
    assert isinstance(instances.admit(LARGE, Tried(), 1.0, Note), Parked)
    assert isinstance(instances.admit(attrs.evolve(SMALL, model="p/m"), Tried(), 1.0, Note), Parked)
    assert isinstance(instances.admit(attrs.evolve(SMALL, model="p/m", priority=1), Tried(), 1.0, Note), Lease)
