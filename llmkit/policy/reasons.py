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


def why_not(resting: list[Route], now: float, until: float | None) -> LLMError:
    """The error for a call that nothing can serve, from the reasons for which the keys rest."""
    keys = [key for route in resting for key in route.keys.keys if key.resting is not None]
    labels = ", ".join(key.label for key in keys[:10]) + (", …" if len(keys) > 10 else "")
    seconds = None if until is None else max(0.0, until - now)
    reasons = [key.resting for key in keys if key.resting is not None]
    kinds: tuple[tuple[tuple[type[LLMError], ...], str], ...] = (
        ((PermissionDeniedError,), "every key lacks the permission"),
        ((AuthenticationError, PermissionDeniedError), "every key was refused"),
        ((QuotaExceededError,), "every key is out of quota"),
        ((RateLimitError,), "every key is rate limited"),
    )
    for classes, said in kinds:
        if reasons and all(isinstance(reason, classes) for reason in reasons):
            first = next(reason for reason in reasons if isinstance(reason, classes[0]))
            return classes[0](
                f"{said}: {labels} ({first.message})",
                provider=first.provider,
                status=first.status,
                vendor_code=first.vendor_code,
                retry_after=seconds,
            )
    return NoInstanceAvailable(f"nothing can serve the call now; resting keys: {labels or 'none'}", retry_after=seconds)
