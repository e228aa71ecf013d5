"""The first level: a dictionary of this process, bounded in entries and bytes, the least recently used going first."""

from __future__ import annotations

import threading
from collections import OrderedDict

from llmkit.cache.entries import Entry


class Memory:
    """Entries by key. Safe for threads."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self.bytes = 0
        self.hits = 0
        self.expired = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str, now: float, oldest: float | None = None) -> Entry | None:
        """The entry under ``key``, unless its time is over.

        :param oldest: seconds; an entry that is older is left where it is, and not given.
        """
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if entry.until <= now:
                self._drop(key)
                self.expired += 1
                return None
            if oldest is not None and now - entry.born > oldest:
                return None
            self._entries.move_to_end(key)
            self.hits += 1
            return entry

    def set(self, key: str, entry: Entry) -> None:
        """Keep an entry, and drop the least recently used where there is no room."""
        with self._lock:
            if key in self._entries:
                self._drop(key)
            if entry.size > self.max_bytes:
                return
            self._entries[key] = entry
            self.bytes += entry.size
            while len(self._entries) > self.max_entries or self.bytes > self.max_bytes:
                self._drop(next(iter(self._entries)))
                self.evicted += 1

    def delete(self, key: str) -> None:
        """Forget an entry, if there is one."""
        with self._lock:
            if key in self._entries:
                self._drop(key)

    def clear(self) -> None:
        """Forget every entry."""
        with self._lock:
            self._entries.clear()
            self.bytes = 0

    def reset_lock(self) -> None:
        """In a forked child: a lock that nobody holds. The entries stay."""
        self._lock = threading.Lock()

    def _drop(self, key: str) -> None:
        self.bytes -= self._entries.pop(key).size
