"""The sync colour: coroutines that block over requests and never suspend, so that one step runs a flow to its end."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar, cast

import requests
import urllib3.exceptions

from llmkit.errors import InvalidRequestError, InvalidResponseError, LLMError
from llmkit.runtime import Waiter
from llmkit.transports import errors
from llmkit.transports.base import KEPT, BaseRuntime, disown, touch
from llmkit.transports.pools import OPEN, Adapter, Prepared, current, timeouts
from llmkit.transports.scopes import Scope, cause, current_scope
from llmkit.transports.threads import Group, Repeat
from llmkit.transports.watchdog import Watched, watchdog
from llmkit.wire.body import MOST_BODY, MOST_HEADERS, MOST_STREAM, BodyDecoder
from llmkit.wire.http import HttpReply, HttpRequest

T = TypeVar("T")

PIECE = 65536


def _too_large(problem: BaseException) -> bool:
    # http.client tells its limits apart by their words alone
    said = str(problem)
    return isinstance(problem, http.client.HTTPException) and ("header line" in said or "headers" in said or "status line" in said)


TABLE = errors.Table(
    timeouts=(TimeoutError, urllib3.exceptions.TimeoutError, requests.Timeout),
    no_timeouts=(urllib3.exceptions.NewConnectionError,),
    tls=(urllib3.exceptions.SSLError, requests.exceptions.SSLError),
    unsendable=(ValueError, urllib3.exceptions.LocationValueError, http.client.InvalidURL),
    too_large=_too_large,
)


class Runtime(BaseRuntime):
    """The world for a sync client. Threads share it."""

    def __init__(
        self,
        *,
        proxy: str | None = None,
        pool_size: int | None = None,
        verify: bool | str = True,
        rng: random.Random | None = None,
    ) -> None:
        super().__init__(proxy=proxy, pool_size=pool_size, verify=verify, rng=rng)
        self._begin()

    def _begin(self) -> None:
        self._adapter = Adapter(self._pool_size or 100, self._verify, self._proxies)
        self._lock = threading.Lock()
        self._mark = object()
        self._parked: set[_Waiter] = set()
        self._repeat: Repeat | None = None

    async def sleep(self, seconds: float) -> None:
        """See :meth:`llmkit.runtime.Runtime.sleep`."""
        await self.wait(_Waiter(), seconds)

    def waiter(self) -> Waiter:
        """See :meth:`llmkit.runtime.Runtime.waiter`."""
        return _Waiter()

    async def wait(self, waiter: Waiter, seconds: float) -> bool:
        """See :meth:`llmkit.runtime.Runtime.wait`."""
        parked = cast(_Waiter, waiter)
        scope: Scope | None = current_scope.get()
        if scope is not None:
            scope.enter(parked.wake)
        with self._lock:
            self._parked.add(parked)
        try:
            woken = self._closed or parked.event.wait(min(max(seconds, 0.0), threading.TIMEOUT_MAX))
        finally:
            with self._lock:
                self._parked.discard(parked)
            if scope is not None:
                scope.leave(parked.wake)
        if self._closed or (scope is not None and scope.cancelled):
            raise cause(errors.closed())
        return woken

    async def send(self, request: HttpRequest, connect: float, until: float) -> HttpReply:
        """See :meth:`llmkit.runtime.Runtime.send`."""
        body = self._open(request, connect, until, MOST_BODY)
        if isinstance(body, LLMError):
            raise cause(body)
        try:
            pieces = []
            while piece := body.next():
                pieces.append(piece)
        finally:
            body.close()
        return HttpReply(body.status, body.headers, pieces[0] if len(pieces) == 1 else b"".join(pieces))

    async def open(self, request: HttpRequest, connect: float, until: float) -> Body:
        """See :meth:`llmkit.runtime.Runtime.open`."""
        body = self._open(request, connect, until, MOST_STREAM)
        if isinstance(body, LLMError):
            raise cause(body)
        return body

    def group(self) -> Group:
        """See :meth:`llmkit.runtime.Runtime.group`."""
        return Group()

    def repeat(self, work: Callable[[], Coroutine[Any, Any, float] | None]) -> None:
        """See :meth:`llmkit.runtime.Runtime.repeat`. One thread does it all."""
        if self._repeat is not None and self._repeat.alive:
            return
        with self._lock:
            if not self._closed and (self._repeat is None or not self._repeat.alive):
                with contextlib.suppress(RuntimeError):  # there can be no more threads now; the next call asks again
                    self._repeat = Repeat(work)
                    weakref.finalize(self, self._repeat.end).atexit = False

    async def run(self, work: Callable[..., T], *given: Any) -> T:
        """See :meth:`llmkit.runtime.Runtime.run`."""
        return work(*given)

    async def warm_up(self, urls: Iterable[str]) -> None:
        """See :meth:`llmkit.runtime.Runtime.warm_up`."""
        await touch(self, urls)

    def close(self) -> None:
        """End calls in flight, in any thread, with ClientClosedError, and close every connection. May be called twice."""
        self._closed = True
        with self._lock:
            parked = list(self._parked)
            repeat = self._repeat
        if repeat is not None:
            repeat.end()
        for waiter in parked:
            waiter.wake()
        watchdog.end_all(self._mark)
        self._adapter.close()

    async def aclose(self) -> None:
        """See :meth:`close`."""
        self.close()

    def after_fork(self) -> None:
        """See :meth:`BaseRuntime.after_fork`."""
        for connection in list(OPEN):
            disown(connection.sock)
        KEPT.append(self._adapter)
        self._begin()

    def _open(self, request: HttpRequest, connect: float, until: float, most: int) -> Body | LLMError:
        """The head of the reply. Errors are given back, to be raised where no frame holds a header."""
        if self._closed:
            return errors.closed()
        self._used = True
        try:
            prepared = self._adapter.prepare(request)
        except ValueError:
            prepared = None
        if prepared is None:
            return InvalidRequestError("the request's URL is not valid")
        exchange = Watched(self._mark, prepared.origin, connect, until)
        watchdog.watch(exchange)
        response = self._head(prepared, exchange)
        if isinstance(response, LLMError) and exchange.stale:
            exchange.again()
            response = self._head(prepared, exchange)
        if isinstance(response, LLMError):
            watchdog.release(exchange)
            return response
        return _body(response, exchange, most)

    def _head(self, prepared: Prepared, exchange: Watched) -> requests.Response | LLMError:
        current.exchange = exchange
        try:
            if self._closed:
                return errors.closed()
            if exchange.killed is not None:
                return errors.killed(exchange)
            left = exchange.until - time.monotonic()
            if left <= 0:
                return errors.timed_out(exchange)
            timeout: Any = timeouts(min(exchange.connect, left), left)
            return self._adapter.send(prepared, stream=True, timeout=timeout, proxies=prepared.proxies)
        except Exception as problem:
            return errors.translate(problem, exchange, TABLE)
        except BaseException:  # an interrupt: the watchdog need not watch any longer
            watchdog.release(exchange)
            raise
        finally:
            current.exchange = None


def _body(response: requests.Response, exchange: Watched, most: int) -> Body | LLMError:
    headers: dict[str, str] = {}
    size = 0
    for name, value in response.raw.headers.items():
        size += len(name) + len(value)
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    body = Body(response, headers, exchange)
    if size > MOST_HEADERS:
        body.close()
        return errors.headers_too_large(exchange)
    try:
        body.decoder = BodyDecoder(headers, most)
    except InvalidResponseError as refused:
        body.close()
        return refused.with_traceback(None)
    return body


class Body:
    """See :class:`llmkit.runtime.Body`."""

    decoder: BodyDecoder

    def __init__(self, response: requests.Response, headers: Mapping[str, str], exchange: Watched) -> None:
        self.status = response.status_code
        self.headers = headers
        self._raw = response.raw
        self._exchange = exchange
        self._over = False

    async def read(self, until: float) -> bytes:
        """See :meth:`llmkit.runtime.Body.read`."""
        if self._over and self._exchange.killed is None:
            return b""
        watchdog.expire(self._exchange, until)
        sock = self._exchange.sock
        if sock is not None:
            with contextlib.suppress(OSError):  # if it is closed by now, the read will tell
                sock.settimeout(max(until - time.monotonic(), 0.001))
        try:
            return self.next()
        except BaseException:  # an interrupt too: half a reply is of no use to the next exchange
            self.close()
            raise

    def next(self) -> bytes:
        """The next bytes, or ``b""`` at the end."""
        while not self._over:
            problem = None
            data = b""
            try:
                data = self._raw.read1(PIECE, decode_content=False)
            except Exception as caught:
                problem = errors.translate(caught, self._exchange, TABLE)
            if problem is not None:
                raise cause(problem)
            plain = self.decoder.feed(data) if data else b""
            if not data or self._raw.closed:
                self._finish(cut_off=not data)
            if plain:
                return plain
        if self._exchange.killed is not None:
            raise cause(errors.killed(self._exchange))
        return b""

    def _finish(self, cut_off: bool) -> None:
        """The body is whole, unless it ended because llmkit broke the connection."""
        if cut_off and self._exchange.killed is not None:
            raise cause(errors.killed(self._exchange))
        self.decoder.finish()
        self._over = True
        watchdog.release(self._exchange)
        self._raw.release_conn()

    def close(self) -> None:
        """See :meth:`aclose`."""
        if not self._over:
            self._over = True
            watchdog.end(self._exchange)  # another thread may be reading, and closing would wait for it
            self._raw.close()

    async def aclose(self) -> None:
        """See :meth:`llmkit.runtime.Body.aclose`."""
        self.close()

    def __del__(self) -> None:
        self.close()


class _Waiter:
    """A thread's event."""

    __slots__ = ("event",)

    def __init__(self) -> None:
        self.event = threading.Event()

    def wake(self) -> None:
        self.event.set()
