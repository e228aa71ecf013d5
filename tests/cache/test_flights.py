"""Single flight: over threads, tasks and loops; who fails, fails alone."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llmkit import AsyncClient, Client, LLMError, RequestTimeout
from llmkit.cache.flights import Flights
from tests.cache.conftest import Vendor
from tests.support.colours import chat, openai, refusal
from tests.support.vendors import ROOT
from tests.support.virtual import VirtualRuntime, virtually


def test_a_thousand_identical_calls_are_one(vendor: Vendor):
    """Threads and tasks mixed, on two loops besides."""
    vendor.delay = 0.5
    with Client([vendor.instance()], cache="memory", plugins=[]) as client:
        texts: list[str] = []

        def loop() -> None:
            async def main() -> None:
                async with client.as_async() as other:
                    texts.extend([answer.text for answer in await asyncio.gather(*[other.generate("Hi") for _ in range(450)])])

            asyncio.run(main())

        loops = [threading.Thread(target=loop) for _ in range(2)]
        with ThreadPoolExecutor(100) as pool:
            for thread in loops:
                thread.start()
            texts += pool.map(lambda _: client.generate("Hi").text, range(100))
        for thread in loops:
            thread.join()

        assert (vendor.calls, len(texts), set(texts)) == (1, 1000, {"Hi 1"})
        assert not client._core.cache.flights._flights


def test_expiry_under_load_is_one_refresh(vendor: Vendor):
    vendor.delay = 0.2
    with Client([vendor.instance()], cache={"ttl": 1.0}, plugins=[]) as client, ThreadPoolExecutor(20) as pool:
        until = time.monotonic() + 2.0

        def ask() -> set[str]:
            texts = set()
            while time.monotonic() < until:
                texts.add(client.generate("Hi").text)
                time.sleep(0.005)
            return texts

        seen = set().union(*pool.map(lambda _: ask(), range(20)))
        assert vendor.calls == len(seen) == 2


def test_a_failing_leader_fails_alone(vendor: Vendor):
    vendor.delay, vendor.failing = 0.2, 1
    with Client([vendor.instance()], cache="memory", plugins=[], retries=0) as client, ThreadPoolExecutor(50) as pool:

        def ask(_: int) -> str:
            try:
                return client.generate("Hi").text
            except LLMError:
                return "failed"

        texts = list(pool.map(ask, range(50)))
        assert sorted(texts) == ["Hi 2"] * 49 + ["failed"]
        assert vendor.calls == 2


class Server:
    """A vendor in virtual time."""

    def __init__(self, seconds: float, fails: int = 0) -> None:
        self.seconds = seconds
        self.fails = fails
        self.calls = 0

    def __call__(self, request: Any) -> tuple[float, Any]:
        self.calls += 1
        return self.seconds, refusal(400, "no") if self.calls <= self.fails else chat(f"{self.calls}")


class Virtual(AsyncClient):
    def __init__(self, server: Server, **settings: Any) -> None:
        self.given = VirtualRuntime(server)
        super().__init__([openai()], cache="memory", plugins=[], retries=0, **settings)

    def _make_runtime(self, transport: Any) -> Any:
        return self.given


def test_a_cancelled_leader_hands_over():
    async def main() -> None:
        server = Server(10)
        client = Virtual(server)
        leader = asyncio.ensure_future(client.generate("Hi"))
        followers = [asyncio.ensure_future(client.generate("Hi")) for _ in range(20)]
        await asyncio.sleep(5)
        leader.cancel()
        followers[3].cancel()
        answers = await asyncio.gather(*followers, return_exceptions=True)
        assert isinstance(answers.pop(3), asyncio.CancelledError)
        assert {answer.text for answer in answers} == {"2"}
        assert server.calls == 2
        assert not client._core.cache.flights._flights
        await client.close()

    virtually(main())


def test_a_vendor_that_is_down_fails_many_in_few_rounds():
    """Each failure doubles how many ask: a hundred calls are told in seven rounds, not in a hundred."""

    async def main() -> None:
        server = Server(10, fails=1000)
        client = Virtual(server)
        begun = asyncio.get_running_loop().time()
        answers = await asyncio.gather(*[client.generate("Hi") for _ in range(100)], return_exceptions=True)
        assert all(isinstance(answer, LLMError) for answer in answers)
        assert asyncio.get_running_loop().time() - begun < 75
        await client.close()

    virtually(main())


def test_a_follower_keeps_its_own_deadline():
    async def main() -> None:
        server = Server(10)
        client = Virtual(server)
        leader = asyncio.ensure_future(client.generate("Hi"))
        await asyncio.sleep(1)
        with pytest.raises(RequestTimeout) as caught:
            await client.generate("Hi", timeout=3)
        assert caught.value.phase == "deadline"
        assert (await leader).text == "1"
        assert server.calls == 1
        await client.close()

    virtually(main())


def test_a_leader_that_runs_out_of_its_own_time_hands_over():
    async def main() -> None:
        server = Server(10)
        client = Virtual(server)
        leader = asyncio.ensure_future(client.generate("Hi", timeout=3))
        await asyncio.sleep(1)
        follower = asyncio.ensure_future(client.generate("Hi"))
        with pytest.raises(RequestTimeout):
            await leader
        assert (await follower).text == "2"
        await client.close()

    virtually(main())


def test_a_reader_who_dawdles_does_not_hold_the_others_up(vendor: Vendor):
    async def main() -> None:
        from tests.support.colours import chunks

        class Streams(Server):
            def __call__(self, request: Any) -> tuple[float, Any]:
                self.calls += 1
                return 0.1, chunks("one ", "two") if b'"stream":true' in request.body else chat("other")

        server = Streams(0.1)
        client = Virtual(server)
        async with client.stream("Hi") as slow:
            await slow.__anext__()
            begun = asyncio.get_running_loop().time()
            assert (await client.generate("Hi")).text == "other"
            assert asyncio.get_running_loop().time() - begun < 3
            assert (await slow.completion()).text == "one two"
        both = [client.stream("Ho"), client.stream("Ho")]
        answers = await asyncio.gather(*[stream.completion() for stream in both])
        assert [answer.text for answer in answers] == ["one two", "one two"]
        assert sorted(answer.cached for answer in answers) == [False, True]
        assert server.calls == 3
        await client.close()

    virtually(main())


def test_processes_that_share_a_level_ask_twice_at_most(vendor: Vendor, tmp_path: Path):
    across_processes(vendor, f"sqlite:///{tmp_path}/cache.db")


def across_processes(vendor: Vendor, url: str) -> None:
    """Two processes with threads of their own, at the same moment."""
    vendor.delay = 0.5
    code = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
from llmkit import Client, Instance
base, url, at = json.loads(sys.argv[1])
with Client([Instance("openai", "m", api_key="sk-1", base_url=base)], cache=url, plugins=[]) as client:
    client.cache.get("warm")
    time.sleep(max(0, at - time.time()))
    with ThreadPoolExecutor(20) as pool:
        print(json.dumps(sorted(set(pool.map(lambda _: client.generate("Hi").text, range(20))))))
"""
    given = json.dumps([vendor.instance().base_url, url, time.time() + 2.0])
    command = [sys.executable, "-W", "error", "-c", code, given]
    started = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [json.loads(process.communicate(timeout=60)[0]) for process in started]
    assert vendor.calls <= 2
    assert all(len(texts) == 1 for texts in said)


class Waiter:
    woken = 0

    def wake(self) -> None:
        self.woken += 1


def test_a_seat_that_was_to_lead_and_leaves_hands_on():
    flights = Flights()
    flight, leader = flights.join("k", 10, Waiter)
    seats = [flights.join("k", 10, Waiter)[1] for _ in range(3)]
    assert leader is None
    assert None not in seats
    flights.fail(flight, 10, broken=False)
    assert [seat.leads for seat in seats] == [True, False, False]
    flights.leave(flight, seats[0])
    assert [seat.leads for seat in seats] == [True, True, False]
    flights.leave(flight, seats[2])
    flights.fail(flight, 10, broken=True)
    assert not flights._flights
