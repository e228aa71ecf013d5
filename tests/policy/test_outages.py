"""R5 and R6: what a client does in an outage, counted at the server, in virtual time."""

from __future__ import annotations

import asyncio
import os
import statistics
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from llmkit import Instance, LLMError, NetworkError, NoInstanceAvailable, RequestTimeout, Timeouts
from llmkit.wire.http import HttpRequest
from tests.support.colours import ScriptedAsyncClient, chat, chunks, openai, refusal, streamed
from tests.support.virtual import VirtualRuntime, virtually

RATE = 100
"""Requests a second."""
FAULTS: dict[str, tuple[float, Callable[[], Any]]] = {
    "500": (0.05, lambda: refusal(500, "internal")),
    "reset": (0.01, lambda: NetworkError("reset by peer", ambiguous=True)),
    "refused": (0.001, lambda: NetworkError("connection refused")),
    "hang": (1e9, lambda: None),
}
"""What comes in an outage, and after how many seconds."""
COOLDOWN = 30.0
"""The longest that a breaker stays open."""


@attrs.define
class World:
    """Vendors of which some are down between two moments.

    :param fault: one of :data:`FAULTS`.
    :param down: the hosts that are down.
    """

    fault: str
    begin: float
    end: float
    down: tuple[str, ...] = ("a.example",)
    seen: list[tuple[float, str, str]] = attrs.field(factory=list)
    """When, which host, with which key."""

    def __call__(self, request: HttpRequest) -> tuple[float, Any]:
        now = asyncio.get_running_loop().time()
        host = request.url.split("/")[2]
        self.seen.append((now, host, request.headers["Authorization"]))
        if host in self.down and self.begin <= now < self.end:
            seconds, what = FAULTS[self.fault]
            return seconds, what()
        return 0.1, chat()

    def attempts(self, begin: float = 0.0, end: float = 1e9, host: str | None = None) -> int:
        """Requests that came in a span of time."""
        return sum(begin <= at < end and host in (None, where) for at, where, _ in self.seen)


@attrs.frozen
class Outcome:
    """One call."""

    started: float
    seconds: float
    error: LLMError | None


def drive(world: World, seconds: float, hosts: int = 1, rate: float = RATE, **settings: Any) -> list[Outcome]:
    """Calls at an even rate for so long; each one's outcome."""

    async def main() -> list[Outcome]:
        loop = asyncio.get_running_loop()
        instances = [instance("abcdef"[number]) for number in range(hosts)]
        client = ScriptedAsyncClient(VirtualRuntime(world), instances, **settings)

        async def call(at: float) -> Outcome:
            await asyncio.sleep(at - loop.time())
            started = loop.time()
            try:
                await client.generate("q")
                error = None
            except LLMError as problem:
                error = problem
            return Outcome(started, loop.time() - started, error)

        outcomes = await asyncio.gather(*(call(number / rate) for number in range(int(seconds * rate))))
        await client.close()
        return outcomes

    return virtually(main())  # type: ignore[no-any-return]


def instance(letter: str, **more: Any) -> Instance:
    return openai(f"sk-{letter}", name=letter, base_url=f"https://{letter}.example/v1", timeout=2.0, **more)


def failed(outcomes: list[Outcome], begin: float = 0.0, end: float = 1e9) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.error is not None and begin <= outcome.started < end]


# ----------------------------------------------------------------------------------------------- R5


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("unavailable", ["wait", "fail"])
@pytest.mark.parametrize("hosts", [1, 3])
def test_a_total_outage_is_not_made_worse(fault: str, unavailable: str, hosts: int):
    """R5: at most 1.1 attempts for each call in all, from the first moment of a process on."""
    world = World(fault, 0.0, 1e9, ("a.example", "b.example", "c.example"))
    outcomes = drive(world, 10.0, hosts, unavailable=unavailable, timeout=30.0)

    assert len(failed(outcomes)) == len(outcomes) == 1000
    assert world.attempts() / len(outcomes) <= 1.1


@pytest.mark.parametrize("fault", FAULTS)
def test_an_outage_of_a_busy_client_is_not_made_worse(fault: str):
    """The same after a minute in which all went well, whose traffic has filled the retry budget."""
    world = World(fault, 60.0, 1e9)
    outcomes = drive(world, 75.0, unavailable="fail")
    calls = [outcome for outcome in outcomes if outcome.started >= 60]

    assert failed(outcomes, 0, 59.8) == []
    assert world.attempts(60.0) / len(calls) <= 1.1


@pytest.mark.parametrize("fault", FAULTS)
def test_after_the_breaker_has_opened_one_call_tries_at_a_time(fault: str):
    """R5: at most one probe for each cooldown: 1, 2, 4, 8, 16, 30, 30 s."""
    world = World(fault, 0.0, 1e9)
    drive(world, 120.0, rate=20, unavailable="fail")
    first = 3.0 if fault == "hang" else 1.0  # by then what was under way when it opened has ended

    assert world.attempts(first, 120.0) <= 8


@pytest.mark.parametrize("fault", FAULTS)
def test_one_dead_instance_of_two(fault: str):
    """R5: at most 1.15 attempts for each call, no call fails, no key goes astray, and all is as before after the cooldown."""
    world = World(fault, 10.0, 40.0)
    outcomes = drive(world, 90.0, 2)
    calls = [outcome for outcome in outcomes if 10 <= outcome.started < 40]

    assert failed(outcomes) == []
    assert world.attempts(10.0, 40.0) / len(calls) <= 1.15
    assert {(host, key) for _, host, key in world.seen} == {("a.example", "Bearer sk-a"), ("b.example", "Bearer sk-b")}
    home = 40 + COOLDOWN + 1
    assert world.attempts(home, 90.0, "a.example") == pytest.approx(world.attempts(home, 90.0, "b.example"), rel=0.02)


# ----------------------------------------------------------------------------------------------- R6


@pytest.mark.parametrize("fault", FAULTS)
def test_failing_is_fast_and_so_is_recovery(fault: str):
    """R6 with ``unavailable="fail"``."""
    world = World(fault, 10.0, 40.0)
    outcomes = drive(world, 90.0, unavailable="fail")
    opened = next(outcome.started for outcome in outcomes if isinstance(outcome.error, NoInstanceAvailable))
    while_open = failed(outcomes, opened, 40.0)

    assert opened < 10 + (2.5 if fault == "hang" else 1)
    assert statistics.median(outcome.seconds for outcome in while_open) < 0.05
    assert sorted(outcome.seconds for outcome in while_open)[int(len(while_open) * 0.99)] < 2.0 + 0.1
    assert all((getattr(outcome.error, "retry_after", None) or 0.0) <= COOLDOWN for outcome in while_open)
    assert failed(outcomes, 40 + COOLDOWN + 1) == []
    before = [outcome.seconds for outcome in outcomes if outcome.started < 9.5]
    after = [outcome.seconds for outcome in outcomes if outcome.started > 40 + COOLDOWN + 1]
    assert max(after) <= 1.2 * max(before)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("length", [3.0, 20.0, 45.0] if os.environ.get("LLMKIT_LONG") else [3.0, 12.0])
def test_an_outage_is_ridden_out(fault: str, length: float):
    """R6 with ``unavailable="wait"``: every call that waits succeeds where the outage ends before its deadline, and it costs the
    server at most 1.1 attempts for each."""
    world = World(fault, 10.0, 10.0 + length)
    outcomes = drive(world, 20.0 + length, timeout=300.0)
    opened = 10.0 + (2.5 if fault == "hang" else 0.5)
    parked = [outcome for outcome in outcomes if outcome.started >= opened and outcome.seconds > 0.5]

    assert failed(outcomes, opened) == []
    assert len(parked) > RATE * (9.4 + length - opened)
    assert world.attempts() / len(outcomes) <= 1.1
    assert world.attempts(opened, 10.0 + length) <= 8


def test_calls_do_not_wait_for_the_end_of_the_stream_that_tries():
    """R6: after an outage the first call is a stream of a minute; those that wait go on with its first content."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        down = True

        def server(request: HttpRequest) -> tuple[float, Any]:
            if down:
                return 0.05, refusal(500)
            return 0.1, chunks("a ", 60.0, "b") if streamed(request) else chat()

        client = ScriptedAsyncClient(VirtualRuntime(server), [openai("k")], retries=0, timeout=300.0, timeouts=Timeouts(idle=90.0))
        await asyncio.gather(*(client.generate("q") for _ in range(5)), return_exceptions=True)
        down, began = False, loop.time()

        async def stream() -> float:
            await client.stream("q").completion()
            return loop.time() - began

        async def whole() -> float:
            await client.generate("q")
            return loop.time() - began

        first, *others = await asyncio.gather(stream(), *(whole() for _ in range(50)))
        assert first == pytest.approx(61.1, abs=0.1)
        assert max(others) == pytest.approx(1.2, abs=0.1)
        await client.close()

    virtually(main())


@pytest.mark.parametrize(("settings", "fails"), [({"unavailable": "fail"}, True), ({}, False), ({"max_wait": 5.0}, False)])
def test_a_try_that_is_swallowed_does_not_hold_up_the_others(settings: dict[str, Any], fails: bool):
    """R6: the call that tries after the cooldown gets no answer for its ten minutes, while the vendor has been well for long."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        seen: list[float] = []

        def server(request: HttpRequest) -> tuple[float, Any]:
            seen.append(loop.time())
            return (0.05, refusal(500)) if len(seen) <= 5 else (1e9, None) if len(seen) == 6 else (0.1, chat())

        client = ScriptedAsyncClient(VirtualRuntime(server), [openai("k")], retries=0, **settings)
        await asyncio.gather(*(client.generate("q") for _ in range(5)), return_exceptions=True)
        await asyncio.sleep(2)
        began = loop.time()
        trying = asyncio.ensure_future(client.generate("q"))
        await asyncio.sleep(1)
        parked = [asyncio.ensure_future(client.generate("q")) for _ in range(20)]
        await asyncio.sleep(COOLDOWN)
        await client.generate("q")
        assert loop.time() - began <= COOLDOWN + 1.3
        results = await asyncio.gather(*parked, return_exceptions=True)
        assert sum(isinstance(result, NoInstanceAvailable) for result in results) == (20 if fails else 0)
        assert loop.time() - began <= COOLDOWN + 1.5
        assert (await client.health())[0].status == "healthy"
        with pytest.raises(RequestTimeout):
            await trying
        assert (await client.health())[0].status == "healthy"
        await client.close()

    virtually(main())


# ----------------------------------------------------------------------------------------------- a 429 that says nothing


@attrs.define
class Mute:
    """A vendor that serves so many calls a minute, and tells nobody of it."""

    room: int
    served: int = 0
    refused: int = 0
    minute: int = -1
    used: int = 0

    def __call__(self, request: HttpRequest) -> tuple[float, Any]:
        minute = int(asyncio.get_running_loop().time() // 60)
        if minute != self.minute:
            self.minute, self.used = minute, 0
        self.used += 1
        if self.used > self.room:
            self.refused += 1
            return 0.05, refusal(429, "slow down")
        self.served += 1
        return 1.0, chat()


@pytest.mark.parametrize("calls", [120, 300])
def test_calls_that_wait_for_a_limit_that_nobody_told_do_not_leave_together(calls: int):
    """Else each of them is refused with all the others, again and again, until its retries are used up: half of 120 calls, four in
    five of 300."""
    vendor = Mute(room=60)

    async def main() -> list[Any]:
        client = ScriptedAsyncClient(VirtualRuntime(vendor), [openai("k")], timeout=600.0)
        answers = await asyncio.gather(*[client.generate("q") for _ in range(calls)], return_exceptions=True)
        await client.close()
        return answers

    answers = virtually(main())
    failed = [answer for answer in answers if isinstance(answer, LLMError)]
    assert len(failed) <= 0.03 * calls
    assert vendor.served == calls - len(failed)
    assert vendor.refused <= 1.3 * calls
