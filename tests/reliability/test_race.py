"""Called off means ended: sockets closed, threads and tasks gone, leases back, on real sockets."""

from __future__ import annotations

import asyncio
import contextvars
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import llmkit
from llmkit import AsyncClient, CallCancelled, Client, Hedge, Instance
from llmkit.finish import finish
from llmkit.runtime import Cancelled
from llmkit.transports import blocking
from llmkit.wire.http import HttpRequest
from tests.support.colours import Colour, chat, chunks
from tests.support.faultserver import Behaviour, FaultServer, chunk, delayed, hang, head, reply, trickle
from tests.support.remote import Remote

SOON = 0.5
"""Seconds within which a loser's connection is closed and its thread is gone."""


def instance(server: FaultServer, name: str, *behaviours: Behaviour, **more: Any) -> Instance:
    """An instance whose calls the server answers by these behaviours."""
    server.on(f"/{name}/chat/completions", *behaviours)
    return Instance("openai", name, name=name, api_key="k", base_url=f"{server.url}/{name}", **more)


def quick(seconds: float = 0.1, text: str = "quick") -> Behaviour:
    return delayed(seconds, reply(chat(text).body))


def dripping() -> Behaviour:
    """A head at once, then a body that never ends."""
    return trickle([head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}), *[chunk(b" ")] * 500], 0.02)


def workers() -> int:
    return sum(thread.name == "llmkit-group" for thread in threading.enumerate())


def gone(found: Callable[[], Any], within: float = SOON) -> bool:
    """Whether ``found`` gives nothing any more, now or soon."""
    until = time.monotonic() + within
    while found():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


def wire_of(server: FaultServer, name: str) -> Any:
    """The latest connection over which an instance was asked."""
    number = next(seen.connection for seen in reversed(server.requests) if seen.path.startswith(f"/{name}/"))
    return server.wires[number]


def assert_closed(server: FaultServer, *names: str, began: float) -> None:
    for name in names:
        wire = wire_of(server, name)
        until = time.monotonic() + SOON
        while wire.client_closed_at is None and time.monotonic() < until:
            time.sleep(0.005)
        assert wire.client_closed_at is not None
        assert wire.client_closed_at - began < SOON


def test_losers_are_hung_up_on(colour: Colour, server: FaultServer):
    """One waits for the head, one reads a body, one waits for room, one for its retry; the winner takes 0.1 s."""
    slow = [instance(server, "head", hang()), instance(server, "body", dripping())]
    slow += [instance(server, "full", hang(), max_concurrency=1)]
    slow += [instance(server, "retry", reply(b"{}", 500, {"retry-after": "50"}))]
    client = colour.real([*slow, instance(server, "quick", quick())])
    names = ["head", "body", "full", "full", "retry", "quick"]
    began = time.monotonic()
    completion = client.race("q", instances=names)
    ended = time.monotonic()
    assert completion.text == "quick"
    assert ended - began < 0.1 + SOON
    assert_closed(server, "head", "body", "full", began=ended)
    assert gone(workers)
    assert client.in_flight() == 0
    told = {attempt.instance: type(attempt.error).__name__ for attempt in completion.attempts}
    assert told == {**dict.fromkeys(["head", "body", "full"], "CallCancelled"), "retry": "ServerError", "quick": "NoneType"}
    assert {row.instance: (row.calls, row.interrupted) for row in client.usage()}["body"] == (0, 1)


def test_a_client_is_as_good_as_new_after_races(colour: Colour, server: FaultServer):
    client = colour.real([instance(server, "slow", quick(0.05, "slow"), max_concurrency=2), instance(server, "quick", quick(0.01))])
    for _ in range(10):
        assert client.race("q", instances=["slow", "quick", "slow"]).text == "quick"
    assert client.generate("q", instance="slow").text == "slow"
    assert client.in_flight() == 0


def test_context_variables_reach_the_racers(colour: Colour, server: FaultServer):
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")
    seen: list[str] = []

    class Plugin:
        @llmkit.hookimpl
        def llmkit_request(self, request: Any) -> None:
            seen.append(who.get())

    client = colour.real([instance(server, "a", quick()), instance(server, "b", quick())], plugins=[Plugin()])
    token = who.set("me")
    try:
        client.race("q", instances=["a", "b"])
    finally:
        who.reset(token)
    assert seen == ["me", "me"]


def test_a_late_try_is_hung_up_on(colour: Colour, server: FaultServer):
    client = colour.real([instance(server, "slow", hang()), instance(server, "quick", quick(0.05))])
    completion = client.generate("q", hedge=0.1)
    ended = time.monotonic()
    assert [type(attempt.error) for attempt in completion.attempts] == [CallCancelled, type(None)]
    assert_closed(server, "slow", began=ended)
    assert gone(workers)


def test_a_hedged_stream_is_read_on(colour: Colour, server: FaultServer):
    """The winner's stream was opened by a thread or task that has ended; it goes on all the same."""
    pieces = [piece for _, piece in chunks("one ", "two ", "three").pieces]
    body = [head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}), *map(chunk, pieces), chunk(b"")]
    client = colour.real([instance(server, "slow", hang()), instance(server, "quick", trickle(body, 0.05))])
    with client.stream("q", hedge=0.1) as stream:
        assert gone(workers)
        assert "".join(event.text for event in stream) == "one two three"
    assert_closed(server, "slow", began=time.monotonic())
    assert client.usage()[1].calls == 1


def in_a_group(work: Callable[[Any], Any]) -> Any:
    """What ``work`` gives for a sync runtime."""
    runtime = blocking.Runtime()
    try:
        return finish(work(runtime))
    finally:
        runtime.close()


def test_a_pause_is_called_off():
    async def call(runtime: Any) -> list[Any]:
        group = runtime.group()
        group.start(1, runtime.sleep(60))
        group.start(2, runtime.sleep(0))
        return [await group.next(), await group.next(0.05), await group.aclose(), await group.aclose(), await group.next()]

    assert in_a_group(call) == [(2, None), None, [], [], None]


def test_what_is_called_off_sends_nothing_more(server: FaultServer):
    """Work that is busy while it is called off finds out at its next request."""
    url = server.on("/x", reply())

    async def busy(runtime: Any) -> None:
        time.sleep(0.15)
        await runtime.send(HttpRequest("POST", url, {}, b"{}"), 1.0, runtime.now() + 5)

    async def call(runtime: Any) -> tuple[float, list[Any]]:
        group = runtime.group()
        group.start(1, busy(runtime))
        await group.next(0.05)
        began = time.monotonic()
        return time.monotonic() - began, await group.aclose()

    assert in_a_group(call)[1] == []
    assert server.count() == 0
    assert gone(workers)


def test_what_cannot_be_interrupted_is_left_behind():
    async def stuck() -> None:
        time.sleep(0.6)

    async def call(runtime: Any) -> float:
        group = runtime.group()
        group.start(1, stuck())
        await group.next(0.05)
        began = time.monotonic()
        await group.aclose()
        return time.monotonic() - began

    assert in_a_group(call) < SOON
    assert gone(workers, 2)


def test_groups_in_groups(colour: Colour, server: FaultServer):
    """Calling off what waits for a group of its own ends that too."""
    client = colour.real([instance(server, "slow", hang())])
    runtime, url = client.runtime, f"{server.url}/slow/chat/completions"

    async def inner() -> None:
        group = runtime.group()
        try:
            group.start(1, runtime.send(HttpRequest("POST", url, {}, b"{}"), 2.0, runtime.now() + 30))
            await group.next()
        finally:
            await group.aclose()

    async def outer() -> tuple[float, list[Any]]:
        group = runtime.group()
        group.start("inner", inner())
        assert await group.next(0.2) is None
        began = time.monotonic()
        late = await group.aclose()
        return time.monotonic() - began, late

    took, late = finish(outer()) if colour.sync else colour.run(outer())
    assert took < SOON
    assert late == []
    assert_closed(server, "slow", began=time.monotonic())
    assert gone(workers)


def test_closing_the_client_ends_a_race(server: FaultServer):
    client = Client([instance(server, "a", hang()), instance(server, "b", hang())], plugins=[])
    threading.Timer(0.2, client.close).start()
    began = time.monotonic()
    with pytest.raises(llmkit.ClientClosedError):
        client.race("q", instances=["a", "b"])
    assert time.monotonic() - began < 0.2 + SOON
    assert gone(workers)


def test_cancelling_the_task_cancels_all(server: FaultServer):
    async def main() -> None:
        racers = [instance(server, "a", hang()), instance(server, "b", dripping())]
        async with AsyncClient(racers, plugins=[]) as client:
            for call in (client.race("q", instances=["a", "b"]), client.generate("q", instance="a", hedge=0.05)):
                task = asyncio.ensure_future(call)
                await asyncio.sleep(0.2)
                began = time.monotonic()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert time.monotonic() - began < 0.05
                assert client._core.router.routes()[0].in_flight == 0
                assert len(asyncio.all_tasks()) == 1
                await asyncio.to_thread(assert_closed, server, "a", began=began)

    asyncio.run(main())


INTERRUPTIBLE = [
    lambda client: client.race("q", instances=["a", "b"]),
    lambda client: client.generate("q", instance="a", hedge=0.05),
    lambda client: client.batch(["q"] * 6, concurrency=3),
]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to threads here")
@pytest.mark.parametrize("call", INTERRUPTIBLE, ids=["race", "hedge", "batch"])
def test_an_interrupt_cancels_all(server: FaultServer, call: Any):
    """Ctrl-C in the sync colour."""
    with Client([instance(server, "a", hang()), instance(server, "b", dripping())], plugins=[]) as client:
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            call(client)
        ended = time.monotonic()
        assert ended - began < 0.3 + SOON
        assert_closed(server, "a", began=ended)
        assert gone(workers)
        assert sum(route.in_flight for route in client._core.router.routes()) == 0


def test_leaving_a_batch_early_ends_what_runs(colour: Colour, server: FaultServer):
    """A closed iterator takes its calls with it: no socket, thread, task or lease is left."""
    client = colour.real([instance(server, "a", quick(0.0), hang())])
    found = client.client.as_completed(["q"] * 100, concurrency=5)
    if colour.sync:
        assert next(found)[0] is not None
        began = time.monotonic()
        found.close()
    else:
        assert colour.run(found.__anext__())[0] is not None
        began = time.monotonic()
        colour.run(found.aclose())
    assert time.monotonic() - began < SOON
    assert client.in_flight() == 0
    assert gone(workers)
    assert gone(lambda: [wire for wire in server.wires if wire.request is not None and wire.client_closed_at is None][1:])
    assert server.count() <= 6


def test_what_is_called_off_is_no_error_of_the_calls():
    """Cancelled is caught by nothing that catches errors."""
    assert not issubclass(Cancelled, Exception)


def test_races_and_hedges_cancelled_at_random_points(slow: Remote):
    """Whatever moment they are cancelled at, everything comes back, and the next calls find room."""
    chance = random.Random(11)
    text = " ".join(["word"] * 10)
    slots = 16

    async def one(client: AsyncClient, number: int) -> str:
        if number % 2:
            return (await client.race(text, instances=["a", "b", "a"])).text
        return (await client.generate(text, hedge=Hedge(0.03, max_extra=1))).text

    async def cancelled(client: AsyncClient, number: int) -> None:
        task = asyncio.ensure_future(one(client, number))
        await asyncio.sleep(chance.random() ** 2 * 0.2)
        task.cancel()
        try:
            assert await task == text  # it was quicker
        except asyncio.CancelledError:
            return

    async def main() -> None:
        two = [Instance("openai", "m", name=name, api_key=name, base_url=slow.base_url(), max_concurrency=slots) for name in "ab"]
        async with AsyncClient(two, plugins=[], environ={}, timeout=30) as client:
            for start in range(0, 200, 25):
                await asyncio.gather(*[cancelled(client, number) for number in range(start, start + 25)])
            assert [health.in_flight for health in await client.health()] == [0, 0]
            assert await asyncio.to_thread(slow.idle, 0.5)
            answers = await asyncio.gather(*[client.generate(text) for _ in range(slots * 2)])
            assert {answer.text for answer in answers} == {text}
            rows, books = client.usage(), slow.books()
            assert sum(row.calls for row in rows) <= books["ok"]
            assert sum(row.usage.total_tokens for row in rows) <= books["prompt_tokens"] + books["completion_tokens"]

    slow.clear()
    asyncio.run(main())
    assert slow.idle()
