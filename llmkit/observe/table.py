"""The books as a table for people: flyllm's, wider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from llmkit.observe.rows import DIMENSIONS, SECONDS, By, UsageRow, dimensions

TITLE = "--- Token Usage Statistics ---"
LABELS = {"provider": ("Provider", 15), "model": ("Model", 30), "instance": ("Instance", 30), "key": ("Key", 32)}
NUMBERS: tuple[tuple[str, int, Callable[[UsageRow], Any]], ...] = (
    ("Prompt Tokens", 15, lambda row: row.usage.prompt_tokens),
    ("Completion Tokens", 17, lambda row: row.usage.completion_tokens),
    ("Total Tokens", 15, lambda row: row.usage.total_tokens),
    ("Cached", 12, lambda row: row.usage.cache_read_tokens),
    ("Reasoning", 12, lambda row: row.usage.reasoning_tokens),
    ("Calls", 7, lambda row: row.calls),
    ("Errors", 7, lambda row: row.errors),
    ("Cache Hits", 10, lambda row: row.cache_hits),
    ("Cost (USD)", 14, lambda row: money(row)),
)
UNKNOWN = "unknown"


def money(row: UsageRow) -> str:
    """A row's cost to a millionth of a dollar; ``+`` where the price of some of its calls is not known."""
    return UNKNOWN if row.cost is None else f"{rounded(row.cost)}{'+' if row.unpriced else ''}"


def rounded(cost: Decimal) -> str:
    """A cost to a millionth of a dollar, and never 0 for what is more."""
    shown = f"{cost:.6f}"
    return shown if Decimal(shown) or not cost else f"{cost:.1e}"


def savings(rows: Sequence[UsageRow]) -> str:
    """What the vendors' prompt caches saved, in a sentence; empty where they were not used."""
    saved = sum([row.prompt_cache_saved or Decimal(0) for row in rows], Decimal(0))
    return f"The vendors' prompt caches saved {rounded(saved)} USD." if saved > 0 else ""


def labels(by: By) -> tuple[str, ...]:
    """The labels of rows that are grouped by ``by``, as columns. A key's label begins with its instance, which is left out."""
    names = dimensions(by)
    found = dict.fromkeys(label for name in names for label in DIMENSIONS[name])
    if "key" in names:
        found.pop("instance")
    return tuple(found)


def label(row: UsageRow, name: str, by: By) -> str:
    """One label of a row, in words."""
    value = getattr(row, name)
    if name == "start" and value is not None:
        hours = any(SECONDS.get(dimension) == 3600 for dimension in dimensions(by))
        return datetime.fromtimestamp(value, timezone.utc).strftime("%Y-%m-%d %H:00" if hours else "%Y-%m-%d")
    return str(value) if value else "-"


def table(rows: Sequence[UsageRow], by: By = "instance") -> str:
    """The books as text: a title, a head, a rule, a line for each row, and a note where prices are not known."""
    named = labels(by)
    if by == "instance":
        named = named[1:]  # as flyllm has it
    columns = [("ID", 5), *[LABELS.get(name, (name.capitalize(), 24)) for name in named], *[column[:2] for column in NUMBERS]]
    lines = [
        TITLE,
        " ".join(f"{title:<{width}}" for title, width in columns).rstrip(),
        "-" * (sum(width for _, width in columns) + len(columns) - 1),
    ]
    for number, row in enumerate(rows):
        cells = [number, *[label(row, name, by) for name in named], *[cell(row) for _, _, cell in NUMBERS]]
        lines.append(" ".join(f"{cell!s:<{width}}" for cell, (_, width) in zip(cells, columns, strict=True)).rstrip())
    if "tag" not in named and (said := savings(rows)):
        lines.append(said)
    unpriced = sum(row.unpriced for row in rows)
    if unpriced and "tag" not in named:
        lines.append(f"The price of {unpriced} of the calls is not known; the cost leaves them out.")
    return "\n".join(lines)
