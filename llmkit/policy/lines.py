"""The calls that wait, in the order in which they came.

Calls of one kind stand in one line, those of higher priority in front. Whoever makes room serves the lines: the first of each gets
its lease handed over, and is woken. The first of a line also watches the clock; those behind it sleep until it is their turn, so
thousands may wait and cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from llmkit.errors import QueueFullError
from llmkit.policy.routes import Lease, Parked, Plan, Route, Tried

if TYPE_CHECKING:
    from llmkit.runtime import Waiter
    from llmkit.values.calls import Call


class Lines:
    """Every line of a router, whose lock guards them.

    :param most: calls that may wait at once.
    :param lease: a lease for a call, if something can serve it now.
    :param make_way: lets a call of so many tokens have what instances keep for larger ones; whether that helps.
    """

    def __init__(
        self,
        most: int,
        lease: Callable[[Plan, Call[Any], Tried, float, int], Lease | None],
        make_way: Callable[[Plan, float, int], bool],
    ) -> None:
        self.most = most
        self._lease = lease
        self._make_way = make_way
        self._arrived = 0
        self.waiting = 0
        """How many calls wait."""
        self.open: dict[int, Plan] = {}
        """The plans that have a line."""

    def park(self, parked: Parked, now: float) -> Lease | Parked:
        """A place in line; the lease, where the call's priority brings it to the front and something can serve it.

        :raises QueueFullError: if as many wait as may.
        """
        if self.waiting >= self.most:
            raise QueueFullError(f"{self.most} calls are waiting already (max_pending)")
        self._arrived += 1
        parked.order = self._arrived
        plan = parked.plan
        self.waiting += 1
        self._enter(parked)
        first = plan.line[0][2]
        if len(plan.line) > 1 and (first is parked or first.tried.dead):
            self.serve(now)
        if parked.lease is not None:
            self.waiting -= 1
            return parked.lease
        self._judge(parked, now)
        return parked

    def _enter(self, parked: Parked) -> None:
        plan = parked.plan
        heappush(plan.line, (-parked.call.priority, parked.order, parked))
        self.open[id(plan)] = plan

    def serve(self, now: float) -> None:
        """Hand leases to those whose turn it is, until nothing is left to hand out."""
        plans = list(self.open.values())
        if len(plans) > 1:
            plans.sort(key=lambda plan: plan.line[0][:2])
        held_until = 0.0
        for plan in plans:
            if held_until > now:  # nobody takes the client's room from a call that waits for it, however small
                plan.held_until = held_until
                self._watch(plan)
                continue
            line = plan.line
            passed = []
            vain: list[set[Route]] = []  # what could not serve the calls that were passed; nor does it serve those who want more
            while line:
                parked = line[0][2]
                if not parked.gone:
                    dead = parked.tried.dead
                    if vain and any([dead >= found for found in vain]):
                        passed.append(heappop(line))
                        continue
                    lease = self._lease(plan, parked.call, parked.tried, now, parked.tokens)
                    if lease is None and self.goes_first(line[0][:2]) and self._make_way(plan, now, parked.tokens):
                        lease = self._lease(plan, parked.call, parked.tried, now, parked.tokens)
                    if lease is None:
                        if not dead:
                            break
                        passed.append(heappop(line))  # what can never serve it may serve those behind it
                        vain.append(dead)
                        if all(dead <= entry[2].tried.dead for entry in line):
                            break
                        continue
                    parked.lease = lease
                    parked.waiter.wake()
                heappop(line)
            for entry in passed:
                heappush(line, entry)
            if not line:
                del self.open[id(plan)]
            else:
                self._watch(plan)
                held_until = plan.held_until

    def goes_first(self, place: tuple[float, float]) -> bool:
        """Whether no line has anybody who goes before ``place``, a call's negative priority and its arrival."""
        return all(not plan.line or plan.line[0][:2] >= place for plan in self.open.values())

    def held_until(self, call: Call[Any], now: float) -> float:
        """Until when the client's room is kept for those who wait for it and go before ``call``; 0 where nobody does."""
        holding = [
            plan.held_until for plan in self.open.values() if plan.held_until > now and plan.line[0][0] <= -call.priority
        ]
        return min(holding, default=0.0)

    def _watch(self, plan: Plan) -> None:
        """Let the first in line look at the clock, if it does not watch it yet, or for a later time."""
        first, soonest = plan.line[0][2], plan.soonest()
        if soonest is not None and (not first.first or first.until is None or soonest < first.until):
            first.waiter.wake()

    def look(self, parked: Parked, now: float, waiter: Callable[[], Waiter]) -> Lease | None:
        """See :meth:`Router.look <llmkit.policy.router.Router.look>`."""
        if parked.lease is None:
            self.serve(now)
        if parked.lease is not None:
            self.waiting -= 1
            return parked.lease
        parked.waiter = waiter()
        self._judge(parked, now)
        return None

    def move(self, parked: Parked, plan: Plan) -> None:
        """Let a parked call stand in another line, in the place that its arrival gives it."""
        parked.plan = plan
        self._enter(parked)

    def leave(self, parked: Parked) -> None:
        """A parked call stops waiting."""
        parked.gone = True
        self.waiting -= 1
        plan = parked.plan
        while plan.line and plan.line[0][2].gone:
            heappop(plan.line)
        if not plan.line:
            self.open.pop(id(plan), None)
        else:
            self._watch(plan)

    def wake_all(self) -> None:
        """Instances have changed: everybody is to look for a line anew."""
        plans = list(self.open.values())
        self.open.clear()
        for plan in plans:
            for _, _, parked in plan.line:
                parked.waiter.wake()
            plan.line.clear()

    def forget(self) -> None:
        """Start afresh in a forked child, where nobody waits."""
        for plan in self.open.values():
            plan.line.clear()
        self.open.clear()
        self.waiting = 0

    def wake_first(self) -> None:
        """Something has got worse: let the first of each line see whether it wants to wait any longer."""
        for plan in self.open.values():
            plan.line[0][2].waiter.wake()

    def _judge(self, parked: Parked, now: float) -> None:
        """Work out what a parked call waits for, and until when."""
        plan = parked.plan
        parked.until = plan.soonest()
        parked.first = plan.line[0][2] is parked
        tokens, until = parked.tokens, parked.call.deadline.at
        parked.patient = now < plan.held_until < until or any(
            route.waits_for_room(now, tokens, until)
            for group in plan.groups
            for route in group.routes
            if route.lives(parked.tried)
        )
        parked.trial = not parked.patient and any(route.breaker.trying for group in plan.groups for route in group.routes)
