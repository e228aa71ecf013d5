"""A world without network: scripted replies, and a clock that jumps. It never suspends, so it serves both colours."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar, Union

import attrs

from llmkit.errors import ClientClosedError, RequestTimeout
from llmkit.testing.group import Pause, ScriptedGroup
from llmkit.wire.http import HttpReply, HttpRequest

T = TypeVar("T")
R = TypeVar("R")


@attrs.frozen
class Chunks:
    """A streamed reply: its pieces, each with the seconds before it comes. An exception among them is raised in its place."""

    pieces: tuple[tuple[float, bytes | BaseException], ...]
    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=lambda: {"content-type": "text/event-stream"})


Reply = Union[HttpReply, Chunks, BaseException]
Script = Callable[[HttpRequest], Reply]


class ScriptedRuntime:
    """A :class:`~llmkit.runtime.Runtime` whose replies come from a function, and whose time passes only when something waits.

    :param script: gives the reply to a request: an :class:`~llmkit.wire.http.HttpReply`, :class:`Chunks`, or an exception to raise.
    :param seed: of its random numbers.
    :param latency: seconds that each reply takes.
    """

    def __init__(self, script: Script, seed: int = 0, latency: float = 0.0) -> None:
        self._script = script
        self._random = random.Random(seed)  # noqa: S311 (repeatable on purpose)
        self.latency = latency
        self.clock = 0.0
        self.log: list[tuple[str, Any]] = []
        """What was asked of the world, in order: ("send", request), ("open", request), ("sleep", seconds), ("wait", seconds)."""
        self.closed = False
        self.grouped = False
        """Whether what runs now is part of a group, and others run while it waits."""

    def now(self) -> float:
        """The clock."""
        return self.clock

    def time(self) -> float:
        """The clock, as Unix time from 1,000,000,000 on."""
        return 1e9 + self.clock

    def random(self) -> float:
        """The next of a repeatable row of numbers."""
        return self._random.random()

    async def sleep(self, seconds: float) -> None:
        """Let the clock jump."""
        self.log.append(("sleep", seconds))
        await self.passed(seconds)

    def waiter(self) -> ScriptedWaiter:
        """A waiter."""
        return ScriptedWaiter()

    async def wait(self, waiter: Any, seconds: float) -> bool:
        """Unless it was woken before, the time passes; only in a group may somebody else wake it meanwhile."""
        if waiter.woken:
            return True
        self.log.append(("wait", seconds))
        await self.passed(seconds, waiter)
        return bool(waiter.woken)

    async def passed(self, seconds: float, waiter: ScriptedWaiter | None = None) -> None:
        """Let time pass: the clock jumps, or, in a group, others run until then."""
        if self.grouped:
            await Pause(self.clock + seconds, waiter)
        else:
            self.clock += seconds

    async def send(self, request: HttpRequest, connect: float, until: float) -> HttpReply:
        """The scripted reply."""
        reply = await self._reply("send", request, until)
        if isinstance(reply, Chunks):
            body = ScriptedBody(self, reply)
            data = []
            while piece := await body.read(until):
                data.append(piece)
            return HttpReply(reply.status, reply.headers, b"".join(data))
        return reply

    async def open(self, request: HttpRequest, connect: float, until: float) -> ScriptedBody:
        """The scripted reply, to be read piece by piece."""
        reply = await self._reply("open", request, until)
        if isinstance(reply, HttpReply):
            reply = Chunks(((0.0, reply.body),), reply.status, reply.headers)
        return ScriptedBody(self, reply)

    async def _reply(self, what: str, request: HttpRequest, until: float) -> HttpReply | Chunks:
        if self.closed:
            raise ClientClosedError("the client is closed")
        self.log.append((what, request))
        asked = self._script(request) if self.grouped else None  # in a group the others send before the first reply comes
        await self.passed(min(self.latency, until - self.clock))
        if self.clock >= until:
            raise RequestTimeout("no reply in time", ambiguous=True)
        reply = self._script(request) if asked is None else asked
        if isinstance(reply, BaseException):
            raise reply
        return reply

    async def each(
        self, work: Callable[[T], Coroutine[Any, Any, R]], items: Iterable[T], concurrency: int
    ) -> AsyncGenerator[tuple[int, R], None]:
        """One after the other."""
        for position, item in enumerate(items):
            yield position, await work(item)

    def group(self) -> ScriptedGroup:
        """Coroutines that run side by side in the runtime's own time, always in the same order."""
        return ScriptedGroup(self)

    def repeat(self, work: Callable[[], Coroutine[Any, Any, float] | None]) -> None:
        """Nothing: a script has no background."""

    async def run(self, work: Callable[..., T], *given: Any) -> T:
        """What the function returns; it takes no time."""
        return work(*given)

    async def warm_up(self, urls: Iterable[str]) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """From now on every request is refused."""
        self.closed = True

    async def aclose(self) -> None:
        """See :meth:`close`."""
        self.close()


class ScriptedWaiter:
    """A waiter that remembers whether it was woken."""

    def __init__(self) -> None:
        self.woken = False

    def wake(self) -> None:
        """Let the call go on."""
        self.woken = True


class ScriptedBody:
    """A reply that comes in pieces."""

    def __init__(self, runtime: ScriptedRuntime, reply: Chunks) -> None:
        self.status = reply.status
        self.headers = reply.headers
        self.closed = False
        self._runtime = runtime
        self._pieces = list(reply.pieces)

    async def read(self, until: float) -> bytes:
        """The next piece; time passes until it comes, or until ``until``."""
        while self._pieces:
            seconds, piece = self._pieces[0]
            if self._runtime.clock + seconds > until:
                self._pieces[0] = (self._runtime.clock + seconds - until, piece)
                await self._runtime.passed(until - self._runtime.clock)
                raise RequestTimeout("nothing came in time", ambiguous=True)
            if seconds:
                await self._runtime.passed(seconds)
            del self._pieces[0]
            if isinstance(piece, BaseException):
                raise piece
            if piece:
                return piece
        return b""

    async def aclose(self) -> None:
        """No more is read."""
        self.closed = True
