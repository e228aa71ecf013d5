"""Side by side in the sync colour: threads, at most one for each coroutine that runs, which end with their group."""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

from llmkit.errors import ClientClosedError
from llmkit.finish import finish
from llmkit.runtime import Cancelled
from llmkit.transports.scopes import Scope, current_scope
from llmkit.transports.watchdog import watchdog

LINGER = 0.25
"""The longest, in seconds, that closing a group waits for its threads. What cannot be interrupted, such as a name being looked up,
is left to end by itself."""


class _Job:
    """A coroutine, and what came of it."""

    __slots__ = ("context", "ended", "problem", "scope", "tag", "value", "work")

    def __init__(self, tag: Any, work: Coroutine[Any, Any, Any]) -> None:
        self.tag = tag
        self.work = work
        self.context = contextvars.copy_context()
        self.scope = Scope()
        self.ended = False
        self.value: Any = None
        self.problem: BaseException | None = None

    def run(self) -> Any:
        current_scope.set(self.scope)
        if self.scope.cancelled:
            self.work.close()
            raise Cancelled
        return finish(self.work)


class Group:
    """See :class:`llmkit.runtime.Group`."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._running: set[_Job] = set()
        self._threads = 0

    def start(self, tag: Any, work: Coroutine[Any, Any, Any]) -> None:
        """See :meth:`llmkit.runtime.Group.start`."""
        if len(self._running) >= self._threads:
            thread = threading.Thread(target=_labour, args=(self._jobs, self._done), name="llmkit-group", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # there can be no more threads
                work.close()
                raise
            self._threads += 1
        job = _Job(tag, work)
        self._running.add(job)
        self._jobs.put(job)

    async def next(self, seconds: float | None = None) -> tuple[Any, Any] | None:
        """See :meth:`llmkit.runtime.Group.next`."""
        job = self._take(seconds) if self._running else None
        if job is None:
            return None
        self._running.discard(job)
        problem, job.problem = job.problem, None
        if problem is not None:
            raise problem
        return job.tag, job.value

    def _take(self, seconds: float | None) -> _Job | None:
        scope = current_scope.get()
        if scope is not None:
            scope.enter(self._wake)
        try:
            job = self._done.get(timeout=seconds) if seconds != 0 else self._done.get_nowait()
        except queue.Empty:
            return None
        finally:
            if scope is not None:
                scope.leave(self._wake)
        if job is None:
            raise Cancelled
        return job

    def _wake(self) -> None:
        self._done.put(None)

    async def aclose(self) -> list[tuple[Any, Any]]:
        """See :meth:`llmkit.runtime.Group.aclose`."""
        late = []
        try:
            scopes = {job.scope for job in self._running if not job.ended}
            for scope in scopes:
                scope.cancel()
            if scopes:
                watchdog.end_scopes(scopes)
            until = time.monotonic() + LINGER
            while self._running:
                job = self._done.get(timeout=max(until - time.monotonic(), 0.0))
                if job is not None:
                    self._running.discard(job)
                    if job.problem is None:
                        late.append((job.tag, job.value))
        except queue.Empty:
            self._running.clear()
        finally:
            for _ in range(self._threads):
                self._jobs.put(None)
            self._threads = 0
        return late


class Repeat:
    """Work that is done again and again in one thread, until it is ended or gives None. It knows its work alone."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, float] | None]) -> None:
        self._work = work
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="llmkit-health", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it goes on."""
        return self._thread.is_alive()

    def end(self) -> None:
        """Let it end after what it does just now."""
        self._over.set()

    def _run(self) -> None:
        seconds = 0.0
        while not self._over.wait(min(seconds, threading.TIMEOUT_MAX)):
            work = self._work()
            if work is None:
                return
            try:
                seconds = finish(work)
            except ClientClosedError:
                return
            del work  # or it would keep its client while this thread waits


def _labour(jobs: queue.SimpleQueue[_Job | None], done: queue.SimpleQueue[_Job | None]) -> None:
    """A thread's life: one job after the other, until there is None. It does not know its group, which may be dropped."""
    while (job := jobs.get()) is not None:
        try:
            job.value = job.context.run(job.run)
        except BaseException as problem:  # it surfaces in the thread that asked
            job.problem = problem
        job.ended = True
        done.put(job)
        del job  # with what it brought, while this thread waits for the next
