"""The body of a reply in the async colour."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import aiohttp
from aiohttp import http_exceptions

from llmkit.errors import InvalidResponseError, LLMError
from llmkit.transports import errors
from llmkit.transports.sessions import Pending, Session
from llmkit.wire.body import MOST_HEADERS, BodyDecoder
from llmkit.wire.http import HttpReply


def _too_large(problem: BaseException) -> bool:
    return isinstance(problem, http_exceptions.LineTooLong) or (
        isinstance(problem, http_exceptions.BadHttpMessage) and "too many headers" in str(problem).lower()
    )


TABLE = errors.Table(
    timeouts=(TimeoutError, asyncio.TimeoutError),
    no_timeouts=(),
    tls=(aiohttp.ClientSSLError,),
    unsendable=(ValueError,),
    too_large=_too_large,
)


class Headers(Mapping[str, str]):
    """A reply's headers, names in lower case. Most are never looked at, so they are taken over only when somebody asks for more
    than one by name."""

    __slots__ = ("_all", "_pairs", "_raw")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._pairs: Any = response.headers
        self._raw = response.raw_headers
        self._all: dict[str, str] | None = None

    def pack(self) -> None:
        """From now on they are read seldom: keep them as they came, which is a third of the size."""
        self._pairs = self._all = None

    def _lowered(self) -> dict[str, str]:
        if self._all is None:
            found: dict[str, str] = {}
            for name, value in self._raw:
                known, text = name.decode("utf-8", "surrogateescape").lower(), value.decode("utf-8", "surrogateescape")
                found[known] = f"{found[known]}, {text}" if known in found else text
            self._all = found  # whole: other threads may read it
        return self._all

    def __getitem__(self, name: str) -> str:
        return self._lowered()[name]

    def __contains__(self, name: object) -> bool:
        return name in self._pairs if self._pairs is not None else str(name).lower() in self._lowered()

    def get(self, name: str, default: Any = None) -> Any:
        """The header of that name."""
        if self._pairs is None:
            return self._lowered().get(name.lower(), default)
        found = self._pairs.getall(name, ())
        return ", ".join(found) if found else default

    def __iter__(self) -> Iterator[str]:
        return iter(self._lowered())

    def __len__(self) -> int:
        return len(self._lowered())

    def __repr__(self) -> str:
        return repr(self._lowered())

    def __reduce__(self) -> tuple[Any, ...]:
        return (dict, (self._lowered(),))


def _too_many(pairs: Any, exchange: Pending) -> bool:
    """Whether the headers pass the cap; where the whole reply is smaller, they need not be counted."""
    return exchange.received > MOST_HEADERS and sum(len(name) + len(value) for name, value in pairs.items()) > MOST_HEADERS


def whole_reply(response: aiohttp.ClientResponse, exchange: Pending, session: Session) -> HttpReply | None:
    """The reply, where its body came whole with its head and is as it should be: the common case. Else None."""
    content, pairs = response.content, response.headers
    if not content.is_eof() or content.exception() is not None or exchange.killed is not None:
        return None
    if "content-encoding" in pairs or exchange.received > MOST_HEADERS:
        return None
    session.release(exchange)
    data = content.read_nowait(-1) if content.total_bytes else b""
    if response.connection is not None:  # the end of the body has given it back already, as a rule
        response.release()
    return HttpReply(response.status, Headers(response), data)


def make_body(response: aiohttp.ClientResponse, exchange: Pending, session: Session, most: int) -> Body | LLMError:
    """The body that follows a head, if the head is acceptable."""
    headers = Headers(response)
    body = Body(response, headers, exchange, session)
    if _too_many(response.headers, exchange):
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

    def __init__(
        self, response: aiohttp.ClientResponse, headers: Mapping[str, str], exchange: Pending, session: Session
    ) -> None:
        self.status = response.status
        self.headers = headers
        self._response = response
        self._exchange = exchange
        self._session = session
        self._over = False
        self._broken: LLMError | None = None

    async def read(self, until: float) -> bytes:
        """See :meth:`llmkit.runtime.Body.read`."""
        if self._over and self._exchange.killed is None:
            return b""
        self._session.expire(self._exchange, until)
        try:
            return await self.next()
        except BaseException:  # a cancel too: half a reply is of no use to the next exchange
            self.close()
            raise

    async def next(self) -> bytes:
        """The next bytes, or ``b""`` at the end."""
        content = self._response.content
        while not self._over:
            problem, self._broken = self._broken, None
            data = b""
            try:
                data = await content.readany() if problem is None else b""
            except Exception as caught:
                problem = errors.translate(caught, self._exchange, TABLE)
            if problem is not None and self._exchange.killed is None and (data := _rescue(content)):
                problem, self._broken = None, problem
            if problem is None and self._exchange.killed is not None:
                problem = errors.killed(self._exchange)
            if problem is not None:
                raise problem
            plain = self.decoder.feed(data) if data else b""
            if not data or (content.at_eof() and self._broken is None):
                self.decoder.finish()
                self._over = True
                self._session.release(self._exchange)
                self._response.release()
            if plain:
                return plain
        if self._exchange.killed is not None:
            raise errors.killed(self._exchange)
        return b""

    def close(self) -> None:
        """See :meth:`aclose`."""
        if not self._over:
            self._over = True
            _drop(self._response, self._exchange, self._session)

    async def aclose(self) -> None:
        """See :meth:`llmkit.runtime.Body.aclose`."""
        self.close()

    def __del__(self) -> None:
        if not self._over:
            loop = self._session.loop
            if loop is running_loop():
                self.close()
            elif not loop.is_closed():
                loop.call_soon_threadsafe(_drop, self._response, self._exchange, self._session)


def _rescue(content: Any) -> bytes:
    """What had come before the connection broke: aiohttp's reader tells of the break first and keeps the rest to itself."""
    try:
        data: bytes = content._read_nowait(-1)
    except Exception:  # nothing could be saved: the break itself is what gets reported
        return b""
    return data


def _drop(response: aiohttp.ClientResponse, exchange: Pending, session: Session) -> None:
    exchange.abort()
    session.release(exchange)
    response.close()


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
