"""A client's instances: put to work, completed from the environment, made on demand, found by what a call names."""

from __future__ import annotations

import itertools
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, overload

import attrs

from llmkit.arguments import of_type
from llmkit.catalog import provider_for, split_model
from llmkit.catalog.cost import Pricer
from llmkit.config.keys import base_url_for, keys_for
from llmkit.errors import ConfigError, did_you_mean
from llmkit.plugins.registry import REGISTRY
from llmkit.policy.allowance import meter
from llmkit.policy.keys import KeyPool, make_keys
from llmkit.policy.routes import ANY_MODEL, Route
from llmkit.provider import Provider
from llmkit.values.calls import MODEL_WORDS, ChatCall
from llmkit.values.instances import Instance
from llmkit.values.secret import Secret
from llmkit.wire.redact import describe

if TYPE_CHECKING:
    from llmkit.cache.answers import AnswerCache
    from llmkit.catalog.own import ClientCatalog
    from llmkit.catalog.store import Catalog
    from llmkit.observe.ledger import Ledger
    from llmkit.plugins.hooks import Hooks
    from llmkit.policy.router import Router
    from llmkit.values.model_requests import ModelRequest
    from llmkit.values.models import ModelInfo

POOLED_CONCURRENCY = 5
"""Calls in flight for each key of a list in the environment (``OPENAI_API_KEYS``); instances made in code have no limit."""


class ClientInstances:
    """The part of a client's core that knows its instances; :class:`~llmkit.assembly.Core` makes what it works with."""

    router: Router
    ledger: Ledger
    models: ClientCatalog
    hooks: Hooks
    cache: AnswerCache | None
    default_model: str | None
    fallbacks: tuple[str, ...] = ()
    special_fallbacks = False
    """Whether a task or an instance names fallbacks of its own."""
    _catalog_read = False
    _lock: threading.RLock
    _random: Callable[[], float]
    _catalog: Callable[[], Catalog]
    _environ: Callable[[], Mapping[str, str]]
    """A function, since what it gives holds keys."""
    _pricers: dict[str, Pricer]
    """By ``provider/model``."""
    _ready: dict[str, str]
    """What :meth:`ensure` has found."""

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
            pool = KeyPool(make_keys(name, secrets), instance.max_concurrency_per_key, self._random)
            model = f"{provider.name}/{instance.model}"
            pricer = self._pricers.get(model) or Pricer(self._catalog, provider.name, instance.model)
            self._pricers[model] = pricer
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
            raise self._nobodys(bare)
        try:
            self.add(Instance(wanted, bare), on_demand=True)
        except ConfigError as problem:
            if there := self._models_and_names():
                near = did_you_mean(bare, there)
                problem.message = f"no instance has the model {bare!r}{near}, and none can be made for it: {problem.message}"
            raise

    def _nobodys(self, model: str) -> ConfigError:
        """The error for a model of which nobody knows whose it is."""
        vendor, slash, _ = model.partition("/")
        near = did_you_mean(vendor, REGISTRY.names()) if slash else did_you_mean(model, self._models_and_names())
        return ConfigError(
            f"model {model!r}: whose is it? Write provider/model; providers are {', '.join(REGISTRY.names())}{near}"
        )

    def check_model(self, model: str) -> None:
        """See that a call could name ``model``, without making an instance for it.

        :raises ConfigError: if nobody knows whose it is.
        """
        provider, bare = split_model(model, REGISTRY.names())
        if provider is not None or model in MODEL_WORDS or provider_for(bare) is not None:
            return
        if not any(route.serves(model) or route.instance.model == ANY_MODEL for route in self.router.routes()):
            raise self._nobodys(model)

    def _models_and_names(self) -> list[str]:
        """What a call may name as its model: those of the instances, and their names."""
        configured = [route for route in self.router.routes() if not route.on_demand]
        return [*[route.instance.model for route in configured], *[route.name for route in configured]]

    def counted_by(self, model: str | ModelRequest | None, instance: str | None) -> tuple[str | ModelRequest | None, str]:
        """The model to ask for, and the name by whose rules tokens are counted.

        :raises ConfigError: if neither is given and the client has no model of its own.
        """
        model = model or (self.default_model if instance is None else None)
        if model is not None:
            return model, self._rules_of(model)
        routes = self.router.routes()
        found = [route.instance for route in routes if instance in (None, route.name) and route.instance.model != ANY_MODEL]
        if found:
            return None, f"{found[0].provider}/{found[0].model}"
        said = "no instance has one of its own" if instance is None else f"no instance named {instance!r} has one of its own"
        raise ConfigError(f"model: whose tokens? Give a model; {said}")

    def _rules_of(self, model: str | ModelRequest) -> str:
        """The model by whose rules a prompt is counted: for a kind of model that of the instance that would be asked first."""
        if not isinstance(model, str) or model in MODEL_WORDS:
            from llmkit.catalog.select import select_models

            self._read_catalog()
            model = select_models(model, candidates=self.models_served(), catalog=self.models.get(), fallbacks=0).primary
        served = self.router.route(model).instance if self.router.has(model) else None
        return model if served is None or served.model == ANY_MODEL else f"{served.provider}/{served.model}"

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

    def ensured(self, call: ChatCall) -> ChatCall:
        """A call out of the queue, whose models have instances in this client.

        :raises ConfigError: as :meth:`ensure`.
        """
        model = None if call.model is None else self.ensure(call.model)
        return attrs.evolve(call, model=model, fallbacks=tuple([self.ensure(name) for name in call.fallbacks]))


def named(instance: Instance) -> str:
    """An instance as errors name it."""
    return f"instance {instance.name or f'{instance.provider}/{instance.model}'}"
