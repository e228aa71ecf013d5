"""Whose turn it is among many instances, found without looking at all of them.

A :class:`Group` holds the instances that can serve one kind of call. Those that may take one stand in an index, ordered as the
strategy wants; those that cannot are set aside, and come back when their time has come or when something happened to them. Orders
are kept lazily: an entry that no longer says the truth is put right when it comes to the front. So a choice costs O(log n).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from llmkit.policy.routes import Route
    from llmkit.values.models import ModelInfo

Facts = Callable[[str, str], "ModelInfo | None"]
"""What is known of a provider's model."""
Fit = Callable[["Route"], bool]
"""Whether an instance will do for one particular call, which may have tried it already."""
STAMP = 48
"""Bits that leave room for the count of all calls behind a score; one number compares faster than a pair."""
RANK = 24
"""Bits of an entry that tell its seat's rank."""
RANKS = (1 << RANK) - 1


class Seat:
    """An instance's place in an index."""

    __slots__ = ("due", "entry", "group", "index", "number", "route", "turn")

    def __init__(self, route: Route, group: Group, index: Index, number: int, entry: Any = None) -> None:
        self.route = route
        self.group = group
        self.index = index
        self.number = number
        """Its rank in the order in which the instances were added."""
        self.entry = entry
        """What stands for it in the index's order; None while it is set aside."""
        self.turn = 0
        """The index's own note on it."""
        self.due: Any = None
        """What stands for it among those that come back later; older entries of it are out of date."""


class Index(Protocol):
    """The instances of a group in a strategy's order."""

    def add(self, seat: Seat) -> None:
        """Take in a seat that may take calls, for the first time or again."""

    def pick(self, now: float, fit: Fit | None, streamed: bool) -> Seat | None:
        """The seat whose turn it is among those that may take a call now and ``fit``; None where there is none."""

    def given(self, seat: Seat) -> None:
        """The seat that was picked has been given the call."""

    def fell(self, seat: Seat) -> None:
        """The seat's score may have fallen; scores that only rise need no telling."""


class Group:
    """The instances that can serve one kind of call.

    :param make: makes the index, given the group.
    """

    def __init__(
        self, routes: Iterable[Route], make: Callable[[Group], Index], facts: Facts = lambda provider, model: None
    ) -> None:
        self.facts = facts
        self.routes = list(routes)
        self.later: list[tuple[float, int, Seat]] = []
        self._order = 0
        self.index: Index = Single(self) if len(self.routes) == 1 else make(self)

    def set_aside(self, seat: Seat) -> None:
        """Take a seat that cannot take calls now out of the running, until its time or until something happens to it."""
        seat.entry = None
        seat.route.aside += (seat,)
        if seat.route.blocked_until < math.inf:
            self.plan(seat)

    def plan(self, seat: Seat) -> None:
        """Note when a seat that is set aside comes back."""
        self._order += 1
        seat.due = (seat.route.blocked_until, self._order, seat)
        heappush(self.later, seat.due)
        if len(self.later) > 8 * len(self.routes) + 16:  # most of it is out of date: no index has more than four seats each
            self.later = [entry for entry in self.later if entry[2].due is entry]
            heapify(self.later)

    def bring_back(self, now: float) -> None:
        """Seat again those whose time has come."""
        later = self.later
        while later and later[0][0] <= now:
            entry = heappop(later)
            seat = entry[2]
            if seat.entry is None and seat.due is entry:
                seat.route.aside = tuple([other for other in seat.route.aside if other is not seat])
                seat.index.add(seat)

    def soonest(self) -> float | None:
        """When the next seat comes back by itself; None where none will."""
        later = self.later
        while later and (later[0][2].entry is not None or later[0][2].due is not later[0]):
            heappop(later)
        return later[0][0] if later else None


class Single:
    """An index of one."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._seat = Seat(group.routes[0], group, self, 0, True)

    def add(self, seat: Seat) -> None:
        """See :meth:`Index.add`."""
        seat.entry = True

    def pick(self, now: float, fit: Fit | None, streamed: bool) -> Seat | None:
        """See :meth:`Index.pick`."""
        seat = self._seat
        if seat.entry is None or (fit is not None and not fit(seat.route)):
            return None
        if seat.route.blocked_until > now:
            self._group.set_aside(seat)
            return None
        return seat

    def given(self, seat: Seat) -> None:
        """See :meth:`Index.given`."""

    def fell(self, seat: Seat) -> None:
        """See :meth:`Index.fell`."""


class Ranked:
    """Lowest score first; of equals, the one that was added first.

    An entry is one number, the score above the seat's rank: two of them compare in a third of the time of a pair.

    :param score: a seat's score, a whole number.
    :param falls: whether scores can fall too; then each instance tells its seats when it may have happened.
    :param tiers: for each instance, the tier that it is in; a note on its seat that the score may go by. Equal ones are to be one
        object: among thousands of seats, what they share stays in the processor's caches.
    """

    def __init__(self, group: Group, score: Callable[[Seat], int], falls: bool = False, tiers: Iterable[int] = ()) -> None:
        self._group = group
        self._score = score
        self._seats = [Seat(route, group, self, number) for number, route in enumerate(group.routes)]
        for seat, tier in zip(self._seats, tiers):  # noqa: B905 (none, or one for each)
            seat.turn = tier
        self._heap = [self._entered(seat) for seat in self._seats]
        heapify(self._heap)
        if falls:
            for seat in self._seats:
                seat.route.falling += (seat,)

    def _entered(self, seat: Seat) -> int:
        entry: int = (self._score(seat) << RANK) + seat.number
        seat.entry = entry
        return entry

    def add(self, seat: Seat) -> None:
        """See :meth:`Index.add`."""
        heappush(self._heap, self._entered(seat))

    def pick(self, now: float, fit: Fit | None, streamed: bool = False) -> Seat | None:
        """See :meth:`Index.pick`."""
        heap = self._heap
        passed: list[int] = []
        found = None
        while heap:
            entry = heap[0]
            number = entry & RANKS
            seat = self._seats[number]
            if seat.entry != entry:
                heappop(heap)
                continue
            current = (self._score(seat) << RANK) + number
            if current != entry:
                seat.entry = current
                heapreplace(heap, current)
                continue
            if seat.route.blocked_until > now:
                heappop(heap)
                self._group.set_aside(seat)
            elif fit is not None and not fit(seat.route):
                passed.append(heappop(heap))
            else:
                found = seat
                break
        for entry in passed:
            heappush(heap, entry)
        return found

    def given(self, seat: Seat) -> None:
        """See :meth:`Index.given`."""
        if self._heap[0] == seat.entry:  # else it was taken past others that did not fit
            seat.entry = (self._score(seat) << RANK) + seat.number
            heapreplace(self._heap, seat.entry)

    def fell(self, seat: Seat) -> None:
        """See :meth:`Index.fell`."""
        before = seat.entry
        if before is not None and (self._score(seat) << RANK) + seat.number < before:
            heappush(self._heap, self._entered(seat))
            if len(self._heap) > 4 * len(self._seats) + 16:  # most of it is out of date
                self._heap = [seat.entry for seat in self._seats if seat.entry is not None]
                heapify(self._heap)


class InTurn(Ranked):
    """Each instance in turn, in the order in which they were added. One that was away does not catch up."""

    def __init__(self, group: Group) -> None:
        self._lap = 0
        super().__init__(group, lambda seat: seat.turn)

    def add(self, seat: Seat) -> None:
        """See :meth:`Index.add`."""
        seat.turn = max(seat.turn, self._lap)
        super().add(seat)

    def given(self, seat: Seat) -> None:
        """See :meth:`Index.given`."""
        self._lap = max(self._lap, seat.turn)
        seat.turn += 1
        super().given(seat)


def given_longest_ago(seat: Seat) -> int:
    """A score: the count at which the instance was last given a call."""
    return seat.route.last_given


def tiered(group: Group, tiers: Mapping[Route, int]) -> Ranked:
    """The lowest tier first; of equals, the instance that was given a call the longest ago."""
    scores = {tier: tier << STAMP for tier in tiers.values()}
    return Ranked(group, lambda seat: seat.turn + seat.route.last_given, tiers=[scores[tiers[route]] for route in group.routes])
