"""The cache's second level in Redis, for processes on many machines. Needs the extra ``redis``.

redis-py's defaults would hold a call for a minute on a server that is frozen: ten retries of five seconds each
(https://redis.readthedocs.io/en/stable/retry.html). Here nothing is retried, and nothing waits longer than the call has time for:
the connection, the command and all of its reply together (:class:`Exchange`), not each piece of it, as with redis-py's own timeout.
What a name server takes is not bounded.
"""

from __future__ import annotations

import math
import threading
import time
from typing import Any

from llmkit.errors import ConfigError
from llmkit.wire.redact import describe

TIMEOUT = 0.08
"""Seconds for making a connection, and for each exchange, where nobody has said how many there are."""
LONGEST = 10**15
"""Milliseconds, 30,000 years: Redis refuses times that are too long for it (https://redis.io/docs/latest/commands/set/)."""
MARGIN = 4096
"""Bytes of an entry beside its answer."""
UNLOCK = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


class RedisCache:
    """Entries in Redis. Safe for threads and forks: redis-py keeps a connection for each thread at work, and none over a fork.

    :param url: ``redis://``, ``rediss://`` or ``unix://``, as redis-py takes it; its timeouts and retries are not.
    :param max_entry_bytes: more than this is never read.
    :raises ConfigError: if the extra is not installed or the URL is none.
    """

    def __init__(self, url: str, max_entry_bytes: int = 1 << 20) -> None:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError:
            missing = True
        else:
            missing = False
        if missing:
            raise ConfigError("cache: Redis needs a package that is not installed: pip install 'llmkit[redis]'")
        self._time = Time()
        ours: dict[str, Any] = {
            "socket_timeout": TIMEOUT,
            "socket_connect_timeout": TIMEOUT,
            "retry": Retry(NoBackoff(), 0),
            "retry_on_error": [],
            "health_check_interval": 0,
            "decode_responses": False,
            "protocol": 2,
            **_unnamed(redis.connection.AbstractConnection),
        }
        problem: Exception | None = None
        try:
            # A URL's own settings win over arguments in redis-py, so ours are given again, to the pool itself.
            pool: Any = redis.ConnectionPool.from_url(url, **ours)
            pool.connection_kwargs.update({name: value for name, value in ours.items() if name in pool.connection_kwargs})
            pool.connection_kwargs.pop("retry_on_timeout", None)
            pool.connection_class = _in_exchanges(pool.connection_class, self._time)
            self._redis: Any = redis.Redis(connection_pool=pool)
        except (ValueError, TypeError) as raised:
            problem = raised
        if problem is not None:
            raise ConfigError(f"cache: not a URL that redis-py takes: {describe(problem)}")
        self._wrong_type = redis.ResponseError
        self._most = max_entry_bytes + MARGIN

    def within(self, seconds: float | None) -> None:
        """See :class:`llmkit.cache.store.Cache`."""
        self._time.until = None if seconds is None else time.monotonic() + seconds

    def get(self, key: str) -> bytes | None:
        """See :meth:`llmkit.cache.store.Cache.get`. A value that is too large is not read whole, and one that is no string is none
        of ours."""
        try:
            found = self._redis.getrange(key, 0, self._most)
        except self._wrong_type as problem:
            if not str(problem).startswith("WRONGTYPE"):
                raise
            return None
        if not isinstance(found, bytes):
            raise ValueError("no answer to GETRANGE")
        return found or None

    def set(self, key: str, entry: bytes, seconds: float | None) -> None:
        """See :meth:`llmkit.cache.store.Cache.set`."""
        if self._redis.set(key, entry, px=None if seconds is None else max(1, int(min(seconds * 1000, LONGEST)))) is not True:
            raise ValueError("no answer to SET")

    def delete(self, key: str) -> None:
        """See :meth:`llmkit.cache.store.Cache.delete`."""
        self._redis.delete(key)

    def clear(self, prefix: str) -> None:
        """See :meth:`llmkit.cache.store.Cache.clear`."""
        pattern = "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in prefix) + "*"
        found = []
        for key in self._redis.scan_iter(match=pattern, count=1000):
            found.append(key)
            if len(found) == 1000:
                self._redis.delete(*found)
                found = []
        if found:
            self._redis.delete(*found)

    def lock(self, key: str, token: str, seconds: float) -> bool:
        """See :class:`llmkit.cache.store.Cache`."""
        done = self._redis.set(key, token, nx=True, px=int(seconds * 1000))
        if done not in (True, None):  # to be told wrongly that it is held would mean to wait for nobody
            raise ValueError("no answer to SET")
        return done is True

    def unlock(self, key: str, token: str) -> None:
        """See :class:`llmkit.cache.store.Cache`."""
        self._redis.eval(UNLOCK, 1, key, token)

    def close(self) -> None:
        """See :meth:`llmkit.cache.store.Cache.close`."""
        self._redis.close()
        self._redis.connection_pool.disconnect()


class Time(threading.local):
    """How long each thread's operations may take."""

    until: float | None = None
    """On the clock of :func:`time.monotonic`; None where it was not said."""

    def left(self) -> float:
        """Seconds for what begins now.

        :raises TimeoutError: if there is no time left.
        """
        if self.until is None:
            return TIMEOUT
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left


class Exchange:
    """A socket whose timeout is for a command and all of its reply. A server that drips would else hold a call for as long as it
    likes."""

    def __init__(self, socket: Any, allowed: Time) -> None:
        self._socket = socket
        self._allowed = allowed
        self._until = math.inf
        self._given: float | None = TIMEOUT

    def sendall(self, data: Any) -> None:
        """Begin an exchange, or go on with its command.

        :raises TimeoutError: if there is no time for it.
        """
        left = self._allowed.left()
        self._until = time.monotonic() + left
        self._socket.settimeout(left)
        self._socket.sendall(data)

    def settimeout(self, seconds: float | None) -> None:
        """What redis-py asks for; 0 looks whether anything has come, and waits for nothing."""
        self._given = seconds

    def recv(self, *given: Any) -> Any:
        """As a socket's.

        :raises TimeoutError: if the exchange has taken too long.
        """
        self._wait()
        return self._socket.recv(*given)

    def recv_into(self, *given: Any) -> Any:
        """As a socket's.

        :raises TimeoutError: if the exchange has taken too long.
        """
        self._wait()
        return self._socket.recv_into(*given)

    def _wait(self) -> None:
        left = TIMEOUT if self._given is None else self._given
        if left:
            left = min(left, self._until - time.monotonic())
            if left <= 0:
                raise TimeoutError("timed out")
        self._socket.settimeout(left)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


def _in_exchanges(kind: Any, allowed: Time) -> Any:
    """A kind of redis-py's connections, over such a socket."""

    class Connection(kind):  # type: ignore[misc]
        _connecting = False

        def _connect(self) -> Any:
            self._connecting = True
            try:
                return Exchange(super()._connect(), allowed)
            finally:
                self._connecting = False

        def _left(self) -> float:
            try:
                return allowed.left() if self._connecting else TIMEOUT
            except TimeoutError:  # redis-py has a socket open that it would not close
                return 0.001

        # Read anew for each address that a name has, and for TLS; what redis-py sets is not.
        socket_timeout = socket_connect_timeout = property(_left, lambda self, seconds: None)

    return Connection


def _unnamed(connection: Any) -> dict[str, None]:
    """What keeps redis-py from telling the server its name and version, which would be two more exchanges for each connection."""
    import inspect

    known = inspect.signature(connection.__init__).parameters
    names = ("driver_info",) if "driver_info" in known else ("lib_name", "lib_version")
    return {name: None for name in names if name in known}
