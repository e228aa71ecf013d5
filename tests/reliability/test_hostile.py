"""A hostile server costs little memory and ends in a typed error soon; measured in a process of its own."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.support.faultserver import FaultServer, Wire, chunk, head, raw
from tests.support.vendors import ROOT

MIB = 1024 * 1024
MORE_MEMORY = 64
"""MiB that a process may grow by."""
MARGIN = 16
"""MiB of what the measuring costs: imports at the first call, and buffers that an allocator keeps."""
EVENTS = head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
WORD = b'data: {"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}\n\n'

CHILD = """
import asyncio, json, resource, sys, time
import llmkit
from llmkit import AsyncClient, Client, Instance, LLMError
from tests.support import vendors

colour, streamed, url = sys.argv[1], sys.argv[2] == "True", sys.argv[3]
settings = {"plugins": [], "environ": {}, "retries": 0, "timeout": 30}

def instance(path):
    return Instance("openai", "m", api_key="k", base_url=url + path)

def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def sync(path):
    with Client([instance(path)], **settings) as client:
        if not streamed:
            return client.generate("Hi").text
        length = 0
        with client.stream("Hi") as stream:
            for event in stream:
                length += len(event.text)
        return length

async def both(path):
    async with AsyncClient([instance(path)], **settings) as client:
        if not streamed:
            return (await client.generate("Hi")).text
        length = 0
        async with client.stream("Hi") as stream:
            async for event in stream:
                length += len(event.text)
        return length

def call(path):
    return sync(path) if colour == "sync" else asyncio.run(both(path))

try:
    call("/first/v1")
except LLMError:
    pass
before, began = memory(), time.monotonic()
try:
    call("/v1")
    error = None
except LLMError as caught:
    error = type(caught).__name__
print(json.dumps([error, memory() - before, time.monotonic() - began]))
"""


def endless(start: bytes, piece: bytes, pieces: int, frame: Callable[[bytes], bytes] = bytes) -> Callable[[Wire], None]:
    """Send as fast as it is read, until the client has had enough."""

    def behave(wire: Wire) -> None:
        wire.send(start)
        framed = frame(piece)
        for _ in range(pieces):
            wire.send(framed)
        wire.fin()

    return behave


def whole(body: bytes, **headers: str) -> Callable[[Wire], None]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return raw(head(200, {"Content-Type": "application/json", "Content-Length": str(len(body)), **named}) + body)


CASES: dict[str, tuple[bool, Callable[[], Callable[[Wire], None]], set[str]]] = {
    "1 GiB body": (False, lambda: endless(head(200, {"Content-Length": str(1024 * MIB)}), bytes(MIB), 1024), {"ResponseTooLarge"}),
    "1 GiB in chunks": (False, lambda: endless(EVENTS, bytes(MIB), 1024, chunk), {"ResponseTooLarge"}),
    "1 GiB error body": (
        False, lambda: endless(head(500, {"Transfer-Encoding": "chunked"}), bytes(MIB), 1024, chunk), {"ResponseTooLarge"},
    ),
    "endless line": (True, lambda: endless(EVENTS + chunk(b"data: "), b"x" * MIB, 1024, chunk), {"ResponseTooLarge"}),
    "gzip bomb": (
        False, lambda: whole(gzip.compress(bytes(192 * MIB), 9), Content_Encoding="gzip"), {"ResponseTooLarge"},
    ),
    "nested encodings": (
        False, lambda: whole(b"x" * 1000, Content_Encoding="gzip, gzip, gzip, gzip, gzip"), {"InvalidResponseError"},
    ),
    "deep JSON": (False, lambda: whole(b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), {"InvalidResponseError"}),
    "deep JSON event": (
        True, lambda: raw(EVENTS + chunk(b"data: " + b"[" * 100_000 + b"\n\n") + chunk(b"")), {"InvalidResponseError"},
    ),
    "20,000 headers": (
        False, lambda: raw(b"HTTP/1.1 200 OK\r\n" + b"".join([b"x-%d: y\r\n" % n for n in range(20_000)]) + b"\r\n{}"),
        {"ResponseTooLarge"},
    ),
}  # fmt: skip


def child(server: FaultServer, colour: str, streamed: bool) -> tuple[str | None, float, float]:
    """Error, growth in MiB, and seconds of one call."""
    command = [sys.executable, "-c", CHILD, colour, str(streamed), server.url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    error, grown, seconds = json.loads(done.stdout.splitlines()[-1])
    return error, grown, seconds


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux tells it")
@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("name", CASES)
def test_hostile_server(server: FaultServer, colour: str, name: str):
    streamed, make, expected = CASES[name]
    server.on("/v1/chat/completions", make())
    error, grown, seconds = child(server, colour, streamed)
    assert error in expected
    assert grown < MORE_MEMORY + MARGIN
    assert seconds < 20  # a cap of 64 MiB is passed in a fraction of that, where the machine has nothing else to do
    if name.startswith(("1 GiB", "endless")):
        assert server.closed_at(within=1.0), "the connection was kept"


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux tells it")
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_long_line_is_no_attack(server: FaultServer, colour: str):
    """10 MB in one event is within the cap: it is delivered, and costs a few copies of it."""
    text = b"x" * 10_000_000
    finish = b'data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    server.on("/v1/chat/completions", raw(EVENTS + chunk(WORD % text) + chunk(finish) + chunk(b"")))
    began = time.monotonic()
    error, grown, _ = child(server, colour, True)
    assert error is None
    assert grown < MORE_MEMORY + MARGIN
    assert time.monotonic() - began < 10
