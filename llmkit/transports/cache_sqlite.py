"""The cache's second level in a file: SQLite, shared by the processes of one machine."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator

from llmkit.errors import ConfigError

BUSY = 0.04
"""Seconds to wait for other threads, and for another process's lock on the file, where nobody has said how many there are."""
MOST_ENTRIES = 100_000
"""Entries in the file; beyond them, those that expire soonest go."""
SWEEP = 200
"""Writes between two sweeps."""
FOREVER = 1e18
TABLES = """
CREATE TABLE IF NOT EXISTS llmkit_cache (key TEXT PRIMARY KEY, entry BLOB NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS llmkit_cache_until ON llmkit_cache (until);
CREATE TABLE IF NOT EXISTS llmkit_locks (key TEXT PRIMARY KEY, token TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
"""


class SqliteCache:
    """Entries in an SQLite file, which only its owner may read. Safe for threads and processes.

    :param url: ``sqlite:///relative/path`` or ``sqlite:////absolute/path``.
    :raises ConfigError: if it names no file.
    """

    def __init__(self, url: str) -> None:
        path = url.removeprefix("sqlite:///")
        if not path or path == url or path == ":memory:":
            raise ConfigError("cache: expected sqlite:///relative/path or sqlite:////absolute/path")
        self._path = path
        self._lock = threading.Lock()
        self._time = threading.local()
        self._connection: sqlite3.Connection | None = None
        self._pid = 0
        self._writes = 0

    def within(self, seconds: float | None) -> None:
        """See :class:`llmkit.cache.store.Cache`."""
        self._time.until = None if seconds is None else time.monotonic() + seconds

    def get(self, key: str) -> bytes | None:
        """See :meth:`llmkit.cache.store.Cache.get`."""
        with self._opened() as database:
            row = database.execute("SELECT entry FROM llmkit_cache WHERE key = ? AND until > ?", (key, time.time())).fetchone()
        return None if row is None else row[0]

    def set(self, key: str, entry: bytes, seconds: float | None) -> None:
        """See :meth:`llmkit.cache.store.Cache.set`."""
        until = FOREVER if seconds is None else time.time() + seconds
        with self._opened() as database:
            database.execute("INSERT OR REPLACE INTO llmkit_cache VALUES (?, ?, ?)", (key, entry, until))
            self._writes += 1
            if self._writes % SWEEP == 1:
                self._sweep(database)

    def delete(self, key: str) -> None:
        """See :meth:`llmkit.cache.store.Cache.delete`."""
        with self._opened() as database:
            database.execute("DELETE FROM llmkit_cache WHERE key = ?", (key,))

    def clear(self, prefix: str) -> None:
        """See :meth:`llmkit.cache.store.Cache.clear`."""
        with self._opened() as database:
            database.execute("DELETE FROM llmkit_cache WHERE substr(key, 1, ?) = ?", (len(prefix), prefix))

    def lock(self, key: str, token: str, seconds: float) -> bool:
        """See :class:`llmkit.cache.store.Cache`."""
        now = time.time()
        with self._opened() as database:
            done = database.execute(
                "INSERT INTO llmkit_locks VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET token = excluded.token, "
                "until = excluded.until WHERE llmkit_locks.until < ?",
                (key, token, now + seconds, now),
            )
            return done.rowcount == 1

    def unlock(self, key: str, token: str) -> None:
        """See :class:`llmkit.cache.store.Cache`."""
        with self._opened() as database:
            database.execute("DELETE FROM llmkit_locks WHERE key = ? AND token = ?", (key, token))

    def close(self) -> None:
        """See :meth:`llmkit.cache.store.Cache.close`."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
            self._connection = None

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def reset_after_fork(self) -> None:
        """In a forked child: a lock that nobody holds."""
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one thread at a time. Threads do not queue for long: where another process keeps the file, each of
        them would wait for those before it."""
        lock = self._lock
        if not lock.acquire(timeout=self._left()):
            raise TimeoutError("other threads keep the file busy")
        try:
            connection = self._open()
            connection.execute(f"PRAGMA busy_timeout = {int(self._left() * 1000)}")
            yield connection
        finally:
            lock.release()

    def _left(self) -> float:
        """Seconds for the operation that begins now."""
        until = getattr(self._time, "until", None)
        return BUSY if until is None else max(0.0, until - time.monotonic())

    def _open(self) -> sqlite3.Connection:
        """The connection of this process: one that was open before a fork belongs to the parent."""
        if self._connection is None or self._pid != os.getpid():
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(self._path, timeout=self._left(), isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = OFF")  # a cache may be lost with the machine
                connection.executescript(TABLES)
            except BaseException:  # an interrupt too: nobody else knows of the connection
                connection.close()
                raise
            self._connection, self._pid = connection, os.getpid()
        return self._connection

    def _sweep(self, database: sqlite3.Connection) -> None:
        now = time.time()
        database.execute("DELETE FROM llmkit_cache WHERE until <= ?", (now,))
        database.execute("DELETE FROM llmkit_locks WHERE until <= ?", (now,))
        more = database.execute("SELECT count(*) FROM llmkit_cache").fetchone()[0] - MOST_ENTRIES
        if more > 0:
            database.execute(
                "DELETE FROM llmkit_cache WHERE key IN (SELECT key FROM llmkit_cache ORDER BY until LIMIT ?)", (more,)
            )
