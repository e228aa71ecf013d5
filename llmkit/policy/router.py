"""Which instance and which key a call gets, at once or after how long a wait.

The router holds every instance's state behind one lock, which is held for the length of a computation only. A call that nothing
can serve now is *parked*: it stands in line with the calls of its kind. Whoever makes room serves the lines, and hands the lease
over; the first of each line also watches the clock for the end of the soonest rest.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from llmkit.errors import LLMError, PermissionDeniedError
from llmkit.policy.allowance import LOOK_AGAIN, learn
from llmkit.policy.breaker import CLOSED, Breaker
from llmkit.policy.reasons import why_not
from llmkit.policy.retry_budget import RetryBudget
from llmkit.policy.routes import Lease, Parked, Route, Tried, fresh
from llmkit.policy.strategies import AnyStrategy
from llmkit.policy.turns import Turns
from llmkit.values.calls import Call
from llmkit.values.usage import Usage

if TYPE_CHECKING:
    from llmkit.runtime import Waiter

T = TypeVar("T")


class Router(Turns):
    """Every instance of a client, and whose turn it is."""

    # ------------------------------------------------------------------------------------------- instances

    @property
    def strategy(self) -> AnyStrategy:
        """How to choose among instances."""
        return self._strategy

    @strategy.setter
    def strategy(self, strategy: AnyStrategy) -> None:
        with self._lock:
            self._strategy = strategy
            self._changed()

    def read(self, look: Callable[[Router], T]) -> T:
        """What ``look`` makes of all that the router knows, which nobody changes meanwhile."""
        with self._lock:
            return look(self)

    def held(self) -> Collection[Route]:
        """All instances, for :meth:`read` and :meth:`change`."""
        return self._routes.values()

    def gave(self, count: int) -> None:
        """So many calls have been given out, in another life, for :meth:`change`."""
        self._given = max(self._given, count)

    def furnish(self, route: Route) -> None:
        """Give an instance the breaker and the budget that it would get with its first fault, for :meth:`change`."""
        if route.breaker is CLOSED and self._breaker is not None:
            route.breaker = Breaker(self._breaker)
        if route.budget is None and self._retry_budget is not None:
            route.budget = RetryBudget(self._retry_budget)

    def change(self, read: Callable[[Router], Iterable[Callable[[], object]]], now: float, strategy: AnyStrategy | None) -> None:
        """Do what ``read`` gives, all of it or, where that raises, none; then whose turn it is is worked out anew.

        :param strategy: how to choose from now on; None to leave that as it is.
        """
        with self._lock:
            for work in read(self):
                work()
            for route in self._routes.values():
                route.refresh(now)
            self._strategy = strategy or self._strategy
            self._changed()

    def reset_locks(self) -> None:
        """Start afresh in a forked child: no lock is held, no call is in flight, nobody waits."""
        self._lock = threading.Lock()
        self._epoch = object()
        self.lines.forget()
        for route in self._routes.values():
            route.in_flight = 0
            for key in route.keys.keys:
                key.in_flight = 0
            route.breaker.undecided(0.0)
            route.refresh(0.0)
        self._changed()

    # ------------------------------------------------------------------------------------------- whose turn it is

    def admit(self, call: Call[Any], tried: Tried, now: float, waiter: Callable[[], Waiter]) -> Lease | Parked:
        """A lease for ``call``, or a place in line.

        What has not been tried comes first; what has been tried serves again when nothing else can. The models of ``fallbacks``
        come after the call's own.

        :raises ConfigError: if no instance could ever serve the call.
        :raises QueueFullError: if ``max_pending`` calls wait already.
        """
        with self._lock:
            plan = self._plans.get((call.instance, call.model, call.task, call.fallbacks)) or self._plan(call)
            if self.lines.open:
                self.lines.serve(now)
            tokens = self.estimator.tokens(call) if self._weighed else 0
            held_until = self.lines.held_until(call, now) if self.limiter is not None else 0.0
            if held_until:
                plan.held_until = held_until
            elif not plan.line:
                lease = self._lease(plan, call, tried, now, tokens)
                if lease is None and self.lines.goes_first((-call.priority, math.inf)) and self._make_way(plan, now, tokens):
                    lease = self._lease(plan, call, tried, now, tokens)
                if lease is not None:
                    return lease
            return self.lines.park(Parked(call, tried.again(), tokens, waiter(), plan), now)

    def elsewhere(self, call: Call[Any], tried: Tried, now: float) -> bool | None:
        """Whether something that the call has not tried could serve it right now: True for another instance, False for another
        key of one that it has tried, None for neither."""
        with self._lock:
            plan = self._plan_for(call)
            if self._could(plan, fresh(tried, True, now), now):
                return True
            return False if self._could(plan, fresh(tried, False, now), now) else None

    def back_in(self, call: Call[Any], tried: Tried, now: float) -> float | None:
        """Seconds until the first instance that has not failed for the call may be used again, of those that only rest or have no
        room, and are as wanted as one that has failed; None where there is none."""
        with self._lock:
            times = [
                route.room_at(now, 0) - now
                for group in self._plan_for(call).groups
                if not tried.routes.isdisjoint(group.routes)
                for route in group.routes
                if route not in tried.routes and route.lives(tried) and route.well
            ]
        soonest = min(times, default=math.inf)
        return None if soonest == math.inf else max(0.0, soonest)

    def alive(self, call: Call[Any], tried: Tried) -> bool:
        """Whether anything is left that may serve the call, now or later."""
        with self._lock:
            return any(route.lives(tried) for group in self._plan_for(call).groups for route in group.routes)

    def afford_retry(self, route: Route, now: float) -> bool:
        """Take a retry from an instance's budget; False where none is left."""
        with self._lock:
            if self._retry_budget is None:
                return True
            if route.budget is None:
                route.budget = RetryBudget(self._retry_budget)
            return route.budget.spend(route.uses, now)

    def release(
        self,
        lease: Lease,
        now: float,
        error: LLMError | None = None,
        answered: bool = False,
        streamed: bool = False,
        usage: Usage | None = None,
    ) -> None:
        """Take a lease back, and hand on to whoever waits. Calling it again does nothing.

        :param error: what went wrong; may let the key rest, or the instance.
        :param answered: True where an answer came, so that its time counts.
        :param streamed: whether it was a stream, whose time counts from :meth:`began` on.
        :param usage: the tokens that it used, where the vendor said.
        """
        with self._lock:
            if lease.released or lease.epoch is not self._epoch:
                return
            lease.released = True
            route, key = lease.route, lease.key
            route.in_flight -= 1
            key.in_flight -= 1
            if lease.windows:
                if usage is not None:
                    self.estimator.saw(usage.completion_tokens)
                    lease.settle(usage.total_tokens, now)
                elif error is not None:
                    lease.failed(error, now)
            if answered:
                if key.strikes or key.ramp is not None:
                    route.keys.worked(key, lease.started)
                if route.breaker.alert:
                    route.breaker.worked(now)
                if not streamed:
                    route.answered(now - lease.started, now)
            elif error is not None:
                self._struck(route, key, lease, error, now)
            elif route.breaker.open:
                route.breaker.undecided(now)
            if route.falling:
                for seat in route.falling:
                    seat.index.fell(seat)
            if error is not None or route.blocked_until > now or route.aside:
                self._came_free(route, now)
            if self.lines.open:
                self.lines.serve(now)
                if error is not None:
                    self.lines.wake_first()

    def began(self, lease: Lease, now: float) -> None:
        """A stream has brought its first content: the time that took counts from now on, and so does that the instance works;
        nobody need wait for the stream's end."""
        with self._lock:
            if lease.released or lease.epoch is not self._epoch:
                return
            route = lease.route
            route.began(now - lease.started, now)
            for seat in route.falling:
                seat.index.fell(seat)
            if route.breaker.open:
                route.breaker.worked(now)
                self._came_free(route, now)
                if self.lines.open:
                    self.lines.serve(now)

    def lease_for_probe(self, route: Route, now: float) -> Lease | str:
        """A lease on one instance, whether calls may go there or not; or why it is not to be probed now."""
        with self._lock:
            if not route.enabled or self._routes.get(route.name) is not route:
                return "it is disabled"
            if route.breaker.trying and route.breaker.until > now:
                return "a call is trying it"
            if route.full:
                return "it has as many calls in flight as it may"
            if max(route.room_at(now, 0), now if self.limiter is None else self.limiter.ready_at(now, 0)) > now:
                return "its keys rest, or have no room"
            key = route.keys.spare(now)
            lease = Lease(route, key, now, self._epoch)
            if windows := key.windows if self.limiter is None else key.windows + self.limiter.windows:
                lease.book(windows, 0)
            route.in_flight += 1
            key.in_flight += 1
            if route.breaker.open:
                route.breaker.given(now)
            route.refresh(now)
            return lease

    def probed(
        self, lease: Lease, now: float, error: LLMError | None, works: bool, unwell: bool | None, probe_at: float | None
    ) -> None:
        """Take a probe's lease back.

        :param works: whether the instance answered at all.
        :param unwell: whether calls are to be kept away from it from now on; None to leave that as it is.
        :param probe_at: when it is probed next, where that is known.
        """
        with self._lock:
            if lease.epoch is self._epoch:
                route = lease.route
                route.probe_at = probe_at
                if unwell is not None:
                    route.unwell = error if unwell else None
                if works and route.breaker.alert:
                    route.breaker.worked(now)
        # a key that may not list models may still chat
        self.release(lease, now, None if isinstance(error, PermissionDeniedError) else error)

    def learn(self, lease: Lease, headers: Mapping[str, str], now: float) -> None:
        """Heed what an answer's headers say of the vendor's limits. Those of a key that is far from its limits are read once a
        second at most."""
        observed = None
        if any("limit" in name for name in headers):
            from llmkit.wire.rate_limits import rate_limits

            observed = rate_limits(headers)
        with self._lock:
            if observed is None:
                lease.key.look_at = now + 60 * LOOK_AGAIN
                return
            learn(lease, observed, now)
            self._weighed = self._weighed or lease.route.metered

    def look(self, parked: Parked, now: float, waiter: Callable[[], Waiter]) -> Lease | None:
        """A parked call was woken, or its time has come: its lease, if its turn has come as well; else it waits on, with a new
        waiter.

        :raises ConfigError: if instances have gone, and none is left that could serve the call.
        """
        with self._lock:
            if parked.lease is None and not parked.plan.current:
                self.lines.move(parked, self._plan_for(parked.call))
            return self.lines.look(parked, now, waiter)

    def leave(self, parked: Parked, now: float) -> None:
        """A parked call stops waiting; a lease that it was handed meanwhile goes to the next."""
        with self._lock:
            self.lines.leave(parked)
            lease = parked.lease
            if self._weighed and parked.first:
                self._unhold(parked.plan, now)
        if lease is not None:
            self.release(lease, now)

    def why(self, parked: Parked, now: float) -> LLMError:
        """The error for a parked call that is not to wait any longer."""
        with self._lock:
            routes = [route for group in parked.plan.groups for route in group.routes if route.lives(parked.tried)]
            return why_not(routes, now, parked.until)
