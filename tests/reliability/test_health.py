"""The health checks on real sockets: in threads and on event loops, over forks, and what is left of them."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import time
import weakref
from collections.abc import Callable

import pytest

from llmkit import AsyncClient, Client, LLMError
from tests.reliability.test_sharing import run
from tests.support.colours import Colour, chat, openai
from tests.support.faultserver import FaultServer, Wire, delayed, reply

MODELS = json.dumps({"object": "list", "data": [{"id": "m", "object": "model"}]}).encode()
CHAT = chat().body


class Server(FaultServer):
    """A vendor that can go down: then it breaks every connection."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.on("/v1/models", self._say(MODELS))
        self.on("/v1/chat/completions", self._say(CHAT))

    def _say(self, body: bytes) -> Callable[[Wire], None]:
        good = reply(body)

        def behave(wire: Wire) -> None:
            wire.reset() if self.down else good(wire)

        return behave

    @property
    def probes(self) -> int:
        return self.count("/v1/models")


@pytest.fixture
def vendor():
    with Server() as made:
        yield made


def settings(**more: object) -> dict[str, object]:
    return {"plugins": [], "environ": {}, "health_interval": 0.1, "failure_threshold": 3, **more}


def instance(server: FaultServer, name: str = "a"):
    return openai("sk-health-1", name=name, base_url=f"{server.url}/v1")


def pause(colour: Colour, seconds: float) -> None:
    """Let time pass, with the loop running where there is one."""
    if colour.sync:
        time.sleep(seconds)
    else:
        colour.run(asyncio.sleep(seconds))


def wait_for(colour: Colour, condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        pause(colour, 0.01)
    return condition()


def test_down_and_back(colour: Colour, vendor: Server):
    """Marked after three failures, no calls meanwhile, and back with the first probe that works."""
    client = colour.real([instance(vendor)], **settings(retries=0, breaker=False, unavailable="fail"))
    client.generate("q")
    assert wait_for(colour, lambda: vendor.probes >= 3)
    vendor.down = True
    assert wait_for(colour, lambda: client.health()[0].status == "unhealthy")
    calls = vendor.count("/v1/chat/completions")
    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(LLMError, match="health checks of a failed"):
            client.generate("q")
    assert time.monotonic() - began < 0.5
    assert vendor.count("/v1/chat/completions") == calls
    vendor.down = False
    assert wait_for(colour, lambda: client.health()[0].status == "healthy", 2.0)
    assert client.generate("q").text == "hello"


def test_a_probe_of_many_takes_as_long_as_one(colour: Colour, server: FaultServer):
    server.on("/v1/models", delayed(0.4, reply(MODELS)))
    client = colour.real([instance(server, f"i{number}") for number in range(8)], plugins=[], environ={})
    began = time.monotonic()
    health = client.health(probe=True)

    assert [each.probe.ok for each in health] == [True] * 8
    assert time.monotonic() - began < 1.5


def test_a_vendor_that_hangs_is_given_up(colour: Colour, server: FaultServer):
    server.on("/v1/models", lambda wire: wire.hang())
    client = colour.real([instance(server)], **settings(health_interval=0.3))
    began = time.monotonic()
    probe = client.health(probe=True)[0].probe

    assert (probe.ok, type(probe.error).__name__) == (False, "RequestTimeout")
    assert 0.25 < time.monotonic() - began < 1.0


def test_close_ends_the_checks(vendor: Server):
    """No thread, no request after it; also where a probe is on the wire."""
    vendor.on("/v1/models", lambda wire: wire.hang())
    client = Client([instance(vendor)], **settings(health_interval=3.0))
    client._core.checks._random = lambda: 0.0
    client.generate("q")
    until = time.monotonic() + 5
    while not vendor.probes and time.monotonic() < until:
        time.sleep(0.01)
    assert vendor.probes == 1
    began = time.monotonic()
    client.close()
    while any(thread.name == "llmkit-health" for thread in threading.enumerate()) and time.monotonic() < began + 2:
        time.sleep(0.005)
    assert time.monotonic() - began < 0.5


def test_close_ends_the_checks_on_a_loop(vendor: Server):
    vendor.on("/v1/models", lambda wire: wire.hang())

    async def main() -> None:
        client = AsyncClient([instance(vendor)], **settings(health_interval=3.0))
        client._core.checks._random = lambda: 0.0
        await client.generate("q")
        while not vendor.probes:
            await asyncio.sleep(0.01)
        await client.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_loop_that_ends_takes_its_checks_along(vendor: Server):
    """Five runs of one client; then a loop that is merely closed, with a probe on the wire. Warnings are errors here."""
    client = AsyncClient([instance(vendor)], **settings(health_interval=0.05))

    async def use() -> None:
        before = vendor.probes
        await client.generate("q")
        while vendor.probes < before + 3:
            await asyncio.sleep(0.01)

    for _ in range(5):
        asyncio.run(asyncio.wait_for(use(), 5))
    vendor.on("/v1/models", lambda wire: wire.hang())
    loop = asyncio.new_event_loop()
    loop.run_until_complete(client.generate("q"))
    seen = vendor.probes
    while vendor.probes == seen:
        loop.run_until_complete(asyncio.sleep(0.01))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    del loop
    gc.collect()
    client.close_now()


@pytest.mark.parametrize("colour_name", ["sync", "async"])
def test_a_client_that_is_dropped_is_dropped(vendor: Server, colour_name: str):
    """The checks keep neither the client nor its runtime alive, and end with them."""

    async def use() -> None:
        client = AsyncClient([instance(vendor)], **settings(health_interval=0.2))
        await client.generate("q")
        await asyncio.sleep(0.01)
        await dropped([client])

    async def dropped(held: list[object]) -> None:
        kept = [weakref.ref(held[0]), weakref.ref(held[0]._runtime), weakref.ref(held[0]._core)]  # type: ignore[attr-defined]
        with pytest.warns(ResourceWarning, match="unclosed"):
            held.clear()
            for _ in range(30):
                gc.collect()
                if all(ref() is None for ref in kept):
                    break
                await asyncio.sleep(0.02) if colour_name == "async" else time.sleep(0.02)
        assert [ref() for ref in kept] == [None] * 3

    if colour_name == "async":

        async def main() -> None:
            client = [AsyncClient([instance(vendor)], **settings(health_interval=0.2))]
            await client[0].generate("q")
            session = client[0]._runtime._sessions[asyncio.get_running_loop()]
            await dropped(client)  # type: ignore[arg-type]
            await session.client.close()

        asyncio.run(main())
        return
    client = [Client([instance(vendor)], **settings(health_interval=0.2))]
    client[0].generate("q")
    asyncio.run(dropped(client))  # type: ignore[arg-type]
    until = time.monotonic() + 2
    while any(thread.name == "llmkit-health" for thread in threading.enumerate()) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(thread.name == "llmkit-health" for thread in threading.enumerate())


CODE = """
import asyncio, os, sys, threading, time
from llmkit import AsyncClient, Client, Instance
url = sys.argv[1]
client = Client([Instance("openai", "m", api_key="k", base_url=url)], plugins=[], environ={}, health_interval=0.05)
client.generate("q")
def checks(): return [t.name for t in threading.enumerate()].count("llmkit-health")
def probed(client):
    until = time.monotonic() + 5
    while time.monotonic() < until:
        probe = client.health()[0].probe
        if probe is not None: return probe.ok
        time.sleep(0.01)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_starts_its_own(vendor: Server):
    code = CODE + """
assert probed(client) and checks() == 1
child = os.fork()
if child == 0:
    good = checks() == 0 and client.health()[0].probe is None
    client.generate("q")
    good = good and checks() == 1 and probed(client)
    client.close()
    os._exit(0 if good else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert checks() == 1
client.close()
print("done")
"""
    done = run(code, f"{vendor.url}/v1", flags=("-W", "error", "-W", "ignore::DeprecationWarning"))
    assert (done.stdout, done.stderr) == ("done\n", "")


@pytest.mark.parametrize("end", ["client.close()", "pass"])
def test_the_interpreter_ends_all_the_same(vendor: Server, end: str):
    began = time.monotonic()
    done = run(CODE + f"probed(client)\n{end}\nprint('done')", f"{vendor.url}/v1")
    assert (done.stdout, done.stderr) == ("done\n", "")
    assert time.monotonic() - began < 10


def test_both_faces_check_together(vendor: Server):
    """A thread and a loop over one client probe no more often than one of them."""
    sync = Client([instance(vendor)], **settings(health_interval=0.2))
    sync.generate("q")

    async def main() -> None:
        other = sync.as_async()
        await other.generate("q")
        await asyncio.sleep(2.0)
        await other.close()

    asyncio.run(main())
    sync.close()
    assert 5 <= vendor.probes <= 13


def test_a_get_that_hangs_keeps_its_time(colour: Colour, server: FaultServer):
    """aiohttp sends a GET again whose connection breaks; not one that llmkit itself has broken off."""
    server.on("/v1/models", lambda wire: wire.hang(5))
    client = colour.real([instance(server)], plugins=[], environ={}, retries=0)
    began = time.monotonic()
    with pytest.raises(LLMError, match=r"0\.3 s"):
        client.list_models("a", timeout=0.3)
    assert time.monotonic() - began < 1.0
    assert server.count("/v1/models") == 1
