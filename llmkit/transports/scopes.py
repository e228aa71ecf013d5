"""Work in a thread that may be called off while it waits: its socket, its pause or its own threads are ended under it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar

from llmkit.errors import LLMError
from llmkit.runtime import Cancelled


class Scope:
    """One piece of work. Its exchanges are found by the watchdog; what else it waits for is entered here."""

    __slots__ = ("_lock", "_wakes", "cancelled")

    def __init__(self) -> None:
        self.cancelled = False
        self._lock = threading.Lock()
        self._wakes: set[Callable[[], None]] = set()

    def enter(self, wake: Callable[[], None]) -> None:
        """The work begins to wait for something that ``wake`` ends.

        :raises Cancelled: if it has been called off already.
        """
        with self._lock:
            if not self.cancelled:
                self._wakes.add(wake)
                return
        raise Cancelled

    def leave(self, wake: Callable[[], None]) -> None:
        """It waits no longer."""
        with self._lock:
            self._wakes.discard(wake)

    def cancel(self) -> None:
        """Call the work off. Its exchanges are left to the watchdog, which ends those of many scopes in one sweep."""
        with self._lock:
            self.cancelled = True
            wakes = [*self._wakes]
        for wake in wakes:
            wake()


current_scope: ContextVar[Scope | None] = ContextVar("llmkit_scope", default=None)
"""The work that this thread does for a group; None outside of one."""


def cause(error: LLMError) -> BaseException:
    """What to raise in place of an error that may be there only because the work was called off."""
    scope = current_scope.get()
    return error if scope is None or not scope.cancelled else Cancelled()
