"""Calls under a budget: an estimate is held before a try, and settled after it."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from llmkit.errors import LLMError
from llmkit.flow.kit import Kit
from llmkit.flow.retrying import Trail
from llmkit.policy.allowance import prompt_tokens, texts_tokens
from llmkit.policy.budgets import Budgets, Hold, Where
from llmkit.policy.routes import Lease
from llmkit.values.calls import Call, ChatCall
from llmkit.values.fallbacks import FallbackPlan
from llmkit.values.other_calls import EmbedCall
from llmkit.values.usage import Usage

Try = Callable[[Kit, Trail, Lease], Awaitable[Any]]


def budgeted(kit: Kit, budgets: Budgets, call: Call[Any], attempt: Try) -> tuple[Call[Any], Try]:
    """The call, turned to a smaller model where a budget says so, and its ``attempt`` under the client's budgets."""
    if not isinstance(call, (ChatCall, EmbedCall)):
        return call, attempt
    model = budgets.smaller_model(Where(call.task, call.tags), kit.runtime.time())
    if model is not None and isinstance(call, ChatCall):
        plan = attrs.evolve(call.plan or FallbackPlan(), said=f"budget: model {model}")
        call = attrs.evolve(call, model=model, instance=None, fallbacks=(), plan=plan)

    async def within(kit: Kit, trail: Trail, lease: Lease) -> Any:
        hold = _reserve(kit, budgets, trail.call, lease)
        try:
            answer = await attempt(kit, trail, lease)
        except LLMError as error:
            if error.ambiguous:
                budgets.settle(hold, None, None)  # it may have been billed, so the estimate stands
            else:
                budgets.release(hold)
            raise
        except BaseException:  # cancelled or interrupted: what was used nobody knows, so the estimate stands
            budgets.settle(hold, None, None)
            raise
        if isinstance(call, ChatCall) and call.stream:
            answer.hold = hold
        else:
            settled(kit, budgets, hold, answer.usage, lease.route.pricer.units(answer) if budgets.money else None, whole=True)
        return answer

    return call, within


def settled(kit: Kit, budgets: Budgets, hold: Hold, usage: Usage | None, cost: int | None, *, whole: bool) -> None:
    """Book what a call has used; where the vendor told nothing that can be believed, the estimate stands.

    :param cost: what the books say that it cost, in 10^-12 US dollars.
    """
    counts = None if usage is None else kit.ledger.counts(usage)
    if counts is None:
        budgets.settle(hold, None, cost)
        return
    prompt, completion = counts[:2]
    budgets.settle(hold, max(counts[2], prompt + completion), cost, completion if whole else None)


def _reserve(kit: Kit, budgets: Budgets, call: Call[Any], lease: Lease) -> Hold:
    """Hold what a try may use.

    :raises BudgetExceededError: if a hard budget has no room for it.
    """
    instance, name = lease.route.instance, lease.route.name
    usage = estimate(kit, call, lease, budgets.guess(name))
    cost = kit.ledger.cost(instance.provider, instance.model, usage) if budgets.money else None
    where = Where(call.task, call.tags, name, lease.key.label, f"{instance.provider}/{instance.model}")
    hold = budgets.reserve(where, usage.total_tokens, cost, kit.runtime.time())
    for note in hold.blind:
        kit.ledger.note(note)
    try:
        for note in hold.notes:
            warnings.warn(note, RuntimeWarning, stacklevel=2)
    except RuntimeWarning:  # where warnings are errors, nothing stays held
        budgets.release(hold)
        raise
    return hold


def estimate(kit: Kit, call: Call[Any], lease: Lease, expected: int) -> Usage:
    """What a call may use: its prompt by its length, and ``max_tokens``, or ``expected`` tokens where it has none."""
    if isinstance(call, EmbedCall):
        prompt = texts_tokens(call.texts)
        return Usage(prompt, 0, prompt, estimated=True)
    assert isinstance(call, ChatCall)
    options = kit.router.options(call, lease.route, call.options)
    prompt = prompt_tokens(call.messages, options.tools or ())
    completion = expected if options.max_tokens is None else options.max_tokens
    return Usage(prompt, completion, prompt + completion, estimated=True)
