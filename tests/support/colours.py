"""One test text for both colours: a client whose methods are called alike, whether it is sync or async.

    def test_something(colour):
        client = colour.scripted(lambda request: chat("hello"), [Instance("openai", "m", api_key="k")])
        assert client.generate("Hi").text == "hello"

``colour.scripted`` works over a :class:`~llmkit.testing.ScriptedRuntime` (no network, a clock that jumps), ``colour.real`` over the
real transports. An async client runs in one event loop for the length of the test.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from llmkit import AsyncClient, Client, Instance
from llmkit.testing import Chunks, ScriptedRuntime
from llmkit.values.events import Event
from llmkit.wire.http import HttpReply, HttpRequest


class _Scripted:
    """A client over a runtime that is handed in."""

    def __init__(self, runtime: Any, *args: Any, **settings: Any) -> None:
        self.given = runtime
        settings.setdefault("plugins", [])
        super().__init__(*args, **settings)

    def _make_runtime(self, transport: Mapping[str, Any]) -> Any:
        return self.given


class ScriptedClient(_Scripted, Client):
    """A sync client over a scripted runtime."""


class ScriptedAsyncClient(_Scripted, AsyncClient):
    """An async client over a scripted runtime."""


class Stream:
    """A stream of either colour, used as the sync one is."""

    def __init__(self, colour: Colour, stream: Any) -> None:
        self._colour = colour
        self._stream = stream

    def __enter__(self) -> Stream:
        self._colour.run(self._stream.__enter__() if self._colour.sync else self._stream.__aenter__())
        return self

    def __exit__(self, *told: Any) -> None:
        self._colour.run(self._stream.__exit__(*told) if self._colour.sync else self._stream.__aexit__(*told))

    def __iter__(self) -> Iterator[Event]:
        if self._colour.sync:
            yield from self._stream
            return
        events = self._stream.__aiter__()
        try:
            while True:
                try:
                    event = self._colour.run(events.__anext__())
                except StopAsyncIteration:
                    return
                yield event
        finally:
            self._colour.run(events.aclose())

    def __next__(self) -> Event:
        return self._colour.run(self._stream.__next__() if self._colour.sync else self._stream.__anext__())

    def completion(self) -> Any:
        return self._colour.run(self._stream.completion())

    def text(self) -> str:
        return self._colour.run(self._stream.text())

    def close(self) -> None:
        self._colour.run(self._stream.close())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Both:
    """A client of either colour, used as the sync one is."""

    def __init__(self, colour: Colour, client: Any) -> None:
        self._colour = colour
        self.client = client
        self.core = client._core
        self.runtime = client._runtime

    def stream(self, *args: Any, **options: Any) -> Stream:
        return Stream(self._colour, self.client.stream(*args, **options))

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        if not callable(method):
            return method

        def call(*args: Any, **options: Any) -> Any:
            return self._colour.run(method(*args, **options))

        return call

    def in_flight(self) -> int:
        """Leases that are out, and calls that wait: 0 when nothing is going on."""
        router = self.core.router
        routes = router.routes()
        return sum(route.in_flight + sum(key.in_flight for key in route.keys.keys) for route in routes) + router.lines.waiting


class Colour:
    """Sync or async."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sync = name == "sync"
        self._loop = None if self.sync else asyncio.new_event_loop()
        self._clients: list[Both] = []

    def run(self, value: Any) -> Any:
        """The value of a call: at once, or when its coroutine is done."""
        if self._loop is None or not hasattr(value, "__await__"):
            return value
        return self._loop.run_until_complete(value)

    def scripted(self, script: Callable[[HttpRequest], Any], *args: Any, latency: float = 0.0, **settings: Any) -> Both:
        """A client whose replies come from ``script``."""
        runtime = ScriptedRuntime(script, latency=latency)
        return self._kept((ScriptedClient if self.sync else ScriptedAsyncClient)(runtime, *args, **settings))

    def real(self, *args: Any, **settings: Any) -> Both:
        """A client over the real transport."""
        settings.setdefault("plugins", [])
        return self._kept((Client if self.sync else AsyncClient)(*args, **settings))

    def _kept(self, client: Any) -> Both:
        both = Both(self, client)
        self._clients.append(both)
        return both

    def end(self) -> None:
        """Close what was made, and see that nothing is left."""
        for client in self._clients:
            client.close()
        if self._loop is not None:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
        for client in self._clients:
            assert client.in_flight() == 0, "a lease or a waiting call was left behind"


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> Iterator[Colour]:
    """One colour; at its end, nothing may be in flight."""
    made = Colour(request.param)
    yield made
    made.end()


# ----------------------------------------------------------------------------------------------- replies in OpenAI's wire


def chat(text: str = "hello", **more: Any) -> HttpReply:
    """A whole answer."""
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return HttpReply(
        200, {"x-request-id": "r1"}, json.dumps({"id": "c1", "model": "m", "choices": [choice], "usage": usage, **more}).encode()
    )


def data(**chunk: Any) -> bytes:
    """One event."""
    return b"data: " + json.dumps({"id": "c1", "model": "m", "object": "chat.completion.chunk", **chunk}).encode() + b"\n\n"


def delta(text: str) -> bytes:
    """One event with text."""
    return data(choices=[{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}])


FINISH = data(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
USAGE = data(choices=[], usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})
DONE = b"data: [DONE]\n\n"


def chunks(*texts: str | bytes | BaseException | float, end: tuple[Any, ...] = (FINISH, USAGE, DONE)) -> Chunks:
    """A streamed answer; a number is a pause before what follows, an exception breaks it."""
    pieces: list[tuple[float, bytes | BaseException]] = []
    pause = 0.0
    for item in (*texts, *end):
        if isinstance(item, float):
            pause = item
            continue
        pieces.append((pause, delta(item) if isinstance(item, str) else item))
        pause = 0.0
    if pause:
        pieces.append((pause, b""))
    return Chunks(tuple(pieces))


def refusal(status: int, message: str = "no", code: str | None = None, **headers: str) -> HttpReply:
    """An error reply; ``retry_after="1"`` becomes a header."""
    body = {"error": {"message": message, "type": "t", "code": code}}
    return HttpReply(status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode())


def answer(text: str = "hello") -> Callable[[HttpRequest], Any]:
    """A script that answers every request, streamed or not."""
    return lambda request: reply_to(request, text)


def streamed(request: HttpRequest) -> bool:
    """Whether the request asks for a stream."""
    return b'"stream":true' in (request.body or b"").replace(b" ", b"")


def reply_to(request: HttpRequest, text: str = "hello") -> Any:
    """An answer as the request asks for it."""
    return chunks(*(word + " " for word in text.split()[:-1]), text.split()[-1]) if streamed(request) else chat(text)


def one_after_another(*replies: Any) -> Callable[[HttpRequest], Any]:
    """A script that gives each reply once, and the last for ever; a function makes its reply."""
    rest = list(replies)

    def script(request: HttpRequest) -> Any:
        reply = rest.pop(0) if len(rest) > 1 else rest[0]
        return reply(request) if callable(reply) else reply

    return script


def key_of(request: HttpRequest) -> str:
    """The key a request was sent with."""
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def openai(*keys: str, **more: Any) -> Instance:
    """An instance of OpenAI's provider."""
    return Instance(more.pop("provider", "openai"), more.pop("model", "m"), api_keys=keys or ("sk-key-number-1",), **more)


def sent(client: Both) -> list[HttpRequest]:
    """The requests that were sent."""
    return [what for kind, what in client.runtime.log if kind in ("send", "open")]
