"""Side by side in the async colour: tasks."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from llmkit.errors import ClientClosedError

BREATH = 8
"""Tasks that may begin in one turn of the event loop: more would keep others waiting, since each first step encodes and sends."""


class Repeat:
    """Work that is done again and again on the running event loop: a task while it is done, a timer in between, so that a loop
    which ends leaves nothing behind. It knows its work alone."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, float] | None]) -> None:
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[float] | None = None
        self.alive = True
        """Whether it goes on."""
        self._plan(0.0)

    def _plan(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._begin)

    def _begin(self) -> None:
        self._timer = None
        work = self._work()
        if work is None:
            self.alive = False
            return
        self._task = self._loop.create_task(work)
        self._task._log_destroy_pending = False  # type: ignore[attr-defined]  # a probe that its loop leaves is no mistake
        self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[float]) -> None:
        self._task = None
        if not self.alive:
            return
        problem = asyncio.CancelledError() if task.cancelled() else task.exception()
        if problem is None:
            self._plan(task.result())
            return
        self.alive = False  # the next call begins it anew
        if not isinstance(problem, (asyncio.CancelledError, ClientClosedError)):
            raise problem

    def end(self) -> asyncio.Task[float] | None:
        """On its loop: let it end; what is being done just now is called off, and given back to be waited for."""
        self.alive = False
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        return self._task

    def end_from(self, loop: asyncio.AbstractEventLoop | None) -> asyncio.Task[float] | None:
        """The same, called while ``loop`` runs in this thread; only on its own is there a task to wait for."""
        if loop is self._loop:
            return self.end()
        with contextlib.suppress(RuntimeError):  # the loop is closed, and its timers with it
            self._loop.call_soon_threadsafe(self.end)
        return None


class Group:
    """See :class:`llmkit.runtime.Group`. A result costs the same however many tasks run."""

    def __init__(self) -> None:
        self._running: dict[asyncio.Task[Any], Any] = {}
        self._done: deque[asyncio.Task[Any]] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._begun = 0
        self._closing = False

    def start(self, tag: Any, work: Coroutine[Any, Any, Any]) -> None:
        """See :meth:`llmkit.runtime.Group.start`."""
        task = asyncio.get_running_loop().create_task(work)
        self._running[task] = tag
        self._begun += 1
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._done.append(task)
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def next(self, seconds: float | None = None) -> tuple[Any, Any] | None:
        """See :meth:`llmkit.runtime.Group.next`."""
        if self._begun >= BREATH:
            self._begun = 0
            await asyncio.sleep(0)
        if not self._done and self._running and seconds != 0:
            await self._wait(seconds)
        if not self._done:
            return None
        task = self._done.popleft()
        return self._running.pop(task), task.result()

    async def _wait(self, seconds: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._begun = 0
        self._waiting = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, self._wake)
        try:
            await self._waiting
        finally:
            self._waiting = None
            if timer is not None:
                timer.cancel()

    async def aclose(self) -> list[tuple[Any, Any]]:
        """See :meth:`llmkit.runtime.Group.aclose`."""
        if not self._closing:  # else it was interrupted, and whoever calls again wants to see the end
            self._closing = True
            for task in self._running:
                task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        running, self._running = self._running, {}
        self._done.clear()
        return [(tag, task.result()) for task, tag in running.items() if not task.cancelled() and task.exception() is None]
