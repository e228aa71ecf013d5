"""From a transport's exception to llmkit's error: one table, with a few rows per colour.

Nothing of a foreign exception's text is kept, because requests, aiohttp and http.client print headers (and so keys) in theirs.
What is kept is the operating system's word for an error number, and class names.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import NamedTuple

from llmkit.errors import (
    ClientClosedError,
    InvalidRequestError,
    LLMError,
    NetworkError,
    Recovery,
    RequestTimeout,
    ResponseTooLarge,
    TLSError,
)
from llmkit.transports.exchange import Exchange
from llmkit.wire.body import MOST_HEADERS
from llmkit.wire.redact import describe

CUT = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""TLS errors that only say that the connection broke."""
PLAINLY = {
    **dict.fromkeys(
        ("IncompleteRead", "InvalidChunkLength", "ContentLengthError", "TransferEncodingError"), "the answer did not come whole"
    ),
    **dict.fromkeys(("RemoteDisconnected", "ServerDisconnectedError"), "closed by the other side"),
}
"""What classes of the HTTP libraries' exceptions mean."""


class Table(NamedTuple):
    """What one colour's library raises."""

    timeouts: tuple[type[BaseException], ...]
    no_timeouts: tuple[type[BaseException], ...]
    """Subclasses of those that mean something else."""
    tls: tuple[type[BaseException], ...]
    unsendable: tuple[type[BaseException], ...]
    """The request itself cannot be put on the wire."""
    too_large: Callable[[BaseException], bool]
    """Whether the headers passed a limit."""


def translate(problem: BaseException, exchange: Exchange, table: Table) -> LLMError:
    """The error to raise for ``problem``. Raise it outside the ``except`` block, so that no chain hangs on it."""
    if exchange.killed is not None:
        return killed(exchange)
    causes = list(_chain(problem))
    for cause in causes:
        if isinstance(cause, LLMError):
            return cause
        if isinstance(cause, table.timeouts) and not isinstance(cause, table.no_timeouts):
            return timed_out(exchange)
        if isinstance(cause, ssl.CertificateError) or (
            isinstance(cause, (ssl.SSLError, *table.tls)) and not any(isinstance(each, (*CUT, ConnectionError)) for each in causes)
        ):
            return TLSError(f"TLS with {exchange.origin} failed: {_tls_reason(causes)}", ambiguous=exchange.connected)
        if table.too_large(cause):
            return ResponseTooLarge(f"{exchange.origin} sent too many or too long headers", ambiguous=True)
    if isinstance(problem, table.unsendable) and not exchange.connected:
        return InvalidRequestError(f"the request to {exchange.origin} has an invalid URL or header")
    if isinstance(problem, (TypeError, AttributeError, LookupError, NameError)):  # no network's doing: it would fail again
        said = f"the request to {exchange.origin} failed inside the HTTP library: {describe(problem)}"
        return NetworkError(said, ambiguous=exchange.connected, recovery=Recovery.NEVER)
    return NetworkError(_story(causes, exchange), ambiguous=exchange.connected)


def killed(exchange: Exchange) -> LLMError:
    """The error for a connection that llmkit broke itself."""
    if exchange.killed in ("dropped", "cancelled"):
        return NetworkError(f"the connection to {exchange.origin} was closed while it was read from", ambiguous=True)
    return closed() if exchange.killed == "closed" else timed_out(exchange)


def closed() -> ClientClosedError:
    """The error for a call on a closed client."""
    return ClientClosedError("the client is closed")


def timed_out(exchange: Exchange) -> RequestTimeout:
    """The error for a timer that ran out."""
    what = "did not answer in time" if exchange.connected else "could not be connected to in time"
    return RequestTimeout(f"{exchange.origin} {what}", phase=exchange.phase, ambiguous=exchange.connected)


def headers_too_large(exchange: Exchange) -> ResponseTooLarge:
    """The error for headers beyond the cap."""
    return ResponseTooLarge(f"{exchange.origin} sent more than {MOST_HEADERS} bytes of headers", ambiguous=True)


def _chain(problem: BaseException) -> Iterator[BaseException]:
    """``problem``, and every exception that led to it."""
    found: list[BaseException] = [problem]
    for current in found:
        yield current
        led = [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
        found += [each for each in led if isinstance(each, BaseException) and not any(each is known for known in found)]


def _tls_reason(causes: list[BaseException]) -> str:
    for cause in causes:
        said = getattr(cause, "verify_message", None) or getattr(cause, "reason", None)
        if isinstance(cause, ssl.SSLError) and isinstance(said, str):
            return said
    return "the certificate or the protocol is not acceptable"


def _story(causes: list[BaseException], exchange: Exchange) -> str:
    what = "the connection to {} broke" if exchange.connected else "no connection to {} could be made"
    why = type(causes[-1]).__name__
    for cause in causes:
        why = PLAINLY.get(type(cause).__name__, why)
        if isinstance(cause, socket.gaierror):
            why = "its name is unknown"
            break
        if isinstance(cause, OSError) and isinstance(cause.errno, int) and cause.errno > 0:
            why = os.strerror(cause.errno).lower()
    return f"{what.format(exchange.origin)}: {why}"
