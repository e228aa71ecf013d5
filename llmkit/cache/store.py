"""The second level of the cache: where entries are kept beyond this process."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Cache(Protocol):
    """A place for entries: bytes under a key. What a plugin registers with ``llmkit_register_caches``, and what
    ``Client(cache=...)`` takes.

    Its functions are plain ones that may block, for some hundredths of a second at most: an async client runs them in a thread.
    They are called from many threads at once. They may raise whatever they like: three failures in a row and the cache is left
    alone for five seconds, and no call ever fails for it. An entry carries its own digest, namespace and key, all of which are
    checked when it comes back.

    A cache that several processes share may have two functions more: ``lock(key: str, token: str, seconds: float) -> bool`` and
    ``unlock(key: str, token: str) -> None``. With them, processes that miss the same entry at the same time wait for one of them.

    A cache that can bound its own waiting may have ``within(seconds: float | None) -> None``, called before each operation, in its
    thread: the operation is to end, or to fail, within that time; None says that it may take its own.
    """

    def get(self, key: str) -> bytes | None:
        """The entry under ``key``, or None."""

    def set(self, key: str, entry: bytes, seconds: float | None) -> None:
        """Keep an entry for so many seconds; None for as long as there is room."""

    def delete(self, key: str) -> None:
        """Forget an entry, if there is one."""

    def clear(self, prefix: str) -> None:
        """Forget every entry whose key begins with ``prefix``."""

    def close(self) -> None:
        """Close files and connections. The next call may open them again."""
