"""A runtime and its clock in one: thousands of calls side by side, on a heap of what happens next.

The flows wait for nothing but their runtime, so no event loop is needed to run them. Time jumps from one event to the next, and the
same seed gives the same run, to the last event. A million seconds of an ordinary client's day take seconds.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable
from heapq import heappop, heappush
from types import coroutine
from typing import Any

from llmkit.errors import RequestTimeout
from llmkit.runtime import Cancelled
from llmkit.testing import Chunks
from llmkit.wire.http import HttpReply, HttpRequest


@coroutine
def _pause() -> Generator[None, bool, bool]:
    return (yield)


class Work:
    """A coroutine that runs in a simulation."""

    def __init__(self, flow: Coroutine[Any, Any, Any], ended: Callable[[Work], None] | None) -> None:
        self.flow = flow
        self.turn = 0
        """How often it went on: an event that was meant for an earlier pause is none any more."""
        self.done = False
        self.result: Any = None
        """What it returned, or the exception that it ended with."""
        self._ended = ended

    def end(self, result: Any) -> None:
        """It has ended."""
        self.done, self.result = True, result
        if self._ended is not None:
            self._ended(self)


class Simulation:
    """A runtime, and what happens in it.

    :param server: from a request to (seconds, reply); may have ``done(request)``, which is told when a request is over.
    :param luck: gives numbers from 0 to 1.
    """

    def __init__(self, server: Callable[[HttpRequest], tuple[float, Any]], luck: Callable[[], float] = lambda: 0.5) -> None:
        self.server = server
        self.clock = 0.0
        self.running = 0
        """Works that have not ended."""
        self.random = luck
        self._events: list[tuple[float, int, Any, int, bool]] = []
        self._order = 0
        self._now_running: Work | None = None
        self._done = getattr(server, "done", lambda request: None)

    # ------------------------------------------------------------------------------------------- what happens

    def start(self, flow: Coroutine[Any, Any, Any], ended: Callable[[Work], None] | None = None) -> Work:
        """Let a coroutine run, from now on.

        :param ended: told when it has ended.
        """
        work = Work(flow, ended)
        self.running += 1
        self._at(self.clock, work, True)
        return work

    def at(self, time: float, do: Callable[[], object]) -> None:
        """Do something at a time."""
        self._order += 1
        heappush(self._events, (time, self._order, do, -1, True))

    def cancel(self, work: Work) -> None:
        """Call a coroutine off where it waits."""
        if not work.done:
            self._step(work, Cancelled())

    def play(self, until: float = math.inf) -> None:
        """Let happen what happens up to a time, or until nothing is left to happen."""
        events = self._events
        while events and events[0][0] <= until:
            time, _, what, turn, value = heappop(events)
            if turn < 0:
                self.clock = max(self.clock, time)
                what()
            elif what.turn == turn and not what.done:
                self.clock = max(self.clock, time)
                self._step(what, value)
        if until < math.inf:
            self.clock = max(self.clock, until)
        else:
            assert not self.running, "somebody waits, and nothing will ever happen: a wake-up was lost"

    def _at(self, time: float, work: Work, value: bool) -> None:
        self._order += 1
        heappush(self._events, (time, self._order, work, work.turn, value))

    def _step(self, work: Work, value: Any) -> None:
        before, self._now_running = self._now_running, work
        work.turn += 1
        first = work.turn == 1
        try:
            if isinstance(value, BaseException):
                work.flow.throw(value)
            else:
                work.flow.send(None if first else value)
        except StopIteration as stop:
            self.running -= 1
            work.end(stop.value)
        except BaseException as problem:
            self.running -= 1
            work.end(problem)
        finally:
            self._now_running = before

    def _me(self) -> Work:
        assert self._now_running is not None
        return self._now_running

    # ------------------------------------------------------------------------------------------- the runtime

    def now(self) -> float:
        return self.clock

    def time(self) -> float:
        return 1e9 + self.clock

    async def sleep(self, seconds: float) -> None:
        self._at(self.clock + seconds, self._me(), True)
        await _pause()

    def waiter(self) -> SimulatedWaiter:
        return SimulatedWaiter(self)

    async def wait(self, waiter: SimulatedWaiter, seconds: float) -> bool:
        if waiter.woken:
            return True
        waiter.work, waiter.turn = self._me(), self._me().turn
        self._at(self.clock + seconds, waiter.work, False)
        return await _pause()

    async def _until(self, seconds: float, until: float) -> None:
        left = until - self.clock
        await self.sleep(max(0.0, min(seconds, left)))
        if seconds >= left:
            raise RequestTimeout("too late", ambiguous=True)

    async def send(self, request: HttpRequest, connect: float, until: float) -> HttpReply:
        try:
            seconds, reply = self.server(request)
            await self._until(seconds, until)
            if isinstance(reply, BaseException):
                raise reply
            return reply  # type: ignore[no-any-return]
        finally:
            self._done(request)

    async def open(self, request: HttpRequest, connect: float, until: float) -> SimulatedBody:
        try:
            seconds, reply = self.server(request)
            await self._until(seconds, until)
            if isinstance(reply, BaseException):
                raise reply
        except BaseException:
            self._done(request)
            raise
        if isinstance(reply, HttpReply):
            reply = Chunks(((0.0, reply.body),), reply.status, reply.headers)
        return SimulatedBody(self, request, reply)

    def group(self) -> SimulatedGroup:
        return SimulatedGroup(self)

    async def each(
        self, work: Callable[[Any], Coroutine[Any, Any, Any]], items: Iterable[Any], concurrency: int
    ) -> AsyncGenerator[tuple[int, Any], None]:
        """One after the other, whatever ``concurrency`` allows."""
        for position, item in enumerate(items):
            yield position, await work(item)

    async def run(self, work: Callable[..., Any], *given: Any) -> Any:
        return work(*given)

    async def warm_up(self, urls: Iterable[str]) -> None:
        pass

    def close(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


class SimulatedWaiter:
    """One parked call."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.woken = False
        self.work: Work | None = None
        self.turn = 0

    def wake(self) -> None:
        if not self.woken:
            self.woken = True
            if self.work is not None and self.work.turn == self.turn:
                self._simulation._at(self._simulation.clock, self.work, True)


class SimulatedBody:
    """A reply in pieces."""

    def __init__(self, simulation: Simulation, request: HttpRequest, reply: Chunks) -> None:
        self.status, self.headers = reply.status, reply.headers
        self._simulation, self._request = simulation, request
        self._pieces = list(reply.pieces)
        self._closed = False

    async def read(self, until: float) -> bytes:
        while self._pieces:
            seconds, piece = self._pieces.pop(0)
            if seconds:
                await self._simulation._until(seconds, until)
            if isinstance(piece, BaseException):
                raise piece
            if piece:
                return piece
        return b""

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._simulation._done(self._request)


class SimulatedGroup:
    """See :class:`llmkit.runtime.Group`."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._ended: list[tuple[Any, Work]] = []
        self._works: list[Work] = []
        self._waiter: SimulatedWaiter | None = None

    def start(self, tag: Any, work: Coroutine[Any, Any, Any]) -> None:
        def ended(one: Work) -> None:
            self._ended.append((tag, one))
            if self._waiter is not None:
                self._waiter.wake()

        self._works.append(self._simulation.start(work, ended))

    async def next(self, seconds: float | None = None) -> tuple[Any, Any] | None:
        if not self._ended and not all(work.done for work in self._works):
            self._waiter = self._simulation.waiter()
            await self._simulation.wait(self._waiter, math.inf if seconds is None else seconds)
        if not self._ended:
            return None
        tag, work = self._ended.pop(0)
        if isinstance(work.result, BaseException) and not isinstance(work.result, Exception):
            raise work.result
        return tag, work.result

    async def aclose(self) -> list[tuple[Any, Any]]:
        for work in self._works:
            self._simulation.cancel(work)
        ended, self._ended = self._ended, []
        return [(tag, work.result) for tag, work in ended if not isinstance(work.result, BaseException)]
