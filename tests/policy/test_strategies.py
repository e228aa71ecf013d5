"""What each built-in strategy does, and strategies of somebody's own."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from typing import Any

import attrs
import pytest

from llmkit import BreakerSettings, LLMError, hookimpl
from llmkit.policy.routes import Lease, Tried
from llmkit.policy.strategies import STRATEGIES
from llmkit.wire.http import HttpRequest
from tests.core.test_rotation import CALL, Note, route, router
from tests.support.colours import Colour, ScriptedAsyncClient, answer, chat, chunks, openai, refusal, reply_to
from tests.support.colours import sent as sent_by
from tests.support.simulation import Simulation


def choices(strategy: str, count: int, *instances: Any, seconds: dict[str, float] | None = None, call: Any = CALL) -> list[str]:
    """The instances that calls get, one after the other; each takes the instance's ``seconds``."""
    instances_of = router(strategy)
    for one in instances:
        instances_of.add(one)
    now, got = 0.0, []
    for _ in range(count):
        lease = instances_of.admit(call, Tried(), now, Note)
        if call.stream:
            instances_of.began(lease, now + 0.1)
        now += (seconds or {}).get(lease.route.name, 1.0)
        instances_of.release(lease, now, answered=True, streamed=call.stream)
        got.append(lease.route.name)
    return got


# ----------------------------------------------------------------------------------------------- each of them


@pytest.mark.parametrize("strategy", ["lru", "round_robin", "least_connections"])
def test_a_parallel_batch_spreads(strategy: str):
    """Stamped when a call is given out, not when it ends: 30 calls at once over five instances are six for each."""
    simulation = Simulation(lambda request: (1.0, reply_to(request)))
    client = ScriptedAsyncClient(simulation, [openai(name=name) for name in "abcde"], strategy=strategy)
    works = [simulation.start(client.generate("q")) for _ in range(30)]
    simulation.play()

    assert Counter(work.result.instance for work in works) == dict.fromkeys("abcde", 6)
    assert simulation.clock == 1.0


def test_lru_gives_to_who_waits_longest():
    """One that was busy elsewhere goes to the back, whichever kind of call it had."""
    instances = router("lru")
    for name in "abc":
        instances.add(route(name))
    first = instances.admit(attrs.evolve(CALL, instance="b"), Tried(), 0.0, Note)
    got = [instances.admit(CALL, Tried(), 0.0, Note).route.name for _ in range(6)]

    assert first.route.name == "b"
    assert got == ["a", "c", "b", "a", "c", "b"]


def test_round_robin_does_not_make_up_for_time_away():
    instances = router("round_robin")
    for name in "abc":
        instances.add(route(name, max_concurrency=1 if name == "b" else None))
    held = instances.admit(attrs.evolve(CALL, instance="b"), Tried(), 0.0, Note)
    away = [instances.admit(CALL, Tried(), 0.0, Note).route.name for _ in range(10)]
    instances.release(held, 1.0, answered=True)
    back = Counter()
    for _ in range(12):
        lease = instances.admit(CALL, Tried(), 1.0, Note)
        instances.release(lease, 1.0, answered=True)
        back[lease.route.name] += 1

    assert Counter(away) == {"a": 5, "c": 5}
    assert max(back.values()) - min(back.values()) <= 2  # at most one turn of the lap in which it came back


def test_random_is_uniform():
    """Chi square over ten instances and 20,000 calls: below 27.9, the 99.9 % bound at nine degrees of freedom
    (https://www.itl.nist.gov/div898/handbook/eda/section3/eda3674.htm). The seed is fixed."""
    got = Counter(choices("random", 20_000, *[route(f"i{number}") for number in range(10)]))

    assert sum((count - 2000) ** 2 / 2000 for count in got.values()) < 27.9
    assert len(got) == 10


def test_lowest_latency_finds_the_fast_one_and_tries_the_others_rarely():
    seconds = {"a": 3.0, "b": 0.5, "c": 2.0}
    got = choices("lowest_latency", 400, route("a"), route("b"), route("c"), seconds=seconds)

    assert set(got[:6]) == {"a", "b", "c"}, "each was tried"
    assert Counter(got[6:])["b"] > 0.9 * len(got[6:])


def test_lowest_latency_notices_that_the_fast_one_has_become_slow_and_another_fast():
    seconds = {"a": 0.5, "b": 2.0}
    instances = router("lowest_latency")
    for name in "ab":
        instances.add(route(name))
    now, got = 0.0, []
    for turn in range(400):
        if turn == 200:
            seconds = {"a": 5.0, "b": 0.2}
        lease = instances.admit(CALL, Tried(), now, Note)
        now += seconds[lease.route.name]
        instances.release(lease, now, answered=True)
        got.append(lease.route.name)

    assert Counter(got[10:200])["a"] > 170
    assert Counter(got[220:])["b"] > 160


def test_lowest_latency_finds_one_that_has_become_fast_though_the_others_are_as_ever():
    seconds = {"a": 9.0, "b": 1.2}
    instances = router("lowest_latency")
    for name in "ab":
        instances.add(route(name))
    now, got = 0.0, []
    for turn in range(200):
        if turn == 100:
            seconds["a"] = 0.5
        lease = instances.admit(CALL, Tried(), now, Note)
        now += seconds[lease.route.name]
        instances.release(lease, now, answered=True)
        got.append(lease.route.name)

    assert Counter(got[5:100])["b"] >= 90
    assert Counter(got[160:])["a"] >= 38


def test_lowest_latency_does_not_starve_the_fast_for_new_ones():
    """Twenty new instances beside one that is known: every second call is the known one's, until all are measured."""
    instances = router("lowest_latency")
    instances.add(route("fast"))
    now = 0.0

    def one() -> str:
        nonlocal now
        lease = instances.admit(CALL, Tried(), now, Note)
        now += 0.1 if lease.route.name == "fast" else 2.0
        instances.release(lease, now, answered=True)
        return lease.route.name

    assert {one() for _ in range(5)} == {"fast"}
    for number in range(20):
        instances.add(route(f"new{number}"))
    got = [one() for _ in range(44)]
    assert got.count("fast") >= 22
    assert len(set(got)) == 21


def test_lowest_latency_of_streams_is_the_time_to_their_first_content(colour: Colour):
    """One that begins late and ends soon is slow for streams, and fast for whole answers."""

    def script(request: HttpRequest) -> Any:
        late = request.url.startswith("https://late")
        if b'"stream":true' in (request.body or b""):
            return chunks(3.0, "a ", "b ") if late else chunks(0.2, "a ", 9.0, "b ")
        client.runtime.clock += 3.0 if late else 9.2
        return chat()

    instances = [openai(name=name, base_url=f"https://{name}.test/v1") for name in ("late", "early")]
    client = colour.scripted(script, instances, strategy="lowest_latency")
    streamed, whole = [], []
    for _ in range(12):
        with client.stream("q") as stream:
            stream.completion()
            streamed.append(stream.instance)
        whole.append(client.generate("q").instance)

    assert Counter(streamed[3:])["early"] >= 7
    assert Counter(whole[3:])["late"] >= 7


def test_lowest_latency_knows_a_stream_by_its_first_content_while_it_is_read(colour: Colour):
    def script(request: HttpRequest) -> Any:
        return chunks(3.0 if request.url.startswith("https://late") else 0.2, "a ", 9.0, "b ")

    instances = [openai(name=name, base_url=f"https://{name}.test/v1") for name in ("late", "early")]
    client = colour.scripted(script, instances, strategy="lowest_latency")
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(client.stream("q")) for _ in range(8)]
        assert [next(iter(stream)).type for stream in streams] == ["started"] * 8
        assert Counter(stream.instance for stream in streams) == {"early": 7, "late": 1}


def test_least_connections_goes_where_least_is_open():
    """At every choice; calls that take different times keep all instances equally loaded."""
    luck = random.Random(1)
    instances = router("least_connections")
    for name in "abcd":
        instances.add(route(name))
    open_calls: list[Lease] = []
    for now in range(2000):
        if open_calls and luck.random() < 0.48:
            instances.release(open_calls.pop(luck.randrange(len(open_calls))), now, answered=True)
            continue
        least = min(one.in_flight for one in instances.routes())
        lease = instances.admit(CALL, Tried(), now, Note)
        assert lease.route.in_flight == least + 1
        open_calls.append(lease)
    assert len(open_calls) > 20


def test_usage_goes_where_most_is_free():
    """Of limits of 10, 20 and 70 requests each gets its part, and none is full before the others are."""
    instances = router("usage")
    for name, rpm in (("a", 10), ("b", 20), ("c", 70)):
        instances.add(route(name, rpm=rpm))
    got: Counter[str] = Counter()
    for turn in range(1, 101):
        lease = instances.admit(CALL, Tried(), 0.001 * turn, Note)
        instances.release(lease, 0.001 * turn, answered=True)
        got[lease.route.name] += 1
        for name, part in (("a", 0.1), ("b", 0.2), ("c", 0.7)):
            assert abs(got[name] - turn * part) <= 2

    assert got == {"a": 10, "b": 20, "c": 70}


def test_priority_is_tiers(colour: Colour):
    """The lowest tier that can serve; within it the longest unused; the next one only while the first cannot."""
    down: set[str] = set()

    def script(request: HttpRequest) -> Any:
        return refusal(500) if request.url.split("//")[1][0] in down else chat()

    tiers = {"z": 1, "a": 0, "b": 0, "y": 2}
    instances = [openai(name=name, priority=rank, base_url=f"https://{name}.test/v1") for name, rank in tiers.items()]
    client = colour.scripted(script, instances, strategy="priority", breaker=BreakerSettings(failures=1, open=10))
    assert [client.generate("q").instance for _ in range(4)] == ["a", "b", "a", "b"]
    down.update("ab")
    assert [client.generate("q").instance for _ in range(3)] == ["z", "z", "z"]
    assert len([request for request in sent_by(client) if request.url.split("//")[1][0] in "ab"]) == 4 + 2
    down.clear()
    client.runtime.clock += 11
    assert {client.generate("q").instance for _ in range(4)} == {"a", "b"}


# ----------------------------------------------------------------------------------------------- somebody's own


class Shortest:
    """The instance of the shortest name."""

    def choose(self, routes: Any, now: float) -> Any:
        return min(routes, key=lambda route: len(route.name))


class Named:
    """A plugin with a strategy."""

    @hookimpl
    def llmkit_register_strategies(self) -> Any:
        return {"shortest": Shortest}


def test_a_strategy_of_ones_own(colour: Colour):
    """One method over those that can serve; what rests or is full is not among them."""
    client = colour.scripted(answer(), [openai(name=name) for name in ("abc", "a", "ab")], strategy=Shortest())
    assert [client.generate("q").instance for _ in range(2)] == ["a", "a"]
    client.disable("a")
    assert client.generate("q").instance == "ab"


class Notebook:
    """Each instance twice in a row, as noted on it."""

    def choose(self, routes: Any, now: float) -> Any:
        route = min(routes, key=lambda route: getattr(route, "turns", 0) // 2)
        route.turns = getattr(route, "turns", 0) + 1
        return route


def test_a_strategy_may_note_things_on_instances(colour: Colour):
    client = colour.scripted(answer(), [openai(name="a"), openai(name="b")], strategy=Notebook())
    assert [client.generate("q").instance for _ in range(6)] == ["a", "a", "b", "b", "a", "a"]


def test_a_strategy_by_a_plugins_name(colour: Colour):
    client = colour.scripted(answer(), [openai(name=name) for name in ("abc", "a")], strategy="shortest", plugins=[Named()])
    assert client.generate("q").instance == "a"
    with pytest.raises(LLMError, match=r"expected one of lru, .*shortest"):
        client.set_strategy("longest")


def test_the_strategy_changes_while_it_runs(colour: Colour):
    """From the next call on; calls in flight and calls that wait are none the worse."""
    client = colour.scripted(answer(), [openai(name=name, priority=rank) for rank, name in enumerate("abc")])
    assert [client.generate("q").instance for _ in range(3)] == ["a", "b", "c"]
    with client.stream("q") as stream:
        client.set_strategy("priority")
        assert [client.generate("q").instance for _ in range(3)] == ["a"] * 3
        assert stream.completion().text
    assert client.in_flight() == 0

    simulation = Simulation(lambda request: (1.0, reply_to(request)))
    waiting = ScriptedAsyncClient(simulation, [openai(name=name, max_concurrency=1) for name in "ab"])
    works = [simulation.start(waiting.generate("q")) for _ in range(10)]
    for number, name in enumerate(sorted(STRATEGIES)):
        simulation.at(0.5 * number, lambda name=name: waiting.set_strategy(name))
    simulation.play()
    assert [work.result.text for work in works] == ["hello"] * 10
    assert simulation.clock == pytest.approx(5.0)


# ----------------------------------------------------------------------------------------------- what a choice costs


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_choice_among_ten_thousand_costs_about_what_one_among_ten_does(strategy: str):
    """No strategy looks at all of them: generously bounded here, measured in ``benchmarks/routing.py``."""

    def cost(count: int) -> float:
        instances = router(strategy)
        for number in range(count):
            instances.add(route(f"i{number}", weight=1 + number % 7))
        now, best = 0.0, float("inf")
        for _ in range(6):
            began = time.process_time()
            for _ in range(1000):
                now += 0.001
                lease = instances.admit(CALL, Tried(), now, Note)
                instances.release(lease, now + 0.0005, answered=True)
            best = min(best, time.process_time() - began)
        return best

    assert cost(10_000) < 5 * cost(10)
