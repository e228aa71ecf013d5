"""The second level as a call sees it: it never raises, and is left alone while it is broken."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import attrs

from llmkit.cache.breaker import Breaker
from llmkit.cache.entries import Entry, Seal
from llmkit.cache.store import Cache
from llmkit.wire.redact import describe

ALLOWED = 0.09
"""Seconds that a call may spend on the second level in all: waiting for a thread, making a connection, every operation. What is
promised is a tenth of a second."""
ASKING = 0.06
"""How much of that may go before the vendor is asked, so that some is left to keep the answer."""
GIVING_BACK = 0.01
"""Seconds that there are for giving a right back, however late it is: others would wait for :data:`LOCKED`."""
LOCKED = 10.0
"""Seconds for which a process may keep the others from asking the vendor the same."""

Clock = Callable[[], float]
FAILED = object()
log = logging.getLogger("llmkit.cache")


@attrs.frozen(eq=False, repr=False)
class Found:
    """What a look at the second level came to."""

    entry: Entry | None = None
    ours: bool | None = None
    """Whether the right to make the entry is this call's, or may be, where no answer came; False where another process has it, None
    where nobody was asked."""
    failed: bool = False
    """The second level did not answer, or was not asked."""
    seconds: float = 0.0
    """How long it took, from when it was asked for; what a busy event loop takes to hear of it is not the second level's."""


class Second:
    """A second level behind a breaker. Its functions block, and are run where that harms nobody.

    ``clock`` and ``wall`` are the runtime's: the breaker counts where the work is done, which may be in another thread and later
    than it was asked for.
    """

    def __init__(self, store: Cache, seal: Seal, max_entry_bytes: int) -> None:
        self.store = store
        self.breaker = Breaker()
        self.errors = 0
        self.skipped = 0
        self.rejected = 0
        self._seal = seal
        self._most = max_entry_bytes
        self._prefix = "llmkit:" + seal.namespace.replace("%", "%25").replace(":", "%3A") + ":"
        self._locks = hasattr(store, "lock") and hasattr(store, "unlock")
        self._within: Callable[[float | None], None] | None = getattr(store, "within", None)

    def resting(self, now: float) -> bool:
        """Whether it is left alone now."""
        return self.breaker.resting(now)

    def look(self, key: str, kind: str, token: str | None, clock: Clock, wall: Clock, asked: float) -> Found:
        """The entry under ``key``; where there is none, and ``token`` is given, the right to make it.

        That right is not asked for when half of the time is gone: it could not be given back in time.
        """
        return attrs.evolve(self._look(key, kind, token, clock, wall, asked + ASKING), seconds=clock() - asked)

    def _look(self, key: str, kind: str, token: str | None, clock: Clock, wall: Clock, until: float) -> Found:
        data = self._guarded(clock, until, self.store.get, self._prefix + key)
        if data is FAILED:
            return Found(failed=True)
        if data is not None:
            entry = self._seal.decode(data, key, kind, clock(), wall())
            if entry is not None:
                return Found(entry)
            self.rejected += 1
        if token is None or not self._locks or until - clock() < ASKING / 2:
            return Found()
        lock = self.store.lock  # type: ignore[attr-defined]
        got = self._guarded(clock, until, lock, self._prefix + "lock:" + key, token, LOCKED)
        return Found(ours=got is FAILED or bool(got), failed=got is FAILED)

    def keep(self, key: str, entry: Entry, token: str | None, clock: Clock, wall: Clock, asked: float) -> bool:
        """Write an entry, and give the right to make it back; whether it was written.

        :param asked: when that was begun; as much earlier as the look has taken.
        """
        until = asked + ALLOWED
        data = self._guarded(clock, until, self._seal.encode, key, entry, clock(), wall())
        if data is FAILED or len(data) > self._most:
            written = False
        else:
            left = None if entry.until == float("inf") else max(0.001, entry.until - clock())
            written = self._guarded(clock, until, self.store.set, self._prefix + key, data, left) is not FAILED
            if not written and clock() >= until:
                return False
        self.release(key, token, clock, asked)
        return written

    def release(self, key: str, token: str | None, clock: Clock, asked: float) -> None:
        """Give the right to make an entry back."""
        if token is not None and self._locks:
            unlock = self.store.unlock  # type: ignore[attr-defined]
            self._guarded(clock, max(asked + ALLOWED, clock() + GIVING_BACK), unlock, self._prefix + "lock:" + key, token)

    def delete(self, key: str, clock: Clock, asked: float) -> bool:
        """Forget an entry; whether the second level took it in."""
        return self._guarded(clock, asked + ASKING, self.store.delete, self._prefix + key) is not FAILED

    def clear(self, clock: Clock) -> bool:
        """Forget every entry of the namespace, however long it takes; whether the second level took it in."""
        return self._guarded(clock, None, self.store.clear, self._prefix) is not FAILED

    def _guarded(self, clock: Clock, until: float | None, work: Callable[..., Any], *given: Any) -> Any:
        """What ``work`` gives, or :data:`FAILED`. What ends after ``until`` is a failure to the breaker, though it worked."""
        now = clock()
        if (until is not None and now >= until) or not self.breaker.allows(now):
            self.skipped += 1
            return FAILED
        try:
            if self._within is None:
                result = work(*given)
            else:
                self._within(None if until is None else until - now)
                try:
                    result = work(*given)
                finally:  # the thread is the caller's, who may use the cache as well
                    self._within(None)
            said = None
        except (Exception, SystemExit) as problem:  # a cache may be anybody's
            result, said = FAILED, describe(problem)
        ended = clock()
        if said is None and until is not None and ended > until:
            said = f"it took {ended - now:.3f} s"
        if said is None:
            if self.breaker.worked():
                log.info("the cache's second level works again")
            return result
        self.errors += 1
        if self.breaker.failed(ended):
            log.warning("the cache's second level is left alone for %g s at a time: %s", self.breaker.pause, said)
        return result
