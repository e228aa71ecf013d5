"""A breaker: what fails again and again is left alone for a while."""

from __future__ import annotations

import threading


class Breaker:
    """Closed while things work. Opens after ``limit`` failures in a row, for ``pause`` seconds; then one try is let through, which
    closes it or opens it again. Safe for threads."""

    def __init__(self, limit: int = 3, pause: float = 5.0) -> None:
        self.limit = limit
        self.pause = pause
        self._lock = threading.Lock()
        self._failures = 0
        self._open_until: float | None = None

    @property
    def closed(self) -> bool:
        """Whether all is well."""
        return self._open_until is None

    def resting(self, now: float) -> bool:
        """Whether :meth:`allows` would say no."""
        return self._open_until is not None and now < self._open_until

    def allows(self, now: float) -> bool:
        """Whether to try at all. Where it is time to try again, only the first who asks may."""
        if self._open_until is None:
            return True
        with self._lock:
            if self._open_until is None:
                return True
            if now < self._open_until:
                return False
            self._open_until = now + self.pause
            return True

    def failed(self, now: float) -> bool:
        """Note a failure; True where this one opens the breaker."""
        with self._lock:
            self._failures += 1
            if self._failures < self.limit:
                return False
            opened = self._open_until is None
            self._open_until = now + self.pause
            return opened

    def worked(self) -> bool:
        """Note a success; True where this one closes the breaker."""
        if not self._failures:
            return False
        with self._lock:
            self._failures = 0
            closes = self._open_until is not None
            self._open_until = None
            return closes
