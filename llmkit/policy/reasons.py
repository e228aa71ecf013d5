"""Why nothing can serve a call now, as one error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit.errors import (
    AuthenticationError,
    LLMError,
    NoInstanceAvailable,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
)

if TYPE_CHECKING:
    from llmkit.policy.routes import Route


KINDS: tuple[tuple[tuple[type[LLMError], ...], str], ...] = (
    ((PermissionDeniedError,), "every key lacks the permission"),
    ((AuthenticationError, PermissionDeniedError), "every key was refused"),
    ((QuotaExceededError,), "every key is out of quota"),
    ((RateLimitError,), "every key is rate limited"),
)


def why_not(routes: list[Route], now: float, until: float | None) -> LLMError:
    """The error for a call that nothing can serve now, from the reasons for which keys and instances rest.

    :param until: when the soonest rest ends.
    """
    seconds = None if until is None else max(0.0, until - now)
    keys = [key for route in routes for key in route.keys.keys if key.resting is not None and key.rest_until > now]
    unwell = [route for route in routes if route.unwell is not None]
    broken = [route for route in routes if route.breaker.until > now and route.unwell is None]
    labels = _listed([key.label for key in keys])
    reasons = [key.resting for key in keys if key.resting is not None]
    for classes, said in KINDS:
        if reasons and not broken and not unwell and all(isinstance(reason, classes) for reason in reasons):
            first = next(reason for reason in reasons if isinstance(reason, classes[0]))
            return classes[0](
                f"{said}: {labels} ({first.message})",
                provider=first.provider,
                status=first.status,
                vendor_code=first.vendor_code,
                retry_after=seconds,
            )
    whose = _listed([route.name for route in routes if route.metered]) or "the client"
    said = f"resting keys: {labels}" if keys else f"the limits of {whose} on requests or tokens leave no room"
    if broken:
        last = next((route.breaker.reason.message for route in broken if route.breaker.reason is not None), "")
        said = f"{_listed([route.name for route in broken])} failed again and again ({last})" + (f"; {said}" if keys else "")
    if unwell:
        found = next(route.unwell.message for route in unwell if route.unwell is not None)
        names = _listed([route.name for route in unwell])
        said = f"the health checks of {names} failed ({found})" + (f"; {said}" if keys or broken else "")
        probes = [max(0.0, route.probe_at - now) for route in unwell if route.probe_at is not None]
        seconds = min(probes) if seconds is None and probes else seconds
    return NoInstanceAvailable(f"nothing can serve the call now; {said}", retry_after=seconds)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
