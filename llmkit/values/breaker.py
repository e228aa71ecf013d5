"""When an instance that keeps failing is left alone."""

from __future__ import annotations

import math

import attrs

from llmkit.errors import ConfigError, shown
from llmkit.values.base import Value


@attrs.frozen(eq=False, repr=False, kw_only=True)
class BreakerSettings(Value):
    """When a circuit breaker opens, and for how long.

    :raises ConfigError: if a value is out of range.
    """

    failures: int = 5
    """Faults in a row that open it."""
    share: float = 0.5
    """Share of faults among the calls of a ``window`` that opens it, of at least ``least`` calls."""
    least: int = 20
    window: float = 10.0
    """Seconds, from the first fault on."""
    open: float = 1.0
    """Seconds until one call may try again; doubled with each that fails, up to ``longest``."""
    longest: float = 30.0
    """Also how long the others wait for what comes of a try, before another call tries."""

    def __attrs_post_init__(self) -> None:
        for name in ("failures", "least"):
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise ConfigError(f"breaker.{name}: expected a whole number of at least 1, got {shown(number)}")
        for name in ("share", "window", "open", "longest"):
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number < math.inf:
                raise ConfigError(f"breaker.{name}: expected a number above 0, got {shown(number)}")
