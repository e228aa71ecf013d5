"""What ``client.cache`` is: the user's own values beside the answers, in either colour."""

from __future__ import annotations

from typing import Any

from llmkit.cache.answers import CacheStats
from llmkit.finish import finish
from llmkit.flow.cached_values import cache_stats, clear_cache, delete_value, get_value, set_value
from llmkit.flow.kit import Kit


class ClientCache:
    """A client's cache. Values are anything that JSON has; everybody gets a copy."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    @property
    def stats(self) -> CacheStats:
        """The figures since the client was made."""
        return cache_stats(self._kit)  # type: ignore[no-any-return]

    def get(self, key: str, default: Any = None) -> Any:
        """The value under ``key``, or ``default``."""
        return finish(get_value(self._kit, key, default))

    def set(self, key: str, value: Any, ttl: float | None = None) -> bool:
        """Keep a value; False where a level did not take it: it is too large, or the second level is broken.

        :param ttl: seconds; None for the cache's own.
        :raises InvalidRequestError: if it has no JSON form, or ``ttl`` is no number above 0.
        """
        return finish(set_value(self._kit, key, value, ttl))

    def delete(self, key: str) -> bool:
        """Forget a value; False where the second level, being broken, may still have it."""
        return finish(delete_value(self._kit, key))

    def clear(self) -> bool:
        """Forget every answer and value of the cache's namespace, for all who share its second level; False where that is
        broken."""
        return finish(clear_cache(self._kit))


class AsyncClientCache:
    """A client's cache. Values are anything that JSON has; everybody gets a copy."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    @property
    def stats(self) -> CacheStats:
        """The figures since the client was made."""
        return cache_stats(self._kit)  # type: ignore[no-any-return]

    async def get(self, key: str, default: Any = None) -> Any:
        """As :meth:`ClientCache.get`."""
        return await get_value(self._kit, key, default)

    async def set(self, key: str, value: Any, ttl: float | None = None) -> bool:
        """As :meth:`ClientCache.set`."""
        return await set_value(self._kit, key, value, ttl)

    async def delete(self, key: str) -> bool:
        """As :meth:`ClientCache.delete`."""
        return await delete_value(self._kit, key)

    async def clear(self) -> bool:
        """As :meth:`ClientCache.clear`."""
        return await clear_cache(self._kit)
