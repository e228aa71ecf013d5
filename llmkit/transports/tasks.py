"""Side by side in the async colour: tasks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any

BREATH = 8
"""Tasks that may begin in one turn of the event loop: more would keep others waiting, since each first step encodes and sends."""


class Group:
    """See :class:`llmkit.runtime.Group`. A result costs the same however many tasks run."""

    def __init__(self) -> None:
        self._running: dict[asyncio.Task[Any], Any] = {}
        self._done: deque[asyncio.Task[Any]] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._begun = 0

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
        running, self._running = self._running, {}
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        self._done.clear()
        return [(tag, task.result()) for task, tag in running.items() if not task.cancelled() and task.exception() is None]
