"""The only door between a flow and the world.

A runtime is one colour. The one in ``transports/aio.py`` really suspends; the one in ``transports/blocking.py`` blocks inside its
coroutines and never suspends, so that :func:`llmkit.finish.finish` can run a flow to its end in one step.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from llmkit.wire.http import HttpReply, HttpRequest

T = TypeVar("T")
R = TypeVar("R")


class Body(Protocol):
    """A reply whose body is still to be read. Whoever holds one calls :meth:`aclose`, however things end."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""

    async def read(self, until: float) -> bytes:
        """The next bytes, decompressed, as soon as there are any; ``b""`` at the end of the body.

        :param until: when to give up, on the runtime's clock.
        :raises RequestTimeout: if nothing comes until then; ``phase`` is left to the caller to set.
        :raises NetworkError: if the connection breaks before the body's end.
        :raises ResponseTooLarge: if the body passes the cap.
        :raises ClientClosedError: if the client is closed meanwhile.
        """

    async def aclose(self) -> None:
        """Give the connection back if the body was read to its end, else close it. May be called twice."""


class Waiter(Protocol):
    """One parked call."""

    def wake(self) -> None:
        """Let the call go on. May be called from any thread, under a lock, more than once, and after the call has gone."""


class Cancelled(BaseException):
    """The work was called off: what ``asyncio.CancelledError`` is to tasks, for work that no event loop runs. No error of the
    call's, so nothing retries or answers it."""


class Group(Protocol):
    """Coroutines that run side by side, each in a copy of the context of whoever starts it. Whoever makes one calls :meth:`aclose`,
    however things end."""

    def start(self, tag: Any, work: Coroutine[Any, Any, Any]) -> None:
        """Let ``work`` begin.

        :param tag: what tells its result from the others'.
        """

    async def next(self, seconds: float | None = None) -> tuple[Any, Any] | None:
        """(tag, result) of the next to end; None if none has ended after ``seconds``, or if nothing runs.

        :param seconds: how long to wait; 0 asks without waiting, None waits as long as it takes.
        :raises BaseException: what the work raised.
        """

    async def aclose(self) -> list[tuple[Any, Any]]:
        """Call off what still runs, see it end (within a quarter of a second where threads run it), and give the results of what
        had ended well and was not taken. May be called twice."""


class Runtime(Protocol):
    """What a flow may ask of the world."""

    def now(self) -> float:
        """Seconds on a monotonic clock."""

    def time(self) -> float:
        """Seconds since the Unix epoch."""

    def random(self) -> float:
        """A random number from 0 to 1."""

    async def sleep(self, seconds: float) -> None:
        """Pause.

        :raises ClientClosedError: if the client is closed meanwhile.
        """

    def waiter(self) -> Waiter:
        """A new waiter, for :meth:`wait` in this colour."""

    async def wait(self, waiter: Waiter, seconds: float) -> bool:
        """Pause until ``waiter`` is woken; False if ``seconds`` pass first.

        :raises ClientClosedError: if the client is closed meanwhile.
        """

    async def send(self, request: HttpRequest, connect: float, until: float) -> HttpReply:
        """Send a request and read the whole reply, whatever its status.

        :param connect: seconds that making a connection may take.
        :param until: when the whole reply must have come, on this runtime's clock.
        :raises RequestTimeout: ``phase`` is ``connect`` or ``attempt``.
        :raises NetworkError: or :class:`~llmkit.errors.TLSError`, :class:`~llmkit.errors.RedirectError`,
            :class:`~llmkit.errors.ResponseTooLarge`, :class:`~llmkit.errors.ClientClosedError`. ``ambiguous`` says whether the
            request may have been sent whole.
        """

    async def open(self, request: HttpRequest, connect: float, until: float) -> Body:
        """Send a request and wait for the head of the reply; ``until`` counts for the head alone.

        :raises NetworkError: as :meth:`send`.
        """

    def each(
        self, work: Callable[[T], Coroutine[Any, Any, R]], items: Iterable[T], concurrency: int
    ) -> AsyncGenerator[tuple[int, R], None]:
        """Run ``work`` over ``items``, at most ``concurrency`` at once, and give (position, result) as each is done. Takes the
        next item only when there is room, so an endless iterable is fine. Closing it calls off what still runs."""

    def group(self) -> Group:
        """A new group of coroutines, without any in it."""

    async def run(self, work: Callable[..., T], *given: Any) -> T:
        """Run a plain function that blocks (a file, a database) where it holds nobody up, and give what it returns.

        An async call that is cancelled meanwhile goes on at once; the function is then finished without it.
        """

    def repeat(self, work: Callable[[], Coroutine[Any, Any, float] | None]) -> None:
        """Run work in the background, again and again: ``work`` gives a coroutine, and that the seconds until the next. It ends
        where ``work`` gives None, where the runtime is closed, and where the event loop ends that runs at this call.

        It keeps neither the runtime nor the process alive. Asking again while it runs does nothing.
        """

    async def warm_up(self, urls: Iterable[str]) -> None:
        """Make one connection to each origin ahead of time; failures are left for the first call to report."""

    def close(self) -> None:
        """As :meth:`aclose`, without waiting; from any thread."""

    async def aclose(self) -> None:
        """End calls in flight with :class:`~llmkit.errors.ClientClosedError` and close every connection. May be called twice."""
