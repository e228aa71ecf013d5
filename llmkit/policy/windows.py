"""Sliding windows of requests and tokens.

In no span of 60 seconds, wherever it begins, do more than ``rpm`` requests start. To keep that so where the
vendor counts, each booking stays in the books 1 % longer than the window is long (:data:`MARGIN`), for requests that were sent
a minute apart and arrive a little less than that apart; and bookings that are close together (:data:`GRAIN`) share one entry that
leaves with the latest of them, so that a window has about two hundred entries at most, whatever the limit. Together that costs
up to 1.5 % of a limit, under a load that asks for all of it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping

from llmkit.values.health import WindowState

MARGIN = 0.01
"""What a booking stays in the books beyond its window, as a part of the window."""
GRAIN = 0.005
"""Bookings this close together share an entry, as a part of the window."""
GONE = -math.inf
"""The end of an entry that has left its window, whatever the clock shows."""


class Entry:
    """What was booked in one grain of a window."""

    __slots__ = ("begun", "end", "requests", "tokens")

    def __init__(self, begun: float, end: float, requests: int, tokens: int) -> None:
        self.begun = begun
        self.end = end
        """When it leaves the window; :data:`GONE` once it has left."""
        self.requests = requests
        self.tokens = tokens


class Window:
    """At most so many requests and so many tokens in any ``seconds``; None for no limit.

    :param names: what the two limits are called in a state: ``rpm`` and ``tpm``.
    """

    __slots__ = (
        *("_drained", "_entries", "_grain", "_last", "_last_until", "_names", "_request_pace", "_span", "_token_pace"),
        *("_gone_requests", "_gone_tokens", "counts_tokens", "most_requests", "most_tokens", "requests", "room_requests"),
        *("room_tokens", "seconds", "tokens"),
    )

    def __init__(self, seconds: float, requests: int | None, tokens: int | None, names: tuple[str, str]) -> None:
        self.seconds = seconds
        self.most_requests = math.inf if requests is None else requests
        self.most_tokens = math.inf if tokens is None else tokens
        self.requests = 0
        """Requests that were ever booked."""
        self.tokens = 0
        """Tokens, likewise."""
        self.room_requests = self.most_requests
        """What :attr:`requests` may grow to, as of the last look; :meth:`expire` brings it up to date."""
        self.room_tokens = self.most_tokens
        """What :attr:`tokens` may, likewise."""
        self._gone_requests = 0
        """Requests that have left the window; those that are in it are the others."""
        self._gone_tokens = 0
        self.counts_tokens = tokens is not None
        """Whether what a call really used matters here."""
        self._names = names
        self._span = seconds * (1 + MARGIN)
        self._grain = seconds * GRAIN
        self._request_pace = seconds / self.most_requests
        self._token_pace = seconds / self.most_tokens
        self._drained: tuple[float, float] | None = None
        """When the booked requests and tokens would be used up; None until somebody asks for :attr:`drained`."""
        self._entries: deque[Entry] = deque()
        self._last = Entry(0.0, GONE, 0, 0)
        """The newest entry, which bookings before :attr:`_last_until` go to."""
        self._last_until = -math.inf

    def expire(self, now: float) -> None:
        """Forget what has left the window."""
        entries = self._entries
        while entries and entries[0].end <= now:
            entry = entries.popleft()
            self._leave(entry.requests, entry.tokens)
            entry.end = GONE
            if not entries:
                self._last_until = -math.inf  # whatever the clock does next

    def _leave(self, requests: int, tokens: int) -> None:
        self._gone_requests += requests
        self._gone_tokens += tokens
        self.room_requests += requests
        self.room_tokens += tokens

    def ready_at(self, now: float, tokens: int) -> float:
        """``now`` if a request of ``tokens`` fits in; else the earliest time at which it will, if nothing more is booked."""
        entries = self._entries
        if entries and entries[0].end <= now:
            self.expire(now)
        if self.requests < self.room_requests and self.tokens + tokens <= self.room_tokens:
            return now
        requests = self.requests + 1 - self.room_requests
        over = self.tokens + min(tokens, self.most_tokens) - self.room_tokens
        at = now
        for entry in entries:
            if requests <= 0 and over <= 0:
                break
            at = entry.end
            requests -= entry.requests
            over -= entry.tokens
        return at

    def take(self, now: float, requests: int, tokens: int) -> Entry:
        """Book requests and tokens, whether they fit or not."""
        end = now + self._span
        if now < self._last_until:
            entry = self._last
            entry.requests += requests
            entry.tokens += tokens
            if end > entry.end:
                entry.end = end
        else:
            self.expire(now)
            entry = self._last = Entry(now, end, requests, tokens)
            self._last_until = now + self._grain
            self._entries.append(entry)
        self.requests += requests
        self.tokens += tokens
        if self._drained is not None:
            self._drain(now, requests, tokens)
        return entry

    def _drain(self, now: float, requests: int, tokens: int) -> None:
        by_requests, by_tokens = self._drained or (0.0, 0.0)
        self._drained = (max(by_requests, now) + requests * self._request_pace, max(by_tokens, now) + tokens * self._token_pace)

    def give_back(self, entry: Entry, tokens: int) -> None:
        """Take tokens out of an entry again; out of what has gone where the entry has left the window."""
        self.tokens -= tokens
        if entry.end == GONE:
            self._leave(0, -tokens)
            return
        entry.tokens -= tokens
        if self._drained is not None:
            by_requests, by_tokens = self._drained
            self._drained = (by_requests, by_tokens - tokens * self._token_pace)

    def undo(self, entry: Entry, tokens: int) -> None:
        """The same for a request and its tokens."""
        self.give_back(entry, tokens)
        self.requests -= 1
        if entry.end == GONE:
            self._leave(-1, 0)
            return
        entry.requests -= 1
        if self._drained is not None:
            by_requests, by_tokens = self._drained
            self._drained = (by_requests - self._request_pace, by_tokens)

    @property
    def drained(self) -> float:
        """When all that was booked would be used up at the limits' own pace; 0 before anything was, and without limits."""
        if self._request_pace == self._token_pace == 0:
            return 0.0
        if self._drained is None:
            self._drained = (0.0, 0.0)
            for entry in self._entries:
                self._drain(entry.begun, entry.requests, entry.tokens)
        return max(self._drained)

    def headroom(self, now: float) -> float:
        """What is free of the tighter limit, from 0 (nothing) to 1 (all)."""
        self.expire(now)
        requests, tokens = self._held
        return 1 - max(requests / self.most_requests, tokens / self.most_tokens)

    def state(self, now: float) -> list[WindowState]:
        """What it holds of each limit, as data."""
        self.expire(now)
        seconds = max(0.0, self._entries[-1].end - now) if self._entries else 0.0
        return [WindowState(name, int(most), used, seconds) for name, most, used in self._limits()]

    def saved(self, now: float) -> dict[str, list[tuple[float, int]]]:
        """What it holds of each limit, as pairs of the seconds until it leaves and the amount."""
        self.expire(now)
        amounts = {name: name == self._names[0] for name, _, _ in self._limits()}
        return {
            name: [(entry.end - now, entry.requests if requests else entry.tokens) for entry in self._entries]
            for name, requests in amounts.items()
        }

    def restore(self, saved: Mapping[str, Iterable[tuple[float, int]]], now: float) -> None:
        """Hold what was saved ``now`` instead of what it holds; a limit of which nothing was saved holds what it held."""
        kept = {**self.saved(now), **{name: saved[name] for name in self._names if name in saved}}
        ends: dict[float, tuple[int, int]] = {}
        for position, name in enumerate(self._names):
            for left, amount in kept.get(name, ()):
                requests, tokens = ends.get(left, (0, 0))
                ends[left] = (requests, tokens + amount) if position else (requests + amount, tokens)
        for entry in self._entries:
            entry.end = GONE
        entries = [Entry(now + left - self._span, now + left, *ends[left]) for left in sorted(ends)]
        self._entries = deque(entries)
        self._last_until = -math.inf
        requests, tokens = sum([entry.requests for entry in entries]), sum([entry.tokens for entry in entries])
        before = self._held
        self._leave(before[0] - requests, before[1] - tokens)
        self._drained = (
            now + requests * self._request_pace if requests else 0.0,
            now + tokens * self._token_pace if tokens else 0.0,
        )

    @property
    def _held(self) -> tuple[int, int]:
        """Requests and tokens in the window, as of the last look."""
        return self.requests - self._gone_requests, self.tokens - self._gone_tokens

    def _limits(self) -> list[tuple[str, float, int]]:
        both = zip(self._names, (self.most_requests, self.most_tokens), self._held, strict=True)
        return [(name, most, used) for name, most, used in both if most < math.inf]
