"""The user's own values in the cache, and its upkeep."""

from __future__ import annotations

from typing import Any

from llmkit.cache.answers import AnswerCache
from llmkit.cache.entries import value_entry
from llmkit.cache.settings import ttl as checked
from llmkit.errors import ConfigError, InvalidRequestError
from llmkit.flow.kit import Kit


def _cache(kit: Kit, name: Any = "") -> AnswerCache:
    if kit.cache is None:
        raise ConfigError("this client has no cache; make it with cache='memory', or a second level's URL")
    if not isinstance(name, str):
        raise InvalidRequestError(f"key: expected text, got {type(name).__name__}")
    return kit.cache


async def get_value(kit: Kit, name: str, default: Any) -> Any:
    """The value under ``name``, a copy of its own for every caller."""
    cache, runtime = _cache(kit, name), kit.runtime
    key, now = cache.keys.of_value(name), runtime.now()
    entry = cache.memory.get(key, now)
    second = cache.second
    if entry is None and second is not None and not second.resting(now):
        entry = (await runtime.run(second.look, key, "value", None, runtime.now, runtime.time, now)).entry
        if entry is not None:
            cache.second_hits += 1
            cache.memory.set(key, entry)
    return default if entry is None else entry.value()


async def set_value(kit: Kit, name: str, value: Any, ttl: float | None) -> bool:
    """Keep a value; whether every level took it."""
    cache, runtime = _cache(kit, name), kit.runtime
    problem: ConfigError | None = None
    try:
        seconds = cache.settings.ttl if ttl is None else checked("ttl", ttl)
    except ConfigError as raised:
        problem = raised
    if problem is not None:
        raise InvalidRequestError(problem.message)
    now = runtime.now()
    entry = value_entry(value, now, seconds)
    if entry.size > cache.settings.max_entry_bytes:
        return False
    key = cache.keys.of_value(name)
    cache.memory.set(key, entry)
    cache.stored += 1
    second = cache.second
    if second is None:
        return True
    if second.resting(now):
        return False
    return await runtime.run(second.keep, key, entry, None, runtime.now, runtime.time, now)


async def delete_value(kit: Kit, name: str) -> bool:
    """Forget a value; whether every level did."""
    cache, runtime = _cache(kit, name), kit.runtime
    key, now = cache.keys.of_value(name), runtime.now()
    cache.memory.delete(key)
    second = cache.second
    if second is None:
        return True
    return not second.resting(now) and await runtime.run(second.delete, key, runtime.now, now)


async def clear_cache(kit: Kit) -> bool:
    """Forget everything of this cache's namespace; whether every level did."""
    cache, runtime = _cache(kit), kit.runtime
    now = runtime.now()
    cache.memory.clear()
    if cache.semantic is not None:
        cache.semantic.clear()
    second = cache.second
    if second is None:
        return True
    return not second.resting(now) and await runtime.run(second.clear, runtime.now)


def cache_stats(kit: Kit) -> Any:
    """The cache's figures."""
    return _cache(kit).stats()
