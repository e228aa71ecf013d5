"""The queue's tickets in an SQLite file: one row each, safe with several threads and processes, on the disk before ``put`` returns.

Each operation is one transaction. The threads of a process take turns at one connection, which is closed when none waits for it and
no claim is held: SQLite's connections must not be carried over a fork (https://www.sqlite.org/howtocorrupt.html, 2.6), and the
last one to be closed writes the whole WAL back, which costs several times as much as a transaction.

The file is in WAL mode with ``synchronous=FULL``, where a commit has reached the disk when it returns
(https://www.sqlite.org/pragma.html#pragma_synchronous). WAL needs shared memory, so the file must not lie on a network file
system (https://www.sqlite.org/wal.html).

A claim is a lease of 30 s, which a thread of this process prolongs while the ticket is being asked. When a process is killed the
lease runs out, and the next claim takes the ticket over and marks it as one that may have been sent before.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

from llmkit.errors import InvalidRequestError, InvalidResponseError, LLMError, StorageError
from llmkit.transports.claims import Claims
from llmkit.values.calls import ChatCall
from llmkit.values.completion import Completion
from llmkit.values.tickets import Ticket, TicketStatus
from llmkit.wire.codec import from_json, to_json

APPLICATION = 0x4C4D4B51
"""``LMKQ``: what the file's header says of whose it is (https://www.sqlite.org/pragma.html#pragma_application_id)."""
SCHEMA = 1
"""Version of the table; grows when an older llmkit would misread it."""
TABLE = """
CREATE TABLE tickets (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    key TEXT UNIQUE,
    status TEXT NOT NULL,
    created REAL NOT NULL,
    changed REAL NOT NULL,
    not_before REAL NOT NULL,
    attempts INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    maybe_sent_before INTEGER NOT NULL,
    why TEXT NOT NULL,
    claim TEXT,
    lease REAL,
    call BLOB NOT NULL,
    completion BLOB,
    error BLOB
)
"""
INDEXES = (
    "CREATE INDEX tickets_by_status ON tickets (status, number)",
    "CREATE INDEX tickets_by_claim ON tickets (claim) WHERE claim IS NOT NULL",
)
KINDS: Mapping[str, Any] = {
    **dict.fromkeys(("created", "changed", "not_before"), (int, float)),
    **dict.fromkeys(("attempts", "max_attempts"), int),
    **dict.fromkeys(("id", "why"), str),
    **dict.fromkeys(("key", "claim"), (str, type(None))),
}
"""What a ticket has as it is stored; SQLite itself keeps anything in any column."""
SELECT = f"SELECT number, status, maybe_sent_before, call, completion, error, {', '.join(KINDS)} FROM tickets"  # noqa: S608


def default_path(environ: Mapping[str, str]) -> Path:
    """``llmkit/queue.sqlite`` in the user's folder for state: ``XDG_STATE_HOME``, else ``~/.local/state``
    (https://specifications.freedesktop.org/basedir-spec/latest/); on Windows in ``LOCALAPPDATA``."""
    state = environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(state):  # the specification: a relative one is ignored
        folder = Path(state)
    elif os.name == "nt" and environ.get("LOCALAPPDATA"):
        folder = Path(environ["LOCALAPPDATA"])
    else:
        folder = Path.home() / ".local" / "state"
    return folder / "llmkit" / "queue.sqlite"


_PARENTS: list[Any] = []
"""Connections that a forked process has inherited: kept, so that nobody closes them here."""


class SqliteTickets:
    """A :class:`~llmkit.values.tickets.TicketStore` in one file.

    :param path: of the file; it and its folder are made, for the user alone, when the first ticket is stored.
    :param lease: seconds after which the ticket of a killed process can be taken over. Default 30.
    :param busy: seconds to wait for another process that holds the file. Default 10.
    """

    def __init__(self, path: str | os.PathLike[str], lease: float = 30.0, busy: float = 10.0) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self.lease = lease
        self.busy = busy
        self._claims = Claims(lease, self._prolong, self._let_go)
        self._reset()

    def _reset(self) -> None:
        self._process = os.getpid()
        self._turn = threading.Lock()
        self._waiting: list[None] = []  # appending and popping are atomic
        self._connection: sqlite3.Connection | None = None

    def __repr__(self) -> str:
        return f"SqliteTickets({self.path!r})"

    # ------------------------------------------------------------------------------------------- the file

    @contextmanager
    def _transaction(self, what: str, make: bool = False, read: bool = False) -> Iterator[sqlite3.Connection | None]:
        """A connection in a transaction that is committed at the end of the block; None where there is no file and none is made.

        :raises StorageError: for everything that SQLite or the file system can say.
        """
        if self._process != os.getpid():
            _PARENTS.append(self._connection)  # closing it here would harm the parent's
            self._reset()
        said = ""
        whole = False
        self._waiting.append(None)
        with self._turn:
            self._waiting.pop()
            try:
                if self._connection is None and (make or os.path.exists(self.path)):
                    self._connection = self._connect(make)
                connection = self._connection
                if connection is not None:
                    connection.execute("BEGIN" if read else "BEGIN IMMEDIATE")
                yield connection
                if connection is not None:
                    connection.execute("COMMIT")
                whole = True
            except (sqlite3.Error, OSError, ValueError, OverflowError) as problem:  # what is no text, or no number, for SQLite too
                said = self._words(problem)
            finally:
                if not (whole and (self._waiting or self._claims)):
                    self._close()
        if said:
            raise StorageError(f"queue {self.path}: cannot {what}: {said}", path=self.path)

    def _close(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()  # an open transaction is rolled back
            self._connection = None

    def _words(self, problem: Exception) -> str:
        if isinstance(problem, OSError):
            return problem.strerror or type(problem).__name__
        if isinstance(problem, sqlite3.OperationalError) and "locked" in str(problem):
            return f"another process has held it for more than {self.busy:g} s"
        return str(problem)

    def _close_if_idle(self) -> None:
        with self._turn:
            if not (self._waiting or self._claims):
                self._close()

    def _connect(self, make: bool) -> sqlite3.Connection:
        if make and not os.path.exists(self.path):
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(self.path, timeout=self.busy, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous=FULL")
            if not self._ours(connection):
                self._make_table(connection)
        except BaseException:  # an interrupt too: nobody else knows of the connection
            connection.close()
            raise
        return connection

    def _ours(self, connection: sqlite3.Connection) -> bool:
        """Whether the file holds a queue; False where it is empty.

        :raises sqlite3.DatabaseError: if it is something else, or of a later llmkit.
        """
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application == APPLICATION and version == SCHEMA:
            return True
        if application == APPLICATION and version:
            raise sqlite3.DatabaseError(f"it was written by a later llmkit (format {version}; this one reads {SCHEMA})")
        if application or version or connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise sqlite3.DatabaseError("it is a database of something else")
        return False

    def _make_table(self, connection: sqlite3.Connection) -> None:
        with suppress(sqlite3.OperationalError):  # another process is at it; without WAL the file is as safe, only slower
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        if not self._ours(connection):
            connection.execute(TABLE)
            for index in INDEXES:
                connection.execute(index)
            connection.execute(f"PRAGMA application_id={APPLICATION}")
            connection.execute(f"PRAGMA user_version={SCHEMA}")
        connection.execute("COMMIT")

    # ------------------------------------------------------------------------------------------- tickets in and out

    def put(self, ticket: Ticket) -> Ticket:
        """See :meth:`llmkit.values.tickets.TicketStore.put`."""
        assert ticket.call is not None
        call = to_json(ticket.call)
        ticket = attrs.evolve(ticket, id=ticket.id or secrets.token_hex(8))
        known = None
        with self._transaction("store a ticket", make=True) as connection:
            assert connection is not None
            query = f"{SELECT} WHERE id = ? OR key = ?"  # no key equals none
            known = connection.execute(query, (ticket.id, ticket.key)).fetchone()
            if known is None:
                connection.execute(
                    "INSERT INTO tickets (id, key, status, created, changed, not_before, attempts, max_attempts,"
                    " maybe_sent_before, why, call) VALUES (?, ?, 'queued', ?, ?, ?, 0, ?, ?, ?, ?)",
                    (
                        *(ticket.id, ticket.key, ticket.created, ticket.created, ticket.not_before, ticket.max_attempts),
                        *(ticket.maybe_sent_before, ticket.why, call),
                    ),
                )
        if known is None:
            return ticket
        if known["call"] != call:
            raise InvalidRequestError(f"key: ticket {known['id']} has it already, and asks something else")
        return _ticket(known)

    def claim(self, now: float) -> Ticket | None:
        """See :meth:`llmkit.values.tickets.TicketStore.claim`. A ticket of a killed process that has had its ``max_attempts``
        is not tried again: it may be what kills."""
        claim = secrets.token_hex(8)
        row = None
        asked = time.monotonic()
        with self._transaction("take a ticket") as connection:
            if connection is not None:
                now += time.monotonic() - asked  # the lease begins when the file is ours, not when we began to wait for it
                connection.execute(
                    "UPDATE tickets SET status = 'failed', changed = ?, claim = NULL, lease = NULL, maybe_sent_before = 1,"
                    " why = 'every process that asked it has ended before its answer'"
                    " WHERE status = 'running' AND lease <= ? AND attempts >= max_attempts",
                    (now, now),
                )
                row = (
                    connection.execute(
                        f"{SELECT} WHERE status = 'running' AND lease <= ? ORDER BY number LIMIT 1", (now,)
                    ).fetchone()
                    or connection.execute(
                        f"{SELECT} WHERE status = 'queued' AND not_before <= ? ORDER BY number LIMIT 1", (now,)
                    ).fetchone()
                )
                if row is not None:
                    connection.execute(
                        "UPDATE tickets SET status = 'running', claim = ?, lease = ?, changed = ?, attempts = attempts + 1,"
                        " maybe_sent_before = maybe_sent_before OR status = 'running' WHERE number = ?",
                        (claim, now + self.lease, now, row["number"]),
                    )
                    row = connection.execute(f"{SELECT} WHERE number = ?", (row["number"],)).fetchone()
        if row is None:
            return None
        self._claims.hold(claim)
        return _ticket(row)

    def finish(self, ticket: Ticket, completion: Completion, now: float) -> Ticket | None:
        """See :meth:`llmkit.values.tickets.TicketStore.finish`. A ``raw`` that has no JSON form is left out."""
        try:
            written = to_json(completion)
        except InvalidRequestError:
            written = to_json(attrs.evolve(completion, raw=None))
        return self._settle(ticket, now, "status = 'done', completion = ?, error = NULL, why = ''", (written,))

    def fail(self, ticket: Ticket, error: LLMError, now: float, again: float | None) -> Ticket | None:
        """See :meth:`llmkit.values.tickets.TicketStore.fail`."""
        status = "failed" if again is None else "queued"
        return self._settle(
            ticket,
            now,
            "status = ?, not_before = ?, why = ?, error = ?, maybe_sent_before = maybe_sent_before OR ?",
            (status, again or now, str(error), to_json(error), _ambiguous(error)),
        )

    def give_back(self, ticket: Ticket, now: float, sent: bool) -> None:
        """See :meth:`llmkit.values.tickets.TicketStore.give_back`."""
        self._settle(
            ticket, now, "status = 'queued', attempts = attempts - 1, maybe_sent_before = maybe_sent_before OR ?", (sent,)
        )

    def _settle(self, ticket: Ticket, now: float, changes: str, given: tuple[Any, ...]) -> Ticket | None:
        row = None
        where = (ticket.id, ticket.claim)
        try:
            with self._transaction("write what became of a ticket") as connection:
                if connection is not None:
                    connection.execute(
                        f"UPDATE tickets SET changed = ?, {changes} WHERE id = ? AND claim = ?", (now, *given, *where)  # noqa: S608
                    )
                    row = connection.execute(f"{SELECT} WHERE id = ? AND claim = ?", where).fetchone()
                    connection.execute("UPDATE tickets SET claim = NULL, lease = NULL WHERE id = ? AND claim = ?", where)
        finally:
            self._claims.drop(ticket.claim)
            self._close_if_idle()
        return None if row is None else attrs.evolve(_ticket(row), claim=None)

    def _prolong(self, claims: Collection[str], seconds: float) -> None:
        """Let leases run out so many seconds later. By how long, not until when: the claimer's clock is another."""
        with self._transaction("prolong a claim") as connection:
            if connection is not None:
                changes = [(seconds, claim) for claim in claims]
                connection.executemany("UPDATE tickets SET lease = lease + ? WHERE claim = ?", changes)

    def _let_go(self, claims: Collection[str]) -> None:
        """As :meth:`give_back`, for all that a process holds when it ends."""
        with self._transaction("give tickets back") as connection:
            if connection is not None:
                connection.executemany(
                    "UPDATE tickets SET status = 'queued', attempts = attempts - 1, maybe_sent_before = 1, claim = NULL,"
                    " lease = NULL WHERE claim = ?",
                    [(claim,) for claim in claims],
                )

    # ------------------------------------------------------------------------------------------- looking, tidying

    def find(self, status: TicketStatus | None = None, limit: int = 100) -> list[Ticket]:
        """See :meth:`llmkit.values.tickets.TicketStore.find`."""
        rows: list[Any] = []
        with self._transaction("list tickets", read=True) as connection:
            if connection is not None:
                query = f"{SELECT} WHERE ? IS NULL OR status = ? ORDER BY number DESC LIMIT ?"
                word = None if status is None else str(status)
                rows = connection.execute(query, (word, word, limit)).fetchall()
        return [_ticket(row) for row in rows]

    def get(self, id: str) -> Ticket | None:
        """See :meth:`llmkit.values.tickets.TicketStore.get`."""
        row = None
        with self._transaction("read a ticket", read=True) as connection:
            if connection is not None:
                row = connection.execute(f"{SELECT} WHERE id = ?", (id,)).fetchone()
        return None if row is None else _ticket(row)

    def count(self) -> dict[TicketStatus, int]:
        """See :meth:`llmkit.values.tickets.TicketStore.count`."""
        found: dict[TicketStatus, int] = dict.fromkeys(TicketStatus, 0)
        with self._transaction("count tickets", read=True) as connection:
            if connection is not None:
                for word, number in connection.execute("SELECT status, count(*) FROM tickets GROUP BY status"):
                    if word in found:  # else the row is damaged
                        found[TicketStatus(word)] = number
        return found

    def cancel(self, id: str) -> bool:
        """See :meth:`llmkit.values.tickets.TicketStore.cancel`."""
        return bool(self._delete("id = ? AND status = 'queued'", (id,)))

    def purge(self, before: float, statuses: Collection[TicketStatus]) -> int:
        """See :meth:`llmkit.values.tickets.TicketStore.purge`."""
        words = [str(status) for status in statuses if status is not TicketStatus.RUNNING]
        return self._delete(f"changed < ? AND status IN ({', '.join('?' * len(words))})", (before, *words))

    def _delete(self, where: str, given: tuple[Any, ...]) -> int:
        deleted = 0
        with self._transaction("delete tickets") as connection:
            if connection is not None:
                deleted = connection.execute(f"DELETE FROM tickets WHERE {where}", given).rowcount  # noqa: S608
        return deleted


def _ambiguous(error: LLMError) -> bool:
    return error.ambiguous or any([attempt.ambiguous for attempt in error.attempts])


def _ticket(row: sqlite3.Row) -> Ticket:
    """A row as a value. What cannot be read is left out and told in ``error``: one bad row must not hide the others."""
    damaged = [name for name, kind in KINDS.items() if not isinstance(row[name], kind)]
    if row["status"] not in [str(status) for status in TicketStatus]:
        damaged.append("status")
    if damaged:
        error = InvalidResponseError(f"the ticket's {', '.join(damaged)} cannot be read")
        claim = None if "claim" in damaged else row["claim"]
        return Ticket(id=str(row["id"]), status=TicketStatus.FAILED, created=0.0, changed=0.0, error=error, claim=claim)
    found: dict[str, Any] = {}
    for name, kind in (("call", ChatCall), ("completion", Completion), ("error", LLMError)):
        if row[name] is not None:
            try:
                found[name] = from_json(row[name] if isinstance(row[name], bytes) else str(row[name]), kind)
            except LLMError as problem:
                found["error"] = problem
    return Ticket(
        status=TicketStatus(row["status"]),
        maybe_sent_before=bool(row["maybe_sent_before"]),
        **{name: row[name] for name in KINDS},
        **found,
    )
