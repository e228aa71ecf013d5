"""A call's time in line: until it is its turn, or until waiting is no use."""

from __future__ import annotations

from llmkit.errors import LLMError, NoInstanceAvailable
from llmkit.flow.kit import Kit
from llmkit.flow.retrying import Trail
from llmkit.policy.breaker import is_fault
from llmkit.policy.routes import Lease, Parked


async def turn(kit: Kit, trail: Trail, place: Lease | Parked) -> Lease:
    """Wait for a parked call's turn.

    :raises LLMError: where nothing can serve the call soon enough: why the keys rest, or
        :class:`~llmkit.errors.NoInstanceAvailable`.
    """
    if isinstance(place, Lease):
        return place
    runtime, router = kit.runtime, kit.router
    began = runtime.now()
    try:
        while True:
            now = runtime.now()
            if trail.call.deadline.over(now):
                raise trail.over(trail.call.deadline.passed())
            left = trail.call.deadline.left(now)
            if _is_vain(kit, place, left, now):
                raise _unavailable(kit, trail, router.why(place, now))
            watched = left if place.until is None or not place.first else max(place.until - now, 0.0)
            await runtime.wait(place.waiter, min(watched, left))
            lease = router.look(place, runtime.now(), runtime.waiter)
            if lease is not None:
                trail.queued += lease.started - began
                return lease
    except BaseException:  # a cancel too: the place in line goes to the next
        router.leave(place, runtime.now())
        raise


def _is_vain(kit: Kit, place: Parked, left: float, now: float) -> bool:
    """Whether a parked call is not to wait any longer."""
    if place.patient:
        return False
    if kit.unavailable == "fail":
        return True
    if place.trial:
        return False
    wait = 0.0 if place.until is None else place.until - now
    return wait > kit.max_wait or wait >= left


def _unavailable(kit: Kit, trail: Trail, error: LLMError) -> LLMError:
    """The error for a call that nothing can serve soon enough; a call that failed once for the same reason says it in the
    vendor's words."""
    failures = trail.failures
    if failures and isinstance(error, NoInstanceAvailable) and is_fault(failures[-1]):
        failures[-1].retry_after = error.retry_after
        return trail.over(failures[-1])
    if len(failures) == 1 and type(failures[0]) is type(error):
        failures[0].retry_after = error.retry_after
        error = failures[0]
    if isinstance(error, NoInstanceAvailable) and error.retry_after is not None:
        error.retry_at = kit.runtime.time() + error.retry_after
    error.attempts = trail.attempts
    return error
