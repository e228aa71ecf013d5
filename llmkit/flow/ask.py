"""A whole answer. One text for chat, embeddings, model lists and whatever else is asked: ``Call[R]`` names the answer's type."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from llmkit.errors import LLMError, StreamInterrupted
from llmkit.flow.attempt import decoded, keep_raw, prepared, stamp
from llmkit.flow.failover import failover
from llmkit.flow.kit import Kit
from llmkit.flow.retrying import Trail
from llmkit.policy.routes import Lease
from llmkit.values.calls import Call, ChatCall
from llmkit.values.completion import Answer
from llmkit.values.options import NO_OPTIONS
from llmkit.wire.json import parse_answer

if TYPE_CHECKING:
    from llmkit.values.hedging import Hedge

R = TypeVar("R")

LONG = 16_000
"""Bytes of a request from which its prompt is checked against the model's context window; every model takes as much."""
CONNECT, ATTEMPT = 5.0, 600.0
"""Seconds, where a call's timeouts say nothing: :data:`~llmkit.values.instances.DEFAULT_TIMEOUTS`."""


async def ask(kit: Kit, call: Call[R], trail: Trail | None = None) -> R:
    """Answer one call.

    :param trail: where to write down its tries, for whoever wants to see them however it ends.
    :raises LLMError: every failure is one; see :mod:`llmkit.errors`.
    """
    if kit.cache is not None and call.cache is not False:
        fresh = ask if trail is None else lambda kit, call: ask(kit, call, trail)
        return await kit.cache.flow(kit, call, fresh)  # type: ignore[no-any-return]
    if kit.watched:
        watch(kit)
    asked: Call[Any] = call
    attempt: Any = _attempt
    if kit.budgets is not None:
        from llmkit.flow.budgeted import budgeted

        asked, attempt = budgeted(kit, kit.budgets, call, attempt)
    trail = trail or Trail(call, kit.runtime.now())
    trail.call = asked
    try:
        answer: R = await failover(kit, trail, attempt if call.hedge is None else _hedged(call.hedge, attempt))
    except LLMError as error:
        tell_error(kit, call, error)
        raise
    if kit.hooks.answer:
        kit.hooks.answer(call=call, answer=answer)
    return answer


def watch(kit: Kit) -> None:
    """See that the health checks run in the background."""
    from llmkit.flow.health import begin  # few clients have them

    begin(kit)


def _hedged(hedge: Hedge, attempt: Any) -> Callable[[Kit, Trail, Lease], Awaitable[Any]]:
    from llmkit.flow.hedge import hedging  # few calls are hedged

    return hedging(hedge, attempt)


async def _attempt(kit: Kit, trail: Trail, lease: Lease) -> Any:
    route, runtime = lease.route, kit.runtime
    call, request, dropped = prepared(kit, trail.call, lease)
    if request.body is not None and len(request.body) > LONG and isinstance(call, ChatCall):
        from llmkit.flow.fitting import fits  # few prompts are long

        await fits(kit, call, route)
    timeouts = call.timeouts
    until = lease.started + (route.instance.timeout or timeouts.attempt or ATTEMPT)
    reply = await runtime.send(request, timeouts.connect or CONNECT, min(until, call.deadline.at))
    answer = decoded(call, reply, route)
    now = runtime.now()
    kit.router.release(lease, now, answered=True, usage=getattr(answer, "usage", None))
    if now >= lease.key.look_at:
        kit.router.learn(lease, reply.headers, now)
    seconds = trail.book(lease, now, None)
    if kit.hooks.attempt:
        kit.hooks.attempt(call=call, attempt=trail.attempts[-1])
    if isinstance(answer, Answer):
        stamp(answer, route, trail, now, reply.headers)
        bill = route.pricer.bill(answer)
        keep_raw(answer, reply)
        if dropped or (isinstance(call, ChatCall) and (call.options is not NO_OPTIONS or call.plan is not None)):
            finished(call, answer, dropped)
        kit.ledger.answered(route.name, lease.key.label, call.task, call.tags, answer.usage, seconds, bill)
    return answer


def finished(call: Call[Any], answer: Any, dropped: tuple[str, ...]) -> None:
    """Write on a completion what was left out, and its JSON where a shape was asked for."""
    if isinstance(call, ChatCall):
        if call.plan is not None:
            dropped = (*call.plan.dropped, *dropped)
            object.__setattr__(answer, "fallback", call.plan.said)
        if call.options.response_format is not None:
            object.__setattr__(answer, "parsed", parse_answer(answer.text))
    if dropped:
        object.__setattr__(answer, "dropped", dropped)


def tell_error(kit: Kit, call: Call[Any], error: LLMError) -> None:
    """Tell the hooks that a call failed for good; one that may fall back has not failed yet, unless its stream broke."""
    if kit.hooks.error and (getattr(call, "plan", None) is None or isinstance(error, StreamInterrupted)):
        kit.hooks.error(call=call, error=error)
