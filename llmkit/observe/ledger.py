"""What each instance has been used for."""

from __future__ import annotations

import operator
import threading

import attrs

from llmkit.errors import LLMError
from llmkit.values.base import Value
from llmkit.values.usage import Usage

NOTHING = Usage()


@attrs.frozen(eq=False, repr=False)
class InstanceUsage(Value):
    """One instance's books."""

    instance: str
    provider: str
    model: str
    calls: int = 0
    """Answers that came whole."""
    errors: int = 0
    """Tries that failed."""
    interrupted: int = 0
    """Streams that broke or were left."""
    usage: Usage = NOTHING
    """Tokens of whole answers."""
    partial_usage: Usage = NOTHING
    """Tokens of interrupted streams, as far as the vendor told."""
    cache_hits: int = 0
    """Answers that came from llmkit's own cache; they add nothing to the tokens."""


_COUNTS = tuple(field.name for field in attrs.fields(Usage) if field.name != "estimated")
_counts = operator.attrgetter(*_COUNTS)


@attrs.define(eq=False, repr=False)
class _Row:
    """One instance's books while they are kept: plain numbers, since adding values up would make a new one for every call."""

    instance: str
    provider: str
    model: str
    calls: int = 0
    errors: int = 0
    interrupted: int = 0
    whole: list[int] = attrs.field(factory=lambda: [0] * len(_COUNTS))
    partial: list[int] = attrs.field(factory=lambda: [0] * len(_COUNTS))
    estimated: bool = False
    cache_hits: int = 0

    def add(self, counts: list[int], usage: Usage) -> None:
        """Add ``usage`` to ``counts``."""
        counts[:] = map(operator.add, counts, _counts(usage))
        self.estimated = self.estimated or usage.estimated

    def value(self) -> InstanceUsage:
        """The books as a value."""
        whole, partial = _usage(self.whole, self.estimated), _usage(self.partial)
        return InstanceUsage(
            self.instance, self.provider, self.model, self.calls, self.errors, self.interrupted, whole, partial, self.cache_hits
        )


def _usage(counts: list[int], estimated: bool = False) -> Usage:
    prompt, completion, total, read, written, reasoning = counts
    return Usage(prompt, completion, total, read, written, reasoning, estimated)


class Ledger:
    """The books of a client, for every instance it has had. Safe for threads, tasks and event loops."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, _Row] = {}

    def open(self, instance: str, provider: str, model: str) -> None:
        """Begin the books of an instance."""
        with self._lock:
            self._rows.setdefault(instance, _Row(instance, provider, model))

    def answered(self, instance: str, usage: Usage | None) -> None:
        """Book a whole answer."""
        with self._lock:
            row = self._rows[instance]
            row.calls += 1
            if usage is not None:
                row.add(row.whole, usage)

    def cache_hit(self, instance: str, task: str | None, tags: tuple[str, ...]) -> None:
        """Book an answer from llmkit's own cache, under the instance that gave it when it was new."""
        with self._lock:
            row = self._rows.get(instance)
            if row is not None:
                row.cache_hits += 1

    def failed(self, instance: str, error: LLMError) -> None:
        """Book a try that failed."""
        with self._lock:
            self._rows[instance].errors += 1

    def interrupted(self, instance: str, usage: Usage | None, error: LLMError | None) -> None:
        """Book a stream that broke (``error``) or that its reader left."""
        with self._lock:
            row = self._rows[instance]
            row.interrupted += 1
            row.errors += error is not None
            if usage is not None:
                row.add(row.partial, usage)

    def rows(self) -> tuple[InstanceUsage, ...]:
        """The books, in the order in which the instances came."""
        with self._lock:
            return tuple(row.value() for row in self._rows.values())

    def reset_lock(self) -> None:
        """Start afresh in a forked child, with a lock that nobody holds and books of its own."""
        self._lock = threading.Lock()
        self._rows = {name: _Row(row.instance, row.provider, row.model) for name, row in self._rows.items()}


COLUMNS = (
    ("ID", 5),
    ("Provider", 15),
    ("Model", 30),
    ("Prompt Tokens", 15),
    ("Completion Tokens", 17),
    ("Total Tokens", 15),
    ("Calls", 7),
    ("Errors", 7),
)


def table(rows: tuple[InstanceUsage, ...]) -> str:
    """The books as a table for people."""
    lines = [
        "--- Token Usage Statistics ---",
        " ".join(f"{title:<{width}}" for title, width in COLUMNS).rstrip(),
        "-" * (sum(width for _, width in COLUMNS) + len(COLUMNS) - 1),
    ]
    for number, row in enumerate(rows):
        used = row.usage
        cells = (
            number,
            row.provider,
            row.model,
            used.prompt_tokens,
            used.completion_tokens,
            used.total_tokens,
            row.calls,
            row.errors,
        )
        lines.append(" ".join(f"{cell!s:<{width}}" for cell, (_, width) in zip(cells, COLUMNS, strict=True)).rstrip())
    return "\n".join(lines)
