"""When each instance is probed, and what its probes say: after so many that failed in a row it gets no calls, until one works."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from llmkit.policy.breaker import is_fault

if TYPE_CHECKING:
    from llmkit.errors import LLMError
    from llmkit.policy.routes import Route
    from llmkit.values.health import Probe

PROBE_SECONDS = 5.0
"""The longest that a probe may take."""
JITTER = 0.1
"""Part of the interval by which it varies, so that instances which were added together are not probed together for ever."""
TICKS = 50
"""How many times in an interval it is looked whose turn it is, at most."""


class Watch:
    """What is known of one instance's probes."""

    due = math.inf
    began = -math.inf
    """When the last one began, on the runtime's clock."""
    running = False
    void = False
    """Whether what the one that is under way says counts no more."""
    failures = 0
    """In a row."""


class Checks:
    """A client's health checks. Safe for threads.

    :param interval: seconds between two probes of an instance; None for none in the background.
    :param threshold: failures in a row after which an instance gets no calls.
    :param random: gives numbers from 0 to 1.
    """

    def __init__(self, interval: float | None, threshold: int, random: Callable[[], float]) -> None:
        self.interval = interval
        self.threshold = threshold
        self._random = random
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._watches: weakref.WeakKeyDictionary[Route, Watch] = weakref.WeakKeyDictionary()
        self.last: weakref.WeakKeyDictionary[Route, Probe] = weakref.WeakKeyDictionary()
        """Each instance's last probe."""

    reset = _begin
    """Start afresh in a forked child, where no probe is under way and no lock is held."""

    @property
    def timeout(self) -> float:
        """The seconds that a probe may take."""
        return PROBE_SECONDS if self.interval is None else min(PROBE_SECONDS, self.interval)

    def _watch(self, route: Route) -> Watch:
        return self._watches.get(route) or self._watches.setdefault(route, Watch())

    def begin(self, route: Route, now: float) -> bool:
        """A probe begins; False where one of that instance is under way."""
        with self._lock:
            watch = self._watch(route)
            if watch.running:
                return False
            watch.running = True
            watch.began = now
            return True

    def afresh(self, route: Route) -> None:
        """Somebody has switched an instance on: what its probes have said counts no more, nor what one will that is under way."""
        with self._lock:
            watch = self._watch(route)
            watch.failures = 0
            watch.void = watch.running

    def ended(self, route: Route, probe: Probe | None, now: float) -> bool | None:
        """A probe is over; None for one that was called off. True where the instance is to get no calls from now on, False where it
        may get them, None where the probe says nothing new about that.

        An answer that a call got since the last probe outweighs what came before: an instance that serves calls is not taken away
        from them because its list of models is broken.
        """
        with self._lock:
            watch = self._watch(route)
            void, watch.running, watch.void = watch.void, False, False
            if probe is None:
                return None
            self.last[route] = probe
            if self.interval is not None:
                watch.due = now + self.interval * (1 + JITTER * (self._random() - 0.5))
            if probe.ok is None or void:
                return None
            if not fails(probe.error):
                watch.failures = 0
                return False
            answered = max(route.latency_at, route.first_event_at)
            if self.interval is not None and answered > watch.began - self.interval:
                watch.failures = 0
            watch.failures += 1
            return True if self.interval is not None and watch.failures >= self.threshold else None

    def due(self, routes: Iterable[Route], now: float) -> tuple[list[Route], float]:
        """The instances whose turn it is, and the seconds until it should be looked again. A new one's first turn comes at some
        time in its first interval."""
        interval = self.interval or 0.0
        found, soonest = [], now + interval
        with self._lock:
            for route in routes:
                if not route.enabled or "models" not in route.provider.features:
                    continue
                watch = self._watch(route)
                if watch.due == math.inf:
                    watch.due = now + interval * self._random()
                if watch.running:
                    continue
                if watch.due <= now:
                    found.append(route)
                else:
                    soonest = min(soonest, watch.due)
        return found, max(soonest - now, interval / TICKS)

    def next_at(self, route: Route) -> float | None:
        """When an instance is probed next, on the runtime's clock; None where that is not known."""
        watch = self._watches.get(route)
        return None if watch is None or watch.due == math.inf else watch.due


def fails(error: LLMError | None) -> bool:
    """Whether a probe's error says that the instance is not well. One that refuses the key, or has no list of models, answers."""
    return error is not None and is_fault(error)
