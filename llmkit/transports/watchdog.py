"""Ends blocking exchanges whose time is up, from one lazy daemon thread per process.

A blocking read takes a timeout per read only; a server that sends a byte now and then outlives it. The watchdog shuts the
socket down instead, which ends the read at once, under TLS too.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
from collections.abc import Collection
from typing import Any

from llmkit.transports.base import disown
from llmkit.transports.exchange import Exchange
from llmkit.transports.scopes import Scope, current_scope


class Watched(Exchange):
    """An exchange over a blocking socket.

    :param owner: a mark of the runtime it belongs to; not the runtime, which idle connections would keep alive.
    :param connect: seconds that making a connection may take.
    """

    __slots__ = ("connect", "connection", "owner", "scope", "sock", "until")

    def __init__(self, owner: object, origin: str, connect: float, until: float) -> None:
        super().__init__(origin, until)
        self.owner = owner
        self.scope = current_scope.get()
        self.connect = connect
        self.until = until
        self.connection: Any = None
        """The connection, as long as its ``exchange`` is this one."""
        self.sock: socket.socket | None = None

    def kill(self, why: str) -> None:
        """Shut the socket down, which wakes the thread that waits on it. The watchdog's lock is held."""
        if self.killed is None:
            self.killed = why
        if self.connection is None or self.connection.exchange is not self:
            return
        sock = self.sock or self.connection.sock
        if sock is not None:
            with contextlib.suppress(OSError, ValueError):  # SSLSocket.shutdown would drop the TLS layer under a reading thread
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


class Watchdog:
    """Watches exchanges."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew; in a forked child the old thread and the lock's owner are gone."""
        self._lock = threading.Condition(threading.RLock())  # a dropped body may be collected while it is held
        self._exchanges: set[Watched] = set()
        self._thread: threading.Thread | None = None
        self._wakes_at = math.inf

    def watch(self, exchange: Watched) -> None:
        """Watch an exchange until :meth:`release`."""
        with self._lock:
            self._exchanges.add(exchange)
            if exchange.scope is not None and exchange.scope.cancelled:
                exchange.kill("cancelled")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="llmkit-watchdog", daemon=True)
                self._thread.start()
            elif exchange.expires_at < self._wakes_at:
                self._lock.notify()

    def release(self, exchange: Watched) -> None:
        """Watch it no longer."""
        with self._lock:
            self._exchanges.discard(exchange)

    def expire(self, exchange: Watched, moment: float) -> None:
        """Move an exchange's timer."""
        exchange.expires_at = moment
        if moment < self._wakes_at:
            with self._lock:
                self._lock.notify()

    def end(self, exchange: Watched) -> None:
        """Break an exchange off: a thread that still reads from it wakes, and it is watched no longer."""
        with self._lock:
            self._exchanges.discard(exchange)
            exchange.kill("dropped")

    def take(self, exchange: Watched, connection: Any) -> None:
        """The exchange now runs over this connection, and whoever had it before has it no longer."""
        with self._lock:
            exchange.connection = connection
            exchange.sock = connection.sock
            connection.exchange = exchange
            if exchange.killed is not None:  # before there was a connection to break
                exchange.kill(exchange.killed)

    def end_all(self, owner: object) -> None:
        """Kill every exchange of a runtime that is being closed."""
        with self._lock:
            for exchange in [*self._exchanges]:
                if exchange.owner is owner:
                    exchange.kill("closed")

    def end_scopes(self, scopes: Collection[Scope]) -> None:
        """Kill every exchange of work that was called off."""
        with self._lock:
            for exchange in [*self._exchanges]:
                if exchange.scope in scopes:
                    exchange.kill("cancelled")

    def _run(self) -> None:
        with self._lock:
            while True:
                self._lock.wait(self._sweep())

    def _sweep(self) -> float | None:
        """Kill what has expired. Gives the seconds until the next one may; None if nothing is watched."""
        now = time.monotonic()
        for exchange in [*self._exchanges]:
            if exchange.expires_at <= now:
                exchange.kill("timeout")
        self._wakes_at = min([each.expires_at for each in [*self._exchanges] if each.killed is None], default=math.inf)
        return None if self._wakes_at == math.inf else min(self._wakes_at - now, threading.TIMEOUT_MAX)


watchdog = Watchdog()


def _in_child() -> None:
    for exchange in list(watchdog._exchanges):
        disown(exchange.sock)
    watchdog.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
