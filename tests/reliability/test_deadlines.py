"""One deadline covers the whole call, whatever the server does with its time, and no call is later than a quarter of a second."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable

import pytest

from llmkit import Instance, LLMError, RequestTimeout, StreamInterrupted
from llmkit.transports.sessions import Pending
from tests.support.colours import Colour
from tests.support.faultserver import FaultServer, chunk, head, raw, reply, trickle
from tests.support.remote import Remote

SECONDS = 0.6
GRACE = 0.25
BUSY = 0.25
"""More grace: for the test's own threads and loops on a machine that has other things to do."""
EVENTS = head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
WORD = b'data: {"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"one "},"finish_reason":null}]}\n\n'


def in_time(call: Callable[[], object]) -> Exception:
    """The error of a call, which must come when its time is up, not much earlier and not much later."""
    began = time.monotonic()
    with pytest.raises((RequestTimeout, StreamInterrupted)) as caught:
        call()
    took = time.monotonic() - began
    assert SECONDS * 0.5 < took < SECONDS + GRACE + BUSY
    return caught.value


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("fault", ["stall", "stall_first", "slow:0.02", "stall_mid"])
def test_slow_vendors(calm: Remote, colour: Colour, fault: str, streamed: bool):
    headers = {"x-simulate-fault": fault}
    client = colour.real([Instance("openai", "m", api_key="late", base_url=calm.base_url(), headers=headers)], retries=5)
    text = "one two three"
    if streamed:
        error = in_time(lambda: client.stream(text, timeout=SECONDS).completion())
    else:
        error = in_time(lambda: client.generate(text, timeout=SECONDS))
    assert isinstance(error, StreamInterrupted) == (streamed and fault == "stall_mid")
    assert calm.idle()


@pytest.mark.parametrize("name", ["pings", "endless", "headers", "nothing"])
def test_streams_that_only_keep_the_connection_alive(colour: Colour, server: FaultServer, name: str):
    """Comments are no events, and events do not stop the clock of the whole call."""
    behaviour = {
        "pings": trickle(itertools.chain([EVENTS], itertools.repeat(chunk(b": ping\n\n"))), 0.02),
        "endless": trickle(itertools.chain([EVENTS], itertools.repeat(chunk(WORD))), 0.02),
        "headers": trickle(itertools.chain([b"HTTP/1.1 200 OK\r\n"], itertools.repeat(b"x-more: 1\r\n")), 0.02),
        "nothing": raw(b"", "hang"),
    }[name]
    server.on("/v1/chat/completions", behaviour)
    client = colour.real([Instance("openai", "m", api_key="k", base_url=server.url + "/v1")], retries=5)
    error = in_time(lambda: client.stream("Hi", timeout=SECONDS).completion())
    assert isinstance(error, StreamInterrupted) == (name == "endless")
    assert server.closed_at(0, within=1.0)


def test_rests_and_pauses_count(colour: Colour, server: FaultServer):
    """No retry starts that cannot finish, and a key that rests longer than the call may take is not waited for."""
    server.on("/v1/chat/completions", reply(b'{"error":{"message":"later"}}', 429, {"retry-after": "30"}))
    client = colour.real([Instance("openai", "m", api_key="k", base_url=server.url + "/v1")], retries=5)
    began = time.monotonic()
    with pytest.raises(LLMError):
        client.generate("Hi", timeout=SECONDS)
    assert time.monotonic() - began < SECONDS + GRACE + BUSY
    assert server.count() == 1


def test_a_timeout_while_the_free_retry_connects(server: FaultServer):
    """The dead connection plays no part any more: what waits for the new one is what must be ended."""

    async def main() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        exchange = Pending("127.0.0.1", time.monotonic() + 1, time.monotonic() + 1)
        exchange.transport, exchange.reused = writer.transport, True
        writer.close()
        await writer.wait_closed()
        assert exchange.stale
        exchange.again()
        exchange.kill("timeout")
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(5)
        assert await reader.read() == b""

    asyncio.run(main())
