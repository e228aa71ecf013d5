"""Answers to similar questions, found by an embedding function of the user's own.

This can be wrong: two questions with nearly the same vector may have different answers ("How do I switch it on?" and "... off?"),
and no threshold is right for every model and every subject. It is for questions whose answers may be shared, measured on one's own
data first.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from inspect import iscoroutinefunction
from typing import Any, Union

import attrs

from llmkit.cache.entries import Entry
from llmkit.errors import ConfigError, shown
from llmkit.values.calls import ChatCall
from llmkit.values.messages import Message, Text

Embed = Union[Callable[[str], Sequence[float]], Callable[[str], Awaitable[Sequence[float]]]]
Question = tuple[str, str, list[float]]
"""The key of a call without its last text, that text, and its vector."""


class SemanticCache:
    """A cache that also answers questions that are like an earlier one.

    Only the last message's text may differ, and by little; everything else in the call must be the same. Vectors are kept in
    memory.

    :param embed: gives the vector of a text. A plain function, which an async client runs in a thread; or, for async clients alone,
        an ``async def`` one. One that fails is reported and the call goes on.
    :param threshold: the least cosine similarity, above 0 and at most 1. Default 0.95.
    :param max_entries: vectors kept, the least recently used going first. Default 1,000; a look goes through all of one kind.
    :param behind: the exact cache, as ``Client(cache=...)`` takes it. Default ``memory``.
    :raises ConfigError: if a value is wrong.
    """

    def __init__(self, embed: Embed, *, threshold: float = 0.95, max_entries: int = 1000, behind: Any = "memory") -> None:
        if not callable(embed):
            raise ConfigError(f"SemanticCache.embed: expected a function, got {type(embed).__name__}")
        if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 < threshold <= 1:
            raise ConfigError(f"SemanticCache.threshold: expected a number above 0 and at most 1, got {shown(threshold)}")
        if isinstance(max_entries, bool) or not isinstance(max_entries, int) or max_entries < 1:
            raise ConfigError(f"SemanticCache.max_entries: expected a whole number of at least 1, got {shown(max_entries)}")
        self.embed: Callable[[str], Any] = embed
        self.awaited = iscoroutinefunction(embed) or iscoroutinefunction(getattr(embed, "__call__", None))  # noqa: B004
        """Whether ``embed`` is for async clients alone."""
        self.threshold = threshold
        self.max_entries = max_entries
        self.behind = behind
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], tuple[list[float], Entry]] = OrderedDict()

    def vector(self, given: Any) -> list[float] | None:
        """What the user's function gave, as a vector of length 1; None where it has none.

        :raises Exception: if it is no vector.
        """
        if hasattr(given, "__await__"):
            getattr(given, "close", bool)()  # or Python says that nobody awaited it
            raise TypeError("it gave something to be awaited; give an AsyncClient the async function itself")
        vector = [float(number) for number in given]
        length = math.hypot(*vector)
        return [number / length for number in vector] if length > 0 and math.isfinite(length) else None

    def find(self, frame: str, vector: list[float], now: float, oldest: float | None) -> Entry | None:
        """The entry of the most similar question within the same frame, if it is similar enough."""
        with self._lock:
            kept = [(key, *found) for key, found in self._kept.items() if key[0] == frame]
        best, nearest = self.threshold, None
        for key, other, entry in kept:
            if entry.until <= now or len(other) != len(vector) or (oldest is not None and now - entry.born > oldest):
                continue
            likeness = sum(map(float.__mul__, vector, other))
            if likeness >= best:
                best, nearest = likeness, (key, entry)
        if nearest is None:
            return None
        with self._lock:
            if nearest[0] in self._kept:
                self._kept.move_to_end(nearest[0])
        return nearest[1]

    def keep(self, frame: str, text: str, vector: list[float], entry: Entry) -> None:
        """Keep an answer under its question's vector."""
        with self._lock:
            self._kept[frame, text] = (vector, entry)
            self._kept.move_to_end((frame, text))
            while len(self._kept) > self.max_entries:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget every vector."""
        with self._lock:
            self._kept.clear()

    def reset_lock(self) -> None:
        """In a forked child: a lock that nobody holds."""
        self._lock = threading.Lock()


def question(call: Any) -> tuple[ChatCall, str] | None:
    """The call without its last text, and that text; None where the last message is not a user's plain text."""
    if not isinstance(call, ChatCall):
        return None
    last = call.messages[-1]
    if last.role != "user" or len(last.content) != 1 or type(last.content[0]) is not Text or last.content[0].extra:
        return None
    rest = (*call.messages[:-1], Message("user", (), last.name, last.extra))
    return attrs.evolve(call, messages=rest), last.content[0].text
