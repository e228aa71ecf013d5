"""When an instance that keeps failing is left alone, and when it is tried again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from llmkit.errors import InvalidResponseError, LLMError, NetworkError, RateLimitError, ServerError

if TYPE_CHECKING:
    from llmkit.values.breaker import BreakerSettings

FAULTS = (NetworkError, ServerError, InvalidResponseError)
"""What counts: connections that fail, timeouts, 5xx, answers that make no sense. Nothing that is the caller's or a key's fault."""


def is_fault(error: LLMError) -> bool:
    """Whether an error says that the instance is not well."""
    return isinstance(error, FAULTS) and not isinstance(error, RateLimitError)


class Breaker:
    """One instance's circuit breaker. Not locked: its router's lock guards it.

    :param settings: True for the defaults; None for a breaker that never opens.
    """

    __slots__ = ("_began", "_faults", "_opened", "_settings", "_total", "alert", "open", "reason", "row", "trying", "until")

    def __init__(self, settings: BreakerSettings | Literal[True] | None) -> None:
        if settings is True:
            from llmkit.values.breaker import BreakerSettings

            settings = BreakerSettings()
        self._settings = settings
        self.until = 0.0
        """When a call may be given to the instance: in the past while closed."""
        self.trying = False
        """Whether a call is out that tries."""
        self.reason: LLMError | None = None
        """The fault that opened it, or opened it last."""
        self.open = False
        """Whether it is open, or half open with a call that is trying."""
        self.alert = False
        """Whether something has gone wrong lately, so that answers count."""
        self.row = 0
        """Faults in a row."""
        self._opened = 0
        self._began = 0.0
        self._faults = self._total = 0

    def given(self, now: float) -> None:
        """A call was given to the instance while it is open: that one tries, and the others wait for what comes of it. Where
        nothing does for as long as it would stay open at the longest, another may try: the vendor may have swallowed this one."""
        self.trying = True
        self.until = now + (30.0 if self._settings is None else self._settings.longest)

    def failed(self, error: LLMError, now: float) -> None:
        """A call has met a fault."""
        settings = self._settings
        if settings is None:
            return
        if not self.alert or now - self._began > settings.window:
            self._began, self._faults, self._total = now, 0, 0
            self.alert = True
        self.row += 1
        self._faults += 1
        self._total += 1
        if self.open and not self.trying:
            return  # it was sent before the breaker opened
        sick = self._total >= settings.least and self._faults >= settings.share * self._total
        if self.open or self.row >= settings.failures or sick:
            self.reason, self.open, self.trying = error, True, False
            self.until = now + min(settings.open * 2.0 ** min(self._opened, 32), settings.longest)
            self._opened += 1

    def worked(self, now: float) -> None:
        """A call was answered. The instance is well again, whichever call it was."""
        self.row = 0
        self._total += 1
        if self.open:
            self.reset()
        elif self._settings is not None and now - self._began > self._settings.window:
            self.alert = False

    def undecided(self, now: float) -> None:
        """A call that may have been the one that tries ended without a word on the instance's health: another may try."""
        if self.trying:
            self.until, self.trying = now, False

    def reset(self) -> None:
        """Close it: somebody knows better."""
        self.until, self.reason, self.open, self.trying, self.alert = 0.0, None, False, False, False
        self.row = self._opened = self._faults = self._total = 0

    def saved(self, now: float) -> dict[str, Any]:
        """Its state as plain data, with times relative to ``now``; see :meth:`restore`."""
        return {
            "open": self.open,
            "left": None if self.trying else max(0.0, self.until - now),
            "alert": self.alert,
            "window_age": max(0.0, now - self._began) if self.alert else 0.0,
            "row": self.row,
            "opened": self._opened,
            "faults": self._faults,
            "total": self._total,
        }

    def restore(self, saved: Mapping[str, Any], reason: LLMError | None, then: float) -> None:
        """Be as it was saved ``then``. A call that was trying has gone; another may try."""
        self.open, self.alert, self.reason, self.trying = saved["open"], saved["alert"], reason, False
        self.until = then + (saved["left"] or 0.0) if self.open else 0.0
        self.row, self._opened = saved["row"], saved["opened"]
        self._began, self._faults, self._total = then - saved["window_age"], saved["faults"], saved["total"]


CLOSED = Breaker(None)
"""The breaker of an instance that nothing has gone wrong with yet."""
