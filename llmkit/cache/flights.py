"""Single flight: identical calls at the same time share one, over threads, tasks and event loops.

The first caller leads and asks the vendor; the others wait. A leader that fails or is cancelled fails alone: the next caller leads.
From the second failure on, each doubles how many may lead at once, so that many callers of a vendor that is down fail within a few
rounds and not one after the other.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from llmkit.runtime import Waiter


@attrs.define(eq=False, repr=False)
class Seat:
    """One caller that waits."""

    waiter: Waiter
    leads: bool = False
    """Whether it was woken to lead."""


@attrs.define(eq=False, repr=False)
class Flight:
    """Calls that share an answer."""

    key: str
    until: float
    """When those who wait may lose patience, on the runtime's clock."""
    leading: int = 1
    width: int = 1
    """How many may lead at once."""
    broken: bool = False
    """Whether the vendor failed a leader."""
    waiting: deque[Seat] = attrs.field(factory=deque)
    answer: Any = None
    landed: bool = False
    looked: bool = False
    """Whether a leader has looked at the second level."""
    down: bool = False
    """Whether the second level failed it."""
    spent: float = 0.0
    """Seconds that the last look took."""
    question: Any = None
    """What a semantic cache would keep the answer under."""
    token: str | None = None
    """What shows that this process may make the entry."""


class Flights:
    """The flights of a client that are in the air. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[str, Flight] = {}

    def join(self, key: str, until: float, waiter: Callable[[], Waiter]) -> tuple[Flight, Seat | None]:
        """Take part: as a leader (None), or in a seat.

        :param until: how long this caller would have to lead.
        """
        with self._lock:
            flight = self._flights.get(key)
            if flight is None:
                flight = self._flights[key] = Flight(key, until)
                return flight, None
            if flight.leading < flight.width:
                flight.leading += 1
                flight.until = max(flight.until, until)
                return flight, None
            seat = Seat(waiter())
            flight.waiting.append(seat)
            return flight, seat

    def land(self, flight: Flight, answer: Any) -> None:
        """A leader has the answer: all who wait get it."""
        with self._lock:
            flight.answer = answer
            flight.landed = True
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]
            for seat in flight.waiting:
                seat.waiter.wake()
            flight.waiting.clear()

    def fail(self, flight: Flight, until: float, broken: bool) -> None:
        """A leader has none.

        :param until: how long the next leader is given.
        :param broken: True where the vendor failed; False where the leader left or ran out of its own time.
        """
        with self._lock:
            if broken:
                flight.width *= 2 if flight.broken else 1
                flight.broken = True
            self._hand_over(flight, until)

    def take(self, flight: Flight, seat: Seat) -> None:
        """One who waited lost patience, and leads beside those who lead."""
        with self._lock:
            if not seat.leads:
                seat.leads = True
                flight.leading += 1
                flight.width = max(flight.width, flight.leading)
                if seat in flight.waiting:
                    flight.waiting.remove(seat)

    def leave(self, flight: Flight, seat: Seat) -> None:
        """One who waits goes; if it was to lead, the next does."""
        with self._lock:
            if seat.leads:
                self._hand_over(flight, flight.until)
            elif seat in flight.waiting:
                flight.waiting.remove(seat)

    def _hand_over(self, flight: Flight, until: float) -> None:
        flight.leading -= 1
        flight.until = max(flight.until, until)
        while flight.waiting and flight.leading < flight.width:
            seat = flight.waiting.popleft()
            seat.leads = True
            flight.leading += 1
            seat.waiter.wake()
        if not flight.leading and self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
