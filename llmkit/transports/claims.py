"""A claim on a ticket lives as long as its process: a thread prolongs the leases of those that are held, and a process that ends in
good order lets go of them."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress

from llmkit.errors import StorageError


class Claims:
    """The claims this process holds, and the thread that prolongs them while there are any.

    :param prolong: lets leases run out so many seconds later.
    :param let_go: ends leases at once.
    """

    def __init__(
        self, lease: float, prolong: Callable[[Collection[str], float], None], let_go: Callable[[Collection[str]], None]
    ) -> None:
        self._lease = lease
        self._prolong = prolong
        self._let_go = let_go
        self._reset()

    def _reset(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._held: set[str] = set()
        self._thread: threading.Thread | None = None

    def __bool__(self) -> bool:
        return bool(self._held) and self._process == os.getpid()

    def hold(self, claim: str) -> None:
        """Prolong ``claim`` from now on."""
        if self._process != os.getpid():
            self._reset()  # the parent's claims, and its thread, are not this process's
        with self._changed:
            self._held.add(claim)
            if self._thread is None:
                thread = threading.Thread(target=self._beat, name="llmkit-queue", daemon=True)
                with suppress(RuntimeError):  # there can be no more threads now; the next claim tries again
                    thread.start()
                    self._thread = thread
                    atexit.register(self._leave)

    def drop(self, claim: str | None) -> None:
        """Prolong ``claim`` no more."""
        if claim is not None and self._process == os.getpid():
            with self._changed:
                self._held.discard(claim)
                self._changed.notify()

    def _beat(self) -> None:
        last = time.monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._held, self._lease / 3)
                if not self._held:
                    self._thread = None
                    atexit.unregister(self._leave)
                    return
                held = tuple(self._held)
            now = time.monotonic()
            with suppress(StorageError):  # the next beat makes up for it
                self._prolong(held, now - last)
                last = now

    def _leave(self) -> None:
        """The process ends, and its calls with it."""
        if self:
            with suppress(StorageError):  # then the leases run out
                self._let_go(tuple(self._held))
