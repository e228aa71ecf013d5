"""Whose turn it is: an instance and a key for a call, found, given out and taken back. Its router's lock guards all of it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Literal

from llmkit.errors import LLMError, shown
from llmkit.policy.allowance import Estimator
from llmkit.policy.breaker import CLOSED, Breaker, is_fault
from llmkit.policy.candidates import find
from llmkit.policy.indexes import Facts, Fit, Group
from llmkit.policy.instances import Choosing, Instances
from llmkit.policy.keys import Key
from llmkit.policy.lines import Lines
from llmkit.policy.routes import NOTHING_TRIED, Lease, Plan, Route, Tried, fresh
from llmkit.policy.strategies import AnyStrategy, Strategy, index_of
from llmkit.values.calls import Call
from llmkit.values.instances import Task
from llmkit.wire.redact import describe

if TYPE_CHECKING:
    from llmkit.policy.limits import Limiter
    from llmkit.values.breaker import BreakerSettings

MOST_PLANS = 1000
"""Kinds of calls whose ways are remembered."""


class Turns(Instances):
    """The half of the router that gives turns.

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

    def _changed(self) -> None:
        """Instances have come, gone or changed: every call finds its way anew."""
        if self._plans:
            for route in self._routes.values():
                route.aside = route.falling = ()
            for plan in self._plans.values():
                plan.current = False
            self._plans = {}
            self._groups = {}
        if self.lines.open:
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
        if tried is NOTHING_TRIED and self.limiter is None:
            return self._from(plan, None, (), now, call, tokens)
        if self.limiter is not None:
            held_until = self.limiter.ready_at(now, tokens)
            plan.held_until = held_until if held_until > now else 0.0
            if plan.held_until:
                return None
        lease = None
        if tried.keys or tried.routes:
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
                    lease = Lease(route, key, now, self._epoch)
                    if windows := key.windows if self.limiter is None else key.windows + self.limiter.windows:
                        lease.book(windows, tokens)
                    self._give(lease)
                    group.index.given(seat)
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
        if key.ramp is not None:
            key.ramp.took(lease.started)
        if route.breaker.open:
            route.breaker.given(lease.started)
            route.refresh(lease.started)
        elif route.limited and (route.in_flight >= route.most_in_flight or route.keys.limit == key.in_flight):
            route.refresh(lease.started)

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
            route.aside = ()
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
