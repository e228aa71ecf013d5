"""Threads, event loops, forks, and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import responses
from aioresponses import aioresponses

from llmkit.errors import NetworkError
from llmkit.finish import finish
from llmkit.transports import aio, blocking
from tests.support.aioresponses_fix import MockedResponse
from tests.support.faultserver import FaultServer, Wire, head, raw, reply
from tests.transports.conftest import Colour, request


def echo(wire: Wire) -> None:
    assert wire.request is not None
    reply(wire.request.body)(wire)


def test_64_threads(server: FaultServer) -> None:
    url = server.on("/", echo)
    runtime = blocking.Runtime()

    def work(number: int) -> bool:
        body = str(number).encode()
        return finish(runtime.send(request(url, body), 5, runtime.now() + 10)).body == body

    with ThreadPoolExecutor(64) as pool:
        assert all(pool.map(work, range(640)))
    assert server.connections <= 64
    runtime.close()


def test_one_runtime_over_five_loops(server: FaultServer) -> None:
    url = server.on("/", echo)
    runtime = aio.Runtime()

    async def main(body: bytes) -> bytes:
        return (await runtime.send(request(url, body), 5, runtime.now() + 5)).body

    for number in range(5):
        assert asyncio.run(main(b"%d" % number)) == b"%d" % number
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda body: asyncio.run(main(body)), [b"a", b"b"])) == [b"a", b"b"]
    assert len(runtime._sessions) <= 2
    asyncio.run(runtime.aclose())
    gc.collect()


def _open_files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are counted in /proc")
def test_nothing_is_left_open(server: FaultServer) -> None:
    url, cut = server.on("/", reply()), server.on("/cut", raw(head(200, {"Content-Length": "9"}) + b"x"))
    Colour("sync").close()
    before = _open_files(), threading.active_count()

    for name in ("sync", "async"):
        for _ in range(3):
            made = Colour(name)
            made.send(url)
            with pytest.raises(NetworkError):
                made.send(cut)
            made.open(url)
            made.close()
    server.close()
    assert _open_files() <= before[0]
    assert threading.active_count() <= before[1] + 1  # the watchdog


@pytest.mark.parametrize("name", ["sync", "async"])
def test_dropped_without_close_warns_once(server: FaultServer, name: str) -> None:
    url = server.on("/", reply())

    def use() -> None:
        runtime = (blocking if name == "sync" else aio).Runtime()
        if name == "sync":
            finish(runtime.send(request(url), 5, runtime.now() + 5))
        else:
            asyncio.run(runtime.send(request(url), 5, runtime.now() + 5))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        use()
        gc.collect()
    assert [(each.category, "unclosed" in str(each.message)) for each in caught] == [(ResourceWarning, True)]


@pytest.mark.parametrize("name", ["blocking", "aio"])
def test_exit_without_close_does_not_hang(server: FaultServer, name: str) -> None:
    code = f"""
import asyncio
from llmkit.finish import finish
from llmkit.transports.{name} import Runtime
from llmkit.wire.http import HttpRequest
runtime = Runtime()
call = runtime.send(HttpRequest("POST", {server.on("/", reply())!r}, {{}}, b"x"), 5, runtime.now() + 5)
print(({"finish" if name == "blocking" else "asyncio.run"}(call)).status)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=10)
    assert (done.stdout, done.stderr) == ("200\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("name", ["blocking", "aio"])
def test_four_forked_children(server: FaultServer, name: str) -> None:
    """Right answers, no shared socket, and the parent's kept connection lives on."""
    code = f"""
import asyncio, os, sys
from llmkit.finish import finish
from llmkit.transports.{name} import Runtime
from llmkit.wire.http import HttpRequest
runtime = Runtime()
def call(body):
    return runtime.send(HttpRequest("POST", {server.on("/", echo)!r}, {{}}, body), 5, runtime.now() + 5)
if {name!r} == "aio":
    loop = asyncio.new_event_loop()
run = finish if {name!r} == "blocking" else loop.run_until_complete
assert run(call(b"parent")).body == b"parent"
children = []
for number in range(4):
    child = os.fork()
    if child == 0:
        if {name!r} == "aio":
            run = asyncio.run
        right = all(run(call(b"%d" % number)).body == b"%d" % number for _ in range(3))
        runtime.close()
        sys.exit(0 if right else 1)
    children.append(child)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
assert run(call(b"again")).body == b"again"
runtime.close()
if {name!r} == "aio":
    run(runtime.aclose())
    run(asyncio.sleep(0.01))
    run(loop.shutdown_asyncgens())
    loop.close()
"""
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.stderr) == ("[0, 0, 0, 0]\n", "")
    mine = {seen.connection for seen in server.requests if seen.body in (b"parent", b"again")}
    theirs = {seen.body: seen.connection for seen in server.requests if seen.body.isdigit()}
    assert len(mine) == 1
    assert len(theirs) == 4
    assert not mine & set(theirs.values())


@responses.activate
def test_responses_intercepts() -> None:
    runtime = blocking.Runtime()
    url = "https://api.example.com/v1/chat"
    responses.post(url, json={"x": 1}, headers={"X-Request-ID": "r"}, status=429)
    responses.post(url, body=ConnectionResetError())
    answer = finish(runtime.send(request(url), 1, runtime.now() + 1))
    assert (answer.status, answer.body, answer.headers["x-request-id"]) == (429, b'{"x": 1}', "r")
    assert responses.calls[0].request.headers["X-API-Key"].startswith("sk-")
    assert responses.calls[0].request.body == b"{}"
    with pytest.raises(NetworkError):
        finish(runtime.send(request(url), 1, runtime.now() + 1))
    runtime.close()


def test_aioresponses_intercepts() -> None:
    url = "https://api.example.com/v1/chat"

    async def main() -> None:
        runtime = aio.Runtime()
        with aioresponses() as mocked:
            mocked.post(url, payload={"x": 1}, headers={"X-Request-ID": "r"}, status=429, response_class=MockedResponse)
            mocked.post(url, exception=ConnectionResetError())
            answer = await runtime.send(request(url), 1, runtime.now() + 1)
            assert (answer.status, answer.body, answer.headers["x-request-id"]) == (429, b'{"x": 1}', "r")
            with pytest.raises(NetworkError):
                await runtime.send(request(url), 1, runtime.now() + 1)
            mocked.post(url, payload={"x": 2}, response_class=MockedResponse)
            body = await runtime.open(request(url), 1, runtime.now() + 1)
            assert await body.read(runtime.now() + 1) == b'{"x": 2}'
            assert await body.read(runtime.now() + 1) == b""
            await body.aclose()
        await runtime.aclose()

    asyncio.run(main())
