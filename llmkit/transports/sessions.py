"""aiohttp's session, one per event loop, over a connector that tells which connection serves which exchange."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import time
import weakref
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp

from llmkit.transports.base import AUTO_HEADERS, KEPT, disown
from llmkit.transports.exchange import Exchange
from llmkit.wire.body import MOST_HEADERS


class Pending(Exchange):
    """An exchange on an event loop, in the task that made it."""

    transport: Any = None

    def __init__(self, origin: str, until: float, connect_by: float) -> None:
        super().__init__(origin, until if until < connect_by else connect_by)
        self.until = until
        """When the whole exchange is given up; until there is a connection, its own limit counts."""
        self.task = asyncio.current_task()
        """What waits for the head of the reply."""

    def kill(self, why: str) -> None:
        """Break the connection, or stop the wait for one."""
        if self.killed is None:
            self.killed = why
            if self.transport is None and self.task is not None:
                self.task.cancel()
            self.abort()

    def again(self) -> None:
        """See :meth:`Exchange.again`. The dead connection is forgotten, or :meth:`kill` would break that and leave the task waiting
        for the next one."""
        super().again()
        self.transport = None

    def abort(self) -> None:
        """Close the socket without waiting for what is still to be written."""
        if self.transport is not None:
            self.transport.abort()


current: contextvars.ContextVar[Pending | None] = contextvars.ContextVar("llmkit_exchange", default=None)
"""What this task is sending."""


class _Connector(aiohttp.TCPConnector):
    """Notes which connection an exchange gets, whether it was used before, and when the first byte comes back."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit=limit)
        self.protocols: weakref.WeakSet[Any] = weakref.WeakSet()

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:
        exchange = current.get()
        if exchange is not None and exchange.killed is not None:  # aiohttp sends a GET again whose connection was broken off
            raise aiohttp.ClientConnectionError("the exchange is over")
        connection = await super().connect(req, traces, timeout)
        if exchange is None:
            return connection
        while exchange.fresh_only and hasattr(connection.protocol, "llmkit_tap"):
            connection.close()
            connection = await super().connect(req, traces, timeout)
        tap: _Tap | None = getattr(connection.protocol, "llmkit_tap", None)
        exchange.reused = tap is not None
        exchange.connected = True
        exchange.transport = connection.transport
        exchange.expires_at = exchange.until
        if tap is None:
            tap = _Tap(connection.protocol)
            self.protocols.add(connection.protocol)
        tap.exchange = exchange
        return connection


class _Tap:
    """Sits before a connection's protocol and notes that bytes have come."""

    __slots__ = ("_received", "exchange")

    def __init__(self, protocol: Any) -> None:
        self.exchange: Exchange | None = None
        self._received = protocol.data_received
        protocol.llmkit_tap = self
        protocol.data_received = self._note

    def _note(self, data: bytes) -> None:
        if self.exchange is not None:
            self.exchange.received += len(data)
        self._received(data)


class Session:
    """aiohttp's session on one loop, and what runs over it. One timer watches all exchanges, as the watchdog does elsewhere."""

    def __init__(self, pool_size: int | None) -> None:
        self.loop = asyncio.get_running_loop()
        self._active: set[Pending] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = math.inf
        self.closing: asyncio.Task[None] | None = None
        self._connector = _Connector(pool_size or 0)
        self.client = aiohttp.ClientSession(
            connector=self._connector,
            headers=AUTO_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            trust_env=False,
            max_line_size=MOST_HEADERS,
            max_field_size=MOST_HEADERS,
        )
        self._guard = _guard(self.client)

    async def start(self) -> None:
        """Begin the guard that closes the session when the loop ends."""
        await self._guard.__anext__()

    def watch(self, exchange: Pending) -> None:
        """Watch an exchange until :meth:`release`."""
        self._active.add(exchange)
        if exchange.expires_at < self._wakes_at:
            self._wake_at(exchange.expires_at)

    def release(self, exchange: Pending) -> None:
        """Watch it no longer: the reply has been read, or nobody wants it any more."""
        self._active.discard(exchange)
        exchange.transport = exchange.task = None

    def expire(self, exchange: Pending, moment: float) -> None:
        """Move an exchange's timer."""
        exchange.expires_at = moment
        if moment < self._wakes_at:
            self._wake_at(moment)

    def _wake_at(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = moment
        self._timer = self.loop.call_later(moment - time.monotonic(), self._look)

    def _look(self) -> None:
        now = time.monotonic()
        for exchange in [*self._active]:
            if exchange.expires_at <= now:
                exchange.kill("timeout")
        waiting = [exchange.expires_at for exchange in [*self._active] if exchange.killed is None]
        self._timer, self._wakes_at = None, math.inf
        if waiting:
            self._wake_at(min(waiting))

    def close(self) -> None:
        """On the session's loop: end what runs, then close the connections."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._wakes_at = None, math.inf
        for exchange in [*self._active]:
            exchange.kill("closed")
        if self.closing is None:
            self.closing = self.loop.create_task(self._close())

    def close_from(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Close, called while ``loop`` runs in this thread."""
        if loop is self.loop:
            self.close()
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed, and the guard has closed the session
            self.loop.call_soon_threadsafe(self.close)

    async def _close(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop itself is ending the guard just now
            await self._guard.aclose()

    def forget(self) -> None:
        """In a forked child: leave the parent's loop and connections alone."""
        for protocol in list(self._connector.protocols):
            if protocol.transport is not None:
                disown(protocol.transport.get_extra_info("socket"))
        self.client.detach()
        KEPT.append(self)


async def _guard(client: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
    """A generator that the event loop closes when it ends (``asyncio.run`` does so), and the session with it."""
    try:
        yield
    finally:
        await client.close()
