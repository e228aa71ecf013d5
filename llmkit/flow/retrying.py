"""What a failure means for the next try: one call's memory of its tries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from llmkit.errors import AllInstancesFailed, ErrorCode, LLMError, RateLimitError, Recovery, RequestTimeout
from llmkit.flow.kit import Kit
from llmkit.policy.breaker import is_fault
from llmkit.policy.routes import NOTHING_TRIED, Lease, Tried
from llmkit.values.calls import Call
from llmkit.values.completion import Attempt

if TYPE_CHECKING:
    import tenacity

EARLY = 0.001
"""Seconds by which timers may fire too soon."""


class Trail:
    """One call's tries so far."""

    tried = NOTHING_TRIED
    queued = 0.0
    """Seconds spent waiting for room, for a key, and between tries."""
    owed = 0.0
    """The policy's pause after the last failure, not taken while something else could be tried at once."""
    state: tenacity.RetryCallState | None = None

    def __init__(self, call: Call[Any], started: float) -> None:
        self.call = call
        self.started = started
        self.tries: list[tuple[str, str, float, float, LLMError | None]] = []
        """The fields of each :class:`~llmkit.values.completion.Attempt`, which is made when somebody asks for it."""

    @property
    def failures(self) -> list[LLMError]:
        """What went wrong so far."""
        return [fields[-1] for fields in self.tries if fields[-1] is not None]

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The tries, as the user sees them."""
        return tuple([Attempt(*fields) for fields in self.tries])

    @attempts.setter
    def attempts(self, attempts: Iterable[Attempt]) -> None:
        self.tries = [(each.instance, each.key, each.started, each.seconds, each.error) for each in attempts]

    def book(self, lease: Lease, now: float, error: LLMError | None) -> float:
        """Write one try down; how long it took, in seconds."""
        began = lease.started
        self.tries.append((lease.route.name, lease.key.label, began - self.started, now - began, error))
        return now - began

    def failed(self, kit: Kit, lease: Lease, error: LLMError, now: float) -> float:
        """Decide what follows a failed try: seconds to pause before the next one.

        A refused key or an unknown model moves the call on without counting as a retry: what was refused rests, so such moves end
        by themselves. Everything else is counted against the policy, and a fault that is tried again on the same instance against
        that instance's retry budget.

        :raises LLMError: if there is to be no further try.
        """
        if error.recovery is Recovery.NEVER or self.call.deadline.over(now):
            raise self.over(error)
        self._exclude(lease, error)
        if error.code is ErrorCode.BUDGET_EXCEEDED and error.recovery is Recovery.OTHER_KEY:
            if kit.router.elsewhere(self.call, self.tried, now) is not None:
                return 0.0
            raise self.over(error)  # nothing was sent, and waiting does not help
        rests = lease.key.rest_until > now
        counted = error.recovery is Recovery.RETRY or (error.recovery is Recovery.OTHER_KEY and not rests)
        if counted:
            pause = self._counted(kit, error, now)
            if not rests:  # else its rest is the pause; what is owed to another that failed before still is
                self.owed = pause
        elsewhere = self._elsewhere(kit, now)
        if elsewhere:
            return 0.0
        if (wait := self._until_another(kit, now)) is not None:
            return wait
        if counted and is_fault(error) and not kit.router.afford_retry(lease.route, now):
            raise self.over(error)
        if elsewhere is False:
            return 0.0
        if error.recovery is Recovery.OTHER_INSTANCE and not kit.router.alive(self.call, self.tried):
            raise self.over(error)
        self.tried = self.tried.again()
        pause, self.owed = self.owed, 0.0
        if rests and pause and kit.router.elsewhere(self.call, self.tried, now) is None:
            return 0.0  # the wait for it to recover is the pause
        if not self.call.deadline.affords(pause, now):
            raise self.over(error)
        return pause

    def _exclude(self, lease: Lease, error: LLMError) -> None:
        """What is not to be tried again before all else has been: the key, and the instance where the fault is its own."""
        if self.tried is NOTHING_TRIED:
            self.tried = Tried()
        self.tried.keys.add(lease.key)
        if error.recovery is Recovery.OTHER_INSTANCE:
            self.tried.dead.add(lease.route)
        if error.recovery is not Recovery.OTHER_KEY and not isinstance(error, RateLimitError):
            self.tried.routes.add(lease.route)

    def _elsewhere(self, kit: Kit, now: float) -> bool | None:
        try:
            return kit.router.elsewhere(self.call, self.tried, now)
        except LLMError as gone:  # every instance was taken out or switched off meanwhile
            gone.attempts = self.attempts
            raise

    def _until_another(self, kit: Kit, now: float) -> float | None:
        """Seconds to wait for an instance that has not failed and only rests; None where there is none, or not in time. What has
        failed is left alone as long as there is one."""
        if not self.tried.routes or kit.unavailable == "fail":
            return None
        wait = kit.router.back_in(self.call, self.tried, now)
        if wait is None or wait > kit.max_wait or not self.call.deadline.affords(wait, now):
            return None
        self.tried = Tried(routes=self.tried.routes, dead=self.tried.dead)
        pause, self.owed = max(wait + EARLY, self.owed), 0.0
        return pause

    def _counted(self, kit: Kit, error: LLMError, now: float) -> float:
        """The policy's pause before a retry.

        :raises LLMError: if the policy says that it was enough.
        """
        try:
            import tenacity  # the first failure pays for it, not the first call
        except OSError:  # no file descriptor is left to read it with, which may be why the call failed
            loaded = False
        else:
            loaded = True
        if not loaded:
            raise self.over(error)
        policy = kit.policy(self.call.retries)
        if self.state is None:
            self.state = tenacity.RetryCallState(policy, None, (), {})
            self.state.start_time = self.started  # tenacity's clock is the runtime's
        else:
            self.state.prepare_for_next_attempt()
        state = self.state
        state.set_exception((type(error), error, None))
        state.outcome_timestamp = now
        if not policy.retry(state):
            raise self.over(error)
        state.upcoming_sleep = policy.wait(state)
        if policy.stop(state):
            raise self.over(error)
        return state.upcoming_sleep

    def over(self, error: LLMError) -> LLMError:
        """The error that ends the call: its own last one, or all of them where several instances failed."""
        attempts, failures = self.attempts, self.failures
        instances = dict.fromkeys(failure.instance for failure in failures)
        late = isinstance(error, RequestTimeout) and error.phase == "deadline"
        if len(instances) > 1 and error.recovery is not Recovery.NEVER and not late:
            said = "; ".join(f"{name}: {self._last_of(name).message}" for name in instances)
            error = AllInstancesFailed(f"{len(instances)} instances failed: {said}", failures=tuple(failures))
        error.attempts = attempts
        return error

    def _last_of(self, instance: str | None) -> LLMError:
        return next(failure for failure in reversed(self.failures) if failure.instance == instance)
