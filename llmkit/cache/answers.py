"""A client's cache, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import attrs

from llmkit.cache.entries import KEPT, Entry, Seal, entry_of
from llmkit.cache.flights import Flights
from llmkit.cache.keys import Keys
from llmkit.cache.memory import Memory
from llmkit.cache.second import Second
from llmkit.cache.settings import CacheSettings
from llmkit.cache.store import Cache
from llmkit.values.base import Value
from llmkit.values.calls import CacheUse, Call
from llmkit.values.completion import Completion

if TYPE_CHECKING:
    from llmkit.cache.semantic import SemanticCache


@attrs.frozen(eq=False, repr=False)
class CacheStats(Value):
    """What a cache has done since the client was made."""

    hits: int
    """Answers and values that memory had."""
    second_hits: int
    """Those that the second level had."""
    semantic_hits: int
    """Answers to similar questions."""
    shared: int
    """Calls that got the answer of another one that was under way."""
    misses: int
    """Calls that went to a vendor."""
    stored: int
    """Answers and values that were kept."""
    expired: int
    """Entries in memory whose time was over when they were asked for."""
    evicted: int
    """Entries that left memory for want of room."""
    entries: int
    """Entries in memory now."""
    bytes: int
    """Their size, about."""
    rejected: int
    """Entries of the second level that were not what they should be."""
    errors: int
    """Operations of the second level that failed or took too long."""
    skipped: int
    """Operations that were not tried because it is broken."""
    available: bool | None
    """Whether the second level is in use; None where there is none."""

    @property
    def hit_rate(self) -> float | None:
        """The share of calls that needed no vendor; None before the first."""
        served = self.hits + self.second_hits + self.semantic_hits + self.shared
        return served / (served + self.misses) if served + self.misses else None


class AnswerCache:
    """Memory, the second level behind it, and the calls that share a flight."""

    def __init__(
        self,
        settings: CacheSettings,
        routing: Callable[[Call[Any]], Any],
        flow: Callable[..., Awaitable[Any]],
        store: Cache | None = None,
        semantic: SemanticCache | None = None,
        owned: bool = True,
    ) -> None:
        self.settings = settings
        self.flow = flow
        """What answers a call through the cache; here, so that calls need not look for it."""
        self.keys = Keys(settings.namespace, routing)
        self.memory = Memory(settings.max_entries, settings.max_bytes)
        self.flights = Flights()
        seal = Seal(settings.namespace, None if settings.secret is None else settings.secret.reveal().encode())
        self.second = None if store is None else Second(store, seal, settings.max_entry_bytes)
        self.semantic = semantic
        self.second_hits = self.semantic_hits = self.shared = self.misses = self.stored = 0
        self._owned = owned

    def ttl(self, use: CacheUse) -> float | None:
        """How long to keep the answer of a call that says ``use``."""
        return self.settings.ttl if oldest(use) is None else oldest(use)

    def entry(self, answer: Any, use: CacheUse, now: float) -> Entry | None:
        """The entry for a fresh answer; None where it cannot be copied."""
        return entry_of(answer, now, self.ttl(use))

    def worth(self, answer: Any, entry: Entry) -> bool:
        """Whether to keep it beyond the calls that wait for it now."""
        whole = not isinstance(answer, Completion) or (
            answer.finish_reason in KEPT and answer.fallback is None and not answer.resumed
        )
        return whole and entry.size <= self.settings.max_entry_bytes

    def stats(self) -> CacheStats:
        """The figures so far."""
        memory, second = self.memory, self.second
        return CacheStats(
            memory.hits,
            self.second_hits,
            self.semantic_hits,
            self.shared,
            self.misses,
            self.stored,
            memory.expired,
            memory.evicted,
            len(memory),
            memory.bytes,
            0 if second is None else second.rejected,
            0 if second is None else second.errors,
            0 if second is None else second.skipped,
            None if second is None else second.breaker.closed,
        )

    def close(self) -> None:
        """Close the second level's files and connections, where they are the client's own; the next call opens them again."""
        if self.second is not None and self._owned:
            self.second.store.close()

    def reset_after_fork(self) -> None:
        """In a forked child: no lock is held, no call is in flight."""
        self.flights = Flights()
        self.memory.reset_lock()
        if self.semantic is not None:
            self.semantic.reset_lock()
        if self.second is not None:
            self.second.breaker = type(self.second.breaker)()
            getattr(self.second.store, "reset_after_fork", bool)()


def oldest(use: CacheUse) -> float | None:
    """The age in seconds that an answer may have, where a call says so."""
    return None if use is None or isinstance(use, (bool, str)) else use
