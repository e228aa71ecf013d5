"""How many retries an instance may be asked to bear, so that an outage is not made worse by those who suffer from it."""

from __future__ import annotations

WINDOW = 10.0
"""Seconds of traffic that pay for retries."""
FREE = 10
"""Retries in a window that need no traffic: one a second."""


class RetryBudget:
    """Retries that go back to one instance: at most ``ratio`` of the requests of the last ten seconds, and ten more.

    The idea is Finagle's (https://twitter.github.io/finagle/guide/Clients.html#retries). What it holds is worked out when a retry
    is asked for, from the count of calls since the last time, so that a call that works pays nothing. Not locked.

    :param ratio: retries for each request; None for no limit.
    """

    __slots__ = ("_at", "_left", "_ratio", "_retries", "_uses")

    def __init__(self, ratio: float | None) -> None:
        self._ratio = ratio
        self._left = float(FREE)
        self._at = 0.0
        self._uses = 0
        self._retries = 0

    def spend(self, uses: int, now: float) -> bool:
        """Take one retry; False where none is left.

        :param uses: calls and retries that the instance has been given so far.
        """
        if self._ratio is None:
            return True
        passed = max(now - self._at, 1e-9)
        requests = max(0, uses - self._uses - self._retries)
        earned = (requests * self._ratio + passed * FREE / WINDOW) * min(1.0, WINDOW / passed)
        self._left = min(self._left + earned, max(float(FREE), earned))
        self._at, self._uses, self._retries = now, uses, 0
        if self._left < 1:
            return False
        self._left -= 1
        self._retries += 1
        return True

    def saved(self, uses: int, now: float) -> dict[str, float]:
        """What it holds as plain data; see :meth:`restore`."""
        return {"left": self._left, "age": max(0.0, now - self._at), "since": max(0, uses - self._uses - self._retries)}

    def restore(self, left: float, at: float, uses: int) -> None:
        """Hold what was left at a moment when the instance had been given so many calls."""
        self._left, self._at, self._uses, self._retries = left, at, uses, 0
