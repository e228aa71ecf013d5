"""Requests and tokens per minute and per day: when a call may start, and what it takes.

A :class:`Limiter` keeps the books of one scope: a key, an instance or a whole client. It waits for nothing and reads no clock:
whoever asks is told the earliest time at which a call could start, comes back then, and asks again. It is not locked: its
router's lock guards it. See :mod:`llmkit.policy.windows` for what a limit means.

A call larger than a whole limit on tokens could never start; it starts alone, when the window is empty, and its size is an estimate
that may be too high. The vendor has the last word on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from llmkit.policy.windows import Entry, Window
from llmkit.values.health import LimiterState
from llmkit.wire.rate_limits import Quota, RateLimits

MINUTE = 60.0
DAY = 86400.0
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


class Taken:
    """What one call has booked, until it is settled or refunded."""

    __slots__ = ("at", "entries", "limiter", "open", "requests", "tokens", "total")

    def __init__(self, limiter: Limiter, at: float, tokens: int, entries: Sequence[Entry], requests: int, total: int) -> None:
        self.limiter = limiter
        self.at = at
        self.tokens = tokens
        self.entries = entries
        """One in each window, in the order of the limiter's windows."""
        self.open = True
        self.requests = requests
        """All requests that were booked up to this one; :class:`Told` counts from here."""
        self.total = total
        """All tokens, likewise."""


class Limiter:
    """The limits of one scope. A limit that is None is not kept; one without any keeps what vendors tell, see :meth:`learn`.

    :param rpm: requests per minute.
    :param tpm: tokens per minute, prompt and answer together.
    :param rpd: requests in any 24 hours.
    :param tpd: tokens in any 24 hours.
    :param requests: more limits on requests, as pairs of a number and the seconds it is for.
    :param tokens: the same for tokens.
    """

    __slots__ = ("_requests_taken", "_tokens_taken", "_told", "_told_requests", "_told_tokens", "_windows", "counts_tokens")

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
        self._windows = tuple([Window(seconds, *both, _names(seconds)) for seconds, both in limits])
        self.counts_tokens = any([window.counts_tokens for window in self._windows])
        """Whether anything here limits tokens, as far as is known."""
        self._told = False
        """Whether a vendor has said anything."""
        self._told_requests: Told | None = None
        self._told_tokens: Told | None = None
        self._requests_taken = 0
        self._tokens_taken = 0

    def ready_at(self, now: float, tokens: int) -> float:
        """``now`` if a call of ``tokens`` may start; else the earliest time at which it could, as things are booked now. A
        refund or a settlement can make it earlier, so whoever waits may be woken and ask again."""
        at = now
        for window in self._windows:
            if window.requests >= window.most_requests or window.tokens + tokens > window.most_tokens:
                at = max(at, window.ready_at(now, tokens))
        if self._told:
            if self._told_requests is not None:
                at = max(at, self._told_requests.ready_at(now, self._requests_taken, 1))
            if self._told_tokens is not None:
                at = max(at, self._told_tokens.ready_at(now, self._tokens_taken, tokens))
        return at

    def take(self, now: float, tokens: int) -> Taken:
        """Book a request and ``tokens``, the most it is expected to use, whether they fit or not."""
        self._requests_taken += 1
        self._tokens_taken += tokens
        entries = []
        for window in self._windows:
            entries.append(window.take(now, 1, tokens))
        return Taken(self, now, tokens, entries, self._requests_taken, self._tokens_taken)

    def nothing(self, at: float) -> Taken:
        """What a call has taken that was sent before this limiter began."""
        return Taken(self, at, 0, (), self._requests_taken, self._tokens_taken)

    def settle(self, taken: Taken, tokens: int, now: float) -> None:
        """Put what a call really used in the place of its estimate. What it used less comes free at once; what it used more counts
        from ``now``. The request stays booked. Once a call is settled or refunded, doing either again does nothing; a call whose
        usage stays unknown is settled by nobody, and its estimate stands."""
        if not taken.open:
            return
        taken.open = False
        if not self.counts_tokens:
            return
        more = (tokens if tokens > 0 else 0) - taken.tokens
        self._tokens_taken += more
        if more > 0:
            for window in self._windows:
                window.take(now, 0, more)
        elif more < 0:
            for window, entry in zip(self._windows, taken.entries):  # noqa: B905 (none, where a vendor's word made the limiter)
                window.give_back(entry, 0, -more)

    def refund(self, taken: Taken) -> None:
        """Undo the booking of a call that was never sent."""
        if not taken.open:
            return
        taken.open = False
        self._requests_taken -= 1
        self._tokens_taken -= taken.tokens
        for window, entry in zip(self._windows, taken.entries):  # noqa: B905
            window.give_back(entry, 1, taken.tokens)

    def learn(self, taken: Taken, observed: RateLimits) -> None:
        """Take in what the headers of an answer say of the vendor's own books: others may use the same key, and a limit may not be
        configured. Calls wait for it as they wait for a configured limit, which it never loosens. What is sent after the
        request whose answer this is counts on top; an answer to an older request than the last one heard changes nothing.
        """
        requests, tokens = observed.requests, observed.tightest_tokens
        self._told = self._told or requests is not None or tokens is not None
        self.counts_tokens = self.counts_tokens or tokens is not None
        if requests is not None and (self._told_requests is None or taken.at >= self._told_requests.sent):
            self._told_requests = Told(requests, taken.requests, taken.at)
        if tokens is not None and (self._told_tokens is None or taken.at >= self._told_tokens.sent):
            self._told_tokens = Told(tokens, taken.total, taken.at)

    @property
    def usage_score(self) -> float:
        """Orders limiters by how much of their limits is free, the freest first: the time at which all that is booked would be
        used up at the limit's own pace, of the shortest windows there are; 0 without a limit. It changes when something is booked,
        settled or refunded, never by itself, so instances can be kept in a heap by it. Those whose score lies in the past are all
        as good as unused.
        """
        return self._windows[0].drained if self._windows else 0.0

    def headroom(self, now: float) -> float:
        """What is free of the tightest limit, from 0 (nothing) to 1 (all, or no limit)."""
        free = min([window.headroom(now) for window in self._windows], default=1.0)
        for told, taken in ((self._told_requests, self._requests_taken), (self._told_tokens, self._tokens_taken)):
            if told is not None:
                free = min(free, told.left(now, taken) / told.limit)
        return max(0.0, free)

    def state(self, now: float) -> LimiterState:
        """What is booked, as data."""
        told = {}
        for name, one, taken in (
            ("requests", self._told_requests, self._requests_taken),
            ("tokens", self._told_tokens, self._tokens_taken),
        ):
            if one is not None:
                told[name] = (one.limit, max(0.0, one.left(now, taken)))
        windows = [state for window in self._windows for state in window.state(now)]
        return LimiterState(tuple(windows), told, self.headroom(now))

    def saved(self, now: float) -> dict[str, list[tuple[float, int]]]:
        """The books as plain data, by the window's name, for another process or the next start; see :meth:`restore`."""
        return {name: held for window in self._windows for name, held in window.saved(now).items()}

    def restore(self, saved: Mapping[str, Iterable[tuple[float, int]]], now: float) -> None:
        """Hold what was saved instead of what is held; windows of which nothing was saved stay as they are.

        :param now: when it was saved, on today's clock: earlier than the present by the time in between.
        """
        for window in self._windows:
            window.restore(saved, now)


def _names(seconds: float) -> tuple[str, str]:
    if seconds in (MINUTE, DAY):
        return ("rpm", "tpm") if seconds == MINUTE else ("rpd", "tpd")
    return f"requests/{seconds:g}s", f"tokens/{seconds:g}s"
