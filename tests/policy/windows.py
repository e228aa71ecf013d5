"""The same limits kept the plain way: every booking is remembered, and every window is looked at."""

from __future__ import annotations

from collections.abc import Sequence


def most_in_any(bookings: Sequence[tuple[float, int]], seconds: float) -> int:
    """The most that any window of ``seconds``, open at its end, holds of bookings (time, amount)."""
    ordered = sorted(bookings)
    most = held = first = 0
    for at, amount in ordered:
        held += amount
        while ordered[first][0] <= at - seconds:
            held -= ordered[first][1]
            first += 1
        most = max(most, held)
    return most


def held(bookings: Sequence[tuple[float, int]], seconds: float, now: float) -> int:
    """What the window that ends now holds."""
    return sum(amount for at, amount in bookings if at > now - seconds)
