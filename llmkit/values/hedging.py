"""When a call is asked a second time because its first answer is late."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Union

import attrs

from llmkit.errors import ConfigError, shown
from llmkit.values.base import Value

EXPECTED = "expected seconds above 0, a percentile such as 'p95', a Hedge, or False"


def _delay(value: Any, attribute: Any, delay: Any) -> None:
    if isinstance(delay, str) and len(delay) == 3 and delay[0] == "p" and delay[1:].isdecimal() and delay[1:].isascii():
        return
    if isinstance(delay, bool) or not isinstance(delay, (int, float)) or not 0 < delay <= sys.float_info.max:
        raise ConfigError(f"hedge: {EXPECTED}; got {shown(delay)}")


def _share(value: Any, attribute: Any, share: Any) -> None:
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
        raise ConfigError(f"hedge: max_extra: expected a number above 0 and at most 1, got {shown(share)}")


@attrs.frozen(eq=False, repr=False)
class Hedge(Value):
    """A second request, to another instance or key where there is one, when a try takes longer than ``delay``; the first answer
    counts, and the other request is called off.

    :raises ConfigError: if a value is not as described.
    """

    delay: float | str = attrs.field(default="p95", validator=_delay)
    """Seconds, or a percentile (``p01`` to ``p99``) of the time that the instance's own answers have taken lately."""
    max_extra: float = attrs.field(default=0.1, validator=_share)
    """The share of calls that may be doubled, above 0 and at most 1. Default 0.1: one in ten."""

    @property
    def quantile(self) -> float | None:
        """The percentile as a number from 0 to 1; None where the delay is in seconds."""
        return int(self.delay[1:]) / 100 if isinstance(self.delay, str) else None


HedgeLike = Union[float, str, Hedge, Mapping[str, Any], bool]
"""Seconds, a percentile, a :class:`Hedge` or its fields, or False for none."""


def make_hedge(given: Any) -> Hedge | None:
    """The value for what a user wrote; None for False.

    :raises ConfigError: if it is nothing of the kind.
    """
    if given is None or given is False:
        return None
    if isinstance(given, Mapping):
        unknown = [name for name in given if name not in ("delay", "max_extra")]
        if unknown:
            raise ConfigError(f"hedge: no field is named {shown(unknown[0])}; there are delay and max_extra")
        return Hedge(**given)
    return given if isinstance(given, Hedge) else Hedge(given)
