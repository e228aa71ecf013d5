"""Requests and tokens per minute and per day: when a call may start, and what it takes.

A :class:`Limiter` keeps the books of one scope: a key, an instance or a whole client. It waits for nothing and reads no clock:
whoever asks is told the earliest time at which a call could start, comes back then, and asks again. It is not locked: its
router's lock guards it.

Windows slide: in no span of 60 seconds, wherever it begins, do more than ``rpm`` requests start. To keep that so where the
vendor counts, each booking stays in the books 1 % longer than the window is long (:data:`MARGIN`), for requests that were sent
a minute apart and arrive a little less than that apart; and bookings that are close together (:data:`GRAIN`) share one entry that
leaves with the latest of them, so that a window has about two hundred entries at most, whatever the limit. Together that costs
up to 1.5 % of a limit, under a load that asks for all of it.

A call larger than a whole limit on tokens could never start; it starts alone, when the window is empty, and its size is an estimate
that may be too high. The vendor has the last word on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from llmkit.values.health import LimiterState, WindowState
from llmkit.wire.rate_limits import Quota, RateLimits

MINUTE = 60.0
DAY = 86400.0
MARGIN = 0.01
"""What a booking stays in the books beyond its window, as a part of the window."""
GRAIN = 0.005
"""Bookings this close together share an entry, as a part of the window."""
NEARLY = 1e-6
"""Part of a request or token that is not waited for: what division leaves over."""


class Entry:
    """What was booked in one grain of a window."""

    __slots__ = ("amount", "begun", "end")

    def __init__(self, begun: float, end: float, amount: int) -> None:
        self.begun = begun
        self.end = end
        """When it leaves the window; -1 once it has left."""
        self.amount = amount


class Window:
    """At most ``most`` in any ``seconds``.

    :param name: what it is called in a state: ``rpm``.
    """

    __slots__ = ("_entries", "_grain", "_pace", "_span", "drained", "most", "name", "seconds", "used")

    def __init__(self, name: str, most: int, seconds: float) -> None:
        self.name = name
        self.most = most
        self.seconds = seconds
        self.used = 0
        """What is booked, as of the last look; :meth:`expire` brings it up to date."""
        self.drained = 0.0
        """When all that was booked would be used up at the limit's own pace; see :attr:`Limiter.usage_score`."""
        self._span = seconds * (1 + MARGIN)
        self._grain = seconds * GRAIN
        self._pace = seconds / most
        self._entries: deque[Entry] = deque()

    def expire(self, now: float) -> None:
        """Forget what has left the window."""
        entries = self._entries
        while entries and entries[0].end <= now:
            entry = entries.popleft()
            self.used -= entry.amount
            entry.end = -1.0

    def ready_at(self, now: float, amount: int) -> float:
        """``now`` if ``amount`` fits in; else the earliest time at which it will, if nothing more is booked."""
        entries = self._entries
        if entries and entries[0].end <= now:
            self.expire(now)
        over = self.used - self.most + (amount if amount < self.most else self.most)
        if over <= 0:
            return now
        at = now
        for entry in entries:
            at = entry.end
            over -= entry.amount
            if over <= 0:
                break
        return at

    def take(self, now: float, amount: int) -> Entry:
        """Book ``amount``, whether it fits or not."""
        entries = self._entries
        end = now + self._span
        if entries and now - entries[-1].begun < self._grain:
            entry = entries[-1]
            entry.amount += amount
            if end > entry.end:
                entry.end = end
        else:
            self.expire(now)
            entry = Entry(now, end, amount)
            entries.append(entry)
        self.used += amount
        self.drained = (self.drained if self.drained > now else now) + amount * self._pace
        return entry

    def give_back(self, entry: Entry, amount: int) -> None:
        """Take ``amount`` out of an entry again; nothing where the entry has left the window."""
        if entry.end < 0:
            return
        entry.amount -= amount
        self.used -= amount
        self.drained -= amount * self._pace

    def state(self, now: float) -> WindowState:
        """What it holds, as data."""
        self.expire(now)
        seconds = max(0.0, self._entries[-1].end - now) if self._entries else 0.0
        return WindowState(self.name, self.most, self.used, seconds)

    def saved(self, now: float) -> list[tuple[float, int]]:
        """What it holds, as pairs of the seconds until it leaves and the amount."""
        self.expire(now)
        return [(entry.end - now, entry.amount) for entry in self._entries]

    def restore(self, saved: Iterable[tuple[float, int]], now: float) -> None:
        """Hold what was saved ``now`` instead of what it holds."""
        self._entries = deque(Entry(now + left - self._span, now + left, amount) for left, amount in saved)
        self.used = sum(entry.amount for entry in self._entries)
        self.drained = now + self.used * self._pace if self.used else 0.0


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

    __slots__ = ("at", "entries", "open", "requests", "tokens", "total")

    def __init__(self, at: float, tokens: int, entries: Sequence[Entry], requests: int, total: int) -> None:
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

    __slots__ = ("_requests", "_requests_taken", "_scored", "_tokens", "_tokens_taken", "_told_requests", "_told_tokens")

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
        self._requests = _windows(("rpm", rpm, MINUTE), ("rpd", rpd, DAY), *[(f"requests/{s:g}s", n, s) for n, s in requests])
        self._tokens = _windows(("tpm", tpm, MINUTE), ("tpd", tpd, DAY), *[(f"tokens/{s:g}s", n, s) for n, s in tokens])
        windows = (*self._requests, *self._tokens)
        shortest = min([window.seconds for window in windows], default=0.0)
        self._scored = tuple([window for window in windows if window.seconds == shortest])
        self._told_requests: Told | None = None
        self._told_tokens: Told | None = None
        self._requests_taken = 0
        self._tokens_taken = 0

    def ready_at(self, now: float, tokens: int) -> float:
        """``now`` if a call of ``tokens`` may start; else the earliest time at which it could, as things are booked now. A
        refund or a settlement can make it earlier, so whoever waits may be woken and ask again."""
        at = now
        for window in self._requests:
            if (ready := window.ready_at(now, 1)) > at:
                at = ready
        for window in self._tokens:
            if (ready := window.ready_at(now, tokens)) > at:
                at = ready
        if self._told_requests is not None and (ready := self._told_requests.ready_at(now, self._requests_taken, 1)) > at:
            at = ready
        if self._told_tokens is not None and (ready := self._told_tokens.ready_at(now, self._tokens_taken, tokens)) > at:
            at = ready
        return at

    def take(self, now: float, tokens: int) -> Taken:
        """Book a request and ``tokens``, the most it is expected to use, whether they fit or not."""
        self._requests_taken += 1
        self._tokens_taken += tokens
        entries = [window.take(now, 1) for window in self._requests]
        for window in self._tokens:
            entries.append(window.take(now, tokens))
        return Taken(now, tokens, entries, self._requests_taken, self._tokens_taken)

    def nothing(self, at: float) -> Taken:
        """What a call has taken that was sent before this limiter began."""
        return Taken(at, 0, (), self._requests_taken, self._tokens_taken)

    def settle(self, taken: Taken, tokens: int, now: float) -> bool:
        """Put what a call really used in the place of its estimate. What it used less comes free at once; what it used more counts
        from ``now``. The request stays booked. Once a call is settled or refunded, doing either again does nothing; a call whose
        usage stays unknown is settled by nobody, and its estimate stands.

        :return: True if something came free.
        """
        if not taken.open:
            return False
        taken.open = False
        more = (tokens if tokens > 0 else 0) - taken.tokens
        self._tokens_taken += more
        if more > 0:
            for window in self._tokens:
                window.take(now, more)
        elif more < 0:
            position = len(self._requests)
            for window in self._tokens:
                window.give_back(taken.entries[position], -more)
                position += 1
        return more < 0

    def refund(self, taken: Taken) -> bool:
        """Undo the booking of a call that was never sent.

        :return: True if something came free.
        """
        if not taken.open:
            return False
        taken.open = False
        self._requests_taken -= 1
        self._tokens_taken -= taken.tokens
        first = len(self._requests)
        for position, window in enumerate((*self._requests, *self._tokens)):
            window.give_back(taken.entries[position], 1 if position < first else taken.tokens)
        return True

    def learn(self, taken: Taken, observed: RateLimits) -> None:
        """Take in what the headers of an answer say of the vendor's own books: others may use the same key, and a limit may not be
        configured. Calls wait for it as they wait for a configured limit, which it never loosens. What is sent after the
        request whose answer this is counts on top; an answer to an older request than the last one heard changes nothing.
        """
        requests, tokens = observed.requests, observed.tightest_tokens
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
        return max([window.drained for window in self._scored], default=0.0)

    def headroom(self, now: float) -> float:
        """What is free of the tightest limit, from 0 (nothing) to 1 (all, or no limit)."""
        free = 1.0
        for window in (*self._requests, *self._tokens):
            window.expire(now)
            free = min(free, 1 - window.used / window.most)
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
        windows = tuple([window.state(now) for window in (*self._requests, *self._tokens)])
        return LimiterState(windows, told, self.headroom(now))

    def saved(self, now: float) -> dict[str, list[tuple[float, int]]]:
        """The books as plain data, by the window's name, for another process or the next start; see :meth:`restore`."""
        return {window.name: window.saved(now) for window in (*self._requests, *self._tokens)}

    def restore(self, saved: Mapping[str, Iterable[tuple[float, int]]], now: float) -> None:
        """Hold what was saved instead of what is held; windows of which nothing was saved stay as they are.

        :param now: when it was saved, on today's clock: earlier than the present by the time in between.
        """
        for window in (*self._requests, *self._tokens):
            if window.name in saved:
                window.restore(saved[window.name], now)


def _windows(*given: tuple[str, int | None, float]) -> tuple[Window, ...]:
    return tuple([Window(name, most, seconds) for name, most, seconds in given if most is not None])
