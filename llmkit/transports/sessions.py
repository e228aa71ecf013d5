"""aiohttp's session, one per event loop, over a connector that tells which connection serves which exchange."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import time
import weakref
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp

from llmkit.transports.base import KEPT, disown
from llmkit.transports.exchange import Exchange
from llmkit.wire.body import MOST_HEADERS


class Pending(Exchange):
    """An exchange on an event loop, in the task that made it."""

    __slots__ = ("_loop", "_timer", "task", "transport")

    def __init__(self, origin: str, until: float, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(origin, until)
        self.transport: Any = None
        self.task = asyncio.current_task()
        """What waits for the head of the reply."""
        self._loop = loop
        self._timer = loop.call_later(until - time.monotonic(), self._expired, until)

    def expire(self, moment: float) -> None:
        """Move the timer. To a later moment that is free: the timer looks again when it fires."""
        if moment < self.expires_at:
            self._timer.cancel()
            self._timer = self._loop.call_later(moment - time.monotonic(), self._expired, moment)
        self.expires_at = moment

    def _expired(self, moment: float) -> None:
        if moment < self.expires_at:
            moment = self.expires_at
            self._timer = self._loop.call_later(moment - time.monotonic(), self._expired, moment)
        else:
            self.kill("timeout")

    def kill(self, why: str) -> None:
        """Break the connection, or stop the wait for one."""
        if self.killed is None:
            self.killed = why
            if self.transport is None and self.task is not None:
                self.task.cancel()
            self.abort()

    def abort(self) -> None:
        """Close the socket without waiting for what is still to be written."""
        if self.transport is not None:
            self.transport.abort()

    def over(self) -> None:
        """The reply has been read, or nobody wants it any more."""
        self._timer.cancel()
        self.transport = self.task = None


current: contextvars.ContextVar[Pending | None] = contextvars.ContextVar("llmkit_exchange", default=None)
"""What this task is sending."""


class _Connector(aiohttp.TCPConnector):
    """Notes which connection an exchange gets, whether it was used before, and when the first byte comes back."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit=limit)
        self.used: weakref.WeakSet[Any] = weakref.WeakSet()

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:
        exchange = current.get()
        connection = await super().connect(req, traces, timeout)
        if exchange is None:
            return connection
        while exchange.fresh_only and connection.protocol in self.used:
            connection.close()
            connection = await super().connect(req, traces, timeout)
        protocol = connection.protocol
        exchange.transport = connection.transport
        exchange.reused = protocol in self.used
        exchange.connected = True
        if exchange.reused:
            _note_first_byte(protocol, exchange)
        else:
            self.used.add(protocol)
        return connection


def _note_first_byte(protocol: Any, exchange: Exchange) -> None:
    received = type(protocol).data_received

    def first(data: bytes) -> None:
        del protocol.data_received
        exchange.started = True
        received(protocol, data)

    protocol.data_received = first


class Session:
    """aiohttp's session on one loop, and what runs over it."""

    def __init__(self, pool_size: int | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.active: set[Pending] = set()
        self.closing: asyncio.Task[None] | None = None
        self._connector = _Connector(pool_size or 0)
        self.client = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            trust_env=False,
            max_line_size=MOST_HEADERS,
            max_field_size=MOST_HEADERS,
            skip_auto_headers=("Accept",),
        )
        self._guard = _guard(self.client)

    async def start(self) -> None:
        """Begin the guard that closes the session when the loop ends."""
        await self._guard.__anext__()

    def close(self) -> None:
        """On the session's loop: end what runs, then close the connections."""
        for exchange in list(self.active):
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
        for protocol in list(self._connector.used):
            if protocol.transport is not None:
                disown(protocol.transport.get_extra_info("socket"))
        KEPT.append(self)


async def _guard(client: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
    """A generator that the event loop closes when it ends (``asyncio.run`` does so), and the session with it."""
    try:
        yield
    finally:
        await client.close()
