"""A whole answer. One text for chat, embeddings, model lists and whatever else is asked: ``Call[R]`` names the answer's type."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from llmkit.errors import LLMError
from llmkit.flow.attempt import decoded, prepared, stamp
from llmkit.flow.failover import failover
from llmkit.flow.kit import Kit
from llmkit.flow.retrying import Trail
from llmkit.policy.routes import Lease
from llmkit.values.calls import Call, ChatCall
from llmkit.values.completion import Completion, Embeddings
from llmkit.values.hedging import Hedge
from llmkit.values.options import NO_OPTIONS
from llmkit.wire.json import parse_answer

R = TypeVar("R")

CONNECT, ATTEMPT = 5.0, 600.0
"""Seconds, where a call's timeouts say nothing: :data:`~llmkit.values.instances.DEFAULT_TIMEOUTS`."""


async def ask(kit: Kit, call: Call[R], trail: Trail | None = None) -> R:
    """Answer one call.

    :param trail: where to write down its tries, for whoever wants to see them however it ends.
    :raises LLMError: every failure is one; see :mod:`llmkit.errors`.
    """
    if kit.watched:
        watch(kit)
    trail = trail or Trail(call, kit.runtime.now())
    try:
        answer: R = await failover(kit, trail, _attempt if call.hedge is None else _hedged(call.hedge))
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


def _hedged(hedge: Hedge) -> Callable[[Kit, Trail, Lease], Awaitable[Any]]:
    from llmkit.flow.hedge import hedging  # few calls are hedged

    return hedging(hedge, _attempt)


async def _attempt(kit: Kit, trail: Trail, lease: Lease) -> Any:
    route, runtime = lease.route, kit.runtime
    call, request, dropped = prepared(kit, trail.call, lease)
    timeouts = call.timeouts
    until = lease.started + (route.instance.timeout or timeouts.attempt or ATTEMPT)
    reply = await runtime.send(request, timeouts.connect or CONNECT, min(until, call.deadline.at))
    answer = decoded(call, reply, route)
    now = runtime.now()
    kit.router.release(lease, now, answered=True, usage=getattr(answer, "usage", None))
    if now >= lease.key.look_at:
        kit.router.learn(lease, reply.headers, now)
    attempt = trail.book(lease, now, None)
    if kit.hooks.attempt:
        kit.hooks.attempt(call=call, attempt=attempt)
    if isinstance(answer, (Completion, Embeddings)):
        stamp(answer, route, trail, now, reply.headers)
        if dropped or (isinstance(call, ChatCall) and call.options is not NO_OPTIONS):
            finished(call, answer, dropped)
        kit.ledger.answered(route.name, answer.usage)
    return answer


def finished(call: Call[Any], answer: Any, dropped: tuple[str, ...]) -> None:
    """Write on a completion what was left out, and its JSON where a shape was asked for."""
    if dropped:
        object.__setattr__(answer, "dropped", dropped)
    if isinstance(call, ChatCall) and call.options.response_format is not None:
        object.__setattr__(answer, "parsed", parse_answer(answer.text))


def tell_error(kit: Kit, call: Call[Any], error: LLMError) -> None:
    """Tell the hooks that a call failed for good."""
    if kit.hooks.error:
        kit.hooks.error(call=call, error=error)
