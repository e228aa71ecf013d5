"""Requests and tokens per minute and per day: when a call may start, and what it takes.

A :class:`Limiter` keeps the books of one scope: a key, an instance or a whole client. It waits for nothing and reads no clock:
whoever asks is told the earliest time at which a call could start, comes back then, and asks again. It is not locked: its
router's lock guards it. See :mod:`llmkit.policy.windows` for what a limit means.

A call larger than a whole limit on tokens could never start; it starts alone, when the window is empty, and its size is an estimate
that may be too high. The vendor has the last word on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from llmkit.policy.routes import Booking
from llmkit.policy.windows import Window
from llmkit.values.health import LimiterState
from llmkit.wire.rate_limits import Quota, RateLimits

MINUTE = 60.0
DAY = 86400.0
NO_LIMIT: Sequence[tuple[float, tuple[None, None]]] = ((MINUTE, (None, None)),)
NEARLY = 1e-6
"""Part of a request or token that is not waited for: what division leaves over."""


class Told:
    """What a vendor said last of one of its limits: a bucket that fills up again at an even pace, as OpenAI's, Anthropic's and
    Groq's do (https://docs.anthropic.com/en/api/rate-limits).

    :param taken: all that had been booked here when the request was sent whose answer said so, that request included.
    """

    __slots__ = ("_at", "_base", "_pace", "limit", "sent")

    def __init__(self, quota: Quota, taken: int, sent: float) -> None:
        self.limit = quota.limit if quota.limit > quota.remaining else quota.remaining
        self.sent = sent
        self._pace = self.limit / _refill(quota, self.limit)
        self._base = quota.remaining + taken
        self._at = sent

    def left(self, now: float, taken: int) -> float:
        """What is left of the limit when ``taken`` is all that was booked here ever; below zero where more is under way."""
        left = self._base - taken + self._pace * max(0.0, now - self._at)
        if left > self.limit:
            left = self.limit
            self._base, self._at = left + taken, now
        return left

    def ready_at(self, now: float, taken: int, amount: int) -> float:
        """As :meth:`Window.ready_at`."""
        lacking = min(amount, self.limit) - self.left(now, taken)
        return now if lacking <= NEARLY else now + lacking / self._pace


def _refill(quota: Quota, limit: float) -> float:
    """Seconds in which an empty bucket fills up: the window's length where the vendor tells it; else such that what is missing is
    back when the vendor says; else a minute."""
    if quota.window is not None:
        return quota.window
    if not quota.reset:
        return MINUTE
    missing = limit - quota.remaining
    return quota.reset * limit / missing if missing > 0 else quota.reset


class Limiter:
    """The limits of one scope. A limit that is None is not kept; one without any keeps what vendors tell, see :meth:`learn`.

    :param rpm: requests per minute.
    :param tpm: tokens per minute, prompt and answer together.
    :param rpd: requests in any 24 hours.
    :param tpd: tokens in any 24 hours.
    :param requests: more limits on requests, as pairs of a number and the seconds it is for.
    :param tokens: the same for tokens.
    """

    __slots__ = ("told", "windows")

    def __init__(
        self,
        rpm: int | None = None,
        tpm: int | None = None,
        rpd: int | None = None,
        tpd: int | None = None,
        *,
        requests: Iterable[tuple[int, float]] = (),
        tokens: Iterable[tuple[int, float]] = (),
    ) -> None:
        most: dict[float, tuple[int | None, int | None]] = {MINUTE: (rpm, tpm), DAY: (rpd, tpd)}
        for number, seconds in requests:
            before, other = most.get(seconds, (None, None))
            most[seconds] = (number if before is None else min(before, number), other)
        for number, seconds in tokens:
            other, before = most.get(seconds, (None, None))
            most[seconds] = (other, number if before is None else min(before, number))
        limits = sorted((seconds, both) for seconds, both in most.items() if both != (None, None))
        self.windows = tuple([Window(seconds, *both, _names(seconds)) for seconds, both in limits or NO_LIMIT])
        """The shortest first, which counts all that is booked. One without limits where there are none."""
        self.windows[0].counts_tokens = any([window.counts_tokens for window in self.windows])
        self.told: dict[str, Told] = {}
        """What the vendor has said, of ``requests`` and of ``tokens``."""

    @property
    def booked(self) -> dict[str, int]:
        """``requests`` and ``tokens`` that have ever been booked; :class:`Told` counts from there."""
        return {"requests": self.windows[0].requests, "tokens": self.windows[0].tokens}

    def ready_at(self, now: float, tokens: int) -> float:
        """``now`` if a call of ``tokens`` may start; else the earliest time at which it could, as things are booked now. A
        refund or a settlement can make it earlier, so whoever waits may be woken and ask again."""
        at = now
        for window in self.windows:
            if window.requests >= window.room_requests or window.tokens + tokens > window.room_tokens:
                at = max(at, window.ready_at(now, tokens))
        if self.told:
            booked = self.booked
            for name, told in self.told.items():
                at = max(at, told.ready_at(now, booked[name], 1 if name == "requests" else tokens))
        return at

    def learn(self, booking: Booking, observed: RateLimits) -> None:
        """Take in what the headers of an answer say of the vendor's own books: others may use the same key, and a limit may not be
        configured. Calls wait for it as they wait for a configured limit, which it never loosens. What is sent after the
        request whose answer this is counts on top; an answer to an older request than the last one heard changes nothing.
        """
        booked = {"requests": 0, "tokens": 0}  # all that is in the books came after a call that is not in them
        if booking.first is self.windows[0]:
            requests, tokens = booking.before
            booked = {"requests": requests + 1, "tokens": tokens + booking.tokens}
        for name, quota in (("requests", observed.requests), ("tokens", observed.tightest_tokens)):
            if quota is not None and (name not in self.told or booking.started >= self.told[name].sent):
                self.told[name] = Told(quota, booked[name], booking.started)
        if "tokens" in self.told:
            self.windows[0].counts_tokens = True

    @property
    def usage_score(self) -> float:
        """Orders limiters by how much of their limits is free, the freest first: the time at which all that is booked would be
        used up at the limit's own pace, of the shortest windows there are; 0 without a limit. It changes when something is booked,
        settled or refunded, never by itself, so instances can be kept in a heap by it. Those whose score lies in the past are all
        as good as unused.
        """
        return self.windows[0].drained

    def headroom(self, now: float) -> float:
        """What is free of the tightest limit, from 0 (nothing) to 1 (all, or no limit)."""
        booked = self.booked
        free = [told.left(now, booked[name]) / told.limit for name, told in self.told.items()]
        return max(0.0, min([*free, *(window.headroom(now) for window in self.windows)]))

    def state(self, now: float) -> LimiterState:
        """What is booked, as data."""
        booked = self.booked
        told = {name: (told.limit, max(0.0, told.left(now, booked[name]))) for name, told in self.told.items()}
        windows = [state for window in self.windows for state in window.state(now)]
        return LimiterState(tuple(windows), told, self.headroom(now))

    def saved(self, now: float) -> dict[str, list[tuple[float, int]]]:
        """The books as plain data, by the window's name, for another process or the next start; see :meth:`restore`."""
        return {name: held for window in self.windows for name, held in window.saved(now).items()}

    def restore(self, saved: Mapping[str, Iterable[tuple[float, int]]], now: float) -> None:
        """Hold what was saved instead of what is held; windows of which nothing was saved stay as they are.

        :param now: when it was saved, on today's clock: earlier than the present by the time in between.
        """
        for window in self.windows:
            window.restore(saved, now)


def _names(seconds: float) -> tuple[str, str]:
    if seconds in (MINUTE, DAY):
        return ("rpm", "tpm") if seconds == MINUTE else ("rpd", "tpd")
    return f"requests/{seconds:g}s", f"tokens/{seconds:g}s"
