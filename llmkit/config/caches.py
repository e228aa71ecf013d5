"""From what a user says about a cache to the cache itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from llmkit.cache.answers import AnswerCache
from llmkit.cache.keys import options
from llmkit.cache.semantic import SemanticCache
from llmkit.cache.settings import MEMORY, SCHEMES, CacheSettings
from llmkit.cache.store import Cache
from llmkit.errors import ConfigError, did_you_mean, shown
from llmkit.flow.cached import cached
from llmkit.policy.router import Router
from llmkit.policy.routes import Route
from llmkit.values.calls import Call
from llmkit.wire.redact import describe

EXPECTED = "memory, a URL (redis://, rediss://, unix://, sqlite:///), a registered name, CacheSettings, a mapping or a Cache object"
Makers = Iterable[Mapping[str, Callable[..., Any]]]


def make_cache(chosen: Any, router: Router, makers: Makers) -> AnswerCache:
    """The cache that ``Client(cache=chosen)`` means.

    :param makers: what plugins registered.
    :raises ConfigError: if it is none, or its package is not installed.
    """
    semantic = store = None
    owned = True
    if isinstance(chosen, SemanticCache):
        semantic, chosen = chosen, chosen.behind
    if chosen is None or chosen is True:
        settings = CacheSettings()
    elif isinstance(chosen, str):
        settings = CacheSettings(url=chosen)
    elif isinstance(chosen, CacheSettings):
        settings = chosen
    elif isinstance(chosen, Mapping):
        settings = CacheSettings.of(chosen)
    elif isinstance(chosen, Cache):
        settings, store, owned = CacheSettings(), chosen, False
    else:
        raise ConfigError(f"cache: expected {EXPECTED}; got {type(chosen).__name__}")
    if settings.url is not None and settings.url != MEMORY:
        store = open_store(settings, makers)
    return AnswerCache(settings, Routing(router), cached, store, semantic, owned)


def open_store(settings: CacheSettings, makers: Makers = ()) -> Cache:
    """The second level that ``settings.url`` names. Nothing is connected to yet.

    :raises ConfigError: if there is none, or its package is not installed.
    """
    url = settings.url or ""
    scheme, separator, _ = url.partition("://")
    if separator and scheme in ("redis", "rediss", "unix"):
        from llmkit.transports.cache_redis import RedisCache

        return RedisCache(url, settings.max_entry_bytes)
    if separator and scheme == "sqlite":
        from llmkit.transports.cache_sqlite import SqliteCache

        return SqliteCache(url)
    named = {name: make for found in makers for name, make in found.items()}
    if url in named:
        return _registered(url, named[url])
    what = f"{scheme}://" if separator else shown(url)  # the rest of a URL may hold a password
    near = did_you_mean(scheme if separator else url, [MEMORY, *SCHEMES, *named])
    raise ConfigError(f"cache: expected {EXPECTED}; got {what}{near}")


def _registered(name: str, make: Callable[..., Any]) -> Cache:
    try:
        made = make()
    except (Exception, SystemExit) as problem:  # a plugin may raise anything
        said = f"cannot be made: {describe(problem)}"
    else:
        if isinstance(made, Cache):
            return made
        said = f"is a {type(made).__name__}, which lacks a method of llmkit.cache.store.Cache"
    raise ConfigError(f"cache: {name!r} of a plugin {said}")


@attrs.frozen
class Routing:
    """Describes what may answer a call, for its key: an answer of another model, or of the same one set up otherwise, is another
    answer."""

    router: Router

    def __call__(self, call: Call[Any]) -> Any:
        """The instances that the call may mean, those of each fallback, and its task's defaults."""
        routes = self.router.routes()
        if call.instance is not None:
            own = [route for route in routes if route.name == call.instance]
        elif call.model is not None:
            own = [route for route in routes if route.serves(call.model)]
        else:
            own = [route for route in routes if not route.on_demand]
        if call.task is not None:
            own = [route for route in own if call.task in route.instance.tasks] or own
        tiers = [own, *[[route for route in routes if route.serves(model)] for model in call.fallbacks]]
        task = self.router.tasks.get(call.task) if call.task is not None else None
        return [[sorted(map(_described, tier)) for tier in tiers], None if task is None else options(task.defaults)]


def _described(route: Route) -> str:
    import orjson

    from llmkit.cache.keys import SORTED, plain

    instance = route.instance
    facts = (
        route.provider.name,
        route.provider.root(instance),
        instance.model,
        options(instance.options),
        instance.headers,
        instance.settings,
    )
    return orjson.dumps(facts, plain, SORTED).decode()
