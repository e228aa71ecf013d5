"""Which instance and which key a call gets, at once or after how long a wait.

The router holds every instance's state behind one lock, which is held for the length of a computation only. A call that nothing
can serve now is *parked*: it stands in line with the calls of its kind. Whoever makes room serves the lines, and hands the lease
over; the first of each line also watches the clock for the end of the soonest rest.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from llmkit.errors import LLMError, PermissionDeniedError, shown
from llmkit.policy.allowance import LOOK_AGAIN, Estimator, learn, settle
from llmkit.policy.breaker import CLOSED, Breaker, is_fault
from llmkit.policy.candidates import find
from llmkit.policy.indexes import Facts, Fit, Group
from llmkit.policy.instances import Choosing, Instances
from llmkit.policy.keys import Key
from llmkit.policy.lines import Lines
from llmkit.policy.reasons import why_not
from llmkit.policy.retry_budget import RetryBudget
from llmkit.policy.routes import NOTHING_TRIED, Lease, Parked, Plan, Route, Tried, fresh
from llmkit.policy.strategies import AnyStrategy, Strategy, index_of
from llmkit.values.calls import Call
from llmkit.values.instances import Task
from llmkit.values.usage import Usage
from llmkit.wire.redact import describe

if TYPE_CHECKING:
    from llmkit.policy.limits import Limiter
    from llmkit.runtime import Waiter
    from llmkit.values.breaker import BreakerSettings

T = TypeVar("T")

MOST_PLANS = 1000
"""Kinds of calls whose ways are remembered."""


class Router(Instances):
    """Every instance of a client, and whose turn it is.

    :param limiter: limits on requests and tokens over all instances.
    :param breaker: when instances that keep failing are left alone; None for never, True for the defaults.
    :param facts: what is known of a provider's model.
    :param retry_budget: see :class:`~llmkit.policy.retry_budget.RetryBudget`; None for no limit.
    """

    def __init__(
        self,
        strategy: AnyStrategy,
        tasks: Iterable[Task] = (),
        max_pending: int = 10_000,
        limiter: Limiter | None = None,
        breaker: BreakerSettings | Literal[True] | None = None,
        retry_budget: float | None = None,
        facts: Facts = lambda provider, model: None,
    ) -> None:
        super().__init__(tasks)
        self._strategy = strategy
        self._facts = facts
        self._breaker = breaker
        self._retry_budget = retry_budget
        self._epoch = object()
        self._told = False
        self._plans: dict[Any, Plan] = {}
        self._groups: dict[tuple[int, ...], Group] = {}
        self._given = 0
        self.limiter = limiter
        self.estimator = Estimator()
        self._weighed = limiter is not None
        self._short_of = 1
        """The most that an instance can be short of."""
        self.lines = Lines(max_pending, self._lease, self._make_way)

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
        first_event: float | None = None,
        usage: Usage | None = None,
    ) -> None:
        """Take a lease back, and hand on to whoever waits. Calling it again does nothing.

        :param error: what went wrong; may let the key rest, or the instance.
        :param answered: True where an answer came, so that its time counts.
        :param first_event: seconds from the start of the try to the first content of a stream.
        :param usage: the tokens that it used, where the vendor said.
        """
        with self._lock:
            if lease.released or lease.epoch is not self._epoch:
                return
            lease.released = True
            route, key = lease.route, lease.key
            route.in_flight -= 1
            key.in_flight -= 1
            if lease.taken:
                if usage is not None:
                    self.estimator.saw(usage.completion_tokens)
                settle(lease, error, None if usage is None else usage.total_tokens, now)
            if answered:
                if key.strikes:
                    route.keys.worked(key, lease.started)
                if route.breaker.alert:
                    route.breaker.worked(now)
                route.answered(now - lease.started, first_event, now)
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

    def lease_for_probe(self, route: Route, now: float) -> Lease | str:
        """A lease on one instance, whether calls may go there or not; or why it is not to be probed now."""
        with self._lock:
            if not route.enabled or self._routes.get(route.name) is not route:
                return "it is disabled"
            if route.breaker.open and route.breaker.until == math.inf:
                return "a call is trying it"
            if route.full:
                return "it has as many calls in flight as it may"
            if max(route.room_at(now, 0), now if self.limiter is None else self.limiter.ready_at(now, 0)) > now:
                return "its keys rest, or have no room"
            key = route.keys.spare(now)
            lease = Lease(route, key, now, self._epoch)
            if route.metered or self.limiter is not None:
                self._take(lease, 0)
            route.in_flight += 1
            key.in_flight += 1
            if route.breaker.open:
                route.breaker.given()
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

    # ------------------------------------------------------------------------------------------- under the lock

    def _changed(self) -> None:
        """Instances have come, gone or changed: every call finds its way anew."""
        if self._plans:
            for route in self._routes.values():
                route.aside.clear()
                route.falling.clear()
            for plan in self._plans.values():
                plan.current = False
            self._plans = {}
            self._groups = {}
        self.lines.wake_all()

    def _plan_for(self, call: Call[Any]) -> Plan:
        return self._plans.get((call.instance, call.model, call.task, call.fallbacks)) or self._plan(call)

    def _plan(self, call: Call[Any]) -> Plan:
        if len(self._plans) >= MOST_PLANS:
            self._changed()
        if call.instance is not None:
            self._named(call.instance)
        tiers = find(self._routes, self.tasks, call, self._facts)
        plan = Plan([self._group(routes) for routes in tiers])
        self._plans[(call.instance, call.model, call.task, call.fallbacks)] = plan
        return plan

    def _group(self, routes: list[Route]) -> Group:
        names = tuple([route.position for route in routes])
        group = self._groups.get(names)
        if group is None:
            group = self._groups[names] = Group(routes, lambda group: index_of(self._strategy, group, self._chosen), self._facts)
        return group

    def _lease(self, plan: Plan, call: Call[Any], tried: Tried, now: float, tokens: int) -> Lease | None:
        if self.limiter is not None:
            held_until = self.limiter.ready_at(now, tokens)
            plan.held_until = held_until if held_until > now else 0.0
            if plan.held_until:
                return None
        if tried is NOTHING_TRIED:
            return self._from(plan, None, (), now, call, tokens)
        lease = None
        if tried.keys:
            lease = self._from(plan, fresh(tried, True, now, tokens), tried.keys, now, call, tokens)
            lease = lease or self._from(plan, fresh(tried, False, now, tokens), tried.keys, now, call, tokens)
        return lease or self._from(plan, fresh(tried.again(), False, now) if tried.dead else None, (), now, call, tokens)

    def _from(
        self, plan: Plan, fit: Fit | None, keys: Collection[Key], now: float, call: Call[Any], tokens: int
    ) -> Lease | None:
        for group in plan.groups:
            if group.later:
                group.bring_back(now)
            while (seat := group.index.pick(now, fit, call.streamed)) is not None:
                route = seat.route
                if route.limiter is not None and (room_at := route.limiter.ready_at(now, tokens)) > now:
                    route.blocked_until = room_at  # nobody goes before a call that waits for it, however small
                    route.short_of = tokens
                    self._short_of = max(self._short_of, tokens)
                    continue
                key = route.keys.pick(now, keys, tokens)
                if key is not None:
                    group.index.given(seat)
                    lease = Lease(route, key, now, self._epoch)
                    if route.metered or self.limiter is not None:
                        self._take(lease, tokens)
                    self._give(lease)
                    return lease
                route.refresh(now, tokens)
                self._short_of = max(self._short_of, tokens)
                if route.blocked_until <= now:  # nobody's turn in this call, and the index thinks otherwise
                    break
        return None

    def _could(self, plan: Plan, fit: Fit, now: float) -> bool:
        for group in plan.groups:
            group.bring_back(now)
            if group.index.pick(now, fit, False) is not None:
                return True
        return False

    def _chosen(self, strategy: Strategy, able: list[Route], now: float) -> Route:
        """A strategy's choice; the first where one of somebody's own fails or chooses what it was not offered."""
        lock, self._lock = self._lock, Choosing(self._lock)
        try:
            route = strategy.choose([*able], now)
            if any([one is route for one in able]):
                return route
            said = f"chose {shown(route)}, which it was not offered"
        except (Exception, SystemExit) as problem:
            said = f"raised {describe(problem)}"
        finally:
            self._lock = lock
        if not self._told:
            self._told = True
            warnings.warn(f"strategy {type(strategy).__name__} {said}", RuntimeWarning, stacklevel=2)
        return able[0]

    def _give(self, lease: Lease) -> None:
        route, key = lease.route, lease.key
        self._given = route.last_given = self._given + 1
        route.uses += 1
        route.in_flight += 1
        key.uses += 1
        key.in_flight += 1
        if route.breaker.open:
            route.breaker.given()
            route.refresh(lease.started)
        elif route.limited and (route.full or route.keys.limit == key.in_flight):
            route.refresh(lease.started)

    def _take(self, lease: Lease, tokens: int) -> None:
        """Book a call with every limiter that it concerns."""
        taken = lease.taken = []
        for limiter in (self.limiter, lease.route.limiter, lease.key.limiter):
            if limiter is not None:
                taken.append((limiter, limiter.take(lease.started, tokens)))

    def _struck(self, route: Route, key: Key, lease: Lease, error: LLMError, now: float) -> None:
        """An error came: what has to rest rests."""
        route.keys.struck(key, error, lease.started, now)
        if is_fault(error):
            if route.breaker is CLOSED and self._breaker is not None:
                route.breaker = Breaker(self._breaker)
            route.breaker.failed(error, now)
        elif error.status is not None and route.breaker.alert:
            route.breaker.worked(now)  # it answers; what it says is another matter
        elif route.breaker.open:
            route.breaker.undecided(now)

    def _make_way(self, plan: Plan, now: float, tokens: int) -> bool:
        """Nobody waits who goes before a call of ``tokens``: what instances keep for larger ones is its own. Whether that helps."""
        if self._short_of <= tokens:
            return False
        found = False
        routes = [route for group in plan.groups for route in group.routes]
        for route in routes:
            if route.short_of > tokens:
                self._came_free(route, now, tokens)
                found = found or route.blocked_until <= now
        if len(routes) == len(self._routes):
            self._short_of = tokens
        return found

    def _came_free(self, route: Route, now: float, tokens: int = 1) -> None:
        """Something happened to an instance: seat it again if it may take calls, or note when it will."""
        route.refresh(now, tokens)
        seats = route.aside
        if route.blocked_until <= now:
            route.aside = []
            for seat in seats:
                seat.index.add(seat)
        elif route.blocked_until < math.inf:
            for seat in seats:
                seat.group.plan(seat)

    def _unhold(self, plan: Plan, now: float) -> None:
        """The first in line has gone: the room that was kept for it is the others'."""
        for group in plan.groups:
            for route in group.routes:
                if route.metered and route.blocked_until > now:
                    self._came_free(route, now)
        if self.lines.open:
            self.lines.serve(now)
