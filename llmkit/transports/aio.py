"""The async colour, over aiohttp. One runtime serves any number of event loops, each with a session of its own."""

from __future__ import annotations

import asyncio
import io
import math
import random
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from llmkit.errors import InvalidRequestError, LLMError
from llmkit.runtime import Waiter
from llmkit.transports import errors, tls
from llmkit.transports.aio_body import TABLE, Body, make_body, running_loop, whole_reply
from llmkit.transports.base import MOST_URLS, BaseRuntime, touch
from llmkit.transports.proxy import Proxy
from llmkit.transports.sessions import Pending, Session, current
from llmkit.transports.tasks import Group, Repeat
from llmkit.wire.body import MOST_BODY, MOST_STREAM
from llmkit.wire.http import HttpReply, HttpRequest, flaw, is_url

T = TypeVar("T")

LARGE = 1 << 20
"""Bytes from which aiohttp wants a request's body as a file."""


NO_TIMEOUT = aiohttp.ClientTimeout(total=None, ceil_threshold=1e9)


class _Target(NamedTuple):
    """What a URL alone decides."""

    url: URL
    origin: str
    proxy: Proxy | None
    extra: dict[str, Any]
    """Arguments for aiohttp."""


class Runtime(BaseRuntime):
    """The world for an async client. Tasks, threads and event loops share it."""

    def __init__(
        self,
        *,
        proxy: str | None = None,
        pool_size: int | None = None,
        verify: bool | str = True,
        rng: random.Random | None = None,
    ) -> None:
        super().__init__(proxy=proxy, pool_size=pool_size, verify=verify, rng=rng)
        self._targets: dict[str, _Target] = {}
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._sessions: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Session] = weakref.WeakKeyDictionary()
        self._parked: set[_Waiter] = set()
        self._latest: Session | None = None
        self._repeats: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Repeat] = weakref.WeakKeyDictionary()

    async def sleep(self, seconds: float) -> None:
        """See :meth:`llmkit.runtime.Runtime.sleep`."""
        await self.wait(_Waiter(), seconds)

    def waiter(self) -> Waiter:
        """See :meth:`llmkit.runtime.Runtime.waiter`."""
        return _Waiter()

    async def wait(self, waiter: Waiter, seconds: float) -> bool:
        """See :meth:`llmkit.runtime.Runtime.wait`."""
        parked = cast(_Waiter, waiter)
        with self._lock:
            self._parked.add(parked)
        try:
            if not self._closed:
                await parked.wait(seconds)
        finally:
            with self._lock:
                self._parked.discard(parked)
        if self._closed:
            raise errors.closed()
        return parked.woken

    async def send(self, request: HttpRequest, connect: float, until: float) -> HttpReply:
        """See :meth:`llmkit.runtime.Runtime.send`."""
        opened = await self._open(request, connect, until)
        if isinstance(opened, LLMError):
            raise opened
        reply = whole_reply(*opened)
        if reply is not None:
            return reply
        body = make_body(*opened, MOST_BODY)
        if isinstance(body, LLMError):
            raise body
        try:
            pieces = []
            while piece := await body.next():
                pieces.append(piece)
        finally:
            body.close()
        return HttpReply(body.status, body.headers, pieces[0] if len(pieces) == 1 else b"".join(pieces))

    async def open(self, request: HttpRequest, connect: float, until: float) -> Body:
        """See :meth:`llmkit.runtime.Runtime.open`."""
        opened = await self._open(request, connect, until)
        body = opened if isinstance(opened, LLMError) else make_body(*opened, MOST_STREAM)
        if isinstance(body, LLMError):
            raise body
        return body

    def group(self) -> Group:
        """See :meth:`llmkit.runtime.Runtime.group`."""
        return Group()

    def repeat(self, work: Callable[[], Coroutine[Any, Any, float] | None]) -> None:
        """See :meth:`llmkit.runtime.Runtime.repeat`. Each event loop does it for itself."""
        loop = asyncio.get_running_loop()
        known = self._repeats.get(loop)
        if (known is None or not known.alive) and not self._closed:
            with self._lock:
                for old in [known for known in self._repeats if known.is_closed()]:
                    del self._repeats[old]
                self._repeats[loop] = Repeat(work)

    async def run(self, work: Callable[..., T], *given: Any) -> T:
        """See :meth:`llmkit.runtime.Runtime.run`. A thread of the loop's own pool does the work."""
        return await asyncio.to_thread(work, *given)

    async def warm_up(self, urls: Iterable[str]) -> None:
        """See :meth:`llmkit.runtime.Runtime.warm_up`."""
        await touch(self, urls)

    def close(self) -> None:
        """End calls in flight, on any loop, with ClientClosedError, and close every connection. From any thread; may be called
        twice. On other loops the closing is finished when they come round to it; :meth:`aclose` waits for the running one."""
        self._closed = True
        with self._lock:
            parked = list(self._parked)
            sessions = list(self._sessions.values())
            repeats = list(self._repeats.values())
        for waiter in parked:
            waiter.wake()
        loop = running_loop()
        for repeat in repeats:
            repeat.end_from(loop)
        for session in sessions:
            session.close_from(loop)

    async def aclose(self) -> None:
        """See :meth:`close`."""
        self.close()
        loop = asyncio.get_running_loop()
        repeat = self._repeats.get(loop)
        if repeat is not None and (task := repeat.end()) is not None:
            await asyncio.wait([task])
        session = self._sessions.get(loop)
        if session is not None and session.closing is not None:
            await asyncio.shield(session.closing)

    def after_fork(self) -> None:
        """See :meth:`BaseRuntime.after_fork`."""
        for session in list(self._sessions.values()):
            session.forget()
        self._begin()

    async def _session(self) -> Session:
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is not None and not session.client.closed:
            self._latest = session
            return session
        # asyncio reads into buffers of 256 KiB. Below glibc's mmap threshold, which grows with what has been freed, each read
        # would map and unmap one: a larger block, allocated and freed once, saves 12 to 30 microseconds per read from then on.
        bytes(1 << 20)
        session = Session(self._pool_size)
        with self._lock:
            for old in [known for known in self._sessions if known.is_closed()]:
                del self._sessions[old]
            self._sessions[loop] = self._latest = session
        await session.start()
        if self._closed:  # meanwhile
            session.close()
        return session

    def _target(self, url: str) -> _Target:
        """:raises ValueError: if the URL is none."""
        parts = urlsplit(url if is_url(url) else "")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an http or https URL is needed")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        proxy = self._proxies.find(parts)
        extra: dict[str, Any] = {}
        if parts.scheme == "https":
            extra["ssl"] = tls.context(self._verify)
        if proxy is not None:
            extra["proxy"] = URL(proxy.url)
            if proxy.authorization:
                extra["proxy_headers"] = {"Proxy-Authorization": proxy.authorization}
        if len(self._targets) >= MOST_URLS:
            self._targets.clear()
        target = self._targets[url] = _Target(URL(url, encoded=True), f"{parts.hostname}:{port}", proxy, extra)
        return target

    def _connect_by(self, connect: float) -> float:
        """When there must be a connection. Where the pool is bounded, waiting for room does not count, and only aiohttp knows when
        it is over; elsewhere llmkit's own timer is the cheaper one."""
        return math.inf if self._pool_size else time.monotonic() + connect

    async def _open(
        self, request: HttpRequest, connect: float, until: float
    ) -> tuple[aiohttp.ClientResponse, Pending, Session] | LLMError:
        """The head of the reply. Errors are given back, to be raised where no frame holds a header."""
        if self._closed:
            return errors.closed()
        self._used = True
        try:
            target = self._targets.get(request.url) or self._target(request.url)
        except ValueError:
            target = None
        if target is None:
            return InvalidRequestError("the request's URL is not valid")
        session = self._latest
        if session is None or session.loop is not asyncio.get_running_loop() or session.client.closed:
            session = await self._session()
        if self._closed:
            return errors.closed()
        exchange = Pending(target.origin, until, self._connect_by(connect))
        session.watch(exchange)
        response: aiohttp.ClientResponse | LLMError | None = None
        try:
            response = await self._head(session, target, request, exchange, connect)
            if isinstance(response, LLMError) and exchange.stale:
                exchange.again()
                session.expire(exchange, min(until, self._connect_by(connect)))
                response = await self._head(session, target, request, exchange, connect)
        finally:
            if response is None or isinstance(response, LLMError):
                exchange.abort()
                session.release(exchange)
        if isinstance(response, LLMError):
            return response
        exchange.task = None
        return response, exchange, session

    async def _head(
        self, session: Session, target: _Target, request: HttpRequest, exchange: Pending, connect: float
    ) -> aiohttp.ClientResponse | LLMError:
        left = exchange.expires_at - time.monotonic()
        if left <= 0:
            return errors.timed_out(exchange)
        data: Any = request.body
        if data is not None and len(data) >= LARGE:
            data = io.BytesIO(data)
        headers = request.headers
        if target.proxy is not None and target.proxy.authorization and target.url.scheme == "http":
            headers = {**headers, "Proxy-Authorization": target.proxy.authorization}
        token = current.set(exchange)
        try:
            return await session.client._request(
                request.method,
                target.url,
                data=data,
                headers=headers,
                allow_redirects=False,
                raise_for_status=False,
                timeout=_timeout(connect, left) if self._pool_size else NO_TIMEOUT,
                **target.extra,
            )
        except asyncio.CancelledError:
            if exchange.killed is None or not _ours(exchange):
                raise
            return errors.killed(exchange)
        except Exception as problem:
            if said := flaw(request):
                return InvalidRequestError(f"the request to {exchange.origin} cannot be sent: {said}")
            return errors.translate(problem, exchange, TABLE)
        finally:
            current.reset(token)


def _timeout(connect: float, room: float) -> aiohttp.ClientTimeout:
    """Where the pool is bounded, waiting for ``room`` is not part of making a connection. Nothing is rounded to whole seconds."""
    return aiohttp.ClientTimeout(total=None, connect=room, sock_connect=min(connect, room), ceil_threshold=1e9)


def _ours(exchange: Pending) -> bool:
    """Whether the cancellation that has just come is the one by which :meth:`Pending.kill` stops the wait for a connection."""
    task = exchange.task
    if exchange.transport is not None or task is None:
        return False
    uncancel: Callable[[], int] | None = getattr(task, "uncancel", None)  # Python 3.11
    return uncancel is None or uncancel() == 0


class _Waiter:
    """A future that any thread may set."""

    __slots__ = ("_future", "_loop", "woken")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future = self._loop.create_future()
        self.woken = False

    def wake(self) -> None:
        self.woken = True
        if running_loop() is self._loop:
            self._settle()
            return
        try:
            self._loop.call_soon_threadsafe(self._settle)
        except RuntimeError:  # the loop has gone, and the call with it
            return

    async def wait(self, seconds: float) -> None:
        timer = self._loop.call_later(seconds, self._settle)
        try:
            await self._future
        finally:
            timer.cancel()

    def _settle(self) -> None:
        if not self._future.done():
            self._future.set_result(None)
