"""Where everything meets: instances, keys, plugins and policies, put together into what the flows work with."""

from __future__ import annotations

import os
import random
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from llmkit.arguments import (
    breaker_settings,
    check_bundle,
    check_queue,
    listed,
    made_hedge,
    make_resume,
    of_type,
    one_of,
    positive,
    share,
    whole,
)
from llmkit.catalog.own import ClientCatalog, own_models
from llmkit.errors import ConfigError, shown
from llmkit.flow.kit import Kit
from llmkit.instances import ClientInstances
from llmkit.observe.ledger import Ledger
from llmkit.plugins.hooks import Hooks, make_hooks
from llmkit.plugins.registry import REGISTRY
from llmkit.policy.allowance import allowance
from llmkit.policy.checks import Checks
from llmkit.policy.retry import Backoff, check_retries, retry_policy
from llmkit.policy.router import Router
from llmkit.policy.strategies import AnyStrategy, goes_by_facts, make_strategy
from llmkit.values.calls import OnUnsupported
from llmkit.values.instances import DEFAULT_TIMEOUTS, Instance, Task, Timeouts

if TYPE_CHECKING:
    from llmkit.cache.answers import AnswerCache
    from llmkit.observe.writer import UsageWriter
    from llmkit.policy.budgets import Budgets
    from llmkit.policy.hedging import Hedging
    from llmkit.runtime import Runtime
    from llmkit.tokens.count import Tokenizers
    from llmkit.values.breaker import BreakerSettings
    from llmkit.values.budgets import Budget
    from llmkit.values.fallbacks import FallbackPlan
    from llmkit.values.hedging import HedgeLike
    from llmkit.values.models import ModelInfo
    from llmkit.values.tickets import TicketStore

UNAVAILABLE = ("wait", "fail")
ON_UNSUPPORTED = ("error", "warn", "drop")
MOST_CONNECTIONS = 65_535
"""To one host: there are no more ports to make them from."""
CORES: weakref.WeakSet[Core] = weakref.WeakSet()


class Core(ClientInstances):
    """What both faces of a client share: pools, limits, books, hooks and defaults.

    :raises ConfigError: if a setting is wrong; nothing is left half-built.
    """

    def __init__(
        self,
        instances: Iterable[Instance],
        tasks: Iterable[Task],
        strategy: str | AnyStrategy,
        retries: Any,
        backoff: tuple[float, float, float],
        timeout: float,
        timeouts: Timeouts,
        max_wait: float,
        unavailable: Literal["wait", "fail"],
        max_pending: int,
        limits: Mapping[str, int | None],
        breaker: bool | BreakerSettings | None,
        retry_budget: float | None,
        fallbacks: Sequence[str],
        plan: Mapping[str, Any],
        queue: Any,
        proxy: str | None,
        pool_size: int | None,
        verify: bool | str,
        on_unsupported: OnUnsupported,
        default_model: str | None,
        hedge: HedgeLike | None,
        cache: Any,
        resume: Any,
        checks: tuple[float | None, int],
        plugins: Iterable[Any] | None,
        environ: Mapping[str, str] | None,
        models: Iterable[ModelInfo] = (),
        budget: Budget | Iterable[Budget] | None = None,
        usage_db: str | os.PathLike[str] | None = None,
    ) -> None:
        self._rng = random.Random()  # noqa: S311 (spreads waits, keeps no secrets)
        self._random = self._rng.random
        if environ is not None:
            of_type("environ", environ, Mapping)  # type: ignore[type-abstract]
        self._environ = lambda: os.environ if environ is None else environ
        self._lock = threading.RLock()
        self._pricers = {}
        self._ready = {}
        self.retries = check_retries(retries)
        self.plan: FallbackPlan | None = None
        self._backoff = Backoff(self._random, *backoff)
        self._policies: dict[int, Any] = {}
        self._tokenizers: Tokenizers | None = None
        self.timeout = positive("timeout", timeout)
        self.timeouts = of_type("timeouts", timeouts, Timeouts).over(DEFAULT_TIMEOUTS)
        self.max_wait = positive("max_wait", max_wait)
        self.unavailable: Literal["wait", "fail"] = one_of("unavailable", unavailable, UNAVAILABLE)
        self.on_unsupported: OnUnsupported = one_of("on_unsupported", on_unsupported, ON_UNSUPPORTED)
        self.hedge = made_hedge(hedge)
        self.resume = make_resume(resume)
        self._hedging: Hedging | None = None
        interval, threshold = checks
        self.checks = Checks(
            None if interval is None else positive("health_interval", interval),
            whole("failure_threshold", threshold),
            self._random,
        )
        if proxy is not None:
            of_type("proxy", proxy, str)
        if pool_size is not None and whole("pool_size", pool_size) > MOST_CONNECTIONS:
            raise ConfigError(f"pool_size: expected at most {MOST_CONNECTIONS} connections, got {shown(pool_size)}")
        if not isinstance(verify, (bool, str)):
            raise ConfigError(f"verify: expected True, False or the path of a CA bundle, got {type(verify).__name__}")
        if isinstance(verify, str):
            check_bundle(verify)
        self.transport = {"proxy": proxy, "pool_size": pool_size, "verify": verify}
        wanted = None if plugins is None else listed("plugins", plugins, object)
        names = [plugin for plugin in wanted or () if isinstance(plugin, str)]
        objects = [plugin for plugin in wanted or () if not isinstance(plugin, str)]
        self.hooks: Hooks = make_hooks(objects, names if names or wanted == [] else None)
        self.models = ClientCatalog(own_models(listed("models", models, object), self.hooks.registered["models"]))
        self._catalog = self.models.get
        self.ledger = Ledger(self.models.price_of)
        self.router = Router(
            self.strategy_named(strategy),
            listed("tasks", tasks, Task),
            whole("max_pending", max_pending),
            allowance(**limits),
            breaker_settings(breaker),
            None if retry_budget is None or retry_budget is False else share("retry_budget", retry_budget),
            self.models.find,
        )
        self.special_fallbacks = any(task.fallbacks for task in self.router.tasks.values())
        self.cache = None if cache is None or cache is False else self._cache(cache)
        for instance in listed("instances", instances, Instance):
            self.add(instance)
        if goes_by_facts(self.router.strategy):
            self._read_catalog()
        self.default_model = None if default_model is None else self.ensure(of_type("default_model", default_model, str))
        self.fallbacks = tuple([self.ensure(model) for model in listed("fallbacks", fallbacks, str)])
        self.plan = self.make_plan(plan) if any([given is not None for given in plan.values()]) else None
        self._queue = check_queue(queue)
        self.budgets = None if budget is None else self._budgets(budget)
        self.writer = None if usage_db is None else self._writer(usage_db)
        CORES.add(self)

    def kit(self, runtime: Runtime) -> Kit:
        """What the flows of one face work with."""
        return Kit(
            runtime,
            self.router,
            self.policy,
            self.hooks,
            self.ledger,
            self.unavailable,
            self.max_wait,
            self.tickets,
            facts=self.models.find,
            tokenizers=lambda: self.tokenizers,
            budgets=self.budgets,
            cache=self.cache,
            hedging=self.hedging,
            checks=self.checks,
            watched=self.checks.interval is not None,
        )

    def hedging(self) -> Hedging:
        """The account of doubled calls."""
        if self._hedging is None:
            from llmkit.policy.hedging import Hedging

            with self._lock:
                self._hedging = self._hedging or Hedging()
        return self._hedging

    def policy(self, retries: Any) -> Any:
        """The tenacity policy for a call's own ``retries``, or for None the client's."""
        wanted = self.retries if retries is None else check_retries(retries)
        if not isinstance(wanted, int):
            return wanted
        if wanted not in self._policies:
            self._policies[wanted] = retry_policy(wanted, self._backoff)
        return self._policies[wanted]

    # ------------------------------------------------------------------------------------------- instances

    @property
    def tokenizers(self) -> Tokenizers:
        """The counters of this client: those that plugins registered before llmkit's own."""
        if self._tokenizers is None:
            from llmkit.tokens.count import TOKENIZERS, Tokenizers

            registered = self.hooks.registered["tokenizers"]
            self._tokenizers = Tokenizers(registered) if registered else TOKENIZERS
        return self._tokenizers

    # ------------------------------------------------------------------------------------------- books and budgets

    def _budgets(self, given: Budget | Iterable[Budget]) -> Budgets:
        from llmkit.policy.budgets import Budgets
        from llmkit.values.budgets import Budget

        budgets = Budgets([given] if isinstance(given, Budget) else listed("budget", given, Budget))
        for model in budgets.models:
            self.ensure(model)
        return budgets

    def _writer(self, path: str | os.PathLike[str]) -> UsageWriter:
        from llmkit.observe.writer import UsageWriter

        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            raise ConfigError(f"usage_db: expected the path of a file, got {shown(path)}")
        writer = UsageWriter(os.fspath(path), self.ledger, self.budgets)
        writer.start(self)
        return writer

    # ------------------------------------------------------------------------------------------- fallbacks, queue

    def make_plan(self, given: Mapping[str, Any]) -> FallbackPlan | None:
        """What a call does when nothing has served it: the client's plan with what ``given`` says in its place.

        :raises ConfigError: if a value is wrong.
        """
        from llmkit.policy.fallbacks import make_plan

        return make_plan(self.plan, given, self.ensure)

    def tickets(self) -> TicketStore:
        """The queue, of the path that was set or the default one. Nothing is opened yet."""
        with self._lock:
            if self._queue is None or isinstance(self._queue, (str, os.PathLike)):
                from llmkit.transports.tickets import SqliteTickets, default_path

                self._queue = SqliteTickets(self._queue or default_path(self._environ()))
            return self._queue  # type: ignore[no-any-return]

    # ------------------------------------------------------------------------------------------- the rest

    def _cache(self, chosen: Any) -> AnswerCache:
        from llmkit.config.caches import make_cache

        return make_cache(chosen, self.router, self.hooks.registered["caches"])

    def strategy_named(self, chosen: str | AnyStrategy) -> AnyStrategy:
        """A strategy from its name, or the object itself.

        :raises ConfigError: if there is no such strategy.
        """
        more = {name: make for found in self.hooks.registered["strategies"] for name, make in found.items()}
        return make_strategy(chosen, self._random, more)

    def set_strategy(self, chosen: str | AnyStrategy) -> None:
        """Choose otherwise from the next call on.

        :raises ConfigError: if there is no such strategy.
        """
        strategy = self.strategy_named(chosen)
        if goes_by_facts(strategy):
            self._read_catalog()
        self.router.strategy = strategy

    def close_cache(self) -> None:
        """Close the cache's files and connections; the other face's next call opens them again."""
        if self.cache is not None:
            self.cache.close()

    def reset_after_fork(self) -> None:
        """In a forked child: fresh locks, nothing in flight, books that begin at zero."""
        self._lock = threading.RLock()
        self._rng.seed()
        self.router.reset_locks()
        self._hedging = None
        self.checks.reset()
        self.ledger.reset_lock()
        if self.budgets is not None:
            self.budgets.reset_lock()
        if self.writer is not None:
            self.writer.restart(self)
        if self.cache is not None:
            self.cache.reset_after_fork()


def _after_fork() -> None:
    REGISTRY.reset_lock()
    for core in list(CORES):
        core.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
