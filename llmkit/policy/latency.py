"""How long answers have taken lately, as a histogram that forgets: any percentile, whatever the number of answers."""

from __future__ import annotations

import math
import threading

LEAST = 0.001
"""Seconds: the first bucket holds all that is quicker."""
RATIO = 1.1
"""Each bucket reaches this much further than the one before, so a percentile is at most a tenth too high."""
BUCKETS = 150
"""Up to 1,470 seconds; the last one holds all that is slower."""
MEMORY = 500
"""Answers after which one counts 1/e as much as a new one."""
ENOUGH = 20
"""Answers without which no percentile is given: fewer say nothing about a tail."""

_SCALE = 1 / math.log(RATIO)
_GROWTH = math.exp(1 / MEMORY)
_MOST = 1e12


class Latencies:
    """The times of one instance's answers. ``observe`` costs the same always, ``quantile`` one walk over the buckets; memory does
    not grow. Safe for threads."""

    __slots__ = ("_buckets", "_count", "_lock", "_total", "_weight")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets = [0.0] * BUCKETS
        self._count = 0
        self._total = 0.0
        self._weight = 1.0

    def observe(self, seconds: float) -> None:
        """Take note of an answer that took so many seconds."""
        bucket = 0
        if seconds > LEAST:
            bucket = min(int(math.log(seconds / LEAST) * _SCALE) + 1, BUCKETS - 1)
        with self._lock:
            # In place of making all that was before lighter, each answer is heavier than the one before.
            self._weight *= _GROWTH
            self._buckets[bucket] += self._weight
            self._total += self._weight
            self._count += 1
            if self._weight > _MOST:
                self._buckets = [held / self._weight for held in self._buckets]
                self._total = sum(self._buckets)
                self._weight = 1.0

    def quantile(self, share: float) -> float | None:
        """The seconds within which this share of the answers came, at most a tenth too many; None before there are enough.

        :param share: from 0 to 1, such as 0.95.
        """
        with self._lock:
            if self._count < ENOUGH:
                return None
            wanted = share * self._total
            reached = 0.0
            for bucket, held in enumerate(self._buckets):
                reached += held
                if held and reached >= wanted:
                    return float(LEAST * RATIO**bucket)
            last = max(bucket for bucket, held in enumerate(self._buckets) if held)
            return float(LEAST * RATIO**last)
