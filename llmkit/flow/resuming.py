"""A stream that goes on after an interruption, where its call asks for that with ``resume``.

``restart`` asks the same call again. ``continue`` asks for the rest of what had come, as the instance's vendor takes that
(:meth:`Provider.continued <llmkit.provider.Provider.continued>`). Only plain text can be continued: half a tool call, a part of the
vendor's own, a half-written JSON document, several answers at once, or thinking without a word of the answer, are restarted. The
next try is found as after every failure: what failed is left out, ``retries``, retry budget and deadline count. Its first content
resumes the stream, after a :class:`~llmkit.values.events.StreamResumed`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import attrs

from llmkit.errors import LLMError
from llmkit.flow.attempt import timed_out
from llmkit.flow.failover import failover
from llmkit.flow.kit import Kit
from llmkit.flow.retrying import Trail
from llmkit.flow.stream import OpenStream, close_stream, interrupted, open_on, read_stream
from llmkit.policy.routes import Lease
from llmkit.values.calls import Resume
from llmkit.values.completion import Completion
from llmkit.values.events import Event, StreamResumed, UsageReported
from llmkit.values.messages import Reasoning, Text


class _Left(BaseException):
    """The reader has closed the stream; to a try, that is being called off."""


@attrs.frozen(eq=False, repr=False)
class Past:
    """What a stream had brought before it was interrupted."""

    events: list[Event]
    """Those that still count, with each :class:`~llmkit.values.events.StreamResumed`."""
    part: Completion | None
    """The beginning of the answer, where that is being continued."""

    def complete(self, completion: Completion, events: list[Event]) -> None:
        """Write on a completion that nobody has seen yet what otherwise would be that of its last part alone.

        :param events: those of its last part.
        """
        part = self.part
        if part is None:
            return
        fields = vars(completion)
        usage = next((event.usage for event in reversed(events) if type(event) is UsageReported), None)
        last = Completion(completion.message, usage=usage, model=completion.model, raw=completion.raw)
        vars(last).pop("cost")
        vars(last)["_pricer"] = fields["_pricer"]
        fields["_pricer"] = lambda answer: None if part.cost is None or last.cost is None else part.cost + last.cost
        first = None if part.timing is None else part.timing.first_event
        fields["_times"] = (*fields["_times"][:2], first)


async def read_resuming(kit: Kit, stream: OpenStream) -> AsyncGenerator[list[Event], None]:
    """The events of an open stream, as :func:`~llmkit.flow.stream.read_stream` gives them, over its interruptions.

    :raises StreamInterrupted: if it breaks and cannot go on; its cause says why.
    """
    try:
        while True:
            try:
                async with aclosing(read_stream(kit, stream)) as pieces:
                    async for events in pieces:
                        yield events
                return
            except LLMError as error:
                failure = error
            event = await _resume(kit, stream, failure)
            if kit.hooks.stream_event:
                kit.hooks.stream_event(call=stream.call, event=event)
            yield [event]
    finally:
        await close_stream(kit, stream)


async def _resume(kit: Kit, stream: OpenStream, failure: LLMError) -> StreamResumed:
    """Open an interrupted stream again, in its place.

    :raises StreamInterrupted: if that is not possible.
    """
    runtime, trail, lease = kit.runtime, stream.trail, stream.lease
    failure.provider = failure.provider or lease.route.instance.provider
    failure.instance = failure.instance or lease.route.name
    part = stream.completion(runtime.now())
    after = part.text if stream.call.resume == "continue" and _can_go_on(stream, part) else None
    reason = failure
    if not stream.left:
        try:
            pause = trail.failed(kit, lease, failure, runtime.now())
            if pause:
                trail.queued += pause
                await runtime.sleep(pause)
            opened = await failover(kit, trail, _again(kit, stream, after), lease, failure, pause)
            event = _go_on(stream, opened, part, "restart" if after is None else "continue", failure)
            if not stream.left:
                return event
            await close_stream(kit, stream)
        except _Left:
            pass
        except LLMError as error:
            reason = timed_out(stream.call, error, runtime.now())
    raise interrupted(kit, stream, reason)


def _again(kit: Kit, stream: OpenStream, after: str | None) -> Callable[[Kit, Trail, Lease], Awaitable[OpenStream]]:
    """A try to open an interrupted stream again."""

    async def going_on(kit: Kit, trail: Trail, lease: Lease) -> OpenStream:
        return await open_on(kit, trail, lease, after)

    opening: Any = going_on
    if kit.budgets is not None:
        from llmkit.flow.budgeted import budgeted

        _, opening = budgeted(kit, kit.budgets, stream.trail.call, going_on)

    async def attempt(kit: Kit, trail: Trail, lease: Lease) -> OpenStream:
        if stream.left:
            raise _Left
        return await opening(kit, trail, lease)  # type: ignore[no-any-return]

    return attempt


def _can_go_on(stream: OpenStream, part: Completion) -> bool:
    """Whether what has come is the beginning of a plain text."""
    options = stream.call.options
    if options.response_format is not None or (options.extra or {}).get("n", 1) != 1:
        return False
    if part.alternatives or not part.text.strip():
        return False
    content = part.message.content
    return all([type(piece) in (Text, Reasoning) for piece in content]) and type(content[-1]) is Text


def _go_on(stream: OpenStream, opened: OpenStream, part: Completion, how: Resume, failure: LLMError) -> StreamResumed:
    """Put a stream that was opened in the place of one that was interrupted; its reader notices nothing but the event."""
    event = StreamResumed(how, opened.lease.route.name, failure)
    before: list[Event] = [] if stream.past is None else stream.past.events
    if how == "continue":
        stream.past = Past([*before, *stream.events, event], part)
    else:
        stream.past = Past([*(old for old in before if type(old) is StreamResumed), event], None)
    for name in ("lease", "body", "decoder", "headers", "dropped", "until", "events", "first_event", "hold", "told", "ended"):
        setattr(stream, name, getattr(opened, name))
    stream.closed = False
    return event
