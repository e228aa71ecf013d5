"""When to try again and after how long: tenacity's policies, with llmkit's defaults.

A policy is a ``tenacity.Retrying`` object of which only ``stop``, ``wait`` and ``retry`` are read, so one object serves every call,
thread and event loop. tenacity is imported when the first call fails, not before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from llmkit.errors import ConfigError, LLMError, Recovery, shown

if TYPE_CHECKING:
    import tenacity

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_RETRIES = 3


class Backoff:
    """Full jitter: a random time between 0 and ``min(initial * base ** n, longest)`` seconds after the n-th failure, n from 0
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). Waits at least as long as the error's
    ``retry_after`` asks. A tenacity ``wait``."""

    def __init__(self, random: Callable[[], float], initial: float = 0.5, longest: float = 8.0, base: float = 2.0) -> None:
        self.random = random
        self.initial = initial
        self.longest = longest
        self.base = base

    def __call__(self, state: tenacity.RetryCallState) -> float:
        """Seconds to wait."""
        step = min(state.attempt_number - 1, 64)
        pause = self.random() * min(self.initial * self.base**step, self.longest)
        error = state.outcome.exception() if state.outcome is not None else None
        return max(pause, getattr(error, "retry_after", None) or 0.0)


def is_transient(error: BaseException) -> bool:
    """Whether trying the same again may help: an :class:`~llmkit.errors.LLMError` that says so, a broken connection or a
    timeout."""
    if isinstance(error, LLMError):
        return error.recovery is Recovery.RETRY
    return isinstance(error, (ConnectionError, TimeoutError))


def retry_policy(retries: int | tenacity.BaseRetrying, backoff: Backoff) -> tenacity.BaseRetrying:
    """The tenacity policy for a number of retries, or the one given.

    :raises ConfigError: if it is neither.
    """
    import tenacity

    if isinstance(retries, tenacity.BaseRetrying):
        return retries
    return tenacity.Retrying(
        stop=tenacity.stop_after_attempt(retries + 1),
        wait=backoff,
        retry=tenacity.retry_if_exception(is_transient),
        reraise=True,
    )


def check_retries(retries: Any) -> Any:
    """``retries`` if it is a number of retries or a tenacity policy.

    :raises ConfigError: if it is neither.
    """
    if isinstance(retries, int) and not isinstance(retries, bool) and retries >= 0:
        return retries
    if all(callable(getattr(retries, name, None)) for name in ("stop", "wait", "retry")):
        return retries
    raise ConfigError(f"retries: expected a whole number of at least 0 or a tenacity.Retrying object, got {shown(retries)}")


def _count(retries: Any) -> int:
    if callable(retries) and not hasattr(retries, "stop"):
        raise ConfigError("retry: write @llmkit.retry() with parentheses")
    if not isinstance(check_retries(retries), int):
        raise ConfigError("retry: expected a whole number of retries; a tenacity policy is a decorator itself")
    return int(retries)


def retry(
    max_retries: int = DEFAULT_RETRIES,
    *,
    on: type[BaseException] | tuple[type[BaseException], ...] | None = None,
    initial_delay: float = 0.5,
    max_delay: float = 8.0,
    exponential_base: float = 2.0,
) -> Callable[[F], F]:
    """Give a function of your own the retries that calls have; a sync one and an async one alike.

    .. code-block:: python

        @llmkit.retry(max_retries=3)
        async def fetch(): ...

    :param max_retries: how often to try again after the first failure.
    :param on: exceptions to retry; by default LLM errors that may pass, ``ConnectionError`` and ``TimeoutError``.
    :param initial_delay: the longest first pause, in seconds; each is a random part of it, and it grows by ``exponential_base``
        up to ``max_delay``. An error's ``retry_after`` is waited for in full.
    :raises: the last exception, as it was.
    """
    import random

    import tenacity

    return tenacity.retry(  # type: ignore[return-value]
        stop=tenacity.stop_after_attempt(_count(max_retries) + 1),
        wait=Backoff(random.random, initial_delay, max_delay, exponential_base),
        retry=tenacity.retry_if_exception(is_transient) if on is None else tenacity.retry_if_exception_type(on),
        reraise=True,
    )
