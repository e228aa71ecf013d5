"""The books' way to the disk: a thread that writes what has changed, once in an interval, far from any call."""

from __future__ import annotations

import sqlite3
import threading
import time
import warnings
import weakref
from typing import TYPE_CHECKING

from llmkit.errors import ConfigError
from llmkit.observe.store import UsageStore

if TYPE_CHECKING:
    from llmkit.observe.ledger import Ledger
    from llmkit.policy.budgets import Budgets

INTERVAL = 1.0
"""Seconds between two batches. A process that is killed loses what it booked since the last one."""


class UsageWriter:
    """Writes a ledger, and what was spent of budgets, into one file; reads what other processes have spent.

    It never raises for the file's sake: where it cannot be written there is one warning, and the next batch tries again with all
    that is missing.

    :param interval: seconds between two batches.
    """

    def __init__(self, path: str, ledger: Ledger, budgets: Budgets | None, interval: float = INTERVAL) -> None:
        self.store = UsageStore(path)
        self._ledger = ledger
        self._budgets = budgets
        self._interval = interval
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._warned = False
        if budgets is not None:
            budgets.stored = True

    def start(self, owner: object) -> None:
        """Begin to write, until ``owner`` is gone or the interpreter ends, when the last batch is written."""
        if self._budgets is not None:
            self.flush()  # what was spent before the process began counts from its first call on
        threading.Thread(target=self._work, args=(self._stop,), name="llmkit-usage", daemon=True).start()
        weakref.finalize(owner, self._end, self._stop)

    def restart(self, owner: object) -> None:
        """Begin afresh in a forked child, where the thread is gone. The parent writes its own books."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        threading.Thread(target=self._work, args=(self._stop,), name="llmkit-usage", daemon=True).start()
        weakref.finalize(owner, self._end, self._stop)

    def _work(self, stop: threading.Event) -> None:
        while not stop.wait(self._interval):
            self.flush()

    def _end(self, stop: threading.Event) -> None:
        if stop is self._stop and not stop.is_set():  # in a forked child, the parent's end is not its own
            stop.set()
            self.flush()

    def flush(self) -> None:
        """Write what has changed, now."""
        said = None
        with self._lock:
            try:
                self._write()
            except (sqlite3.Error, ConfigError, OSError, OverflowError) as problem:
                said = f"usage cannot be written to {str(self.store.path)!r}, further attempts follow: {problem}"
            warn, self._warned = said is not None and not self._warned, said is not None
        if warn and said is not None:
            try:
                warnings.warn(said, RuntimeWarning, stacklevel=2)
            except RuntimeWarning:  # where warnings are errors, no call and no thread dies of this one
                self._say(said)

    def _say(self, said: str) -> None:
        import logging

        logging.getLogger("llmkit.usage").warning(said)

    def _write(self) -> None:
        now = time.time()
        minute = int(now // 60) * 60
        changed = self._ledger.unsaved()
        spending = [] if self._budgets is None else self._budgets.changes()
        if changed or spending:
            self.store.add([row.line(delta)._replace(minute=minute) for row, _, delta in changed], spending)
            for row, counts, _ in changed:
                row.saved = counts
        if self._budgets is not None:
            self._budgets.written(spending)
            self._budgets.learn(self.store.spent(self._budgets.starts(now)), now)
