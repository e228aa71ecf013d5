"""What an instance's state means, as data: the one cause that keeps calls away from it, and all the facts behind."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from llmkit.errors import AuthenticationError, LLMError, PermissionDeniedError, QuotaExceededError
from llmkit.policy.breaker import CLOSED
from llmkit.policy.keys import Key
from llmkit.policy.limits import Limiter
from llmkit.policy.routes import Route
from llmkit.values.health import BreakerState, ClientHealth, InstanceHealth, KeyState, LimiterState, Probe, Status

OUT = (AuthenticationError, PermissionDeniedError, QuotaExceededError)
"""Reasons for which a key is out, not merely cooling."""
Cause = tuple[Status, "float | None", "str | None"]
"""Status, seconds left, reason."""


def health_of(
    routes: Iterable[tuple[Route, Probe | None]], limiter: Limiter | None, waiting: int, now: float, wall: float
) -> ClientHealth:
    """The state of a client's instances, each with its last probe.

    :param now: on the runtime's clock, the same moment as ``wall``, in Unix time.
    """
    instances = tuple([_instance(route, probe, now, wall) for route, probe in routes])
    return ClientHealth(instances, waiting, _limits(limiter, now))


def _instance(route: Route, probe: Probe | None, now: float, wall: float) -> InstanceHealth:
    keys = tuple([_key(key, now) for key in route.keys.keys])
    status, seconds, reason = _cause(route, now)
    return InstanceHealth(
        route.name,
        route.enabled,
        route.in_flight,
        route.latency,
        keys,
        status,
        seconds,
        reason,
        _breaker(route, now, wall),
        _limits(route.limiter, now),
        probe,
    )


def _cause(route: Route, now: float) -> Cause:
    """What keeps calls away, the most lasting cause first."""
    if not route.enabled:
        return "disabled", None, None
    if route.unwell is not None:
        left = None if route.probe_at is None else max(0.0, route.probe_at - now)
        return "unhealthy", left, route.unwell.message
    breaker = route.breaker
    if breaker.open:
        left = None if breaker.trying else max(0.0, breaker.until - now)
        return "broken", left, None if breaker.reason is None else breaker.reason.message
    keys = route.keys.keys
    if all(key.rest_until > now for key in keys):
        first = min(keys, key=lambda key: key.rest_until)
        return _resting(first), first.rest_until - now, None if first.resting is None else first.resting.message
    return _room(route, now)


def _room(route: Route, now: float) -> Cause:
    """Whether limits leave room; that they do not is no fault."""
    if route.full:
        return "full", None, f"max_concurrency {route.instance.max_concurrency}"
    awake = [key for key in route.keys.keys if key.rest_until <= now]
    per_key = route.keys.limit
    if per_key is not None and all(key.in_flight >= per_key for key in awake):
        return "full", None, f"max_concurrency_per_key {per_key}"
    at = route.room_at(now, 1) if route.metered else now
    if at == math.inf:
        return "full", None, "the keys that are below their limits on requests and tokens are at those on calls in flight"
    if at > now:
        return "limited", at - now, "limits on requests or tokens leave no room"
    return "healthy", 0.0, None


def _resting(key: Key) -> Literal["out", "cooling"]:
    return "out" if isinstance(key.resting, OUT) else "cooling"


def _key(key: Key, now: float) -> KeyState:
    left = max(0.0, key.rest_until - now)
    reason: LLMError | None = key.resting if left else None
    status = "healthy" if reason is None else _resting(key)
    said = None if reason is None else reason.message
    return KeyState(key.label, status, left, said, key.in_flight, key.uses, _limits(key.limiter, now))


def _breaker(route: Route, now: float, wall: float) -> BreakerState | None:
    breaker = route.breaker
    if breaker is CLOSED:
        return None
    until = wall + breaker.until - now if breaker.open and not breaker.trying else None
    return BreakerState(breaker.open, breaker.row, until, None if breaker.reason is None else breaker.reason.message)


def _limits(limiter: Limiter | None, now: float) -> LimiterState | None:
    return None if limiter is None else limiter.state(now)
