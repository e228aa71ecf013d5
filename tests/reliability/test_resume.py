"""Streams that go on after an interruption, on real sockets."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from llmkit import Instance, StreamInterrupted
from tests.support.colours import Colour, chunks
from tests.support.faultserver import Behaviour, FaultServer, chunk, hang, head

HEAD = head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
AFTER = {"fin": "fin", "reset": "reset", "end of body": "end"}


def stream(*texts: str, then: str | None = None) -> Behaviour:
    """A stream that ends well, or as ``then`` says."""
    end: dict[str, Any] = {} if then is None else {"end": ()}
    pieces = [piece for _, piece in chunks(*texts, **end).pieces if isinstance(piece, bytes)]

    def behave(wire: Any) -> None:
        wire.send(HEAD + b"".join([chunk(piece) for piece in pieces]))
        if then in (None, "end"):
            wire.send(chunk(b""))
        elif then == "hang":
            wire.hang()
        else:
            time.sleep(0.03)  # let what was sent arrive before the RST overtakes it
            wire.reset() if then == "reset" else wire.fin()

    return behave


def instance(server: FaultServer, name: str, *behaviours: Behaviour) -> Instance:
    server.on(f"/{name}/chat/completions", *behaviours)
    return Instance("openai", name, name=name, api_key="k", base_url=f"{server.url}/{name}")


@pytest.mark.parametrize("how", ["restart", "continue"])
@pytest.mark.parametrize("then", AFTER.values(), ids=AFTER)
def test_a_stream_goes_on_elsewhere(colour: Colour, server: FaultServer, then: str, how: str):
    client = colour.real([instance(server, "a", stream("one ", "two ", then=then)), instance(server, "b", stream("three"))])
    with client.stream("q", resume=how) as found:
        seen = list(found)
        whole = found.completion()
    assert [(event.how, event.instance) for event in seen if event.type == "resumed"] == [(how, "b")]
    assert whole.text == ("three" if how == "restart" else "one two three")
    assert [row.interrupted for row in client.usage()] == [1, 0]
    asked = json.loads(server.requests[-1].body)["messages"]
    assert len(asked) == (1 if how == "restart" else 3)
    assert server.count() == 2


def test_closed_by_another_thread_it_is_not_resumed(colour: Colour, server: FaultServer):
    if not colour.sync:
        pytest.skip("a task is cancelled instead")
    client = colour.real([instance(server, "a", stream("one ", then="hang")), instance(server, "b", hang())])
    found = client.stream("q", resume="restart")
    with pytest.raises(StreamInterrupted), found:
        threading.Timer(0.2, found.close).start()
        list(found)
    assert server.count() == 1


def test_closed_by_another_thread_while_it_is_opened_again(colour: Colour, server: FaultServer):
    """The other instance answers after the stream was closed: its connection is closed too."""
    if not colour.sync:
        pytest.skip("a task is cancelled instead")
    late = stream("late", then="hang")

    def behave(wire: Any) -> None:
        time.sleep(0.3)
        late(wire)

    client = colour.real([instance(server, "a", stream("one ", then="end")), instance(server, "b", behave)])
    found = client.stream("q", resume="restart")
    with pytest.raises(StreamInterrupted) as caught, found:
        threading.Timer(0.15, found.close).start()
        list(found)
    assert caught.value.partial is not None
    assert server.closed_at() is not None
    assert client.in_flight() == 0


def test_a_cancelled_task_is_not_resumed(colour: Colour, server: FaultServer):
    import asyncio

    if colour.sync:
        pytest.skip("a thread closes the stream instead")
    client = colour.real([instance(server, "a", stream("one ", then="end")), instance(server, "b", hang())])

    async def cancelled() -> None:
        async def work() -> None:
            async with client.client.stream("q", resume="continue") as found:
                async for _ in found:
                    pass

        task = asyncio.ensure_future(work())
        while server.count("/b/chat/completions") == 0:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    colour.run(cancelled())
    assert server.count() == 2
    assert server.closed_at() is not None
    assert client.in_flight() == 0
    assert [row.interrupted for row in client.usage()] == [1, 1]
