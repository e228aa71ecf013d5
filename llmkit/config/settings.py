"""Everything a client is configured with, as one frozen value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from llmkit.cache.settings import CacheSettings
from llmkit.policy.strategies import ALIASES
from llmkit.values.budgets import Budget
from llmkit.values.hedging import Hedge
from llmkit.values.instances import Instance, Task, Timeouts
from llmkit.values.models import ModelInfo

UNAVAILABLE = ("wait", "fail")
ON_UNSUPPORTED = ("error", "warn", "drop")
FLYLLM_RETRIES = 5
"""What flyllm does where its file names no ``max_retries``."""
NO_TIMEOUTS = Timeouts()


class Environment(Mapping[str, str]):
    """A snapshot of environment variables that shows names, never values, when it is printed."""

    __slots__ = ("_variables",)
    _variables: Callable[[], dict[str, str]]

    def __init__(self, variables: Mapping[str, str]) -> None:
        copied = dict(variables)
        self._variables = lambda: copied

    def __getitem__(self, name: str) -> str:
        return self._variables()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables())

    def __len__(self) -> int:
        return len(self._variables())

    def __repr__(self) -> str:
        return f"<Environment of {len(self)} variables>"


@attrs.frozen
class Logging:
    """What the client sets on the logger named ``llmkit``, and on no other."""

    level: str = "info"
    """``debug``, ``info``, ``warning``, ``error`` or ``critical``."""
    targets: tuple[str, ...] = ()
    """Names the file gave, kept as they are: parts of another program where it was written for one."""


def _masked(proxy: str | None) -> str:
    return "None" if proxy is None else "'**********'"


@attrs.frozen(kw_only=True)
class Settings:
    """The keyword arguments of a client. None, and an empty tuple, mean the client's default."""

    instances: tuple[Instance, ...] = ()
    tasks: tuple[Task, ...] = ()
    strategy: Any = "lru"
    """A built-in strategy's name, one that a plugin registered, or (from a builder) a strategy object."""
    retries: int | None = None
    """Further attempts after the first. Default 3."""
    retry_initial_delay: float | None = None
    """Seconds, the longest first pause, of which a random part is waited. Default 0.5."""
    retry_max_delay: float | None = None
    """Seconds, the longest pause between attempts. Default 8."""
    retry_exponential_base: float | None = None
    """What each pause is multiplied with to give the next. Default 2."""
    timeout: float | None = None
    """Seconds for a whole call."""
    timeouts: Timeouts = NO_TIMEOUTS
    max_wait: float | None = None
    """Seconds a call waits for an instance to come back."""
    unavailable: str | None = None
    """``wait`` or ``fail``: what a call does while no instance can serve it."""
    max_pending: int | None = None
    """Calls that may wait at once."""
    rpm: int | None = None
    """Requests in any 60 seconds, over all instances; the next three: tokens, and both in any 24 hours."""
    tpm: int | None = None
    rpd: int | None = None
    tpd: int | None = None
    breaker: Any = True
    """True, False, or :class:`~llmkit.BreakerSettings`: when instances that keep failing are left alone."""
    retry_budget: float | None = 0.1
    """Retries that go back to the same instance, as a share of its calls; False or None for no limit."""
    fallbacks: tuple[str, ...] = ()
    """Models (``provider/model``) or instance names to try, in order, when the chosen model fails."""
    fallback: tuple[Any, ...] = ()
    """The steps of :mod:`llmkit.values.fallbacks` to take when those fail too."""
    context_fallbacks: tuple[str, ...] = ()
    """Models for a prompt that is too long for the call's own."""
    refusal_fallbacks: tuple[str, ...] = ()
    """Models for a prompt that a vendor's content policy refuses."""
    queue: str | None = None
    """Path of the queue's file."""
    proxy: str | None = attrs.field(default=None, repr=_masked)
    """``env`` for the environment's, ``none``, or the URL of an HTTP proxy, which may hold a password."""
    pool_size: int | None = None
    """Connections: kept for each host (sync, default 100), open at once (async, no limit by default)."""
    verify: bool | str = True
    """False switches the check of certificates off; text is the path of a CA bundle."""
    on_unsupported: str | None = None
    """``error``, ``warn`` or ``drop``."""
    hedge: Hedge | None = None
    """When late calls are doubled; None for never."""
    resume: str | None = None
    """``restart`` or ``continue``: how streams that break go on; None for not at all."""
    health_interval: float | None = None
    """Seconds between two health checks of an instance; None for none."""
    failure_threshold: int | None = None
    """Checks that fail in a row after which an instance gets no calls. Default 3."""
    plugins: tuple[str, ...] | None = None
    """The only plugins to load; None means all that are installed."""
    default_model: str | None = None
    """The model of calls that name none, as ``provider/model``."""
    models: tuple[ModelInfo, ...] = ()
    """Facts about models, over the catalogue's."""
    budget: tuple[Budget, ...] = ()
    """What may be spent."""
    usage_db: str | None = None
    """The SQLite file in which books are kept; None keeps them in memory."""
    cache: CacheSettings | None = None
    """The cache of answers; None for none."""

    logging: Logging | None = None
    """For the client to apply; no keyword argument."""
    environ: Environment | None = None
    """Where the client looks for keys and base URLs; None means the process's environment. No keyword argument."""
    ignored: tuple[str, ...] = ()
    """What was read and has no effect, as ``key path: reason``; no keyword argument."""

    def to_kwargs(self) -> dict[str, Any]:
        """Keyword arguments for ``Client(...)``: only what is set."""
        kwargs: dict[str, Any] = {}
        for field in attrs.fields(Settings):
            value = getattr(self, field.name)
            if field.name not in _NO_ARGUMENTS and value != field.default:
                kwargs[field.name] = value
        return kwargs


_NO_ARGUMENTS = ("logging", "environ", "ignored")


def strategy_name(text: str) -> str:
    """A strategy's own name for the name or alias ``text``, in any case."""
    lowered = text.strip().lower()
    return ALIASES.get(lowered, lowered)


def known_providers() -> frozenset[str]:
    """The names of the providers there are, installed or registered by hand; none of them is imported."""
    from llmkit.catalog import BUILT_IN_PROVIDERS
    from llmkit.plugins.registry import REGISTRY

    return frozenset((*BUILT_IN_PROVIDERS, *REGISTRY.names()))


def plugin_strategies(allowed: Iterable[str] | None) -> tuple[str, ...]:
    """The names of the strategies that plugins register. This loads the plugins, so it is asked only where it matters.

    :param allowed: the only plugins to ask, as far as they are installed; None means all that are.
    """
    from llmkit.plugins.hooks import make_hooks
    from llmkit.plugins.registry import PLUGINS, entry_points

    if allowed is not None:
        installed = {point.name for point in entry_points(PLUGINS)}
        allowed = [name for name in allowed if name in installed]
    return tuple([name for found in make_hooks((), allowed).registered["strategies"] for name in found])
