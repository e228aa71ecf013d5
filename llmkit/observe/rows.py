"""The books as rows for people, grouped as asked."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

import attrs

from llmkit.errors import InvalidRequestError, did_you_mean, shown
from llmkit.observe.lines import COUNTS, PARTIAL, WHOLE, ZEROS, Line
from llmkit.values.base import Value
from llmkit.values.money import dollars
from llmkit.values.usage import Usage

if TYPE_CHECKING:
    from decimal import Decimal

    from llmkit.observe.ledger import PriceOf

NOTHING = Usage()
FRESH, CACHED, KEPT = Usage(1, 0, 1), Usage(1, 0, 1, 1), Usage(1, 0, 1, 0, 1)
"""A token of a prompt: not cached, read from the vendor's cache, written to it."""
READ, WRITTEN = COUNTS.index("cache_read_tokens"), COUNTS.index("cache_write_tokens")


@attrs.frozen(eq=False, repr=False)
class UsageRow(Value):
    """One row of the books. Labels by which the rows are not grouped are empty."""

    instance: str = ""
    provider: str = ""
    model: str = ""
    calls: int = 0
    """Answers that came whole from a vendor."""
    errors: int = 0
    """Tries that failed."""
    interrupted: int = 0
    """Streams that broke or were left."""
    usage: Usage = NOTHING
    """Tokens of whole answers; ``estimated`` where any of them was."""
    partial_usage: Usage = NOTHING
    """Tokens of interrupted streams, as far as the vendor told."""
    cost: Decimal | None = None
    """US dollars for whole answers whose price is known; None where that is not one of them."""
    unpriced: int = 0
    """Whole answers that ``cost`` leaves out: their price is not known, or the vendor told no usage."""
    partial_cost: Decimal | None = None
    """US dollars for interrupted streams, likewise."""
    partial_unpriced: int = 0
    estimated: int = 0
    """Whole answers whose tokens were estimated."""
    cache_hits: int = 0
    """Answers from llmkit's own cache, which cost nothing."""
    prompt_cache_saved: Decimal | None = None
    """US dollars that the vendors' own prompt caches saved whole answers, at each model's base price: what was read from them
    would have cost so much more as fresh prompt, less what writing them cost more. Below 0 where little was read again; None where
    a price is not known."""
    key: str | None = None
    task: str | None = None
    tag: str | None = None
    start: int | None = None
    """Unix time at which the hour or day began, in books that were stored and are grouped so."""


Saving = Callable[[Line], Union[int, None]]
"""What a vendor's prompt cache saved the calls of a line, in 10^-12 US dollars; None where a price is not known."""
By = Union[str, Sequence[str], None]
DIMENSIONS: Mapping[str, tuple[str, ...]] = {
    "instance": ("instance", "provider", "model"),
    "key": ("key", "instance", "provider", "model"),
    "model": ("provider", "model"),
    "provider": ("provider",),
    "task": ("task",),
    "tag": ("tag",),
    "hour": ("start",),
    "day": ("start",),
}
"""What rows can be grouped by, and the labels they have then."""
SECONDS = {"hour": 3600, "day": 86400}


def dimensions(by: By) -> tuple[str, ...]:
    """What to group by, checked.

    :raises InvalidRequestError: if there is no such thing.
    """
    names = () if by is None else tuple(by) if isinstance(by, Iterable) and not isinstance(by, str) else (by,)
    for name in names:
        if not isinstance(name, str) or name not in DIMENSIONS:
            near = did_you_mean(name, DIMENSIONS) if isinstance(name, str) else ""
            raise InvalidRequestError(f"by: expected {', '.join(DIMENSIONS)} or None, got {shown(name)}{near}")
    return names


def saving_at(price_of: PriceOf) -> Saving:
    """What prompt caches save at these prices."""

    def saving(line: Line) -> int | None:
        read, written = line.counts[READ], line.counts[WRITTEN]
        if not read and not written:
            return 0
        price = price_of(line.provider, line.model)
        if price is None:
            return None
        try:
            fresh, cached, kept = [price.units(usage) for usage in (FRESH, CACHED, KEPT)]
        except Exception:  # prices may come from plugins, and no books fail for them
            return None
        if fresh is None or (read and cached is None) or (written and kept is None):
            return None
        return read * (fresh - (cached or 0)) - written * ((kept or 0) - fresh)

    return saving


def grouped(lines: Iterable[Line], by: By, saving: Saving | None = None) -> tuple[UsageRow, ...]:
    """Sums of lines that have the labels in question in common, in the order in which they come. A call with several tags is in
    the row of each, so rows by tag may add up to more than the whole.

    :param saving: tells what prompt caches saved; without it rows do not.
    :raises InvalidRequestError: if there is nothing of the kind to group by.
    """
    names = dimensions(by)
    labels = tuple(dict.fromkeys(label for name in names for label in DIMENSIONS[name]))
    period = min([SECONDS[name] for name in names if name in SECONDS], default=0)
    sums: dict[tuple[Any, ...], list[int]] = {} if names else {(): list(ZEROS)}
    saved: dict[tuple[Any, ...], int | None] = {}
    for line in lines:
        more = None if saving is None else saving(line)
        for tag in (line.tags or (None,)) if "tag" in labels else (None,):
            place = tuple([_label(line, label, tag, period) for label in labels])
            total = sums.get(place)
            if total is None:
                sums[place] = list(line.counts)
            else:
                total[:] = map(operator.add, total, line.counts)
            before = saved.get(place, 0)
            saved[place] = None if more is None or before is None else before + more
    return tuple([row(counts, saved.get(place), **dict(zip(labels, place, strict=True))) for place, counts in sums.items()])


def _label(line: Line, label: str, tag: str | None, period: int) -> Any:
    if label == "tag":
        return tag
    if label == "start":
        return line.minute - line.minute % period
    return getattr(line, label)


def row(counts: Sequence[int], saved: int | None = None, **labels: Any) -> UsageRow:
    """Counts as a row, and what prompt caches saved."""
    calls, errors, interrupted, cache_hits, estimated, unpriced, partial_unpriced, cost, partial_cost = counts[:WHOLE]
    return UsageRow(
        calls=calls,
        errors=errors,
        interrupted=interrupted,
        usage=_usage(counts[WHOLE:PARTIAL], estimated > 0),
        partial_usage=_usage(counts[PARTIAL:], False),
        cost=_cost(cost, calls, unpriced),
        unpriced=unpriced,
        partial_cost=_cost(partial_cost, interrupted, partial_unpriced),
        partial_unpriced=partial_unpriced,
        estimated=estimated,
        cache_hits=cache_hits,
        prompt_cache_saved=None if saved is None else dollars(saved),
        **labels,
    )


def _usage(counts: Sequence[int], estimated: bool) -> Usage:
    prompt, completion, total, read, written, reasoning = counts
    return Usage(prompt, completion, total, read, written, reasoning, estimated)


def _cost(units: int, calls: int, unpriced: int) -> Decimal | None:
    return None if calls and calls == unpriced else dollars(units)
