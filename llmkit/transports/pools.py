"""requests' adapter over urllib3's pools, made to tell which connection serves which exchange, and made quick.

``send`` is not overridden: test doubles such as ``responses`` replace ``requests.adapters.HTTPAdapter.send``.
"""

from __future__ import annotations

import errno
import http.client
import threading
import time
import weakref
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from llmkit.transports import tls
from llmkit.transports.base import AUTO_HEADERS, MOST_URLS
from llmkit.transports.proxy import Proxies
from llmkit.transports.watchdog import Watched, watchdog
from llmkit.wire.http import HttpRequest, is_url

current = threading.local()
"""``current.exchange``: what this thread is sending."""
OPEN: weakref.WeakSet[Any] = weakref.WeakSet()
"""Every connection, for a forked child to disown."""


class _Head:
    """Reads the lines of a reply's head. http.client takes a connection that ends inside the head for the end of the head."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._exchange = getattr(current, "exchange", None)

    def readline(self, most: int = -1) -> bytes:
        line: bytes = self._stream.readline(most)
        if line and self._exchange is not None:
            self._exchange.received = 1
        if not line.endswith(b"\n") and len(line) != most:
            raise ConnectionResetError(errno.ECONNRESET, "the connection ended inside the head")
        return line

    def close(self) -> None:
        self._stream.close()


class Reply(http.client.HTTPResponse):
    """Insists on a whole head, and skips informational replies such as 103 Early Hints, of which http.client skips only 100."""

    def begin(self) -> None:
        """Read the head."""
        stream: Any = self.fp
        head: Any = _Head(stream)
        self.fp = head
        try:
            super().begin()
        finally:
            if self.fp is head:
                self.fp = stream

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 < status < 200 or status == 101:
                return version, status, reason
            http.client.parse_headers(self.fp)


class _Told:
    """A connection that tells its exchange of itself."""

    response_class: Any = Reply
    exchange: Watched | None = None
    sock: Any

    def connect(self) -> None:
        exchange = getattr(current, "exchange", None)
        if exchange is None:
            super().connect()  # type: ignore[misc]
            return
        OPEN.add(self)

        def handshake_begins(sock: Any) -> None:
            exchange.sock = sock

        watchdog.take(exchange, self)
        watchdog.expire(exchange, min(exchange.until, time.monotonic() + exchange.connect))
        tls.handshake.begins = handshake_begins
        try:
            super().connect()  # type: ignore[misc]
        finally:
            tls.handshake.begins = None
            if self.sock is not None:
                watchdog.take(exchange, self)
        if exchange.killed is not None:
            raise TimeoutError
        watchdog.expire(exchange, exchange.until)
        exchange.connected = True
        context = getattr(self, "ssl_context", None)
        if context is not None and not context.verify_mode:
            self.is_verified = True  # urllib3 warns of each request otherwise; llmkit has warned once

    def request(self, *args: Any, **kwargs: Any) -> None:
        exchange = getattr(current, "exchange", None)
        if exchange is not None and self.sock is not None and not exchange.connected:
            exchange.reused = exchange.connected = True
            watchdog.take(exchange, self)
            watchdog.expire(exchange, exchange.until)
        super().request(*args, **kwargs)  # type: ignore[misc]


class _Connection(_Told, HTTPConnection):
    pass


class _TLSConnection(_Told, HTTPSConnection):
    pass


class _Fresh:
    """A pool that opens a new connection for a request whose reused one was stale."""

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)  # type: ignore[misc]
        exchange = getattr(current, "exchange", None)
        if exchange is not None and exchange.fresh_only:
            connection.close()
        return connection


class _Pool(_Fresh, HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(_Fresh, HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


POOLS = {"http": _Pool, "https": _TLSPool}


class Headers(dict[str, str]):
    """Headers to be sent, found whatever their case. requests' own dictionary takes far longer to make and to copy."""

    def __missing__(self, name: str) -> str:
        for known, value in self.items():
            if known.lower() == name.lower():
                return value
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or any(known.lower() == str(name).lower() for known in self)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a header."""
        return self[name] if name in self else default  # noqa: SIM401 (this is what get is made of)


class Prepared(requests.PreparedRequest):
    """A request with what its URL alone decides worked out already."""

    origin: str
    target: str
    proxies: dict[str, str] | None


class Adapter(HTTPAdapter):
    """One per runtime, shared by threads. It keeps connections, and nothing else from one request to the next."""

    def __init__(self, pool_size: int, verify: bool | str, proxies: Proxies) -> None:
        self._verify = verify
        self._proxies = proxies
        self._made: dict[str, tuple[str, str, dict[str, str] | None]] = {}
        self._pools: dict[str, Any] = {}
        super().__init__(pool_connections=MOST_URLS, pool_maxsize=pool_size, max_retries=0, pool_block=False)

    def prepare(self, request: HttpRequest) -> Prepared:
        """The request as requests has it, without the parsing it does for each.

        :raises ValueError: if the URL is none.
        """
        url = request.url
        made = self._made.get(url)
        if made is None:
            made = self._make(url)
        prepared = Prepared()
        prepared.method = request.method
        prepared.url = url
        prepared.origin, prepared.target, prepared.proxies = made
        headers: Any = Headers(request.headers)
        given = {name.lower() for name in headers}
        for name, value in AUTO_HEADERS.items():
            if name.lower() not in given:
                headers[name] = value
        if request.body is not None:
            headers["Content-Length"] = str(len(request.body))
        prepared.headers = headers
        prepared.body = request.body
        return prepared

    def _make(self, url: str) -> tuple[str, str, dict[str, str] | None]:
        parts = urlsplit(url if is_url(url) else "")
        if parts.scheme not in POOLS or not parts.hostname:
            raise ValueError("an http or https URL is needed")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        proxy = self._proxies.find(parts)
        chosen = None
        if proxy is not None:
            chosen = {parts.scheme: proxy.url}
        plain = requests.PreparedRequest()
        plain.url = url
        target = super().request_url(plain, chosen or {})
        if len(self._made) >= MOST_URLS:
            self._made.clear()
            self._pools.clear()
        made = self._made[url] = (f"{parts.hostname}:{port}", target, chosen)
        return made

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make pools of connections that tell."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Make pools of connections that tell, through a proxy."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = POOLS
        return manager

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """The proxy's credentials."""
        authorization = self._proxies.authorization(proxy)
        return {"Proxy-Authorization": authorization} if authorization else {}

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        """The pool for a request's origin, remembered by URL."""
        pool = self._pools.get(request.url)
        if pool is None:
            pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
            self._pools[request.url] = pool
        return pool

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """The origin, and llmkit's own TLS context."""
        parts = urlsplit(request.url)
        host = {"scheme": parts.scheme, "host": parts.hostname, "port": parts.port}
        return host, ({"ssl_context": tls.context(self._verify)} if parts.scheme == "https" else {})

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing to do: the TLS context decides."""

    def request_url(self, request: Any, proxies: Mapping[str, str] | None) -> str:
        """The target of the request line, worked out already."""
        target: str = request.target
        return target

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """The reply without what llmkit does not look at: cookies, encoding."""
        response = requests.Response()
        response.status_code = resp.status
        response.headers = resp.headers
        response.raw = resp
        response.url = req.url
        response.request = req
        return response

    def close(self) -> None:
        """Close every idle connection; those in use are closed when they come back."""
        for pool in [*self._pools.values()]:
            pool.close()
        self._pools.clear()
        super().close()


def timeouts(connect: float, read: float) -> urllib3.Timeout:
    """The socket's own timeouts, which end ordinary silence."""
    return urllib3.Timeout(connect=max(connect, 0.001), read=max(read, 0.001))
