"""Many calls at once in virtual time: an event loop whose clock jumps to whatever is next, and a runtime that really suspends."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Any

from llmkit.errors import ClientClosedError, RequestTimeout
from llmkit.testing import Chunks
from llmkit.transports.tasks import Group, Repeat
from llmkit.wire.http import HttpReply, HttpRequest


class _Jump(selectors.SelectSelector):
    """A selector that lets the clock jump where it would wait."""

    clock = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everything waits, and nothing will ever happen: a wake-up was lost"
            self.clock += timeout + 1e-9  # asyncio fires timers a little early, which would stand still for ever
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time."""

    def __init__(self) -> None:
        self.jump = _Jump()
        super().__init__(self.jump)

    def time(self) -> float:
        return self.jump.clock


def virtually(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in virtual time; no task may be left."""
    loop = VirtualLoop()
    try:
        result = loop.run_until_complete(main)
        loop.run_until_complete(loop.shutdown_asyncgens())
        assert not asyncio.all_tasks(loop), "a task was left behind"
        return result
    finally:
        loop.close()


class VirtualWaiter:
    """A waiter for tasks of one loop."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def wake(self) -> None:
        self.event.set()


class VirtualRuntime:
    """A runtime of tasks in virtual time.

    :param server: from a request to (seconds, reply).
    """

    def __init__(self, server: Callable[[HttpRequest], tuple[float, Any]]) -> None:
        self.server = server
        self.rng = random.Random(1)
        self.closed = False
        self.open_bodies = 0
        self.repeats: list[Repeat] = []

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def time(self) -> float:
        return 1e9 + self.now()

    def random(self) -> float:
        return self.rng.random()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def waiter(self) -> VirtualWaiter:
        return VirtualWaiter()

    async def wait(self, waiter: VirtualWaiter, seconds: float) -> bool:
        try:
            await asyncio.wait_for(waiter.event.wait(), seconds)
        except (asyncio.TimeoutError, TimeoutError):
            return False
        return True

    async def _until(self, seconds: float, until: float) -> None:
        left = until - self.now()
        await asyncio.sleep(max(0.0, min(seconds, left)))
        if seconds >= left:
            raise RequestTimeout("too late", ambiguous=True)

    async def send(self, request: HttpRequest, connect: float, until: float) -> HttpReply:
        if self.closed:
            raise ClientClosedError("closed")
        try:
            seconds, reply = self.server(request)
            await self._until(seconds, until)
            if isinstance(reply, BaseException):
                raise reply
            return reply
        finally:
            self.done(request)

    def done(self, request: HttpRequest) -> None:
        """Tell the server that the request is over, where it wants to know."""
        tell = getattr(self.server, "done", None)
        if tell:
            tell(request)

    async def open(self, request: HttpRequest, connect: float, until: float) -> VirtualBody:
        try:
            seconds, reply = self.server(request)
            await self._until(seconds, until)
            if isinstance(reply, BaseException):
                raise reply
        except BaseException:
            self.done(request)
            raise
        if isinstance(reply, HttpReply):
            reply = Chunks(((0.0, reply.body),), reply.status, reply.headers)
        return VirtualBody(self, request, reply)

    async def each(
        self, work: Callable[[Any], Coroutine[Any, Any, Any]], items: Iterable[Any], concurrency: int
    ) -> AsyncIterator[tuple[int, Any]]:
        for position, item in enumerate(items):
            yield position, await work(item)

    def group(self) -> Group:
        return Group()

    def repeat(self, work: Callable[[], Any]) -> None:
        if not any(repeat.alive for repeat in self.repeats):
            self.repeats.append(Repeat(work))

    async def run(self, work: Callable[..., Any], *given: Any) -> Any:
        return work(*given)

    async def warm_up(self, urls: Iterable[str]) -> None:
        pass

    def close(self) -> None:
        self.closed = True
        for repeat in self.repeats:
            repeat.end()

    async def aclose(self) -> None:
        self.close()


class VirtualBody:
    """A reply in pieces."""

    def __init__(self, runtime: VirtualRuntime, request: HttpRequest, reply: Chunks) -> None:
        self.runtime = runtime
        self.request = request
        self.status = reply.status
        self.headers = reply.headers
        self.pieces = list(reply.pieces)
        self.closed = False
        runtime.open_bodies += 1

    async def read(self, until: float) -> bytes:
        if not self.pieces:
            return b""
        seconds, piece = self.pieces.pop(0)
        await self.runtime._until(seconds, until)
        if isinstance(piece, BaseException):
            raise piece
        return piece

    async def aclose(self) -> None:
        if not self.closed:
            self.closed = True
            self.runtime.open_bodies -= 1
            self.runtime.done(self.request)
