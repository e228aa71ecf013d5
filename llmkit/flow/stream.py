"""A streamed answer: opened like any other, then read as it comes.

Until the first content event (text, reasoning, a tool call, a whole part) a failure is retried or failed over, and nobody sees it.
That event commits the stream: from then on an interruption is :class:`~llmkit.errors.StreamInterrupted`, with what had come. A
stream is complete when the vendor's terminal event or a finish reason has come, and only then.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from itertools import compress, repeat
from operator import is_not
from typing import TYPE_CHECKING, Any

import attrs

from llmkit.errors import InvalidResponseError, LLMError, NetworkError, RequestTimeout, StreamInterrupted
from llmkit.flow.ask import LONG, finished, tell_error, watch
from llmkit.flow.attempt import PROVIDERS_OWN, bare, decoded, prepared, stamp, timed_out, unreadable
from llmkit.flow.failover import failover
from llmkit.flow.kit import Kit
from llmkit.flow.retrying import Trail
from llmkit.policy.routes import Lease, Route
from llmkit.provider import StreamDecoder
from llmkit.runtime import Body
from llmkit.values.calls import Call, ChatCall
from llmkit.values.completion import Attempt, Completion
from llmkit.values.events import CONTENT_EVENTS, Event, RawEvent, StreamStarted, TextDelta, UsageReported
from llmkit.values.instances import DEFAULT_TIMEOUTS
from llmkit.values.usage import Usage
from llmkit.wire.body import MOST_BODY
from llmkit.wire.errors import request_id
from llmkit.wire.fold import fold
from llmkit.wire.http import HttpReply
from llmkit.wire.redact import without_secret

if TYPE_CHECKING:
    from llmkit.flow.resuming import Past
    from llmkit.policy.budgets import Hold
    from llmkit.values.hedging import Hedge

LINGER = 5.0
"""Seconds that a complete stream is given for what may still follow, such as usage, and for closing its connection."""


@attrs.define(eq=False, repr=False)
class OpenStream:
    """A stream that has been opened: where it comes from, and what it has brought."""

    call: ChatCall
    trail: Trail
    lease: Lease
    body: Body
    decoder: StreamDecoder
    headers: Mapping[str, str]
    dropped: tuple[str, ...]
    until: float
    """When this try must be over."""
    events: list[Event] = attrs.field(factory=list)
    first_event: float | None = None
    """Seconds from the start of the call to the first content."""
    hold: Hold | None = None
    """What it holds of the client's budgets."""
    told: bool = False
    """Whether the last bytes brought events, behind which an error may be held."""
    ended: bool = False
    """Whether the stream has come to its end in good order."""
    closed: bool = False
    left: bool = False
    """Whether its reader has closed it."""
    past: Past | None = None
    """What it had brought before it was interrupted."""

    @property
    def instance(self) -> str:
        """Name of the instance that answers."""
        return self.lease.route.name

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The tries so far."""
        return self.trail.attempts

    def completion(self, now: float) -> Completion:
        """What has come so far, folded."""
        past = self.past
        completion = fold(self.events if past is None else past.events + self.events, self.lease.route.instance.provider)
        stamp(completion, self.lease.route, self.trail, now, self.headers, self.first_event)
        finished(self.call, completion, self.dropped)
        if past is not None:
            past.complete(completion, self.events)
        return completion


async def open_stream(kit: Kit, call: ChatCall) -> OpenStream:
    """Open a stream and read it up to its first content.

    :raises LLMError: as :func:`~llmkit.flow.ask.ask`.
    """
    if kit.watched:
        watch(kit)
    asked: Call[Any] = call
    attempt: Any = open_on
    if kit.budgets is not None:
        from llmkit.flow.budgeted import budgeted

        asked, attempt = budgeted(kit, kit.budgets, call, attempt)
    trail = Trail(asked, kit.runtime.now())
    try:
        return await failover(kit, trail, attempt if call.hedge is None else _hedged(call.hedge, attempt))
    except LLMError as error:
        tell_error(kit, call, error)
        raise


def _hedged(hedge: Hedge, attempt: Any) -> Callable[[Kit, Trail, Lease], Awaitable[OpenStream]]:
    from llmkit.flow.hedge import hedging  # few calls are hedged

    return hedging(hedge, attempt, close_stream)


async def open_on(kit: Kit, trail: Trail, lease: Lease, after: str | None = None) -> OpenStream:
    """One try to open a stream.

    :param after: what its answer has brought already, and is to go on after.
    """
    runtime, route = kit.runtime, lease.route
    call, request, dropped = prepared(kit, trail.call, lease, after)
    assert isinstance(call, ChatCall)
    if request.body is not None and len(request.body) > LONG:
        from llmkit.flow.fitting import fits

        await fits(kit, call, route)
    timeouts = call.timeouts.over(DEFAULT_TIMEOUTS)
    seconds = route.instance.timeout or timeouts.attempt or 0.0
    until = min(lease.started + seconds, call.deadline.at)
    first = min(lease.started + (timeouts.first_event or 0.0), until)
    try:
        body = await runtime.open(request, timeouts.connect or 0.0, first)
    except RequestTimeout as error:
        raise _phase(error, "first_event", first < until) from None
    try:
        if not 200 <= body.status < 300:
            decoded(call, HttpReply(body.status, body.headers, await _rest(body, first)), route)
        decoder = _decoder(call, body.headers, route)
        stream = OpenStream(call, trail, lease, body, decoder, body.headers, dropped, until)
        await _read_to_content(kit, stream, first)
        if stream.first_event is not None:
            kit.router.began(lease, runtime.now())
    except BaseException:  # a cancel too: nobody else knows of the connection
        await body.aclose()
        raise
    return stream


def _decoder(call: ChatCall, headers: Mapping[str, str], route: Route) -> StreamDecoder:
    try:
        decoder = route.provider.decoder(call, headers)
        if not hasattr(decoder, "complete") or not callable(decoder.feed):
            raise TypeError(f"decoder returned {type(decoder).__name__}")
        return decoder
    except LLMError:
        raise
    except PROVIDERS_OWN as problem:
        failure = unreadable(route.provider, problem)
    raise failure


async def _rest(body: Body, until: float) -> bytes:
    """The rest of an error reply."""
    data, size = [], 0
    while chunk := await body.read(until):
        data.append(chunk)
        size += len(chunk)
        if size > MOST_BODY:
            break
    return b"".join(data)


async def _read_to_content(kit: Kit, stream: OpenStream, first: float) -> None:
    idle = stream.call.timeouts.idle or DEFAULT_TIMEOUTS.idle or 0.0
    until = first
    while True:
        events = await _next(stream, until, "idle" if stream.events else "first_event")
        now = kit.runtime.now()
        if any(isinstance(event, CONTENT_EVENTS) for event in events):
            stream.first_event = now - stream.trail.started
            return
        if stream.ended:
            return
        if events:
            until = min(now + idle, stream.until)


async def read_stream(kit: Kit, stream: OpenStream) -> AsyncGenerator[list[Event], None]:
    """The events of an open stream, from its first: those that came together, together.

    :raises StreamInterrupted: if it breaks after content was delivered.
    :raises LLMError: why it broke, where it may be resumed: see :mod:`llmkit.flow.resuming`.
    """
    hook = kit.hooks.stream_event
    events = list(stream.events)
    failure: LLMError | None = None
    try:
        while True:
            if hook:
                for event in events:
                    hook(call=stream.call, event=event)
            if events:
                yield events
            if stream.ended:
                break
            events = await _more(kit, stream)
    except LLMError as error:
        failure = timed_out(stream.call, bare(error, stream.lease), kit.runtime.now())
    finally:
        await close_stream(kit, stream, failure)
    if failure is not None:
        raise failure if stream.call.resume is not None else interrupted(kit, stream, failure)


async def _more(kit: Kit, stream: OpenStream) -> list[Event]:
    """The next events; only events count against the idle timer, not comments or pings."""
    now = kit.runtime.now()
    idle = LINGER if stream.decoder.complete else stream.call.timeouts.idle or DEFAULT_TIMEOUTS.idle or 0.0
    until = min(now + idle, stream.until)
    while True:
        events = await _next(stream, until, "idle")
        if events or stream.ended:
            return events


async def _next(stream: OpenStream, until: float, phase: str) -> list[Event]:
    """The events that the next bytes complete, remembered too.

    :raises LLMError: if the stream breaks, stalls, holds an error, or ends before its end.
    """
    whole = stream.decoder.complete
    try:
        # An error that the last bytes held behind their events is told now, not when the server says more.
        events = stream.decoder.feed(b"") if stream.told else []
        if not events:
            data = await stream.body.read(until)
            if data:
                events = stream.decoder.feed(data)
            else:
                events = stream.decoder.finish()
                stream.ended = True
        stream.told = bool(events)
        stream.events += events
        if not stream.ended or stream.decoder.complete:
            return events
        failure: LLMError = InvalidResponseError("the stream stopped before its end: no finish reason and no final event")
        stream.ended = False
    except RequestTimeout as error:
        failure = _phase(error, phase, until < stream.until)
    except LLMError as error:
        failure = error
    except PROVIDERS_OWN as problem:
        failure = unreadable(stream.lease.route.provider, problem)
    if whole and isinstance(failure, (NetworkError, InvalidResponseError)):
        stream.ended = True  # the answer was whole; only what followed it was untidy
        return []
    failure.ambiguous = failure.ambiguous or isinstance(failure, InvalidResponseError)
    raise failure


def _phase(error: RequestTimeout, phase: str, own: bool) -> RequestTimeout:
    """The timeout, naming the timer that ran out; ``own`` where it was not the whole try's."""
    if own and error.phase != "connect":
        error.phase = phase
        error.message = f"no event came in time ({phase})"
    return error


async def close_stream(kit: Kit, stream: OpenStream, failure: LLMError | None = None) -> None:
    """Give back connection and lease, and book what was used. Calling it again does nothing."""
    if stream.closed:
        return
    stream.closed = True
    now = kit.runtime.now()
    ended = stream.ended and failure is None
    lease = stream.lease
    facts = _beside_text(stream.events)
    usage = next((event.usage for event in reversed(facts) if type(event) is UsageReported), None)
    kit.router.release(lease, now, failure, answered=ended, streamed=True, usage=usage)
    if now >= lease.key.look_at:
        kit.router.learn(lease, stream.headers, now)
    try:
        _tell_closed(kit, stream, failure, usage, _bill(stream, facts, usage), now)
    finally:
        await stream.body.aclose()


def _beside_text(events: list[Event]) -> list[Event]:
    """The few events that are no text, found at the least cost for each of the many that are."""
    return [*compress(events, map(is_not, map(type, events), repeat(TextDelta)))]


def _tell_closed(
    kit: Kit, stream: OpenStream, failure: LLMError | None, usage: Usage | None, bill: Any, now: float
) -> None:
    ended = stream.ended and failure is None
    lease, call = stream.lease, stream.call
    seconds = stream.trail.book(stream.lease, now, failure)
    if kit.hooks.attempt:
        kit.hooks.attempt(call=stream.call, attempt=stream.trail.attempts[-1])
    booked = (lease.route.name, lease.key.label, call.task, call.tags, usage)
    if ended:
        kit.ledger.answered(*booked, seconds, bill)
    else:
        kit.ledger.interrupted(*booked, failure, seconds, bill)
    if stream.hold is not None and kit.budgets is not None:
        from llmkit.flow.budgeted import settled

        cost = bill if bill is None or isinstance(bill, int) else bill.units()
        settled(kit, kit.budgets, stream.hold, usage, cost, whole=ended)
    if ended and kit.hooks.answer:
        kit.hooks.answer(call=stream.call, answer=stream.completion(now))


def _bill(stream: OpenStream, facts: list[Event], usage: Usage | None) -> Any:
    """What a stream costs, as its folded completion will say."""
    model = raw = None
    for event in facts:
        if type(event) is StreamStarted:
            model = event.model or model
        elif type(event) is RawEvent:
            raw = event.data
    try:
        return stream.lease.route.pricer.bill_of(usage, model, raw)
    except PROVIDERS_OWN:  # what another provider calls usage may be anything
        return None


def interrupted(kit: Kit, stream: OpenStream, failure: LLMError) -> StreamInterrupted:
    """The error for a stream that ends before its end, told to the hooks."""
    error = StreamInterrupted(
        f"the stream broke after it had begun: {failure.message}",
        provider=stream.lease.route.instance.provider,
        instance=stream.lease.route.name,
        status=failure.status,
        request_id=request_id(stream.headers),
        vendor_code=failure.vendor_code,
        retry_after=failure.retry_after,
        body=failure.body,
        attempts=stream.trail.attempts,
        ambiguous=True,
        partial=stream.completion(kit.runtime.now()),
    )
    bare(error, stream.lease)
    if (secret := stream.lease.key.secret) is not None:
        headers = {name: without_secret(value, secret.reveal()) for name, value in stream.headers.items()}
        vars(error.partial).update(request_id=error.request_id, headers=headers)
    error.__cause__ = failure
    tell_error(kit, stream.call, error)
    return error
