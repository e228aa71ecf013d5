"""Timers, closing and cancelling: nothing outlives its deadline, and the server sees the connection go."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from llmkit.errors import ClientClosedError, NetworkError, RequestTimeout
from llmkit.transports import aio
from tests.support.faultserver import Certificate, FaultServer, chunk, delayed, hang, head, raw, reply, trickle
from tests.transports.conftest import Colour, request, took

SLOW = {
    "hang": hang(),
    "slow headers": trickle((bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"y" * 1000), 0.05),
    "head then hang": raw(head(200, {"Content-Length": "100"}), "hang"),
    "slow body": trickle([head(200, {"Content-Length": "1000"}), *[b"x"] * 999], 0.05),
    "slow chunks": trickle([head(200, {"Transfer-Encoding": "chunked"}), *[chunk(b": ping\n\n")] * 999], 0.05),
    "slow body until close": trickle([head(200), *[b"x"] * 999], 0.05),
}


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_the_deadline_holds(colour: Colour, certificates: dict[str, Certificate], name: str, secure: bool) -> None:
    """Every sort of slowness ends at the deadline, as a timeout of the attempt that may have been billed."""
    if secure and name in ("hang", "head then hang", "slow chunks"):
        pytest.skip("covered by the others")
    right = certificates["right"]
    with FaultServer(tuple(right) if secure else None) as server:
        made = colour.another(verify=str(right.file))
        url = server.on(
            "/", SLOW[name] if name != "slow headers" else trickle((b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 99), 0.05)
        )
        began = time.monotonic()
        with pytest.raises(RequestTimeout) as caught:
            made.send(url, seconds=0.5)
        assert 0.45 < took(began) < 0.75
        assert (caught.value.phase, caught.value.ambiguous) == ("attempt", True)
        assert server.closed_at(within=0.5)
        assert server.count() == 1
        made.close()


def test_connect_timeout(colour: Colour) -> None:
    """A host that does not answer at all; 192.0.2.0/24 is reserved for documentation (RFC 5737)."""
    began = time.monotonic()
    with pytest.raises(NetworkError) as caught:
        colour.send("http://192.0.2.1/", connect=0.3)
    if not isinstance(caught.value, RequestTimeout):
        pytest.skip("this network refuses the reserved address at once")
    assert (caught.value.phase, caught.value.ambiguous) == ("connect", False)
    assert took(began) < 0.55


@pytest.fixture
def silent() -> Iterator[str]:
    """An address at which connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/"


def test_tls_handshake_that_hangs(colour: Colour, silent: str) -> None:
    """A server that never speaks TLS is a connection that cannot be made in time."""
    began = time.monotonic()
    with pytest.raises(RequestTimeout) as caught:
        colour.send(silent, connect=0.3)
    assert (caught.value.phase, caught.value.ambiguous) == ("connect", False)
    assert took(began) < 0.6


def test_stream_timers(colour: Colour, server: FaultServer) -> None:
    """Each read has its own moment, earlier or later than the one before."""
    pieces = [head(200, {"Transfer-Encoding": "chunked"}), chunk(b"a"), chunk(b"b"), chunk(b"c")]
    body = colour.open(server.on("/", trickle(pieces, 0.3)), seconds=0.2)
    assert colour.read(body, 5.0) == b"a"
    assert colour.read(body, 1.0) == b"b"
    with pytest.raises(RequestTimeout):
        colour.read(body, 0.1)
    colour.settle()
    assert server.closed_at(within=1.5)
    colour.run(body.aclose())


def test_closing_a_body_early_closes_the_socket(colour: Colour, server: FaultServer) -> None:
    body = colour.open(server.on("/", raw(head(200, {"Transfer-Encoding": "chunked"}) + chunk(b"a"), "hang")))
    assert colour.read(body) == b"a"
    began = time.monotonic()
    colour.run(body.aclose())
    colour.settle()
    assert server.closed_at()
    assert took(began) < 0.5


def test_a_dropped_body_closes_the_socket(colour: Colour, server: FaultServer) -> None:
    body = colour.open(server.on("/", raw(head(200, {"Content-Length": "9"}) + b"a", "hang")))
    del body
    colour.settle()
    assert server.closed_at(within=0.5)


def test_later_calls_on_a_closed_runtime(colour: Colour, server: FaultServer) -> None:
    url = server.on("/", reply())
    colour.send(url)
    for _ in range(2):
        colour.run(colour.runtime.aclose())
    for call in (lambda: colour.send(url), lambda: colour.open(url), lambda: colour.run(colour.runtime.sleep(9))):
        with pytest.raises(ClientClosedError):
            call()
    assert server.count() == 1


@pytest.mark.parametrize("what", ["send", "read", "sleep", "wait", "connect"])
def test_close_from_another_thread_ends_calls(colour: Colour, server: FaultServer, silent: str, what: str) -> None:
    runtime = colour.runtime
    server.on("/hang", hang())
    server.on("/stream", raw(head(200, {"Content-Length": "9"}), "hang"))
    if what == "connect" and colour.name == "sync":
        pytest.skip("a blocking connect ends at its own timeout")

    async def call() -> None:
        if what == "send":
            await runtime.send(request(server.url + "/hang"), 5, runtime.now() + 20)
        elif what == "read":
            body = await runtime.open(request(server.url + "/stream"), 5, runtime.now() + 20)
            await body.read(runtime.now() + 20)
        elif what == "connect":
            await runtime.send(request(silent), 10, runtime.now() + 20)
        elif what == "sleep":
            await runtime.sleep(20)
        else:
            await runtime.wait(runtime.waiter(), 20)

    threading.Timer(0.2, runtime.close).start()
    began = time.monotonic()
    with pytest.raises(ClientClosedError):
        colour.run(call())
    assert took(began) < 0.7


def test_waiters(colour: Colour) -> None:
    runtime = colour.runtime

    async def call() -> list[bool]:
        early, late, never = runtime.waiter(), runtime.waiter(), runtime.waiter()
        early.wake()
        early.wake()
        threading.Timer(0.05, late.wake).start()
        found = [await runtime.wait(early, 5), await runtime.wait(late, 5), await runtime.wait(never, 0.05)]
        late.wake()
        never.wake()
        return found

    began = time.monotonic()
    assert colour.run(call()) == [True, True, False]
    colour.run(runtime.sleep(0.05))
    assert 0.14 < took(began) < 1
    assert not runtime._parked


def test_each_gives_results_as_they_come_and_takes_items_when_there_is_room(colour: Colour) -> None:
    runtime = colour.runtime
    taken = []

    def items():
        for number in range(1_000_000):
            taken.append(number)
            yield (0.15 if number == 0 else 0.01)

    async def work(seconds: float) -> float:
        await runtime.sleep(seconds)
        return seconds

    async def call() -> list[tuple[int, float]]:
        found = []
        stream = runtime.each(work, items(), 3)
        async for pair in stream:
            found.append(pair)
            if len(found) == 6:
                break
        await stream.aclose()
        return found

    found = colour.run(call())
    assert (0, 0.15) not in found[:3]
    assert len(taken) <= 9
    assert sorted(position for position, _ in found) == sorted({position for position, _ in found})


def test_each_ends_with_an_exception_that_escapes(colour: Colour) -> None:
    async def work(number: int) -> int:
        if number == 3:
            raise ZeroDivisionError
        await colour.runtime.sleep(0.01)
        return number

    async def call() -> None:
        async for _ in colour.runtime.each(work, range(10), 2):
            pass

    with pytest.raises(ZeroDivisionError):
        colour.run(call())


def test_cancelling_closes_the_socket(server: FaultServer) -> None:
    """In the async colour, mid-send and mid-read, within 50 ms."""
    server.on("/hang", hang())
    server.on("/stream", raw(head(200, {"Content-Length": "9"}) + b"a", "hang"))

    async def main() -> None:
        runtime = aio.Runtime()

        async def stream() -> None:
            body = await runtime.open(request(server.url + "/stream"), 2, runtime.now() + 9)
            try:
                while await body.read(runtime.now() + 9):
                    pass
            finally:
                await body.aclose()

        for number, work in enumerate([runtime.send(request(server.url + "/hang"), 2, runtime.now() + 9), stream()]):
            task = asyncio.ensure_future(work)
            await asyncio.sleep(0.1)
            began = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert took(began) < 0.05
            assert await asyncio.to_thread(server.closed_at, number, 0.5)
        await runtime.aclose()

    asyncio.run(main())


def test_cancelling_at_random_points_leaves_a_good_runtime(server: FaultServer) -> None:
    url = server.on("/", delayed(0.003, reply(b"x" * 100_000)))
    chance = random.Random(1)

    async def main() -> None:
        runtime = aio.Runtime()
        for _ in range(20):
            tasks = [asyncio.ensure_future(runtime.send(request(url), 2, runtime.now() + 5)) for _ in range(10)]
            for task in tasks:
                await asyncio.sleep(chance.random() * 0.002)
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(outcome, asyncio.CancelledError) or outcome.status == 200
        replies = await asyncio.gather(*[runtime.send(request(url), 2, runtime.now() + 5) for _ in range(64)])
        assert {len(each.body) for each in replies} == {100_000}
        session = await runtime._session()
        assert not session._active
        await runtime.aclose()

    asyncio.run(main())


def test_run_does_blocking_work_where_it_holds_no_event_loop_up(colour: Colour) -> None:
    thread = colour.run(colour.runtime.run(threading.get_ident))
    assert (thread == threading.get_ident()) is (colour.name == "sync")

    def broken(number: int) -> None:
        raise ZeroDivisionError(number)

    with pytest.raises(ZeroDivisionError, match="7"):
        colour.run(colour.runtime.run(broken, 7))
