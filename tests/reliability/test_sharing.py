"""One client over forked children, several event loops and many threads; nothing is left open, and the books balance."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from llmkit import AsyncClient, Client, Instance, LLMError
from tests.reliability.conftest import LONG
from tests.support.remote import Remote
from tests.support.vendors import ROOT


def instances(calm: Remote, key: str = "share") -> list[Instance]:
    return [Instance("openai", "m", api_keys=[f"{key}-{number}" for number in range(4)], base_url=calm.base_url())]


def run(code: str, *arguments: str, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *flags, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


PREFACE = """
import asyncio, gc, os, sys, time, warnings
from llmkit import AsyncClient, Client, Instance
from tests.support import vendors
url = sys.argv[1]
instances = [Instance("openai", "m", api_key="fork", base_url=url)]
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_four_forked_children(calm: Remote):
    """A warm client: right answers, books that begin at zero, and a parent that goes on."""
    code = PREFACE + """
client = Client(instances, plugins=[], environ={})
assert client.generate("parent one").text == "parent one"
with client.stream("held open by the parent") as held:
    next(held)
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            texts = [f"child {number} call {call}" for call in range(5)]
            good = [client.generate(text).text for text in texts] == texts
            good = good and client.stream("one two").completion().text == "one two"
            calls = client.usage()[0].calls
            client.close()
            os._exit(0 if good and calls == 6 else 1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0, 0]
    assert held.completion().text == "held open by the parent"
assert client.generate("parent two").text == "parent two"
assert client.usage()[0].calls == 3
client.close()
print("done")
"""
    calm.clear()
    done = run(code, calm.base_url(), flags=("-W", "error", "-W", "ignore::DeprecationWarning"))
    assert (done.stdout, done.stderr) == ("done\n", "")
    assert calm.books()["ok"] == 3 + 4 * 6


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_without_close(calm: Remote, colour: str):
    """One warning for a client that is dropped open, nothing about tasks or exceptions, and no hang at the end."""
    code = PREFACE + """
warnings.simplefilter("always")
async def use(client):
    assert (await client.generate("Hi")).text == "Hi"
    assert (await client.stream("one two").completion()).text == "one two"
if sys.argv[2] == "sync":
    client = Client(instances, plugins=[], environ={})
    assert client.generate("Hi").text == "Hi"
    assert client.stream("one two").completion().text == "one two"
else:
    client = AsyncClient(instances, plugins=[], environ={})
    asyncio.run(use(client))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    del client
    gc.collect()
print([one.category.__name__ for one in caught])
"""
    done = run(code, calm.base_url(), colour)
    assert done.stdout == "['ResourceWarning']\n"
    assert done.stderr == ""


def test_five_runs_of_one_client(calm: Remote):
    calm.clear()
    client = AsyncClient(instances(calm), plugins=[], environ={})

    async def use(number: int) -> None:
        texts = [f"run {number} call {call}" for call in range(10)]
        assert [one.text for one in await asyncio.gather(*[client.generate(text) for text in texts])] == texts
        assert (await client.stream(texts[0]).completion()).text == texts[0]

    for number in range(5):
        asyncio.run(use(number))
    client.close_now()
    assert client.usage()[0].calls == calm.books()["ok"] == 55


def test_threads_and_loops_share_one_client(calm: Remote):
    """64 threads of the sync face and two event loops of the async one, over the same keys and books."""
    calm.clear()
    sync = Client(instances(calm), plugins=[], environ={})
    other = sync.as_async()

    def ask(number: int) -> None:
        text = f"thread {number}"
        assert sync.generate(text).text == text
        assert sync.stream(text).completion().text == text

    async def use(loop: int) -> None:
        texts = [f"loop {loop} call {call}" for call in range(32)]
        assert [one.text for one in await asyncio.gather(*[other.generate(text) for text in texts])] == texts

    with ThreadPoolExecutor(66) as pool:
        work = [pool.submit(asyncio.run, use(loop)) for loop in range(2)] + [pool.submit(ask, number) for number in range(64)]
        for one in work:
            one.result(30)
    sync.close()
    other.close_now()
    row, books = sync.usage()[0], calm.books()
    assert row.calls == books["ok"] == 2 * 64 + 2 * 32
    assert (row.usage.prompt_tokens, row.usage.completion_tokens) == (books["prompt_tokens"], books["completion_tokens"])
    uses = [key.uses for key in sync.health()[0].keys]
    assert max(uses) - min(uses) <= 1
    assert sync.health()[0].in_flight == 0


def _open() -> tuple[int, int]:
    gc.collect()
    return len(os.listdir("/proc/self/fd")), threading.active_count()


def _use_sync(calm: Remote) -> None:
    broken = [Instance("openai", "m", api_key="k", base_url=calm.base_url(), headers={"x-simulate-fault": "cut:1"})]
    with Client(instances(calm), plugins=[], environ={}) as client, Client(broken, plugins=[], environ={}) as cut:
        client.generate("Hi")
        client.batch([f"one {number}" for number in range(20)])
        with client.stream("one two three") as stream:
            next(stream)  # and left there
        with pytest.raises(LLMError):
            cut.stream("one two three").completion()


async def _use_async(calm: Remote) -> None:
    broken = [Instance("openai", "m", api_key="k", base_url=calm.base_url(), headers={"x-simulate-fault": "cut:1"})]
    mine = asyncio.all_tasks()
    async with AsyncClient(instances(calm), plugins=[], environ={}) as client, AsyncClient(broken, plugins=[], environ={}) as cut:
        await client.batch([f"one {number}" for number in range(20)])
        async with client.stream("one two three") as stream:
            await stream.__anext__()
        with pytest.raises(LLMError):
            await cut.stream("one two three").completion()
        task = asyncio.ensure_future(client.generate("Hi"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await asyncio.sleep(0.02)
    assert asyncio.all_tasks() == mine
    loop = asyncio.get_running_loop()
    assert [timer for timer in getattr(loop, "_scheduled", ()) if not timer.cancelled()] == []


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are counted in /proc")
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_nothing_is_left_open(calm: Remote, colour: str):
    use: Callable[[], None] = (lambda: _use_sync(calm)) if colour == "sync" else (lambda: asyncio.run(_use_async(calm)))
    use()  # the watchdog and what is imported late come once
    before = _open()
    for _ in range(5):
        use()
    after, until = _open(), time.monotonic() + 5
    while (after[0] > before[0] or after[1] > before[1]) and time.monotonic() < until:
        time.sleep(0.05)  # a worker of a batch gives its last answer before it ends
        after = _open()
    assert after[0] <= before[0]
    assert after[1] <= before[1]


SOAK = PREFACE + """
import resource
colour, calls = sys.argv[2], int(sys.argv[3])

def memory():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20

async def many(client, calls):
    async def some(count):
        for number in range(count):
            if number % 2:
                await client.stream("one two three").completion()
            else:
                await client.generate("one two three")
    await asyncio.gather(*[some(calls // 20) for _ in range(20)])

def soak(client, calls):
    for number in range(calls):
        client.stream("one two three").completion() if number % 2 else client.generate("one two three")

async def main():
    async with AsyncClient(instances, plugins=[], environ={}) as client:
        await many(client, calls // 2)
        before = memory()
        await many(client, calls)
        return memory() - before

if colour == "async":
    print(asyncio.run(main()))
else:
    with Client(instances, plugins=[], environ={}) as client:
        soak(client, calls // 2)
        before = memory()
        soak(client, calls)
        print(memory() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux tells it")
@pytest.mark.timeout(7200 if LONG else 100)
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_memory_stays(calm: Remote, colour: str):
    """Less than 1 MB per 100,000 calls, half of them streamed; the short run sees larger leaks only."""
    calls = 500_000 if LONG else 1000
    command = [sys.executable, "-c", SOAK, calm.base_url(), colour, str(calls)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=7000 if LONG else 90, check=False)
    assert done.stderr == ""
    calm.clear()
    assert float(done.stdout) < (calls / 100_000 if LONG else 1.5)
