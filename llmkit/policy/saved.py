"""A client's state as plain data for JSON. Times are seconds before or after the moment at which it was saved, which is in Unix
time, so that another process with another clock can go on from there: :mod:`llmkit.policy.restored`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from llmkit.policy.breaker import CLOSED
from llmkit.policy.strategies import Indexed

if TYPE_CHECKING:
    from llmkit.errors import LLMError
    from llmkit.policy.keys import Key
    from llmkit.policy.limits import Limiter
    from llmkit.policy.router import Router
    from llmkit.policy.routes import Route

VERSION = 1
"""Of the shape of the data."""


def saved(router: Router, now: float, wall: float) -> dict[str, Any]:
    """Everything that outlives a call. The router's lock is held.

    :param now: on the runtime's clock, the same moment as ``wall``, in Unix time.
    """
    strategy = router.strategy
    return {
        "version": VERSION,
        "time": wall,
        "strategy": strategy.name if isinstance(strategy, Indexed) else None,
        "answer_tokens": router.estimator.answer,
        "limits": _limits(router.limiter, now),
        "instances": {route.name: _route(route, now) for route in router.held()},
    }


def _route(route: Route, now: float) -> dict[str, Any]:
    return {
        "provider": route.provider.name,
        "model": route.instance.model,
        "enabled": route.enabled,
        "uses": route.uses,
        "last_given": route.last_given,
        "latency": route.latency,
        "latency_age": _age(route.latency_at, now),
        "first_event": route.first_event,
        "first_event_age": _age(route.first_event_at, now),
        "unwell": error_data(route.unwell),
        "breaker": None if route.breaker is CLOSED else {**route.breaker.saved(now), "reason": error_data(route.breaker.reason)},
        "retries": None if route.budget is None else route.budget.saved(route.uses, now),
        "limits": _limits(route.limiter, now),
        "next_key": route.keys.next,
        "keys": {key.label: _key(key, now) for key in route.keys.keys},
    }


def _key(key: Key, now: float) -> dict[str, Any]:
    return {
        "uses": key.uses,
        "rest": max(0.0, key.rest_until - now),
        "strikes": key.strikes,
        "struck_age": max(0.0, now - key.struck_at) if key.strikes else None,
        "reason": error_data(key.resting),
        "ramp": None if key.ramp is None else key.ramp.saved(now),
        "limits": _limits(key.limiter, now),
    }


def _age(at: float, now: float) -> float | None:
    return None if at == -math.inf else max(0.0, now - at)


def _limits(limiter: Limiter | None, now: float) -> dict[str, list[list[float]]] | None:
    if limiter is None:
        return None
    return {name: [[left, amount] for left, amount in booked] for name, booked in limiter.saved(now).items()}


def error_data(error: LLMError | None) -> dict[str, Any] | None:
    """What an error says, without what it holds beside; None for none."""
    if error is None:
        return None
    names = ("message", "provider", "status", "vendor_code")
    return {"type": type(error).__name__, **{name: getattr(error, name) for name in names}}
