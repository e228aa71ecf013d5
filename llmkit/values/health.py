"""How a client's instances, keys and limits are, as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import attrs

from llmkit.errors import LLMError
from llmkit.values.base import Value

Status = Literal["healthy", "limited", "full", "cooling", "out", "broken", "unhealthy", "disabled"]
"""What an instance can be; see :attr:`InstanceHealth.status`."""


@attrs.frozen(eq=False, repr=False)
class WindowState(Value):
    """One limit's state as data."""

    name: str
    """``rpm``, ``tpm``, ``rpd`` or ``tpd``."""
    limit: int
    used: int
    """What is booked; more than ``limit`` after a call that used more than its estimate."""
    seconds_left: float
    """Until all of it has left the window."""


@attrs.frozen(eq=False, repr=False)
class LimiterState(Value):
    """A scope's limits as data."""

    windows: tuple[WindowState, ...]
    told: Mapping[str, tuple[float, float]]
    """What the vendor's headers say, for ``requests`` and ``tokens``: its limit, and what is left of it now."""
    headroom: float
    """What is free of the tightest limit, from 0 to 1."""


@attrs.frozen(eq=False, repr=False)
class KeyState(Value):
    """A key's state as data."""

    label: str
    status: str
    """``healthy``, ``cooling`` (after a rate limit), or ``out`` (refused, or out of quota)."""
    seconds_left: float
    reason: str | None
    in_flight: int
    uses: int
    limits: LimiterState | None = None
    """Its own limits, configured or learned; None where there are none."""


@attrs.frozen(eq=False, repr=False)
class BreakerState(Value):
    """A circuit breaker's state as data."""

    open: bool
    """Whether calls are kept away: all of them, or all but the one that tries."""
    faults: int
    """Faults in a row."""
    until: float | None
    """Unix time from which a call may try; None while it is closed, and while one is trying."""
    reason: str | None
    """The fault that opened it, or opened it last."""


@attrs.frozen(eq=False, repr=False)
class Probe(Value):
    """What came of asking an instance's vendor for its list of models, the cheapest call that there is."""

    ok: bool | None
    """Whether it answered; None where it was not asked, and ``skipped`` says why."""
    at: float
    """Unix time."""
    seconds: float = 0.0
    """How long the answer took."""
    error: LLMError | None = None
    skipped: str | None = None


@attrs.frozen(eq=False, repr=False)
class InstanceHealth(Value):
    """An instance's state as data."""

    name: str
    enabled: bool
    in_flight: int
    latency: float | None
    """Decaying average in seconds; None before the first answer."""
    keys: tuple[KeyState, ...]
    status: Status = "healthy"
    """``healthy``; ``limited`` or ``full``, where limits on requests and tokens, or on calls in flight, leave no room; ``cooling``
    or ``out``, where every key rests, the first of them to come back after a rate limit, or after a refusal; ``broken``, where the
    circuit breaker is open; ``unhealthy``, where the health checks failed; ``disabled``."""
    seconds_left: float | None = 0.0
    """Until it may take calls again: 0 where it may now, None where only an event can change it."""
    reason: str | None = None
    breaker: BreakerState | None = None
    """None where nothing went wrong yet."""
    limits: LimiterState | None = None
    """All its keys together; None where there are none."""
    probe: Probe | None = None
    """The last one: just now, or by the health checks; None where there was none."""


@attrs.frozen(eq=False, repr=False)
class ClientHealth(Value):
    """A client's state as data: a sequence of its instances' states, in the order in which they were added."""

    instances: tuple[InstanceHealth, ...]
    waiting: int = 0
    """Calls that wait for their turn."""
    limits: LimiterState | None = None
    """The client's own; None where there are none."""

    @property
    def well(self) -> bool:
        """Whether every instance that is switched on could take a call now or when there is room, and answered if it was asked."""
        return all(
            instance.status in ("healthy", "limited", "full") and (instance.probe is None or instance.probe.ok is not False)
            for instance in self.instances
            if instance.enabled
        )

    def __iter__(self) -> Iterator[InstanceHealth]:
        return iter(self.instances)

    def __len__(self) -> int:
        return len(self.instances)

    def __getitem__(self, position: Any) -> Any:
        return self.instances[position]
