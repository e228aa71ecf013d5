"""Keys and instances: fair turns, rests that are kept, limits that hold, slots that are handed on."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import random
import re
import threading
from collections import Counter
from email.utils import formatdate
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from llmkit import (
    AuthenticationError,
    Instance,
    LLMError,
    NoInstanceAvailable,
    PermissionDeniedError,
    QueueFullError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)
from llmkit.policy.allowance import allowance, meter
from llmkit.policy.keys import KeyPool, make_keys
from llmkit.policy.router import Router
from llmkit.policy.routes import Lease, Parked, Route, Tried
from llmkit.policy.strategies import STRATEGIES, make_strategy
from llmkit.provider import Provider
from llmkit.testing import ScriptedRuntime
from llmkit.values.calls import ChatCall, Deadline
from llmkit.values.messages import Message
from llmkit.values.secret import Secret
from llmkit.values.usage import Usage
from llmkit.wire.http import HttpRequest
from tests.support.colours import (
    Colour,
    ScriptedAsyncClient,
    ScriptedClient,
    answer,
    chat,
    chunks,
    key_of,
    one_after_another,
    openai,
    refusal,
    reply_to,
    sent,
)
from tests.support.virtual import VirtualRuntime, virtually

KEYS = [f"sk-key-{number:012}" for number in range(5)]


# ----------------------------------------------------------------------------------------------- fairness


def test_round_robin_is_exactly_fair(colour: Colour):
    """R9: at any moment the uses of healthy keys differ by at most one, whole answers and streams mixed."""
    client = colour.scripted(answer(), [openai(*KEYS)])
    for number in range(33):
        if number % 3:
            client.generate("q")
        else:
            with client.stream("q") as stream:
                next(stream)
        uses = Counter(key_of(request) for request in sent(client))
        assert max(uses.values()) - min(uses.get(key, 0) for key in KEYS) <= 1


def test_fair_over_both_faces_threads_and_loops():
    """R9: one core under threads, tasks of several loops and streams gives every key its turn."""
    used: Counter[str] = Counter()
    lock = threading.Lock()

    def script(request: HttpRequest) -> Any:
        with lock:
            used[key_of(request)] += 1
            assert max(used.values()) - min(used.get(key, 0) for key in KEYS) <= 9  # the requests of nine workers are under way
        return reply_to(request)

    client = ScriptedClient(ScriptedRuntime(script), [openai(*KEYS)])
    problems: list[BaseException] = []

    def sync(number: int) -> None:
        for turn in range(50):
            client.generate("q") if (turn + number) % 2 else client.stream("q").text()

    async def asynchronous() -> None:
        face: Any = ScriptedAsyncClient.__new__(ScriptedAsyncClient)
        face.given = ScriptedRuntime(script)
        face._join(client._core)
        await asyncio.gather(*(face.generate("q") for _ in range(50)))

    def guarded(work: Any, *given: Any) -> None:
        try:
            asyncio.run(work()) if not given else work(*given)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=guarded, args=(sync, number)) for number in range(6)]
    threads += [threading.Thread(target=guarded, args=(asynchronous,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not problems
    assert used.total() == 450
    assert set(used.values()) == {90}


def test_weights_are_kept(colour: Colour):
    """Weighted: at any moment each instance is within one call of its share."""
    instances = [openai(name=name, weight=weight) for name, weight in (("a", 5), ("b", 2), ("c", 1))]
    client = colour.scripted(answer(), instances, strategy="weighted")
    got: Counter[str] = Counter()
    for number in range(1, 81):
        got[client.generate("q").instance] += 1
        for name, weight in (("a", 5), ("b", 2), ("c", 1)):
            assert abs(got[name] - number * weight / 8) <= 1


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("lru", ["a", "b", "c", "a"]), ("round_robin", ["a", "b", "c", "a"]), ("least_connections", ["a", "b", "c", "a"])],
)
def test_strategies_take_turns(colour: Colour, strategy: str, expected: list[str]):
    client = colour.scripted(answer(), [openai(name=name) for name in "abc"], strategy=strategy)

    assert [client.generate("q").instance for _ in range(4)] == expected


def test_random_and_latency(colour: Colour):
    client = colour.scripted(answer(), [openai(name=name) for name in "abc"], strategy="random")
    assert {client.generate("q").instance for _ in range(60)} == {"a", "b", "c"}

    slow = {"https://a": 5.0, "https://b": 1.0}

    def script(request: HttpRequest) -> Any:
        client.runtime.clock += slow[request.url.split(".")[0]]
        return chat()

    instances = [openai(name=name, base_url=f"https://{name}.test/v1") for name in "ab"]
    client = colour.scripted(script, instances, strategy="latency")
    assert [client.generate("q").instance for _ in range(5)] == ["a", "b", "b", "b", "b"]


def test_least_connections_counts_open_streams(colour: Colour):
    client = colour.scripted(answer(), [openai(name=name) for name in "ab"], strategy="least_connections")
    with client.stream("q") as one:
        assert one.instance == "a"
        assert [client.generate("q").instance for _ in range(3)] == ["b", "b", "b"]


def test_lowest_latency_prefers_measured_when_all_are_busy(colour: Colour):
    client = colour.scripted(answer(), [openai(name=name) for name in "ab"], strategy="lowest_latency")
    with client.stream("q"), client.stream("q"):
        assert client.generate("q").instance == "a"


# ----------------------------------------------------------------------------------------------- rests


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "1.5"}, 1.5),
        ({"retry_after_ms": "2500", "retry_after": "9"}, 2.5),
        ({"retry_after": formatdate(1000030, usegmt=True), "date": formatdate(1000000, usegmt=True)}, 30.0),
        ({"retry_after": "soon"}, None),
        ({}, None),
        ({"retry_after": "-1"}, None),
        ({"retry_after": "nan"}, None),
    ],
    ids=["seconds", "float", "ms", "date", "junk", "none", "negative", "nan"],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_law(colour: Colour, headers: dict[str, str], seconds: float | None, status: int):
    """R7: the key is not used before its rest ends, and is used then."""
    times: list[float] = []

    def script(request: HttpRequest) -> Any:
        times.append(client.runtime.clock)
        return refusal(status, **headers) if len(times) == 1 else chat()

    client = colour.scripted(script, [openai()])
    client.generate("q")

    pause = times[1] - times[0]
    if seconds is not None:
        assert pause == pytest.approx(seconds)
    elif status == 429:
        assert 0.9 <= pause <= 1.1
    else:
        assert 0 <= pause <= 0.5


def test_rests_grow_without_a_hint_and_end_with_an_answer(colour: Colour):
    """429 without a hint: 1, 2, 4, … seconds, and from the start again after an answer."""
    times: list[float] = []

    def script(request: HttpRequest) -> Any:
        times.append(client.runtime.clock)
        return refusal(429) if len(times) not in (5, 7) else chat()

    client = colour.scripted(script, [openai()], retries=9)
    client.generate("q")
    client.generate("q")

    pauses = [after - before for before, after in itertools.pairwise(times)]
    for pause, expected in zip(pauses, [1, 2, 4, 8, 0, 1], strict=True):
        assert pause == pytest.approx(expected, rel=0.11)


@pytest.mark.parametrize("instances", [1, 3])
@pytest.mark.parametrize("unavailable", ["wait", "fail"])
def test_too_long_a_rest_fails_at_once(colour: Colour, instances: int, unavailable: Any):
    """R7: Retry-After beyond max_wait: other keys and instances first, then RateLimitError at once, with the time to come back."""
    several = [openai(*[f"{key}{number}" for key in KEYS[:2]], name=f"i{number}") for number in range(instances)]
    client = colour.scripted(lambda request: refusal(429, retry_after="86400"), several, unavailable=unavailable, retries=9)

    with pytest.raises(RateLimitError) as first:
        client.generate("q")
    with pytest.raises(RateLimitError) as second:
        client.generate("q")

    assert len(sent(client)) == 2 * instances
    assert client.runtime.clock == 0
    assert [round(caught.value.retry_after) for caught in (first, second)] == [86400, 86400]
    assert len(first.value.attempts) == 2 * instances
    assert "i0#1" in str(second.value)


def test_rate_limit_rests_the_key_and_not_the_call(colour: Colour):
    """A limited key costs no time while another can serve."""
    client = colour.scripted(one_after_another(refusal(429, retry_after="50"), chat()), [openai(*KEYS[:2])])

    completion = client.generate("q")

    assert client.runtime.clock == 0
    assert [attempt.key for attempt in completion.attempts] == ["openai/m#1", "openai/m#2"]
    states = client.health()[0].keys
    assert [(state.status, round(state.seconds_left)) for state in states] == [("cooling", 50), ("healthy", 0)]
    assert [client.generate("q").attempts[0].key for _ in range(3)] == ["openai/m#2"] * 3


@pytest.mark.parametrize("instances", [[openai(*KEYS[:2])], [openai(KEYS[0]), openai(KEYS[1])]], ids=["keys", "instances"])
@pytest.mark.parametrize("streams", [False, True])
def test_what_has_failed_is_not_tried_again_at_once_because_another_rests(colour: Colour, instances: list[Any], streams: bool):
    """One fails, the other is rate limited: the first may be all that is left, but it gets its pause."""
    times: list[float] = []

    def script(request: HttpRequest) -> Any:
        if key_of(request) == KEYS[1]:
            return refusal(429, retry_after="50")
        times.append(client.runtime.clock)
        return refusal(500) if len(times) == 1 else reply_to(request)

    client = colour.scripted(script, instances, retry_initial_delay=8, max_wait=5)
    client.core._rng.seed(1)
    completion = client.stream("q").completion() if streams else client.generate("q")

    assert [type(attempt.error).__name__ for attempt in completion.attempts] == ["ServerError", "RateLimitError", "NoneType"]
    assert 0 < times[1] - times[0] <= 8


def test_rest_beyond_the_deadline_fails_at_once(colour: Colour):
    """R11: a wait that cannot end in time is not begun."""
    client = colour.scripted(lambda request: refusal(429, retry_after="30"), [openai()])

    with pytest.raises(RateLimitError):
        client.generate("q", timeout=20)

    assert client.runtime.clock == 0


@pytest.mark.parametrize(
    ("status", "code", "error", "rest"),
    [
        (401, None, AuthenticationError, 3600),
        (403, None, PermissionDeniedError, 3600),
        (402, None, QuotaExceededError, 900),
        (429, "insufficient_quota", QuotaExceededError, 900),
    ],
)
def test_bad_keys_rest(colour: Colour, status: int, code: str | None, error: type[LLMError], rest: int):
    """R8: a refused key is left alone, the others carry on; when all are bad there is one error with labels and no key."""
    bad = {KEYS[0]}
    client = colour.scripted(
        lambda request: refusal(status, "bad", code) if key_of(request) in bad else chat(), [openai(*KEYS[:3])]
    )

    for _ in range(12):
        client.generate("q")
    assert sum(key_of(request) == KEYS[0] for request in sent(client)) == 1
    assert client.health()[0].keys[0].status == "out"

    client.runtime.clock += rest - 1
    client.generate("q")
    assert sum(key_of(request) == KEYS[0] for request in sent(client)) == 1
    client.runtime.clock += 2
    for _ in range(3):
        client.generate("q")
    assert sum(key_of(request) == KEYS[0] for request in sent(client)) == 2
    assert client.health()[0].keys[0].seconds_left == pytest.approx(2 * rest, abs=5)

    bad.update(KEYS)
    with pytest.raises(error) as caught:
        client.generate("q")
    assert all(f"openai/m#{number}" in str(caught.value) for number in (1, 2, 3))
    assert not any(key in str(caught.value) for key in KEYS)
    with pytest.raises(error):
        client.generate("q")


def test_mixed_reasons(colour: Colour):
    """Where keys rest for different reasons, nothing is available, and the error says when something will be."""
    replies = {KEYS[0]: refusal(401), KEYS[1]: refusal(429, retry_after="500")}
    client = colour.scripted(lambda request: replies[key_of(request)], [openai(*KEYS[:2])])

    with pytest.raises(NoInstanceAvailable) as caught:
        client.generate("q")

    assert caught.value.retry_after == pytest.approx(500)
    assert caught.value.retry_at == pytest.approx(1e9 + 500)
    assert len(caught.value.attempts) == 2


def test_a_burst_is_one_strike():
    """Calls that were under way together strike a key once, and an answer to an older call does not acquit it."""
    pool = KeyPool(make_keys("i", (Secret("sk-1"),)), None, lambda: 0.5)
    key = pool.keys[0]
    for _ in range(10):
        pool.struck(key, RateLimitError("slow down"), 0.0, 1.0)
    assert (key.strikes, key.rest_until) == (1, 2.0)

    pool.struck(key, AuthenticationError("no"), 0.0, 2.0)
    assert (key.strikes, key.rest_until) == (2, 7202.0), "another reason is another strike"
    pool.struck(key, RateLimitError("slow down", retry_after=3), 0.0, 2.0)
    assert (key.rest_until, type(key.resting)) == (7202.0, AuthenticationError), "the longest rest counts"
    key.strikes, key.rest_until, key.resting, key.struck_at = 1, 2.0, RateLimitError("slow down"), 1.0

    pool.struck(key, RateLimitError("slow down", retry_after=7), 0.5, 1.5)
    assert (key.strikes, key.rest_until) == (1, 8.5)
    pool.worked(key, 0.5)
    assert key.strikes == 1
    pool.worked(key, 9.0)
    assert key.strikes == 0
    pool.struck(key, ServerError("oops"), 9.0, 10.0)
    assert key.rest_until == 8.5


def gives(pool: KeyPool, now: float) -> int:
    """How many calls a pool of one key gives it now."""
    given = 0
    while pool.pick(now) is not None:
        assert pool.keys[0].ramp is not None
        pool.keys[0].ramp.took(now)
        given += 1
    return given


def test_a_key_that_was_refused_without_a_word_comes_back_step_by_step():
    pool = KeyPool(make_keys("i", (Secret("sk-1"),)), None, lambda: 0.5)
    key = pool.keys[0]
    pool.struck(key, RateLimitError("slow down"), 0.0, 1.0)
    assert (gives(pool, 1.9), pool.ready_at(1.9)) == (0, 2.0)
    assert (gives(pool, 2.0), pool.ready_at(2.0)) == (1, 3.0)
    pool.worked(key, 2.0)
    assert (gives(pool, 2.5), gives(pool, 3.5), gives(pool, 4.5)) == (2, 2, 4)
    pool.worked(key, 0.5)  # an answer to an older call says nothing
    assert gives(pool, 4.6) == 0
    pool.struck(key, RateLimitError("slow down"), 4.5, 5.0)
    assert [gives(pool, 6.0 + second) for second in range(6)] == [1, 2, 4, 8, 16, 32]
    assert pool.pick(12.0) is pool.pick(12.0) is key
    assert key.ramp is None

    pool.struck(key, RateLimitError("slow down"), 12.0, 13.0)
    assert pool.pick(75.0) is key
    assert key.ramp is None, "what happened a minute ago says nothing"
    pool.struck(key, RateLimitError("slow down", retry_after=5), 75.0, 76.0)
    assert key.ramp is None, "the vendor knows when it has room"


# ----------------------------------------------------------------------------------------------- limits, in virtual time


class Busy:
    """A server that counts what is in flight."""

    def __init__(self, reply: Any = None, seconds: float = 1.0) -> None:
        self.reply = reply or (lambda request: reply_to(request))
        self.seconds = seconds
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    def __call__(self, request: HttpRequest) -> tuple[float, Any]:
        for name in (key_of(request), "all"):
            self.now[name] += 1
            self.most[name] = max(self.most[name], self.now[name])
        return self.seconds, self.reply(request)

    def done(self, request: HttpRequest) -> None:
        for name in (key_of(request), "all"):
            self.now[name] -= 1


def free(client: Any) -> bool:
    """Whether nothing is in flight and nobody waits."""
    routes = client._core.router.routes()
    return (
        not any(route.in_flight or any(key.in_flight for key in route.keys.keys) for route in routes)
        and not client._core.router.lines.waiting
    )


@pytest.mark.parametrize("streams", [False, True])
def test_limits_hold_on_the_server(streams: bool):
    """max_concurrency and max_concurrency_per_key, as the server counts; everyone is served, in order of arrival."""

    async def main() -> None:
        order: list[int] = []

        def reply(request: HttpRequest) -> Any:
            order.append(int(re.findall(rb"number (\d+)", request.body or b"")[0]))
            return reply_to(request)

        server = Busy(reply)
        runtime = VirtualRuntime(server)
        client = ScriptedAsyncClient(runtime, [openai(*KEYS[:3], max_concurrency=5, max_concurrency_per_key=2)])

        async def one(number: int) -> None:
            if streams:
                async with client.stream(f"number {number}") as stream:
                    async for _ in stream:
                        pass
            else:
                await client.generate(f"number {number}")

        await asyncio.gather(*(one(number) for number in range(40)))
        assert server.most["all"] == 5
        assert max(server.most[key] for key in KEYS[:3]) == 2
        assert order == sorted(order)
        assert runtime.now() == pytest.approx(8.0)
        assert runtime.open_bodies == 0
        assert free(client)

    virtually(main())


def test_queue_full(colour: Colour):
    """More than max_pending waiting calls are refused at once."""

    async def main() -> None:
        client = ScriptedAsyncClient(VirtualRuntime(Busy()), [openai(max_concurrency=1)], max_pending=3)
        results = await asyncio.gather(*(client.generate("q") for _ in range(6)), return_exceptions=True)
        assert [type(result).__name__ for result in results] == ["Completion"] * 4 + ["QueueFullError"] * 2
        assert free(client)

    virtually(main())
    client = colour.scripted(answer(), [openai(max_concurrency=1)], timeout=3)
    with client.stream("q"), pytest.raises(LLMError) as caught:
        client.generate("q")
    assert caught.value.phase == "deadline"
    assert caught.value.attempts == ()
    assert client.runtime.clock == pytest.approx(3)


def test_a_rest_wakes_those_in_line():
    """A call in line for a slot whose key goes to rest waits for the end of the rest, not for a slot that nobody frees."""

    async def main() -> None:
        server = Busy(one_after_another(refusal(429, retry_after="10"), chat()))
        client = ScriptedAsyncClient(VirtualRuntime(server), [openai(max_concurrency_per_key=1)], retries=0)
        results = await asyncio.gather(client.generate("q"), client.generate("q"), return_exceptions=True)
        assert [type(result).__name__ for result in results] == ["RateLimitError", "Completion"]
        assert asyncio.get_running_loop().time() == pytest.approx(12)
        assert free(client)

    virtually(main())


def test_the_end_of_a_rest_serves_those_in_line_for_another_key():
    """One key rests for a second, the other is held by a long stream: who is in line gets the first when its rest ends."""

    async def main() -> None:
        replies = {KEYS[0]: one_after_another(refusal(429, retry_after="1"), chat()), KEYS[1]: lambda r: chunks("a", 500.0, "b")}
        server = Busy(lambda request: replies[key_of(request)](request), seconds=0.0)
        client = ScriptedAsyncClient(VirtualRuntime(server), [openai(*KEYS[:2], max_concurrency_per_key=1)])
        async with client.stream("q") as stream:
            assert stream._opened.lease.key.label == "openai/m#2"
            completion = await client.generate("q")
            assert completion.timing.queued == pytest.approx(1)
        assert free(client)

    virtually(main())


def test_an_instance_that_is_removed_or_added_while_calls_wait(colour: Colour):
    """Who waits for an instance asks again when instances change."""

    async def main() -> None:
        client = ScriptedAsyncClient(VirtualRuntime(Busy(seconds=50.0)), [openai(name="a", max_concurrency=1)])
        first, second = (asyncio.ensure_future(client.generate("q")) for _ in range(2))
        await asyncio.sleep(1)
        client.add_instance(openai(name="b"))
        client.disable("a")
        assert (await second).instance == "b"
        assert asyncio.get_running_loop().time() == pytest.approx(51)
        assert (await first).instance == "a"
        client.remove_instance("b")
        with pytest.raises(NoInstanceAvailable):
            await client.generate("q")
        assert free(client)

    virtually(main())


@pytest.mark.parametrize("streams", [False, True])
def test_cancel_gives_everything_back(streams: bool):
    """R12, R13: tasks cancelled at random moments leave no slot, no place in line and no connection behind."""
    chance = random.Random(5)

    async def main() -> None:
        def reply(request: HttpRequest) -> Any:
            lot = chance.random()
            if lot < 0.15:
                return refusal(429, retry_after="0.5")
            return refusal(500) if lot < 0.3 else chunks("a ", 0.3, "b ", 0.3, "c ") if streams else chat()

        server = Busy(reply, seconds=0.4)
        runtime = VirtualRuntime(server)
        client = ScriptedAsyncClient(
            runtime, [openai(*KEYS[:2], max_concurrency=6, max_concurrency_per_key=4), openai(name="b", max_concurrency=2)]
        )

        async def one() -> str:
            return await client.stream("q").text() if streams else (await client.generate("q")).text

        ended: Counter[str] = Counter()

        async def cancelled() -> None:
            task = asyncio.ensure_future(one())
            await asyncio.sleep(chance.random() * 4)
            task.cancel()
            before = runtime.now()
            result = (await asyncio.gather(task, return_exceptions=True))[0]
            assert runtime.now() - before < 0.05
            ended[type(result).__name__] += 1

        for _ in range(20):
            await asyncio.gather(*(cancelled() for _ in range(50)))
        assert ended["CancelledError"] > 200
        assert ended["str"] > 100
        assert free(client)
        assert not any(server.now.values())
        assert runtime.open_bodies == 0
        await asyncio.sleep(5)
        chance.random = lambda: 1.0  # type: ignore[method-assign]
        assert len(await asyncio.gather(*(one() for _ in range(64)))) == 64

    virtually(main())


# ----------------------------------------------------------------------------------------------- the state machine


class Note:
    """A waiter that remembers."""

    def __init__(self) -> None:
        self.woken = False

    def wake(self) -> None:
        self.woken = True


CALL = ChatCall(deadline=Deadline(1e9, 1e9), messages=(Message("user", "q"),))


def router(strategy: str = "lru", **settings: Any) -> Router:
    return Router(make_strategy(strategy, random.Random(1).random), **settings)


def route(name: str = "a", keys: int = 0, per_key: int | None = None, **given: Any) -> Route:
    secrets = tuple(Secret(f"sk-{name}{number}") for number in range(keys))
    pool = KeyPool(make_keys(name, secrets), per_key, lambda: 0.5)
    made = Route(Instance("p", "m", name=name, max_concurrency_per_key=per_key, **given), Provider(), pool, name)
    meter(made)
    return made


ERRORS = {
    "429": lambda: RateLimitError("x", status=429),
    "hinted": lambda: RateLimitError("x", status=429, retry_after=3.0),
    "401": lambda: AuthenticationError("x", status=401),
    "500": lambda: ServerError("x", status=500),
}


class Turns(RuleBasedStateMachine):
    """Router, key pools, breakers and lines under any sequence of events, with every strategy."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.leases: list[Lease] = []
        self.waiting: list[Parked] = []

    @initialize(
        strategy=st.sampled_from(sorted(STRATEGIES)),
        breaker=st.sampled_from([True, None]),
        limits=st.sampled_from([{}, {"rpm": 3}, {"rpm_per_key": 2, "tpm": 1500}]),
        client=st.sampled_from([None, 5]),
    )
    def begin(self, strategy: str, breaker: Any, limits: dict[str, int], client: int | None) -> None:
        self.router = router(strategy, max_pending=50, breaker=breaker, limiter=allowance(rpm=client))
        self.router.add(route("a", 2, 2, max_concurrency=3, **limits))
        self.router.add(route("b", 1, 1, weight=2.5))
        self.router.add(route("c", 1, None, max_concurrency=1, priority=1, **limits))
        self.client = client
        self.sent: list[tuple[float, str]] = []

    def _ask(self, call: ChatCall) -> None:
        found = self.router.admit(call, Tried(), self.now, Note)
        if isinstance(found, Lease):
            self._got(found)
        else:
            self.waiting.append(found)
        self._collect()

    def _got(self, lease: Lease) -> None:
        self.leases.append(lease)
        self.sent.append((self.now, lease.route.name))
        for name, limit in ((None, self.client), (lease.route.name, lease.route.instance.rpm)):
            recent = [at for at, where in self.sent if at > self.now - 60 and name in (None, where)]
            assert limit is None or len(recent) <= limit, "the limit is breached"

    @precondition(lambda self: len(self.waiting) < 40)
    @rule(priority=st.sampled_from([0, 0, 0, 1]), model=st.sampled_from([None, "p/m"]))
    def ask(self, priority: int, model: str | None) -> None:
        self._ask(attrs.evolve(CALL, priority=priority, model=model))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), how=st.sampled_from(["ok", "ok", *ERRORS, "left"]))
    def release(self, data: st.DataObject, how: str) -> None:
        lease = self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1)))
        before = [parked for parked in self.waiting if parked.lease is None]
        error = ERRORS[how]() if how in ERRORS else None
        usage = Usage(300, 200, 500) if how == "ok" else None
        self.router.release(lease, self.now, error, answered=how == "ok", usage=usage)
        self.router.release(lease, self.now, error)  # again: nothing
        for model in (None, "p/m"):
            line = [parked for parked in before if parked.call.model == model]
            line.sort(key=lambda parked: (-parked.call.priority, parked.order))
            served = [parked.lease is not None for parked in line]
            assert served == sorted(served, reverse=True), "out of turn"
        self._collect()

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def begin_to_answer(self, data: st.DataObject) -> None:
        """A stream has brought its first content."""
        lease = self.leases[data.draw(st.integers(0, len(self.leases) - 1))]
        self.router.began(lease, self.now)
        assert not lease.route.breaker.open
        self._collect()

    def _collect(self) -> None:
        """What woken calls do: take their lease, or look again and wait on."""
        while any(parked.waiter.woken for parked in self.waiting):
            parked = next(parked for parked in self.waiting if parked.waiter.woken)
            self._look(parked)

    def _look(self, parked: Parked) -> None:
        lease = self.router.look(parked, self.now, Note)
        if lease is not None:
            self.waiting.remove(parked)
            self._got(lease)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), granted=st.booleans())
    def give_up(self, data: st.DataObject, granted: bool) -> None:
        """A waiting call is cancelled, perhaps in the moment in which it was handed its lease."""
        parked = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        if granted and self.leases:
            self.router.release(self.leases.pop(0), self.now)
        self.router.leave(parked, self.now)
        self._collect()

    @rule(seconds=st.floats(0.01, 5000))
    def pass_time(self, seconds: float) -> None:
        """Time passes; those who watch the clock look at it in time."""
        until = self.now + seconds
        while True:
            due = [parked.until for parked in self.waiting if parked.first and parked.until is not None and parked.until <= until]
            self.now = max(self.now, min(due, default=until))
            if not due:
                break
            for parked in [parked for parked in self.waiting if parked.first and parked.until is not None]:
                if parked.until <= self.now:
                    self._look(parked)
            self._collect()

    @rule(name=st.sampled_from("abc"), again=st.booleans())
    def switch(self, name: str, again: bool) -> None:
        """An instance is switched off, and on again: those who wait find their way anew."""
        self.router.enable(name, False, self.now)
        if again or all(not route.enabled for route in self.router.routes()):
            self.router.enable(name, True, self.now)
        self._collect()

    @rule(strategy=st.sampled_from(sorted(STRATEGIES)))
    def choose_otherwise(self, strategy: str) -> None:
        self.router.strategy = make_strategy(strategy, random.Random(2).random)
        self._collect()

    @invariant()
    def counts_are_right(self) -> None:
        for route in self.router.routes():
            mine = [lease for lease in self.leases if lease.route is route]
            assert route.in_flight == len(mine)
            for key in route.keys.keys:
                assert key.in_flight == sum(lease.key is key for lease in mine)
                assert key.in_flight <= max(1, route.keys.limit or 99)

    def _wanted(self, route: Route, parked: Parked) -> int:
        """The tokens for which an instance must have room before a parked call gets it: those of whoever waits for it and goes
        before that call count as well."""
        firsts = [other.plan.line[0][2] for other in self.waiting]
        return max(
            first.tokens
            for first in firsts
            if (-first.call.priority, first.order) <= (-parked.call.priority, parked.order)
            and any(route in group.routes for group in first.plan.groups)
        )

    @invariant()
    def nobody_is_forgotten(self) -> None:
        """Whoever waits is in a line whose first watches the clock where there is something to wait for; and nothing is free."""
        assert self.router.lines.waiting == len(self.waiting)
        for parked in self.waiting:
            assert not parked.waiter.woken
            assert parked.lease is None
            first = parked.plan.line[0][2]
            assert first in self.waiting
            routes = [route for group in parked.plan.groups for route in group.routes]
            tokens = first.tokens
            held = self.router.limiter.ready_at(self.now, tokens) if self.router.limiter is not None else 0.0
            if held > self.now:
                times = [held]
            else:
                free = [route for route in routes if not route.full]
                ready = [max(route.room_at(self.now, self._wanted(route, first)), route.breaker.until) for route in free]
                times = [at for at in ready if at < math.inf]
                assert all(at > self.now for at in times), "something could serve it"
            if times:
                assert first.first
                assert first.until is not None
                assert first.until <= min(times)
            else:
                assert any(lease.route in routes for lease in self.leases), "nothing will ever wake it"


EXAMPLES = 2_000 if os.environ.get("LLMKIT_LONG") else 60  # R25: 100,000 steps
Turns.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=50, deadline=None)
TestTurns = Turns.TestCase


def test_first_in_line_is_served_first():
    """A freed slot goes to who waits longest; one who was handed it and leaves hands it on."""
    instances = router("round_robin")
    instances.add(route(max_concurrency=1))
    held = instances.admit(CALL, Tried(), 0.0, Note)
    line = [instances.admit(CALL, Tried(), 0.0, Note) for _ in range(4)]
    assert isinstance(held, Lease)

    instances.release(held, 1.0)
    assert [parked.lease is not None for parked in line] == [True, False, False, False]
    instances.leave(line[2], 1.0)
    instances.leave(line[0], 1.0)
    assert [parked.waiter.woken for parked in line] == [True, True, False, False]
    lease = instances.look(line[1], 1.0, Note)
    instances.release(lease, 2.0)
    assert line[3].lease is not None


def test_higher_priority_goes_first():
    instances = router()
    instances.add(route(max_concurrency=1))
    held = instances.admit(CALL, Tried(), 0.0, Note)
    low, high = (instances.admit(attrs.evolve(CALL, priority=rank), Tried(), 0.0, Note) for rank in (0, 5))
    instances.release(held, 1.0)
    assert (low.lease is None, high.lease is not None) == (True, True)


def test_leases_from_before_a_fork_do_not_count():
    """R19: what the parent holds is the parent's: given back in the child it changes nothing."""
    instances = router("weighted")
    instances.add(route())
    before = instances.admit(CALL, Tried(), 0.0, Note)
    instances.reset_locks()
    instances.release(before, 1.0)
    after = instances.admit(CALL, Tried(), 1.0, Note)

    assert instances.routes()[0].in_flight == 1
    instances.release(after, 2.0)
    assert instances.routes()[0].in_flight == 0


def test_queue_full_names_the_limit():
    instances = router("round_robin", max_pending=1)
    instances.add(route(max_concurrency=1))
    instances.admit(CALL, Tried(), 0.0, Note)
    instances.admit(CALL, Tried(), 0.0, Note)

    with pytest.raises(QueueFullError, match="1 calls are waiting already"):
        instances.admit(CALL, Tried(), 0.0, Note)
