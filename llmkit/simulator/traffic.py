"""What came in when: the rows from which limits are proved and plots are drawn."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import attrs

MOST_ARRIVALS = 200_000
"""Arrivals that are remembered."""


@attrs.frozen
class Arrival:
    """One request, as it came in."""

    at: float
    """Seconds on the server's monotonic clock."""
    vendor: str
    key: str
    model: str
    tokens: int
    """Prompt and answer, where there is one."""
    kind: str
    """``ok``, or what it was refused with, such as ``rate_limit``."""


class Traffic:
    """All arrivals, the oldest first. Safe to read from any thread while the server runs. Whatever reads takes ``vendor``,
    ``key``, ``model`` and ``kind``, and looks at those that fit; at all of them by default, the refused ones included."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrivals: deque[Arrival] = deque(maxlen=MOST_ARRIVALS)

    def add(self, arrival: Arrival) -> None:
        """Remember an arrival."""
        with self._lock:
            self._arrivals.append(arrival)

    def clear(self) -> None:
        """Forget them."""
        with self._lock:
            self._arrivals.clear()

    def arrivals(self, **wanted: str | None) -> list[Arrival]:
        """The arrivals that fit."""
        conditions = [(name, value) for name, value in wanted.items() if value is not None]
        with self._lock:
            arrivals = list(self._arrivals)
        return [one for one in arrivals if all(getattr(one, name) == value for name, value in conditions)]

    def rows(self, **wanted: str | None) -> list[dict[str, Any]]:
        """The arrivals that fit, as plain data for a table, a file or a data frame."""
        return [attrs.asdict(arrival) for arrival in self.arrivals(**wanted)]

    def most(self, seconds: float = 60.0, of: str = "requests", **wanted: str | None) -> int:
        """The most that any window of ``seconds``, wherever it begins, has seen.

        :param of: ``requests`` or ``tokens``.
        """
        return max([held for _, held in self._levels(seconds, of, wanted)], default=0)

    def curve(self, seconds: float = 60.0, of: str = "requests", **wanted: str | None) -> tuple[list[float], list[int]]:
        """What the window of ``seconds`` that ends at a time holds: the times at which that changes, from 0 at the first
        arrival, and what it holds from then on. For a plot of steps (``matplotlib``'s ``step(..., where="post")``).

        :param of: ``requests`` or ``tokens``.
        """
        levels = list(self._levels(seconds, of, wanted))
        first = levels[0][0] if levels else 0.0
        return [at - first for at, _ in levels], [held for _, held in levels]

    def _levels(self, seconds: float, of: str, wanted: dict[str, str | None]) -> Iterator[tuple[float, int]]:
        if of not in ("requests", "tokens"):
            raise ValueError(f"of: expected 'requests' or 'tokens', got {of!r}")
        steps = []
        for arrival in self.arrivals(**wanted):
            amount = 1 if of == "requests" else arrival.tokens
            steps += [(arrival.at, amount), (arrival.at + seconds, -amount)]
        held = 0
        for at, change in sorted(steps):  # at one moment what leaves goes before what comes: a window is open at its end
            held += change
            yield at, held
