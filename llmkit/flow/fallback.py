"""What follows when nothing that could serve a call has served it: the steps of its plan, around :func:`~llmkit.flow.ask.ask` and
:func:`~llmkit.flow.stream.open_stream`. A call without a plan goes straight to them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from llmkit.errors import AllInstancesFailed, CallQueued, ContentFilterError, LLMError, Recovery
from llmkit.flow.ask import ask
from llmkit.flow.kit import Kit
from llmkit.values.calls import ChatCall
from llmkit.values.completion import Attempt, Completion, Timing

if TYPE_CHECKING:
    from llmkit.flow.stream import OpenStream
    from llmkit.policy.fallbacks import Descent, Outcome
    from llmkit.values.events import Event

R = TypeVar("R")


def ask_with_fallback(kit: Kit, call: ChatCall) -> Coroutine[Any, Any, Completion]:
    """Answer a call, by its plan where its own models cannot.

    :raises CallQueued: if a step put it into the queue.
    :raises LLMError: as :func:`~llmkit.flow.ask.ask`; from several steps, :class:`~llmkit.errors.AllInstancesFailed`.
    """
    return ask(kit, call) if call.plan is None else _fall_back(kit, call, ask, lambda call, answer: answer)


def open_with_fallback(kit: Kit, call: ChatCall) -> Coroutine[Any, Any, OpenStream]:
    """Open a stream, by the call's plan where its own models cannot. After the first content nothing falls back.

    :raises LLMError: as :func:`ask_with_fallback`.
    """
    from llmkit.flow.stream import open_stream

    return open_stream(kit, call) if call.plan is None else _fall_back(kit, call, open_stream, _given_stream)


def read_opened(kit: Kit, stream: OpenStream) -> AsyncGenerator[list[Event], None]:
    """The events of an open stream, over its interruptions where its call asks for that.

    :raises StreamInterrupted: if it breaks after content was delivered, and cannot go on.
    """
    if stream.call.resume is None:
        from llmkit.flow.stream import read_stream

        return read_stream(kit, stream)
    from llmkit.flow.resuming import read_resuming  # few streams are resumed

    return read_resuming(kit, stream)


async def close_opened(kit: Kit, stream: OpenStream) -> None:
    """Close a stream that its reader leaves. Calling it again does nothing."""
    from llmkit.flow.stream import close_stream

    stream.left = True
    await close_stream(kit, stream)


def _given_stream(call: ChatCall, answer: Completion) -> OpenStream:
    from llmkit.flow.given import given_stream

    return given_stream(call, answer)


class _Story:
    """What one call has been through."""

    __slots__ = ("attempts", "failures", "started")

    def __init__(self, started: float) -> None:
        self.started = started
        self.attempts: tuple[Attempt, ...] = ()
        self.failures: tuple[LLMError, ...] = ()

    def failed(self, error: LLMError, begun: float) -> None:
        """Remember the tries of a step that began then."""
        self.attempts += _later(error.attempts, begun - self.started)
        several = error.failures if isinstance(error, AllInstancesFailed) else ()
        self.failures += several or (error,)

    def over(self, error: LLMError) -> LLMError:
        """The error that ends the call: its own last one, or all of them where several instances failed."""
        several = len({failure.instance for failure in self.failures}) > 1
        if several and (isinstance(error, AllInstancesFailed) or error.recovery is not Recovery.NEVER):
            said = "; ".join([f"{failure.instance}: {failure.message}" for failure in self.failures])
            return AllInstancesFailed(f"every step of the fallback failed: {said}", failures=self.failures)
        return error

    def on(self, answer: Any, begun: float) -> Any:
        """An answer, or an open stream, of a step that began then, with what came before it."""
        if not self.attempts:
            return answer
        later = begun - self.started
        if isinstance(answer, Completion):
            timing = answer.timing or Timing()
            timing = Timing(timing.total + later, timing.queued, None if timing.first_event is None else timing.first_event + later)
            return attrs.evolve(answer, attempts=self.attempts + _later(answer.attempts, later), timing=timing)
        trail = answer.trail
        trail.started = self.started
        trail.attempts = self.attempts + _later(trail.attempts, later)
        answer.first_event = None if answer.first_event is None else answer.first_event + later
        return answer


def _later(attempts: Iterable[Attempt], seconds: float) -> tuple[Attempt, ...]:
    return tuple([attrs.evolve(attempt, started=attempt.started + seconds) for attempt in attempts])


async def _fall_back(
    kit: Kit, call: ChatCall, way: Callable[[Kit, ChatCall], Coroutine[Any, Any, R]], given: Callable[[ChatCall, Completion], R]
) -> R:
    from llmkit.policy.fallbacks import Descent, refused

    now = kit.runtime.now
    descent, story = Descent(call), _Story(now())
    current, kept = call, None
    while True:
        begun = now()
        failure: LLMError
        try:
            answer: Any = story.on(await way(kit, current), begun)
            if not (refused(answer) and descent.elsewhere()):
                return answer  # type: ignore[no-any-return]
            kept, story.attempts = answer, answer.attempts
            failure = ContentFilterError("the model refused to answer")
        except LLMError as error:
            failure = error
            story.failed(error, begun)
        outcome = await _next(kit, call, descent, failure, kept is not None)
        if not isinstance(outcome, ChatCall):
            break
        current = outcome
    if kept is not None:  # nobody answered better
        return attrs.evolve(kept, attempts=story.attempts)  # type: ignore[no-any-return]
    ending = story.over(failure) if outcome is failure else outcome
    if kit.hooks.error:
        kit.hooks.error(call=call, error=failure if isinstance(ending, Completion) else ending)
    if isinstance(ending, Completion):
        return given(call, attrs.evolve(ending, attempts=story.attempts, timing=Timing(now() - story.started)))
    assert isinstance(ending, LLMError)
    ending.attempts = story.attempts
    raise ending


async def _next(kit: Kit, call: ChatCall, descent: Descent, failure: LLMError, answered: bool) -> Outcome:
    """The next step that can be taken. A queue that cannot be written is a step that fails: the next one follows."""
    from llmkit.policy.fallbacks import said
    from llmkit.values.fallbacks import Queue

    problem: LLMError | None = None
    while True:
        outcome = descent.next(failure, call.deadline.over(kit.runtime.now()), answered)
        if outcome is failure:
            break
        if isinstance(outcome, Queue):
            try:
                outcome = await _queued(kit, call, outcome, failure)
            except LLMError as error:
                problem = error
                continue
        if kit.hooks.fallback:
            kit.hooks.fallback(call=call, error=failure, step=said(outcome))
        return outcome
    if problem is None:
        return failure
    problem.__cause__ = failure
    return problem


async def _queued(kit: Kit, call: ChatCall, step: Any, failure: LLMError) -> CallQueued:
    from llmkit.flow.queued import enqueue

    ticket = await enqueue(kit, call, step, failure)
    queued = CallQueued(f"the call waits in the queue as ticket {ticket.id}, after: {failure}", ticket=ticket)
    queued.__cause__ = failure
    return queued
