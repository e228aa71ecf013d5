"""R10: limits on requests and tokens as the server counts them, in both colours; in virtual time, and once over real sockets."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Sequence
from typing import Any

import pytest

from llmkit import Instance, LLMError
from llmkit.policy.routes import Lease, Parked, Tried
from llmkit.simulator import Simulator
from llmkit.testing import ScriptedRuntime
from llmkit.wire.http import HttpReply
from tests.core.test_rotation import CALL, Note, route, router
from tests.simulator.conftest import halves
from tests.support.colours import Colour, ScriptedAsyncClient, ScriptedClient, chat, openai
from tests.support.simulated import SimulatedWorld
from tests.support.virtual import VirtualRuntime, virtually

CALLS = 100_000 if os.environ.get("LLMKIT_LONG") else 2_000
WORKERS = 500
PATIENT = {"timeout": 1e7, "max_wait": 1e7, "max_pending": 10**6}


def at_once(limits: dict[str, int], calls: int = CALLS, keys: Sequence[str] = ("sk-key-1",), **settings: Any) -> SimulatedWorld:
    """Many calls by many tasks, in virtual time."""

    async def main() -> SimulatedWorld:
        world = SimulatedWorld(asyncio.get_running_loop().time, seconds=0.5, **settings)
        instance = openai(*keys, base_url=world.base_url("openai"), **limits)
        client = ScriptedAsyncClient(VirtualRuntime(world), [instance], retries=0, **PATIENT)
        numbers = iter(range(calls))

        async def work() -> None:
            for number in numbers:
                assert (await client.generate(f"question {number}", max_tokens=20)).text == f"question {number}"

        await asyncio.gather(*(work() for _ in range(WORKERS)))
        return world

    return virtually(main())


def one_by_one(limits: dict[str, int], calls: int, **settings: Any) -> SimulatedWorld:
    """Calls of a sync client, in virtual time."""
    world: SimulatedWorld
    runtime = ScriptedRuntime(lambda request: _answered(world, request))
    world = SimulatedWorld(runtime.now, **settings)
    client = ScriptedClient(runtime, [openai(base_url=world.base_url("openai"), **limits)], retries=0, **PATIENT)
    for number in range(calls):
        assert client.generate(f"question {number}", max_tokens=20).text == f"question {number}"
    client.close()
    return world


def _answered(world: SimulatedWorld, request: Any) -> HttpReply:
    reply = world.reply(request)
    world.done(request)
    return reply


def utilised(world: SimulatedWorld, limit: int) -> float:
    """The requests of a minute that came, as a part of those that may, up to the last that came."""
    arrivals = world.traffic.arrivals()
    end = arrivals[-1].at - arrivals[0].at
    return sum(arrival.at - arrivals[0].at < end for arrival in arrivals) / (end / 60 * limit)


@pytest.mark.parametrize("drive", [at_once, one_by_one])
def test_no_window_of_the_server_sees_more_requests_than_the_limit(drive: Any) -> None:
    world = drive({"rpm": 600}, calls=CALLS, rate_limits={"*": {"rpm": 600}})
    assert world.traffic.most(60.0) == 600
    assert {arrival.kind for arrival in world.traffic.arrivals()} == {"ok"}
    assert utilised(world, 600) >= 0.97


@pytest.mark.parametrize("drive", [at_once, one_by_one])
def test_no_window_of_the_server_sees_more_tokens_than_the_limit(drive: Any) -> None:
    world = drive({"tpm": 2_000}, calls=CALLS, rate_limits={"*": {"tpm": 2_000}})
    assert 1_000 < world.traffic.most(60.0, "tokens") <= 2_000
    assert {arrival.kind for arrival in world.traffic.arrivals()} == {"ok"}


@pytest.mark.parametrize("drive", [at_once, one_by_one])
def test_limits_of_a_day_and_of_a_minute_hold_together(drive: Any) -> None:
    limits = {"rpm": 50, "rpd": 400}
    world = drive(limits, calls=1_000, rate_limits={"*": limits})
    assert world.traffic.most(60.0) == 50
    assert world.traffic.most(86_400.0) == 400


def test_each_key_has_limits_of_its_own_beside_those_of_all_together() -> None:
    keys = [f"sk-key-{number:012}" for number in range(3)]
    calls = 500
    world = at_once({"rpm_per_key": 20, "rpm": 50}, calls, keys, rate_limits={"*": {"rpm": 20}})
    assert world.traffic.most(60.0) == 50
    assert all(world.traffic.most(60.0, key=key) <= 20 for key in keys)
    assert len(world.traffic.arrivals(kind="ok")) == calls


def test_calls_start_in_the_order_in_which_they_came() -> None:
    async def main() -> None:
        order: list[int] = []

        def server(request: Any) -> tuple[float, HttpReply]:
            order.append(int(request.body.split(b"number ")[1].split(b'"')[0]))
            return 0.1, chat()

        client = ScriptedAsyncClient(VirtualRuntime(server), [openai(rpm=3)], **PATIENT)
        await asyncio.gather(*(client.generate(f"number {number}") for number in range(20)))
        assert order == list(range(20))

    virtually(main())


def test_a_call_that_cannot_start_before_its_deadline_fails_at_once_and_says_when_it_could(colour: Colour) -> None:
    client = colour.scripted(lambda request: chat(), [openai(rpm=1)], retries=0)
    client.generate("first")
    with pytest.raises(LLMError) as caught:
        client.generate("second", timeout=5)
    assert client.runtime.clock < 5
    assert caught.value.retry_after == pytest.approx(60, abs=1)
    assert [kind for kind, _ in client.runtime.log].count("send") == 1
    client.generate("third", timeout=100)
    assert client.runtime.clock == pytest.approx(60, abs=1)


def test_a_call_larger_than_the_limit_on_tokens_goes_alone(colour: Colour) -> None:
    client = colour.scripted(lambda request: chat(), [openai(tpm=100)], **PATIENT)
    client.generate("small", max_tokens=10)
    client.generate("large", max_tokens=5_000)
    assert client.runtime.clock == pytest.approx(60, abs=1)


def test_calls_that_are_cancelled_while_they_wait_take_nothing() -> None:
    """R12: what was booked for a call that was never sent is given back."""

    async def main() -> None:
        luck = random.Random(4)
        world = SimulatedWorld(asyncio.get_running_loop().time, rate_limits={"*": {"rpm": 10}})
        client = ScriptedAsyncClient(VirtualRuntime(world), [openai(base_url=world.base_url("openai"), rpm=10)], **PATIENT)

        async def cancelled() -> None:
            task = asyncio.ensure_future(client.generate("q"))
            await asyncio.sleep(luck.random() * 200)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        await asyncio.gather(*(cancelled() for _ in range(500)))
        await asyncio.sleep(100)
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(client.generate("q") for _ in range(10)))
        assert asyncio.get_running_loop().time() - began < 2
        assert world.traffic.most(60.0) == 10
        assert {arrival.kind for arrival in world.traffic.arrivals()} == {"ok"}

    virtually(main())


def test_a_vendors_headers_are_waited_for_without_a_limit_of_ones_own(colour: Colour) -> None:
    told = {f"x-ratelimit-{name}-requests": value for name, value in (("limit", "2"), ("remaining", "0"), ("reset", "60s"))}
    client = colour.scripted(lambda request: HttpReply(200, told, chat().body), [openai()], **PATIENT)
    client.generate("first")
    client.generate("second")
    assert client.runtime.clock == pytest.approx(30, abs=1)


OWN = [{}, {"rpm_per_key": 1000}, {"rpd_per_key": 10**6}, {"tpm_per_key": 10**6}]


@pytest.mark.parametrize("own", OWN)
def test_the_call_whose_answer_tells_of_a_vendors_limit_is_not_counted_twice(colour: Colour, own: dict[str, int]) -> None:
    """With limits of one's own it was, so the vendor's last request waited for an hour."""
    told = {f"x-ratelimit-{name}-requests": value for name, value in (("limit", "10"), ("remaining", "1"), ("reset", "9h"))}
    client = colour.scripted(lambda request: HttpReply(200, told, chat().body), [openai(**own)], **PATIENT)
    client.generate("first")
    client.generate("second")
    assert client.runtime.clock == pytest.approx(0, abs=1)


@pytest.mark.parametrize("own", OWN)
def test_a_burst_whose_last_call_is_answered_first_leaves_what_the_vendor_says(own: dict[str, int]) -> None:
    """Calls that were booked close together, before the vendor's first word, were all taken to have been sent after it."""
    instances = router("lru")
    instances.add(route("a", 1, **own))
    leases = [instances.admit(CALL, Tried(), 0.001 * number, Note) for number in range(50)]
    for left, lease in enumerate(reversed(leases), 10):
        said = (("limit", "60"), ("remaining", f"{left}"), ("reset", "60s"))
        instances.release(lease, 1.0, answered=True)
        instances.learn(lease, {f"x-ratelimit-{name}-requests": value for name, value in said}, 1.0)
    assert [type(instances.admit(CALL, Tried(), 1.0, Note)) for _ in range(11)] == [Lease] * 10 + [Parked]


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_over_real_sockets(colour: Colour, vendor: str) -> None:
    """As many as the limit allows are served, the others fail at their deadline, and the server refuses none."""
    with Simulator(vendors=halves(), rate_limits={"*": {"rpm": 20}}) as simulator:
        instance = Instance(vendor, "m", api_key="sk-key-number-1", base_url=simulator.base_url(vendor), rpm=20)
        client = colour.real([instance], timeout=3.0, retries=0)
        results = client.batch([f"question {number}" for number in range(30)], concurrency=30)
        assert sum(isinstance(result, LLMError) for result in results) == 10
        assert [arrival.kind for arrival in simulator.traffic.arrivals()] == ["ok"] * 20
