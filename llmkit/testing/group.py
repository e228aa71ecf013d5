"""Side by side without threads or tasks: coroutines of a scripted runtime take turns, each resumed when its time has come.

What runs in a group suspends where it waits, with a :class:`Pause` that the group itself takes; nothing reaches an event loop, so
this serves both colours, and the same script gives the same order every time.
"""

from __future__ import annotations

import math
from collections.abc import Coroutine, Generator
from typing import TYPE_CHECKING, Any

import attrs

from llmkit.runtime import Cancelled

if TYPE_CHECKING:
    from llmkit.testing.scripted import ScriptedRuntime, ScriptedWaiter


@attrs.frozen
class Pause:
    """A wait until a moment on the runtime's clock, or until ``waiter`` is woken."""

    until: float
    waiter: ScriptedWaiter | None = None

    def __await__(self) -> Generator[Pause, None, None]:
        yield self


@attrs.define(eq=False)
class _Job:
    tag: Any
    work: Coroutine[Any, Any, Any]
    pause: Pause
    turn: int = 0
    """When it paused, counted in steps of the group."""
    ended: bool = False
    value: Any = None
    problem: BaseException | None = None

    def due(self, now: float) -> float:
        """When it goes on."""
        woken = self.pause.waiter is not None and self.pause.waiter.woken
        return now if woken else self.pause.until


class ScriptedGroup:
    """See :class:`llmkit.runtime.Group`. Of coroutines whose time has come together, the one that has paused longest goes on."""

    def __init__(self, runtime: ScriptedRuntime) -> None:
        self._runtime = runtime
        self._turn = 0
        self._jobs: list[_Job] = []

    def start(self, tag: Any, work: Coroutine[Any, Any, Any]) -> None:
        """See :meth:`llmkit.runtime.Group.start`. It begins when the group is next waited for."""
        self._turn += 1
        self._jobs.append(_Job(tag, work, Pause(self._runtime.clock), self._turn))

    async def next(self, seconds: float | None = None) -> tuple[Any, Any] | None:
        """See :meth:`llmkit.runtime.Group.next`."""
        runtime = self._runtime
        until = math.inf if seconds is None else runtime.clock + seconds
        while self._jobs:
            job = min(self._jobs, key=lambda job: (job.due(runtime.clock), job.turn))
            due = job.due(runtime.clock)
            if due > until:
                break
            if due > runtime.clock:
                await runtime.passed(due - runtime.clock)
            self._step(job)
            if job.ended:
                self._jobs.remove(job)
                if job.problem is not None:
                    raise job.problem
                return job.tag, job.value
        if self._jobs and until > runtime.clock:
            await runtime.passed(until - runtime.clock)
        return None

    def _step(self, job: _Job, problem: BaseException | None = None) -> None:
        """Let a coroutine run to its next pause or to its end."""
        runtime = self._runtime
        self._turn += 1
        job.turn = self._turn
        before, runtime.grouped = runtime.grouped, True
        try:
            job.pause = job.work.send(None) if problem is None else job.work.throw(problem)
        except StopIteration as stop:
            job.ended, job.value = True, stop.value
        except BaseException as raised:  # whoever waits for the group gets it
            job.ended, job.problem = True, raised
        finally:
            runtime.grouped = before
        if not job.ended and not isinstance(job.pause, Pause):
            job.work.close()
            job.ended, job.problem = True, RuntimeError(f"{job.work!r} waited for an event loop, which a scripted runtime has not")

    async def aclose(self) -> list[tuple[Any, Any]]:
        """See :meth:`llmkit.runtime.Group.aclose`."""
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            self._step(job, Cancelled())
            while not job.ended:
                self._step(job)
        return [(job.tag, job.value) for job in jobs if job.problem is None]
