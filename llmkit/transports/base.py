"""What both runtimes share: clocks, settings, and the promises about dropping and forking."""

from __future__ import annotations

import contextlib
import os
import random
import time
import warnings
import weakref
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from llmkit.errors import LLMError
from llmkit.runtime import Group, Runtime
from llmkit.transports.proxy import Proxies
from llmkit.wire.body import ACCEPT_ENCODING
from llmkit.wire.http import HttpRequest

T = TypeVar("T")
R = TypeVar("R")

AUTO_HEADERS = {"Accept": "*/*", "Accept-Encoding": ACCEPT_ENCODING, "User-Agent": "llmkit"}
"""Sent where the request does not say otherwise."""
MOST_URLS = 1000
"""URLs whose parsed form is kept."""


class BaseRuntime(ABC):
    """A runtime without its input and output.

    :param proxy: None or ``"none"`` for no proxy, ``"env"`` for what the environment names, else a proxy's URL.
    :param pool_size: connections kept open (sync) or open at once (async); None for 100 and no limit.
    :param verify: True, the path of a bundle of authorities to trust alone, or False for no check at all.
    :param rng: source of random numbers; a new one by default.
    """

    _closed = False
    _used = False

    def __init__(
        self,
        *,
        proxy: str | None = None,
        pool_size: int | None = None,
        verify: bool | str = True,
        rng: random.Random | None = None,
    ) -> None:
        self._proxies = Proxies(proxy)
        self._pool_size = pool_size
        self._verify = verify
        self._random: Callable[[], float] = (rng or random.Random()).random  # noqa: S311 (spreads waits, keeps no secrets)
        _RUNTIMES.add(self)

    now = staticmethod(time.monotonic)
    """Seconds on a monotonic clock; every call asks several times."""

    def time(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time()

    def random(self) -> float:
        """A random number from 0 to 1."""
        return self._random()

    @abstractmethod
    def group(self) -> Group:
        """See :meth:`llmkit.runtime.Runtime.group`."""

    async def each(
        self, work: Callable[[T], Coroutine[Any, Any, R]], items: Iterable[T], concurrency: int
    ) -> AsyncGenerator[tuple[int, R], None]:
        """See :meth:`llmkit.runtime.Runtime.each`."""
        group = self.group()
        running = 0
        try:
            for position, item in enumerate(items):
                group.start(position, work(item))
                running += 1
                while running and (found := await group.next(None if running >= concurrency else 0.0)) is not None:
                    running -= 1
                    yield found
            while (found := await group.next()) is not None:
                yield found
        finally:
            await group.aclose()

    @abstractmethod
    def repeat(self, work: Callable[[], Coroutine[Any, Any, float] | None]) -> None:
        """See :meth:`llmkit.runtime.Runtime.repeat`."""

    @abstractmethod
    def after_fork(self) -> None:
        """In a forked child: forget the parent's connections, locks and calls."""

    def __del__(self, warn: Any = warnings.warn) -> None:
        if self._used and not self._closed:
            warn(f"unclosed {self!r}: call close() or aclose()", ResourceWarning, source=self, stacklevel=2)


async def touch(runtime: Runtime, urls: Iterable[str]) -> None:
    """Send a HEAD request for ``/`` to each origin and ignore what comes of it: the connection stays."""
    parts = [urlsplit(url) for url in urls]
    origins = dict.fromkeys(f"{part.scheme}://{part.netloc}/" for part in parts)

    async def head(url: str) -> None:
        with contextlib.suppress(LLMError):
            await runtime.send(HttpRequest("HEAD", url, {}), 5.0, runtime.now() + 10.0)

    async for _ in runtime.each(head, origins, 8):
        pass


_RUNTIMES: weakref.WeakSet[BaseRuntime] = weakref.WeakSet()
KEPT: list[Any] = []
"""What a forked child inherited and must never finalise: closing it properly would reach into the parent's connections."""


def disown(sock: Any) -> None:
    """In a forked child: close this process's share of a connection without a word to the server.

    Its descriptor is pointed at nothing instead of being closed, so that whoever still holds it closes nothing else.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        descriptor = sock.fileno()
        if descriptor >= 0:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, descriptor, inheritable=False)
            os.close(nothing)


def _in_child() -> None:
    for runtime in list(_RUNTIMES):
        runtime.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
