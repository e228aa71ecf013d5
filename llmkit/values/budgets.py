"""What may be spent, and in which window of time.

Windows are cut by wall time in UTC: an hour begins at minute 0, a day at midnight, a month on its first day, and one of *n* seconds
at the multiples of *n* since 1970.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

import attrs

from llmkit.errors import ConfigError, did_you_mean, shown
from llmkit.values.base import Value
from llmkit.values.money import dollars, units

PER = ("client", "task", "tag", "key", "instance")
WINDOWS = ("hour", "day", "month")
MODES = ("hard", "warn", "degrade")
FOREVER = 2**62
LONGEST = 10**10
"""Seconds, some 300 years: the end of a longer window is no date any more."""


def _only(names: Any) -> tuple[str, ...] | None:
    if names is None:
        return None
    listed = (names,) if isinstance(names, str) else tuple(names) if isinstance(names, Iterable) else ()
    if not listed or not all(isinstance(name, str) and name for name in listed):
        raise ConfigError(f"Budget.only: expected a name, or a list of at least one, got {shown(names)}")
    return listed


def _word(value: Any, attribute: Any, word: Any) -> None:
    valid = {"per": PER, "mode": MODES}[attribute.name]
    if word not in valid:
        near = did_you_mean(word, valid) if isinstance(word, str) else ""
        raise ConfigError(f"Budget.{attribute.name}: expected one of {', '.join(valid)}, got {shown(word)}{near}")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Budget(Value):
    """So much may be spent in a window of time.

    :raises ConfigError: if something about it is wrong; the message names the field.
    """

    usd: Any = None
    """US dollars: a number, a ``Decimal``, or text. Exactly one of ``usd`` and ``tokens`` is given."""
    tokens: int | None = None
    """Tokens, prompt and completion together."""
    per: str = attrs.field(default="client", validator=_word)
    """Each what may spend it: the ``client`` as a whole, or each ``task``, ``tag``, ``key`` or ``instance`` for itself."""
    window: str | int | None = "day"
    """``hour``, ``day``, ``month``, a whole number of seconds, or None for all time."""
    mode: str = attrs.field(default="hard", validator=_word)
    """What happens when it is used up: ``hard`` refuses calls, ``warn`` warns once in a window, ``degrade`` turns to ``model``."""
    model: str | None = None
    """The smaller model for ``degrade``, as ``provider/model``."""
    only: tuple[str, ...] | None = attrs.field(default=None, converter=_only)
    """The tasks, tags, key labels or instances that are meant; None means all of them."""
    name: str = ""
    """What errors call it; made from the rest where it is empty."""
    limit: int = attrs.field(init=False, default=0)
    """Tokens, or 10^-12 US dollars."""

    def __attrs_post_init__(self) -> None:
        if (self.usd is None) == (self.tokens is None):
            raise ConfigError("Budget: expected exactly one of usd and tokens")
        object.__setattr__(self, "limit", self._limit())
        if not (self.window is None or self.window in WINDOWS or (_whole(self.window) and int(self.window) <= LONGEST)):
            raise ConfigError(f"Budget.window: expected {', '.join(WINDOWS)}, whole seconds or None, got {shown(self.window)}")
        if (self.mode == "degrade") != (self.model is not None):
            raise ConfigError("Budget.model: expected with mode 'degrade', and with no other")
        if self.model is not None and (not isinstance(self.model, str) or not self.model):
            raise ConfigError(f"Budget.model: expected a model's name, got {shown(self.model)}")
        if not isinstance(self.name, str):
            raise ConfigError(f"Budget.name: expected text, got {shown(self.name)}")
        if self.mode == "degrade" and self.per in ("key", "instance"):
            raise ConfigError("Budget.mode: 'degrade' chooses a model while no key or instance is known: per client, task or tag")
        if self.only is not None and self.per == "client":
            raise ConfigError("Budget.only: there is one client; use it with per task, tag, key or instance")
        if not self.name:
            limit = f"{dollars(self.limit)} USD" if self.usd is not None else f"{self.limit} tokens"
            every = f" in {self.window} s" if _whole(self.window) else " an hour" if self.window == "hour" else f" a {self.window}"
            window = "" if self.window is None else every
            whose = f" for {', '.join(self.only)}" if self.only else ""
            object.__setattr__(self, "name", f"{limit} per {self.per}{window}{whose}")

    def _limit(self) -> int:
        if self.usd is None:
            if not _whole(self.tokens):
                raise ConfigError(f"Budget.tokens: expected a whole number of at least 1, got {shown(self.tokens)}")
            return self.tokens or 0
        limit = 0
        with contextlib.suppress(ValueError):
            limit = units(self.usd)
        if limit <= 0:
            raise ConfigError(f"Budget.usd: expected an amount above 0, got {shown(self.usd)}")
        return limit

    @property
    def meter(self) -> str:
        """What counts for it. Budgets that differ in limit, mode or ``only`` alone look at the same meter."""
        return f"{'usd' if self.usd is not None else 'tokens'}/{self.per}/{self.window}"

    def amount(self, of: int) -> Any:
        """An amount in people's terms: dollars or tokens."""
        return dollars(of) if self.usd is not None else of


def _whole(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 1


def window_at(window: str | int | None, now: float) -> tuple[int, int]:
    """When the window around ``now`` begins and ends, in Unix time."""
    if window is None:
        return 0, FOREVER
    if window == "month":
        day = datetime.fromtimestamp(now, timezone.utc)
        first = datetime(day.year, day.month, 1, tzinfo=timezone.utc)
        then = datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=timezone.utc)
        return int(first.timestamp()), int(then.timestamp())
    seconds = {"hour": 3600, "day": 86400}.get(window, window) if isinstance(window, str) else window
    assert isinstance(seconds, int)
    start = int(now // seconds) * seconds
    return start, start + seconds


@attrs.frozen(eq=False, repr=False)
class BudgetState(Value):
    """How a budget stands in its present window. Amounts are dollars (``Decimal``) or tokens."""

    name: str
    per: str
    scope: str
    """The task, tag, key or instance; empty for the client."""
    limit: Any
    used: Any
    held: Any
    """Estimates of calls under way."""
    resets_at: float | None
    """Unix time; None for all time."""
