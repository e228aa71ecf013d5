"""What faults, odd clocks and busy machines once broke: each of these hung, waited for nobody, or lost something."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from llmkit import NoInstanceAvailable, RateLimitError
from llmkit.policy.limits import Limiter
from llmkit.policy.routes import Booking
from llmkit.transports.aio_body import Headers
from tests.support.colours import Colour, chat, one_after_another, openai, refusal


def test_a_limit_that_leaves_no_room_in_time_is_said_at_once_also_after_a_rest(colour: Colour):
    """A key that came back from a 429 let calls wait for the end of their time."""
    client = colour.scripted(one_after_another(refusal(429), chat("hello")), [openai("sk-key-1", rpm=2)])
    assert client.generate("Hi").text == "hello"
    began = client.runtime.now()
    with pytest.raises(NoInstanceAvailable, match="leave no room"):
        client.generate("Hi", timeout=20)
    assert client.runtime.now() == began


def test_a_booking_before_the_clocks_zero_can_be_given_back():
    limiter = Limiter(rpm=1)
    booking = Booking(-500.0)
    booking.book(limiter.windows, 0)
    booking.refund()
    assert limiter.ready_at(-500.0, 0) == -500.0


class Shelf:
    """A second level with locks, in which something goes wrong."""

    def __init__(self, *broken: str) -> None:
        self.broken = broken
        self.kept: dict[str, bytes] = {}
        self.locks: dict[str, str] = {}

    def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    def set(self, key: str, entry: bytes, seconds: float | None) -> None:
        if "set" in self.broken:
            raise OSError("full")
        self.kept[key] = entry

    def delete(self, key: str) -> None:
        self.kept.pop(key, None)

    def clear(self, prefix: str) -> None:
        self.kept.clear()

    def close(self) -> None:
        """Nothing to close."""

    def lock(self, key: str, token: str, seconds: float) -> bool:
        self.locks[key] = token
        if "lock" in self.broken:
            raise TimeoutError("taken, and never said so")
        return True

    def unlock(self, key: str, token: str) -> None:
        if self.locks.get(key) == token:
            del self.locks[key]


@pytest.mark.parametrize("broken", ["set", "lock"])
def test_a_lock_is_given_back_when_the_second_level_fails(colour: Colour, broken: str):
    """Other processes that asked the same waited ten seconds for nobody."""
    shelf = Shelf(broken)
    client = colour.scripted(lambda request: chat("hello"), [openai("sk-key-1")], cache=shelf)
    assert client.generate("Hi").text == "hello"
    assert (shelf.locks, shelf.kept) == ({}, {})


def test_a_busy_event_loop_is_not_the_second_levels_slowness(colour: Colour):
    """An answer was not kept, and its lock not given back, where the loop heard late of a quick look."""
    shelf = Shelf()
    client = colour.scripted(lambda request: chat("hello"), [openai("sk-key-1")], cache=shelf)
    run = client.runtime.run

    async def heard_late(work: Any, *given: Any) -> Any:
        found = await run(work, *given)
        await client.runtime.sleep(0.2)
        return found

    client.runtime.run = heard_late
    assert client.generate("Hi").text == "hello"
    assert (shelf.locks, len(shelf.kept)) == ({}, 1)


def test_redis_has_one_allowance_for_all_addresses_of_its_name(monkeypatch: pytest.MonkeyPatch):
    """Each of them had it anew, so a name with four that were gone held a call for a quarter of a second."""
    pytest.importorskip("redis", reason="the extra redis is not installed")
    from llmkit.transports.cache_redis import RedisCache

    with socket.socket() as deaf, contextlib.ExitStack() as waiting:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(3):  # they fill the line of those who want to be let in
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(deaf.getsockname())
        addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", deaf.getsockname())] * 10
        monkeypatch.setattr(socket, "getaddrinfo", lambda *given: addresses)
        cache = RedisCache("redis://cache.invalid/0")
        began = time.perf_counter()
        cache.within(0.06)
        with pytest.raises(Exception, match=r"(?i)timeout|timed out"):
            cache.get("key")
        assert time.perf_counter() - began < 0.5  # ten times 0.06 it was
        cache.close()


def test_an_answers_headers_are_whole_for_every_thread():
    """The second of two threads that looked found some of them only."""
    raw = tuple([(f"name-{number}".encode(), b"value") for number in range(300)])
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(50):
                headers: Any = Headers(SimpleNamespace(headers={}, raw_headers=raw))  # type: ignore[arg-type]
                headers.pack()
                assert list(pool.map(lambda _, headers=headers: headers.get("name-299"), range(8))) == ["value"] * 8
    finally:
        sys.setswitchinterval(interval)


def test_a_key_comes_back_step_by_step_in_a_new_process_too(colour: Colour):
    """What a state restored was a key at rest, or none, from which all that wait left together."""
    old = colour.scripted(lambda request: refusal(429), [openai("sk-key-1", name="a")], retries=0)
    for _ in range(2):  # the second leaves when the rest is over, as the one call of the first step
        with pytest.raises(RateLimitError):
            old.generate("Hi")
    state = json.loads(json.dumps(old.state()))
    new = colour.scripted(lambda request: chat("hello"), [openai("sk-key-1", name="a")])
    new.restore(state)
    (before,), (after,) = ([key.ramp for route in client.core.router.routes() for key in route.keys.keys] for client in (old, new))
    assert after.saved(new.runtime.now()) == pytest.approx(before.saved(old.runtime.now()))
    assert new.generate("Hi").text == "hello"
    state["instances"]["a"]["keys"]["a#1"]["ramp"] = None
    new.restore(state)
    assert new.core.router.routes()[0].keys.keys[0].ramp is None
