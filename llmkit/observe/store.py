"""Books on disk: one SQLite file that several processes may write and read at once.

Counts are added up by minute, so the file grows with time and with the number of combinations, not with the number of calls. A file
is opened for each batch and closed after it: nothing is held across a fork, and a process that is killed leaves nothing half done.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from llmkit.errors import ConfigError
from llmkit.observe.lines import COUNTS, Line
from llmkit.policy.budgets import Spending
from llmkit.values.money import PER_DOLLAR

VERSION = 1
"""Of the tables, kept in the file's ``user_version``."""
BUSY = 5.0
"""Seconds to wait while another process writes."""
MONEY = ("cost", "partial_cost")
_PLAIN = tuple(name for name in COUNTS if name not in MONEY)
_SUMS = (*_PLAIN, *[f"{name}_{part}" for name in MONEY for part in ("dollars", "units")])
_PLACE = ("minute", "instance", "provider", "model", "key", "task", "tags")
_TABLES = (
    f"""CREATE TABLE IF NOT EXISTS usage (
        minute INTEGER NOT NULL, {", ".join(f"{name} TEXT NOT NULL" for name in _PLACE[1:])},
        {", ".join(f"{name} INTEGER NOT NULL DEFAULT 0" for name in _SUMS)},
        PRIMARY KEY ({", ".join(_PLACE)})) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS budgets (
        budget TEXT NOT NULL, scope TEXT NOT NULL, start INTEGER NOT NULL, whole INTEGER NOT NULL, rest INTEGER NOT NULL,
        PRIMARY KEY (budget, scope, start)) WITHOUT ROWID""",
)
_ADD = f"""INSERT INTO usage ({", ".join((*_PLACE, *_SUMS))}) VALUES ({", ".join("?" * len((*_PLACE, *_SUMS)))})
    ON CONFLICT DO UPDATE SET {", ".join(f"{name} = {name} + excluded.{name}" for name in _SUMS)}"""  # noqa: S608 (fixed names)
_SPEND = """INSERT INTO budgets VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET whole = whole + excluded.whole, rest = rest + excluded.rest"""


class UsageStore:
    """One file. Every method may be called from any thread and process.

    :param path: where it is; it is made when something is first written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=BUSY, isolation_level=None)) as database:
            if database.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                self._prepare(database)
            database.execute("PRAGMA synchronous = NORMAL")
            yield database

    def _prepare(self, database: sqlite3.Connection) -> None:
        until = time.monotonic() + BUSY
        while True:  # SQLite does not wait by itself for others who prepare the file at the same time
            try:
                database.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.01)
        database.execute("BEGIN IMMEDIATE")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            raise sqlite3.DatabaseError(f"{self.path} was written by another version of llmkit")
        for statement in _TABLES:
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {VERSION}")
        database.execute("COMMIT")

    def add(self, lines: Iterable[Line], spending: Iterable[Spending] = ()) -> None:
        """Add counts to those of their minutes, and amounts to what was spent: all of it or, after an error, nothing.

        :raises sqlite3.Error: if the file cannot be written.
        """
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany(_ADD, map(_values, lines))
            database.executemany(_SPEND, [(*spent[:3], *divmod(spent.amount, PER_DOLLAR)) for spent in spending])
            database.execute("COMMIT")

    def lines(self, since: float = 0.0, until: float | None = None) -> list[Line]:
        """The counts of the minutes that begin from ``since`` on and before ``until`` (Unix times).

        :raises ConfigError: if there is no such file, or it cannot be read.
        """
        fields = ", ".join((*_PLACE, *_SUMS))
        end = 2**62 if until is None else until
        query = f"SELECT {fields} FROM usage WHERE minute >= ? AND minute < ? ORDER BY minute"  # noqa: S608 (fixed names)
        return [_line(row) for row in self._read(query, (since, end))]

    def spent(self, since: Mapping[str, int]) -> list[Spending]:
        """What all processes together have spent of budgets, in the windows that begin from ``since[budget]`` on.

        :raises ConfigError: if the file cannot be read; one that does not exist holds nothing.
        """
        if not self.path.exists():
            return []
        query = "SELECT budget, scope, start, whole, rest FROM budgets WHERE budget = ? AND start >= ?"
        rows: list[Any] = [row for place in since.items() for row in self._read(query, place)]
        return [Spending(budget, scope, start, whole * PER_DOLLAR + rest) for budget, scope, start, whole, rest in rows]

    def _read(self, query: str, given: Sequence[object]) -> list[tuple[object, ...]]:
        said = "there is no such file"
        try:
            if self.path.is_file():
                with self._open() as database:
                    return database.execute(query, given).fetchall()
        except sqlite3.Error as problem:
            said = str(problem)
        raise ConfigError(f"the usage database {str(self.path)!r}: {said}")


def _values(line: Line) -> tuple[object, ...]:
    counts = dict(zip(COUNTS, line.counts, strict=True))
    place = (line.minute, line.instance, line.provider, line.model, line.key or "", line.task or "", json.dumps(line.tags))
    money = [part for name in MONEY for part in divmod(counts[name], PER_DOLLAR)]
    return (*place, *[counts[name] for name in _PLAIN], *money)


def _line(row: Sequence[object]) -> Line:
    found = dict(zip((*_PLACE, *_SUMS), row, strict=True))
    for name in MONEY:
        found[name] = found[f"{name}_dollars"] * PER_DOLLAR + found[f"{name}_units"]  # type: ignore[operator]
    counts = [found[name] for name in COUNTS]
    tags = tuple(json.loads(str(found["tags"])))
    minute, instance, provider, model = row[:4]
    key, task = found["key"] or None, found["task"] or None
    return Line(instance, provider, model, key, task, tags, counts, minute)  # type: ignore[arg-type]
