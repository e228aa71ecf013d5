"""Where everything meets: instances, keys, plugins and policies, put together into what the flows work with."""

from __future__ import annotations

import itertools
import os
import random
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import attrs

from llmkit.arguments import breaker_settings, listed, made_hedge, make_resume, of_type, one_of, positive, share, whole
from llmkit.catalog import provider_for, split_model
from llmkit.catalog.cost import Pricer
from llmkit.catalog.own import ClientCatalog, own_models
from llmkit.config.keys import base_url_for, keys_for
from llmkit.errors import ConfigError, shown
from llmkit.flow.kit import Kit
from llmkit.observe.ledger import Ledger
from llmkit.plugins.hooks import Hooks, make_hooks
from llmkit.plugins.registry import REGISTRY
from llmkit.policy.allowance import allowance, meter
from llmkit.policy.checks import Checks
from llmkit.policy.keys import KeyPool, make_keys
from llmkit.policy.retry import Backoff, check_retries, retry_policy
from llmkit.policy.router import Router
from llmkit.policy.routes import ANY_MODEL, Route
from llmkit.policy.strategies import AnyStrategy, goes_by_facts, make_strategy
from llmkit.provider import Provider
from llmkit.values.calls import MODEL_WORDS, ChatCall, OnUnsupported
from llmkit.values.instances import DEFAULT_TIMEOUTS, Instance, Task, Timeouts
from llmkit.values.secret import Secret
from llmkit.wire.redact import describe

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
    from llmkit.values.model_requests import ModelRequest
    from llmkit.values.models import ModelInfo
    from llmkit.values.tickets import TicketStore

UNAVAILABLE = ("wait", "fail")
POOLED_CONCURRENCY = 5
"""Calls in flight for each key of a list in the environment (``OPENAI_API_KEYS``); instances made in code have no limit."""
ON_UNSUPPORTED = ("error", "warn", "drop")
MOST_CONNECTIONS = 65_535
"""To one host: there are no more ports to make them from."""
CORES: weakref.WeakSet[Core] = weakref.WeakSet()


class Core:
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
        if environ is not None:
            of_type("environ", environ, Mapping)  # type: ignore[type-abstract]
        self._environ: Callable[[], Mapping[str, str]] = lambda: os.environ if environ is None else environ
        """A function, since what it gives holds keys."""
        self._lock = threading.RLock()
        self._ready: dict[str, str] = {}
        self.retries = check_retries(retries)
        self.plan: FallbackPlan | None = None
        self._backoff = Backoff(self._rng.random, *backoff)
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
            self._rng.random,
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
        self._catalog_read = False
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
        """Whether a task or an instance names fallbacks of its own."""
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

    def add(self, instance: Instance, on_demand: bool = False) -> Route:
        """Put an instance to work.

        :raises ConfigError: if its provider does not exist, it has no key, or its name is taken.
        """
        if not isinstance(instance, Instance):
            raise ConfigError(f"instances: expected an Instance, got {type(instance).__name__}")
        provider = REGISTRY.get(instance.provider)
        changes = self._missing(instance, provider)
        with self._lock:
            name = instance.name or self._free_name(f"{provider.name}/{instance.model}")
            instance = instance.completed(name=name, **changes)
            if not provider.root(instance):
                vendor = provider.title or provider.name
                raise ConfigError(f"{named(instance)}: base_url is missing; {vendor} has no common address")
            secrets = instance.api_keys or ((instance.api_key,) if instance.api_key is not None else ())
            pool = KeyPool(make_keys(name, secrets), instance.max_concurrency_per_key, self._rng.random)
            pricer = Pricer(self.models.get, provider.name, instance.model)
            route = Route(instance, provider, pool, name, enabled=instance.enabled, pricer=pricer, on_demand=on_demand)
            meter(route)
            if self._catalog_read:
                self.models.get().load([provider.name])
            self.router.add(route)
            self.special_fallbacks = self.special_fallbacks or bool(instance.fallbacks)
            self.ledger.open(name, provider.name, instance.model)
            if self.cache is not None:
                self.cache.keys.forget()
        return route

    def _missing(self, instance: Instance, provider: Provider) -> dict[str, Any]:
        """What an instance lacks: its provider's own name, and keys and base URL from the environment."""
        unknown = [name for name in instance.settings if name not in provider.settings] if instance.settings else []
        if unknown:
            known = ", ".join(provider.settings) or "none"
            vendor = provider.title or provider.name
            raise ConfigError(f"{named(instance)}: settings.{unknown[0]}: {vendor} has no such setting; it has {known}")
        changes: dict[str, Any] = {"provider": provider.name}
        if instance.base_url is None and provider.base_url_names:
            url = base_url_for(provider, self._environ())
            if url is not None:
                changes["base_url"] = provider.base_url_from(url)
        if instance.api_key is None and not instance.api_keys:
            keys = keys_for(provider, self._environ()) or self._from_sources(provider)
            if not keys and provider.needs_key:
                names = " or ".join(provider.key_names) or "its key"
                raise ConfigError(f"{named(instance)}: no key; give api_key or api_keys, or set {names} in the environment")
            changes["api_keys"] = keys
            if len(keys) > 1 and instance.max_concurrency_per_key is None:
                changes["max_concurrency_per_key"] = POOLED_CONCURRENCY
        return changes

    def _from_sources(self, provider: Provider) -> tuple[Secret, ...]:
        for sources in self.hooks.registered["secret_sources"]:
            for source in sources:
                try:
                    if key := source(provider.name):
                        return (key if isinstance(key, Secret) else Secret(key),)
                except Exception as problem:
                    said = describe(problem)
                    warnings.warn(f"secret source {source!r}, asked for {provider.name}: {said}", RuntimeWarning, stacklevel=2)
        return ()

    def _free_name(self, wanted: str) -> str:
        if not self.router.has(wanted):
            return wanted
        return next(name for number in itertools.count(2) if not self.router.has(name := f"{wanted}#{number}"))

    def remove(self, name: str) -> None:
        """Take an instance out; its calls in flight go on."""
        with self._lock:
            self._ready.clear()
            self.router.remove(name)
            if self.cache is not None:
                self.cache.keys.forget()

    def _read_catalog(self) -> None:
        """Read the files of the instances' vendors before the router asks, so that none is read under its lock."""
        if not self._catalog_read:
            self.models.get().load({route.provider.name for route in self.router.routes()})
            self._catalog_read = True

    def models_served(self) -> list[tuple[str, ModelInfo | None]]:
        """The enabled instances that serve a model of their own, by name, with what is known of it."""
        routes = [route for route in self.router.routes() if route.enabled and route.instance.model != ANY_MODEL]
        return [(route.name, self.models.find(route.provider.name, route.instance.model)) for route in routes]

    @overload
    def ensure(self, model: str) -> str: ...

    @overload
    def ensure(self, model: str | ModelRequest) -> str | ModelRequest: ...

    def ensure(self, model: str | ModelRequest) -> str | ModelRequest:
        """Make sure that some instance serves ``model``: a configured one, one that serves any model of that provider, or one
        made on demand with the key in the environment.

        :returns: the name by which instances know the model, with the provider's own name for an alias of it.
        :raises ConfigError: if there is none and none can be made.
        """
        if not isinstance(model, str):
            self._read_catalog()
            return model
        known = self._ready.get(model)
        if known is not None:
            return known
        if model in MODEL_WORDS:
            self._read_catalog()
            return model
        with self._lock:
            provider, bare = split_model(model, REGISTRY.names())
            own = model if provider is None else f"{provider}/{bare}"
            names = [name for name in (model, own) if any(route.serves(name) for route in self.router.routes())]
            if not names:
                self._make(provider, bare)
            if len(self._ready) > 10_000:
                self._ready.clear()
            self._ready[model] = names[0] if names else own
            return self._ready[model]

    def _make(self, provider: str | None, bare: str) -> None:
        wanted = provider or provider_for(bare)
        any_model = [route for route in self.router.routes() if route.instance.model == ANY_MODEL and not route.on_demand]
        fitting = [route for route in any_model if route.instance.provider == wanted] or ([] if provider else any_model)
        if fitting:
            instance = attrs.evolve(fitting[0].instance, model=bare, name=f"{fitting[0].name}:{bare}")
            self.add(instance, on_demand=True)
            return
        if wanted is None:
            raise ConfigError(f"model {bare!r}: whose is it? Write provider/model; providers are {', '.join(REGISTRY.names())}")
        self.add(Instance(wanted, bare), on_demand=True)

    def counted_by(self, model: str | None, instance: str | None) -> tuple[str | None, str]:
        """The model to ask for, and the name by whose rules tokens are counted.

        :raises ConfigError: if neither is given and the client has no model of its own.
        """
        if instance is None and (model := model or self.default_model) is not None:
            return model, model
        routes = self.router.routes()
        found = [route for route in routes if instance in (None, route.name) and route.instance.model != ANY_MODEL]
        if model is not None or found:
            return model, model or f"{found[0].instance.provider}/{found[0].instance.model}"
        said = "no instance has one of its own" if instance is None else f"no instance named {instance!r} has one of its own"
        raise ConfigError(f"model: whose tokens? Give a model; {said}")

    @property
    def tokenizers(self) -> Tokenizers:
        """The counters of this client: those that plugins registered before llmkit's own."""
        if self._tokenizers is None:
            from llmkit.tokens.count import TOKENIZERS, Tokenizers

            registered = self.hooks.registered["tokenizers"]
            self._tokenizers = Tokenizers(registered) if registered else TOKENIZERS
        return self._tokenizers

    def instance_for(self, provider_or_instance: str) -> str:
        """The name of an instance: the one of that name, else the provider's first, else one made on demand for any model."""
        of_type("source", provider_or_instance, str)
        routes = self.router.routes()
        for route in routes:
            if route.name == provider_or_instance:
                return route.name
        provider = REGISTRY.get(provider_or_instance)
        for route in routes:
            if route.provider.name == provider.name:
                return route.name
        return self.add(Instance(provider.name, ANY_MODEL, name=f"{provider.name}/*"), on_demand=True).name

    def model_sources(self, source: str | None) -> list[str]:
        """The instances to ask for model lists: the one meant by ``source``, or one for each address."""
        if source is not None:
            return [self.instance_for(source)]
        roots = {route.provider.root(route.instance): route.name for route in reversed(self.router.routes()) if route.enabled}
        return list(reversed(roots.values()))

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

    def fallbacks_for(self, model: Any, instance: str | None, task: str | None) -> tuple[str, ...]:
        """The models to turn to for a call that names none: its task's, else those of the instances that are its first choice, else
        the client's.

        :raises ConfigError: if none serves one of them, and none can be made.
        """
        known = self.router.tasks.get(task) if task is not None else None
        if known is not None and known.fallbacks:
            return tuple([self.ensure(name) for name in known.fallbacks])
        routes = self.router.routes()
        if instance is not None:
            routes = tuple([route for route in routes if route.name == instance])
        elif model is not None:
            routes = tuple([route for route in routes if route.serves(model)])
        if task is not None and instance is None:
            routes = tuple([route for route in routes if task in route.instance.tasks])
        names = dict.fromkeys(name for route in routes for name in route.instance.fallbacks)
        return tuple([self.ensure(name) for name in names]) or self.fallbacks

    def make_plan(self, given: Mapping[str, Any]) -> FallbackPlan | None:
        """What a call does when nothing has served it: the client's plan with what ``given`` says in its place.

        :raises ConfigError: if a value is wrong.
        """
        from llmkit.policy.fallbacks import make_plan

        return make_plan(self.plan, given, self.ensure)

    def ensured(self, call: ChatCall) -> ChatCall:
        """A call out of the queue, whose models have instances in this client.

        :raises ConfigError: as :meth:`ensure`.
        """
        model = None if call.model is None else self.ensure(call.model)
        return attrs.evolve(call, model=model, fallbacks=tuple([self.ensure(name) for name in call.fallbacks]))

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
        return make_strategy(chosen, self._rng.random, more)

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


def named(instance: Instance) -> str:
    """An instance as errors name it."""
    return f"instance {instance.name or f'{instance.provider}/{instance.model}'}"


def check_queue(queue: Any) -> Any:
    """``queue`` if it is a path, a store of tickets, or None.

    :raises ConfigError: if it is something else.
    """
    methods = ("put", "claim", "finish", "fail", "give_back", "find", "get", "count", "cancel", "purge")
    if queue is None or (isinstance(queue, (str, os.PathLike)) and os.fspath(queue)) or all([hasattr(queue, n) for n in methods]):
        return queue
    raise ConfigError(f"queue: expected a path, or an object with the methods of a TicketStore, got {shown(queue)}")


def check_bundle(path: str) -> None:
    """Check that ``path`` is a CA bundle.

    :raises ConfigError: if it is none, or cannot be read.
    """
    import ssl

    try:
        ssl.create_default_context(cafile=path)
    except OSError as problem:  # ssl.SSLError is one
        said = problem.strerror or type(problem).__name__
    else:
        return
    raise ConfigError(f"verify: expected True, False or the path of a CA bundle in PEM form; {path!r}: {said}")


def _after_fork() -> None:
    REGISTRY.reset_lock()
    for core in list(CORES):
        core.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
