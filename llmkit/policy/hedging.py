"""Whether a late call may be doubled, and what late means for an instance."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

from llmkit.policy.latency import Latencies
from llmkit.values.hedging import Hedge

if TYPE_CHECKING:
    from llmkit.policy.routes import Route

MOST_CREDIT = 10.0
"""Doubled calls that may be saved up. It bounds the extra load at the moment when everything becomes slow at once."""


class Hedging:
    """A client's account of doubled calls, and its instances' times.

    Each call that may be hedged pays in its ``max_extra``, each doubled one takes 1 out. The account begins with 1, so of n calls
    at most ``1 + n * max_extra`` are doubled. Safe for threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._credit = 1.0
        self._times: weakref.WeakKeyDictionary[Route, tuple[Latencies, Latencies]] = weakref.WeakKeyDictionary()

    def times(self, route: Route, streamed: bool) -> Latencies:
        """An instance's times: of whole answers, or of streams up to their first content."""
        with self._lock:
            pair = self._times.get(route)
            if pair is None:
                pair = self._times[route] = (Latencies(), Latencies())
        return pair[streamed]

    def delay(self, hedge: Hedge, times: Latencies) -> float | None:
        """The seconds after which a try is late; None where that is not known yet."""
        quantile = hedge.quantile
        return float(hedge.delay) if quantile is None else times.quantile(quantile)

    def pay_in(self, hedge: Hedge) -> None:
        """A call that may be hedged begins."""
        with self._lock:
            self._credit = min(self._credit + hedge.max_extra, MOST_CREDIT)

    def affords(self) -> bool:
        """Whether a call could be doubled now."""
        return self._credit >= 1.0 - 1e-9

    def take(self) -> bool:
        """Take out what a doubled call costs; False where there is too little."""
        with self._lock:
            if not self.affords():
                return False
            self._credit -= 1.0
            return True

    def give_back(self) -> None:
        """The call was not doubled after all."""
        with self._lock:
            self._credit = min(self._credit + 1.0, MOST_CREDIT)
