"""The rarer indexes: by latency, by lot, by weight, and for strategies of somebody's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING

from llmkit.policy.indexes import RANK, RANKS, STAMP, Fit, Group, Ranked, Seat
from llmkit.policy.routes import OLD

if TYPE_CHECKING:
    from llmkit.policy.routes import Route


class Quickest:
    """Lowest measured latency first. An instance that was never measured, or not for a while, is tried with one call at a time, and
    with only some of the calls, so that the fast ones do not starve."""

    def __init__(self, group: Group) -> None:
        self._quickest = (Ranked(group, _seconds, falls=True), Ranked(group, _seconds_to_first, falls=True))
        self._oldest = (Ranked(group, _measured), Ranked(group, _measured_first))
        self._since = 0

    def add(self, seat: Seat) -> None:
        """See :meth:`Index.add`. Never called: the parts' own seats come back to them."""

    def pick(self, now: float, fit: Fit | None, streamed: bool) -> Seat | None:
        """See :meth:`Index.pick`."""
        self._since += 1
        quickest = self._quickest[streamed].pick(now, fit)
        if quickest is None or quickest.route.seconds(streamed) is None:  # none is known: spread
            return self._oldest[streamed].pick(now, fit)
        if self._since >= TRY_NEW:
            oldest = self._oldest[streamed].pick(now, fit)
            if oldest is not None and self._worth_trying(oldest.route, streamed, now):
                self._since = 0
                return oldest
        return quickest

    def _worth_trying(self, route: Route, streamed: bool, now: float) -> bool:
        measured = route.first_event_at if streamed else route.latency_at
        turn = TRY_NEW if measured == -math.inf else TRY_OLD
        return route.in_flight == 0 and self._since >= turn and now - measured >= OLD

    def given(self, seat: Seat) -> None:
        """See :meth:`Index.given`."""

    def fell(self, seat: Seat) -> None:
        """See :meth:`Index.fell`. Never called: the parts' own seats are told."""


TRY_NEW, TRY_OLD = 2, 5
"""At most every so manieth call tries an instance that was never measured, or not for a while."""


NEVER = 1 << 62
"""A score behind every measured time."""


def _seconds(seat: Seat) -> int:
    seconds = seat.route.latency
    return NEVER if seconds is None else int(seconds * 1e9)


def _seconds_to_first(seat: Seat) -> int:
    seconds = seat.route.first_event
    return NEVER if seconds is None else int(seconds * 1e9)


def _measured(seat: Seat) -> int:
    return _at(seat.route.latency_at) + seat.route.last_given


def _measured_first(seat: Seat) -> int:
    return _at(seat.route.first_event_at) + seat.route.last_given


def _at(time: float) -> int:
    return (-NEVER if time == -math.inf else int(time * 1e6)) << STAMP


class ByLot:
    """Any of them, with equal chances."""

    def __init__(self, group: Group, random: Callable[[], float]) -> None:
        self._group = group
        self._random = random
        self._seats = [Seat(route, group, self, number) for number, route in enumerate(group.routes)]
        for seat in self._seats:
            seat.entry = seat.number

    def add(self, seat: Seat) -> None:
        """See :meth:`Index.add`."""
        seat.entry = len(self._seats)
        self._seats.append(seat)

    def pick(self, now: float, fit: Fit | None, streamed: bool) -> Seat | None:
        """See :meth:`Index.pick`."""
        seats = self._seats
        left = len(seats)
        while left:  # what will not do is swapped behind those that are left
            seat = seats[min(int(self._random() * left), left - 1)]
            if seat.route.blocked_until > now:
                left = self._drop(seat, left)
            elif fit is not None and not fit(seat.route):
                left -= 1
                self._swap(seat, left)
            else:
                return seat
        return None

    def _swap(self, seat: Seat, place: int) -> None:
        other = self._seats[place]
        self._seats[seat.entry], self._seats[place] = other, seat
        other.entry, seat.entry = seat.entry, place

    def _drop(self, seat: Seat, left: int) -> int:
        self._swap(seat, left - 1)
        self._swap(seat, len(self._seats) - 1)
        self._seats.pop()
        self._group.set_aside(seat)
        return left - 1

    def given(self, seat: Seat) -> None:
        """See :meth:`Index.given`."""

    def fell(self, seat: Seat) -> None:
        """See :meth:`Index.fell`."""


LENGTH = 1 << 50 + RANK
"""The window of the heaviest instance, in units of virtual time; the lowest bits are for ranks."""
WHOLE = LENGTH << 100
"""A weight times its window."""
MOST = 1e30
"""How much lighter than the heaviest an instance counts as at most."""


class Shares:
    """Calls in proportion to weights, spread evenly: at any moment each instance is within one call of its share.

    Every instance's j-th call has a window in virtual time, from (j - 1) / weight to j / weight; of those whose window is open the
    one that closes first is next. This is earliest-deadline-first over Pfair windows (S. Baruah et al., "Proportionate progress",
    Algorithmica 15, 1996), which keeps every share within one; virtual time advances by 1 / (sum of weights) with each call. It is
    counted in whole numbers: the window of the heaviest instance has :data:`LENGTH`.

    A seat's entry is the time at which its window begins, or, once that is open, ends, with its rank in the lowest bits. So the
    entry of an open window is that of the next one while it is closed.
    """

    def __init__(self, group: Group) -> None:
        self._group = group
        self._seats = [Seat(route, group, self, number) for number, route in enumerate(group.routes)]
        weights = [route.instance.weight for route in group.routes]
        heaviest = max(weights)
        lengths = {weight: int(min(heaviest / weight, MOST) * (LENGTH >> RANK)) << RANK for weight in weights}
        self._windows = [lengths[weight] for weight in weights]
        self._time = 0
        self._weight = 0
        """The weights of all that may take calls, in units of which the heaviest has 2^100."""
        self._step = LENGTH
        """How far a call takes virtual time."""
        self._until = 0
        """Entries below this one are of windows that begin before the next call's place in virtual time ends."""
        self._open: list[int] = []
        self._closed: list[int] = []
        for seat in self._seats:
            self.add(seat)

    def add(self, seat: Seat) -> None:
        """See :meth:`Index.add`."""
        self._weigh(WHOLE // self._windows[seat.number])
        seat.entry = max(seat.turn, self._time + seat.number)
        heappush(self._closed, seat.entry)

    def _weigh(self, change: int) -> None:
        self._weight += change
        if self._weight:
            self._step = WHOLE // self._weight >> RANK << RANK
            self._until = self._time + self._step - (self._step >> 30)

    def pick(self, now: float, fit: Fit | None, streamed: bool) -> Seat | None:
        """See :meth:`Index.pick`."""
        passed: list[int] = []
        found = None
        self._begin()
        while found is None:
            if not self._open:
                if not self._closed:
                    break
                self._open_first()  # all whose window is open will not do: the next one begins early
            seat = self._seats[self._open[0] & RANKS]
            if seat.route.blocked_until > now:
                seat.turn = heappop(self._open) - self._windows[seat.number]
                self._weigh(-(WHOLE // self._windows[seat.number]))
                self._group.set_aside(seat)
                self._begin()
            elif fit is not None and not fit(seat.route):
                passed.append(heappop(self._open))
            else:
                found = seat
        for entry in passed:
            heappush(self._open, entry)
        return found

    def _begin(self) -> None:
        """Open the windows that begin before the next call's place in virtual time ends."""
        while self._closed and self._closed[0] < self._until:
            self._open_first()

    def _open_first(self) -> None:
        entry = heappop(self._closed)
        number = entry & RANKS
        self._seats[number].entry = entry = entry + self._windows[number]
        heappush(self._open, entry)

    def given(self, seat: Seat) -> None:
        """See :meth:`Index.given`."""
        self._time += self._step
        self._until += self._step
        entry = seat.entry
        if self._open[0] != entry:  # it was taken past others that did not fit
            self._open.remove(entry)
            heapify(self._open)
            heappush(self._closed, entry)
        elif entry < self._until:  # its next window is open already
            seat.entry = entry + self._windows[seat.number]
            heapreplace(self._open, seat.entry)
        else:
            heappop(self._open)
            heappush(self._closed, entry)

    def fell(self, seat: Seat) -> None:
        """See :meth:`Index.fell`."""


class Scan:
    """A strategy of somebody's own, which looks at every instance that may take the call."""

    def __init__(self, group: Group, choose: Callable[[list[Route], float], Route]) -> None:
        self._group = group
        self._choose = choose
        self._seats = {route: Seat(route, group, self, number, True) for number, route in enumerate(group.routes)}

    def add(self, seat: Seat) -> None:
        """See :meth:`Index.add`."""
        seat.entry = True

    def pick(self, now: float, fit: Fit | None, streamed: bool) -> Seat | None:
        """See :meth:`Index.pick`."""
        able = []
        for route, seat in self._seats.items():
            if seat.entry is not None:
                if route.blocked_until > now:
                    self._group.set_aside(seat)
                elif fit is None or fit(route):
                    able.append(route)
        return self._seats[self._choose(able, now)] if able else None

    def given(self, seat: Seat) -> None:
        """See :meth:`Index.given`."""

    def fell(self, seat: Seat) -> None:
        """See :meth:`Index.fell`."""
