"""The keys of one instance: who is next, who rests, and until when."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

from llmkit.errors import AuthenticationError, LLMError, PermissionDeniedError, QuotaExceededError, RateLimitError
from llmkit.values.secret import Secret

if TYPE_CHECKING:
    from llmkit.policy.limits import Limiter
    from llmkit.policy.windows import Window

UNHINTED_REST = 1.0, 60.0
"""Seconds a key rests after a 429 that names no time: the first rest, doubled each time in a row, and the longest."""
REFUSED_REST = 3600.0, 86400.0
"""The same after a 401 or 403: a probe after an hour, then ever more rarely."""
QUOTA_REST = 900.0, 86400.0
"""The same after a used-up quota or credit."""

STEP = 1.0
"""Seconds after which a key that comes back from a 429 may be given twice as many calls."""
RAMPED = 6
"""Doublings after which it is back at work."""
RAMP_ENDS = 60.0
"""Seconds after the rest from which on a key that nobody used is as good as any."""


class Key:
    """One key and its state. ``secret`` is None for servers that want none."""

    __slots__ = (
        "in_flight",
        "label",
        "limiter",
        "look_at",
        "ramp",
        "rest_until",
        "resting",
        "secret",
        "strikes",
        "struck_at",
        "uses",
        "windows",
    )

    def __init__(self, label: str, secret: Secret | None) -> None:
        self.label = label
        """``openai#2``: what logs, attempts and errors show."""
        self.secret = secret
        self.in_flight = 0
        self.uses = 0
        self.rest_until = 0.0
        """Not used before this time, on the runtime's clock."""
        self.resting: LLMError | None = None
        """Why it rests, or the last reason it did."""
        self.strikes = 0
        """Refusals in a row."""
        self.struck_at = 0.0
        self.limiter: Limiter | None = None
        """Its own limits on requests and tokens, configured or learned."""
        self.windows: tuple[Window, ...] = ()
        """Where a call with it is booked: its own limits, then its instance's."""
        self.ramp: Ramp | None = None
        """How it comes back to work after a 429."""
        self.look_at = 0.0
        """When to read the vendor's word on its limits again."""


class Ramp:
    """How many calls a key may be given after a rest for a 429 that named no time. Nobody knows how much room there is then, and
    all that wait would leave together, to be refused together. One first, then twice as many every :data:`STEP` seconds, and two
    more for each that is answered; up to :data:`RAMPED` doublings, or :data:`RAMP_ENDS` seconds after the rest."""

    __slots__ = ("_ends_at", "_left", "_size", "_steps_at")

    def __init__(self, ends_at: float, left: int = 1, size: int = 1, steps_at: float = math.inf) -> None:
        self._ends_at = ends_at
        self._left = left
        self._size = size
        self._steps_at = steps_at

    def saved(self, now: float) -> dict[str, Any]:
        """As data, with times as seconds from ``now``."""
        step = None if self._steps_at == math.inf else self._steps_at - now
        return {"ends": self._ends_at - now, "left": self._left, "size": self._size, "step": step}

    def ready_at(self, now: float) -> float:
        """``now`` if a call may be given; else when the next may."""
        if now >= self._steps_at:
            self._size *= 2
            self._left, self._steps_at = max(self._left, self._size), now + STEP
        return now if self._left > 0 else min(self._steps_at, self._ends_at)

    def took(self, now: float) -> None:
        """A call was given."""
        self._left -= 1
        if self._steps_at == math.inf:
            self._steps_at = now + STEP

    def answered(self) -> None:
        """A call was answered."""
        self._left += 2

    def over(self, now: float) -> bool:
        """Whether the key is back at work."""
        return self._size >= 1 << RAMPED or now >= self._ends_at


class KeyPool:
    """Keys in rotation. Not locked: its router's lock guards it.

    :param random: gives numbers from 0 to 1, to spread rests of which the vendor named no time by ±10 %.
    """

    __slots__ = ("_random", "keys", "limit", "next")

    def __init__(self, keys: Iterable[Key], limit: int | None, random: Callable[[], float]) -> None:
        self.keys = tuple(keys)
        self.limit = limit
        self._random = random
        self.next = 0
        """The position of the key whose turn it is."""

    def pick(self, now: float, tried: Collection[Key] = (), tokens: int = 0) -> Key | None:
        """The next key in turn that does not rest, has room for ``tokens`` and is not in ``tried``; None where there is none.

        Round robin: among keys that are always available, uses differ by at most one.
        """
        keys = self.keys
        if len(keys) == 1:
            key = keys[0]
            return key if self._free_at(key, now, tokens) <= now and key not in tried else None
        position = self.next
        for _ in keys:
            if position >= len(keys):
                position = 0
            key = keys[position]
            position += 1
            if key not in tried and self._free_at(key, now, tokens) <= now:
                self.next = position
                return key
        return None

    def offers(self, now: float, tried: Collection[Key], tokens: int) -> bool:
        """Whether :meth:`pick` would find one."""
        return any([key not in tried and self._free_at(key, now, tokens) <= now for key in self.keys])

    def spare(self, now: float) -> Key:
        """A key that can be used, out of turn; whoever asks knows that there is one."""
        return min(self.keys, key=lambda key: self._free_at(key, now, 0))

    def _free_at(self, key: Key, now: float, tokens: int) -> float:
        """When a key can be used, as far as is known; inf where it is at its limit on calls in flight."""
        if self.limit is not None and key.in_flight >= self.limit:
            return math.inf
        at = key.rest_until
        if key.ramp is not None and at <= now:
            if key.ramp.over(now):
                key.ramp = None
            else:
                at = key.ramp.ready_at(now)
        if key.limiter is not None:
            room_at = key.limiter.ready_at(now, tokens)
            if room_at > at:
                return room_at
        return at

    def ready_at(self, now: float, tokens: int = 0) -> float:
        """When a key can be used, as far as is known: ``now`` or earlier where one can; inf where each one that does not rest
        is at its limit on calls in flight."""
        soonest = math.inf
        for key in self.keys:
            soonest = min(soonest, self._free_at(key, now, tokens))
            if soonest <= now:
                break
        return soonest

    def at_limit(self, now: float) -> bool:
        """Whether a key that does not rest is at its limit."""
        limit = self.limit
        return limit is not None and any(key.rest_until <= now and key.in_flight >= limit for key in self.keys)

    def struck(self, key: Key, error: LLMError, started: float, now: float) -> None:
        """Let a key rest as an error demands; other errors leave it as it is. Of several calls that were under way together and
        failed alike only the first counts as a strike: the others were sent before anybody knew.

        :param started: when the call that failed was given the key.
        """
        wait = error.retry_after
        again = key.strikes and started < key.struck_at and type(error) is type(key.resting)
        strikes = key.strikes - 1 if again else key.strikes
        if isinstance(error, RateLimitError):
            seconds = self._rest(UNHINTED_REST, strikes) * (0.9 + 0.2 * self._random()) if wait is None else wait
        elif isinstance(error, (AuthenticationError, PermissionDeniedError)):
            if key.secret is None:
                return  # there is no key to let rest
            seconds = self._rest(REFUSED_REST, strikes)
        elif isinstance(error, QuotaExceededError):
            seconds = max(self._rest(QUOTA_REST, strikes), wait or 0.0)
        elif wait is not None:
            seconds = wait
        else:
            return
        if not again:
            key.strikes += 1
            key.struck_at = now
        if now + seconds >= key.rest_until:
            key.resting = error
            key.rest_until = now + seconds
            key.ramp = Ramp(key.rest_until + RAMP_ENDS) if isinstance(error, RateLimitError) and wait is None else None

    def wake(self) -> None:
        """End every rest: somebody knows better."""
        for key in self.keys:
            key.rest_until, key.strikes, key.resting, key.ramp = 0.0, 0, None, None

    def worked(self, key: Key, started: float) -> None:
        """A call with this key was answered; one that started before the last refusal says nothing."""
        if started >= key.struck_at:
            key.strikes = 0
            key.resting = None
            if key.ramp is not None:
                key.ramp.answered()

    @staticmethod
    def _rest(bounds: tuple[float, float], strikes: int) -> float:
        first, most = bounds
        return min(first * 2.0 ** min(strikes, 32), most)


def make_keys(name: str, secrets: tuple[Secret, ...]) -> list[Key]:
    """Keys labelled ``name#1``, ``name#2``, …; where there are no secrets, one key without."""
    if not secrets:
        return [Key(f"{name}#none", None)]
    return [Key(f"{name}#{number}", secret) for number, secret in enumerate(secrets, 1)]
