"""Limits on a key, as the server counts them: every request and token of the last minute is remembered, none is rounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import attrs

from llmkit.errors import ConfigError, did_you_mean, shown
from llmkit.simulated import Allowance, Refusal

MINUTES_A_DAY = 1440


@attrs.frozen
class KeyLimits:
    """What a key may do. None means no limit."""

    rpm: int | None = None
    """Requests a minute."""
    tpm: int | None = None
    """Tokens a minute, prompt and answer together, booked when a request comes in. It is refused if its prompt has no room."""
    rpd: int | None = None
    """Requests in 24 hours."""
    tpd: int | None = None
    """Tokens in 24 hours."""
    concurrency: int | None = None
    """Requests at once."""
    minute: float = 60.0
    """Seconds that a minute lasts here, for those in a hurry; a day has 1440 of them."""


Limit = int | tuple[int, float] | Mapping[str, Any] | KeyLimits
"""Requests per minute, or (requests, seconds), or the fields of :class:`KeyLimits` as a mapping, or one."""


def key_limits(limit: Limit) -> KeyLimits:
    """What a limit given in short means.

    :raises ConfigError: if it means nothing.
    """
    if isinstance(limit, KeyLimits):
        return limit
    if isinstance(limit, Mapping):
        names = [field.name for field in attrs.fields(KeyLimits)]
        for name in limit:
            if name not in names:
                raise ConfigError(f"rate_limits: no limit {shown(name)}; there are {', '.join(names)}{did_you_mean(name, names)}")
        return KeyLimits(**limit)
    if isinstance(limit, tuple):
        return KeyLimits(rpm=limit[0], minute=limit[1])
    return KeyLimits(rpm=limit)


class Meter:
    """Counts one key's requests and tokens at one vendor."""

    def __init__(self, limits: KeyLimits) -> None:
        self.limits = limits
        minute, day = limits.minute, limits.minute * MINUTES_A_DAY
        given = (
            ("requests", limits.rpm, minute),
            ("tokens", limits.tpm, minute),
            ("requests", limits.rpd, day),
            ("tokens", limits.tpd, day),
        )
        self._windows = [_Window(kind, most, seconds) for kind, most, seconds in given if most is not None]

    def arrive(self, now: float, in_flight: int) -> None:
        """Count a request.

        :param in_flight: the key's other requests that are being answered.
        :raises Refusal: if it is one too many.
        """
        if self.limits.concurrency is not None and in_flight >= self.limits.concurrency:
            raise Refusal("rate_limit", "Too many concurrent requests.")
        self._fit("requests", 1, now)
        self.book("requests", 1, now)

    def read(self, prompt_tokens: int, now: float) -> None:
        """See whether a prompt has room.

        :raises Refusal: if not.
        """
        self._fit("tokens", prompt_tokens, now)

    def book(self, kind: str, amount: int, now: float) -> None:
        """Count what was asked for or used."""
        for window in self._windows:
            if window.kind == kind and amount:
                window.add(amount, now)

    def allowances(self, now: float) -> list[Allowance]:
        """How things stand, a limit of the minute before one of the day."""
        return [window.allowance(now) for window in self._windows]

    def _fit(self, kind: str, amount: int, now: float) -> None:
        wait = max([window.wait(amount, now) for window in self._windows if window.kind == kind], default=0.0)
        if wait > 0:
            raise Refusal("rate_limit", retry_after=wait)


class _Window:
    def __init__(self, kind: str, most: int, seconds: float) -> None:
        self.kind, self.most, self.seconds = kind, most, seconds
        self._used = 0
        self._booked: deque[tuple[float, int]] = deque()

    def _expire(self, now: float) -> None:
        while self._booked and self._booked[0][0] <= now - self.seconds:
            self._used -= self._booked.popleft()[1]

    def wait(self, amount: int, now: float) -> float:
        """Seconds until ``amount`` has room; more than the whole limit never has, which is told as a whole window."""
        self._expire(now)
        over = self._used + amount - self.most
        if over <= 0:
            return 0.0
        for at, booked in self._booked:
            over -= booked
            if over <= 0:
                return at + self.seconds - now
        return self.seconds

    def add(self, amount: int, now: float) -> None:
        self._expire(now)
        self._used += amount
        self._booked.append((now, amount))

    def allowance(self, now: float) -> Allowance:
        self._expire(now)
        used = min(self._used, self.most)
        return Allowance(self.kind, self.most, self.most - used, self.seconds * used / max(self.most, 1), self.seconds)
