"""The books of a client: what each instance, key, model, task and tag has been used for, and what it cost.

Booking lies in the way of every call. It is one look-up and a few additions; grouping, printing and storing are done by those who
read.
"""

from __future__ import annotations

import logging
import operator
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from llmkit.errors import ErrorCode, LLMError
from llmkit.observe.lines import COUNTS, PARTIAL, WHOLE, ZEROS, Line
from llmkit.values.usage import Usage

if TYPE_CHECKING:
    from llmkit.observe.rows import By, UsageRow

LOG = logging.getLogger("llmkit.usage")
MOST_ROWS = 10_000
"""Different combinations of instance, key, task and tags; tags that come later are booked under ``(other)``."""
OTHER = ("(other)",)
MOST_LATER = 64
"""Calls of one row that wait for its price."""
ASK = -1
"""In the place of a cost: the price list is to say."""
MOST_TOKENS = 1 << 40
"""Counts from here on are taken for rubbish, as by :mod:`llmkit.values.usage`."""
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 420.0, 600.0)
"""Upper bounds, in seconds, by which the tries' times are counted."""
CALLS, ERRORS, INTERRUPTED, CACHE_HITS, ESTIMATED, UNPRICED, PARTIAL_UNPRICED, COST, PARTIAL_COST = range(WHOLE)
PROMPT, COMPLETION, TOTAL, CACHE_READ, CACHE_WRITE, REASONING = range(WHOLE, PARTIAL)


class Price(Protocol):
    """What a model costs."""

    def units(self, usage: Usage) -> int | None:
        """The price of ``usage`` in 10^-12 US dollars; None where it is not known."""


class Bill(Protocol):
    """What the cost of one answer depends on."""

    def units(self) -> int | None:
        """The cost in 10^-12 US dollars; None where it is not known."""


PriceOf = Callable[[str, str], "Price | None"]
"""From provider and model to the price, or None where it is not known."""


def no_price(provider: str, model: str) -> Price | None:
    """Nobody knows any price."""
    return None


class Row:
    """The books of one combination while they are kept."""

    __slots__ = (
        *("instance", "provider", "model", "key", "task", "tags", "price", "later"),
        *("counts", "saved", "buckets", "seconds", "left", "kinds"),
    )

    def __init__(self, place: tuple[str, str | None, str | None, tuple[str, ...]], provider: str, model: str) -> None:
        self.instance, self.key, self.task, self.tags = place
        self.provider = provider
        self.model = model
        self.price: Price | None = None
        self.later: list[tuple[int, int, Usage | Bill]] | None = []
        """What waits for the price to be looked up, which happens when the books are read, not in the way of the first calls; None
        afterwards."""
        self.counts = list(ZEROS)
        """In the order of :data:`COUNTS`."""
        self.saved: tuple[int, ...] = ZEROS
        """Those of them that have been stored."""
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0
        self.left = 0
        """Streams that their reader left: tries that neither came whole nor failed."""
        self.kinds: Counter[str] = Counter()
        """Failed tries by :class:`~llmkit.errors.ErrorCode`."""

    def line(self, counts: tuple[int, ...] | None = None) -> Line:
        """The books as a line, with ``counts`` in the place of its own."""
        own = tuple(self.counts) if counts is None else counts
        return Line(self.instance, self.provider, self.model, self.key, self.task, self.tags, own)


class Ledger:
    """The books of a client, for every instance it has had. Safe for threads, tasks and event loops.

    :param price_of: what a model costs; asked once for each, when the books are read or a row has :data:`MOST_LATER` calls.
    """

    def __init__(self, price_of: PriceOf = no_price) -> None:
        self.price_of = price_of
        self._lock = threading.Lock()
        self._names: dict[str, tuple[str, str]] = {}
        self._rows: dict[tuple[str, str | None, str | None, tuple[str, ...]], Row] = {}
        self._former: list[Row] = []
        """Rows of instances whose name has since been given to another model."""
        self._retries: Counter[str] = Counter()
        self._prices: dict[tuple[str, str], Price | None] = {}
        self._told: set[str] = set()
        self._full = False

    def open(self, instance: str, provider: str, model: str) -> None:
        """Begin the books of an instance."""
        with self._lock:
            known = self._names.setdefault(instance, (provider, model))
            if known != (provider, model):
                self._names[instance] = (provider, model)
                self._former += [self._rows.pop(place) for place in list(self._rows) if place[0] == instance]

    # ------------------------------------------------------------------------------------------- booking

    def answered(
        self,
        instance: str,
        key: str | None,
        task: str | None,
        tags: tuple[str, ...],
        usage: Usage | None,
        seconds: float | None = None,
        cost: int | Bill | None = ASK,
    ) -> None:
        """Book a whole answer.

        :param key: the label of the key it was got with.
        :param seconds: how long the try took, where that is known.
        :param cost: in 10^-12 US dollars, or what will tell it, where somebody knows better than the price list; None where it is
            known that nobody does.
        """
        row = self._rows.get((instance, key, task, tags)) or self._row(instance, key, task, tags)
        counts = row.counts
        if usage is not None:
            try:  # as in tokens_of, which is a tenth of all this
                prompt, completion, total = usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
                read, written, reasoning = usage.cache_read_tokens, usage.cache_write_tokens, usage.reasoning_tokens
                believed = 0 <= (prompt | completion | total | read | written | reasoning) < MOST_TOKENS
            except (TypeError, AttributeError):
                believed = False
            if not believed:
                usage = cost = None
                self._rubbish(row)
        if cost.__class__ is not int and cost is not None and row.later is None:
            cost = units_of(cost, None)  # type: ignore[arg-type]
        with self._lock:
            counts[CALLS] += 1
            if seconds is not None:
                row.seconds += seconds
                row.buckets[bisect_left(BUCKETS, seconds)] += 1
            if usage is not None:
                counts[PROMPT] += prompt
                counts[COMPLETION] += completion
                counts[TOTAL] += total
                if read or written or reasoning:
                    counts[CACHE_READ] += read
                    counts[CACHE_WRITE] += written
                    counts[REASONING] += reasoning
                if usage.estimated:
                    counts[ESTIMATED] += 1
            if cost.__class__ is int and cost != ASK:
                counts[COST] += cost
            else:
                self._money(row, COST, UNPRICED, usage if cost == ASK else cost)
        if row.later is not None and len(row.later) >= MOST_LATER:
            self._price_row(row)

    def interrupted(
        self,
        instance: str,
        key: str | None,
        task: str | None,
        tags: tuple[str, ...],
        usage: Usage | None,
        error: LLMError | None,
        seconds: float | None = None,
        cost: int | Bill | None = ASK,
    ) -> None:
        """Book a stream that broke (``error``) or that its reader left; ``usage`` is what the vendor had told of it by then."""
        row = self._rows.get((instance, key, task, tags)) or self._row(instance, key, task, tags)
        counts = row.counts
        tokens = None if usage is None else tokens_of(usage)
        if usage is not None and tokens is None:
            usage = cost = None
            self._rubbish(row)
        if cost.__class__ is not int and cost is not None and row.later is None:
            cost = units_of(cost, None)  # type: ignore[arg-type]
        with self._lock:
            counts[INTERRUPTED] += 1
            if error is None:
                row.left += 1
                self._time(row, seconds)
            else:
                self._error(row, error, seconds)
            for position, count in enumerate(tokens or (), PARTIAL):
                counts[position] += count
            self._money(row, PARTIAL_COST, PARTIAL_UNPRICED, usage if cost == ASK else cost)

    def _money(self, row: Row, costs: int, unpriced: int, what: Usage | Bill | int | None) -> None:
        """Add what something costs, or put it by until the price is looked up."""
        if what is None or isinstance(what, int):
            _add(row, costs, unpriced, what)
        elif row.later is not None:
            row.later.append((costs, unpriced, what))
        else:
            _add(row, costs, unpriced, units_of(what, row.price))

    def _price_row(self, row: Row) -> None:
        """Look up a row's price, and add what has waited for it. What a bill comes to is asked for while no lock is held."""
        price = self._price(row.provider, row.model)
        while (later := row.later) is not None:
            found = [(costs, unpriced, units_of(what, price)) for costs, unpriced, what in list(later)]
            with self._lock:
                if row.later is later and len(later) == len(found):  # else another thread has added to it, or was quicker
                    row.later, row.price = None, price
                    for costs, unpriced, units in found:
                        _add(row, costs, unpriced, units)

    def failed(
        self,
        instance: str,
        key: str | None,
        task: str | None,
        tags: tuple[str, ...],
        error: LLMError,
        seconds: float | None = None,
    ) -> None:
        """Book a try that failed. One that a budget forbade was none."""
        if error.code is ErrorCode.BUDGET_EXCEEDED:
            return
        row = self._rows.get((instance, key, task, tags)) or self._row(instance, key, task, tags)
        with self._lock:
            self._error(row, error, seconds)

    def _error(self, row: Row, error: LLMError, seconds: float | None) -> None:
        row.counts[ERRORS] += 1
        row.kinds[error.code.value] += 1
        self._time(row, seconds)

    def _time(self, row: Row, seconds: float | None) -> None:
        if seconds is not None:
            row.seconds += seconds
            row.buckets[bisect_left(BUCKETS, seconds)] += 1

    def cache_hit(self, instance: str, task: str | None, tags: tuple[str, ...]) -> None:
        """Book an answer from llmkit's own cache, under the instance that gave it when it was new."""
        row = self._rows.get((instance, None, task, tags)) or self._row(instance, None, task, tags)
        with self._lock:
            row.counts[CACHE_HITS] += 1

    def retried(self, instance: str) -> None:
        """Book that a failed try is made again on the same instance."""
        with self._lock:
            self._retries[self._names.get(instance, ("", ""))[0]] += 1

    def _row(self, instance: str, key: str | None, task: str | None, tags: tuple[str, ...]) -> Row:
        """The row of a combination that has none yet."""
        provider, model = self._names.get(instance, ("", ""))
        warn = False
        with self._lock:
            if tags and len(self._rows) >= MOST_ROWS:
                warn, self._full, tags = not self._full, True, OTHER
            place = (instance, key, task, tags)
            row = self._rows.get(place)
            if row is None:
                row = self._rows[place] = Row(place, provider, model)
                if (provider, model) in self._prices:
                    row.price, row.later = self._prices[provider, model], None
        if warn:
            LOG.warning("the books have %d rows; tags that come now are booked as %r", MOST_ROWS, OTHER[0])
        return row

    def _price(self, provider: str, model: str) -> Price | None:
        place = (provider, model)
        if place not in self._prices:
            try:
                price = self.price_of(provider, model)
            except Exception as problem:  # prices may come from plugins, and no call fails for them
                LOG.warning("the price of %s/%s: %s", provider, model, type(problem).__name__)
                price = None
            if price is None:
                LOG.info("the price of %s/%s is not known: its calls are counted as unpriced", provider, model)
            self._prices[place] = price
        return self._prices[place]

    def _rubbish(self, row: Row) -> None:
        if row.provider not in self._told:
            self._told.add(row.provider)
            LOG.warning("%s reported usage that cannot be; such calls are counted without tokens", row.provider)

    def cost(self, provider: str, model: str, usage: Usage) -> int | None:
        """What a usage costs, in 10^-12 US dollars; None where that is not known."""
        price = self._price(provider, model)
        return None if price is None else price.units(usage)

    @staticmethod
    def note(said: str) -> None:
        """Say something about the books that somebody should know, in the log."""
        LOG.warning(said)

    @staticmethod
    def counts(usage: Usage) -> tuple[int, int, int, int, int, int] | None:
        """See :func:`tokens_of`."""
        return tokens_of(usage)

    # ------------------------------------------------------------------------------------------- reading

    def kept(self) -> list[Row]:
        """All rows as they are, for those who store or count them."""
        with self._lock:
            rows = [*self._former, *self._rows.values()]
        for row in rows:
            if row.later is not None:
                self._price_row(row)
        return rows

    def lines(self) -> list[Line]:
        """The books line by line, beginning with an empty line for each instance, in the order in which they came."""
        with self._lock:
            names = dict(self._names)
        empty = [Line(name, *names[name], None, None, (), ZEROS) for name in names]
        return empty + [row.line() for row in self.kept()]

    def rows(self, by: By = "instance") -> tuple[UsageRow, ...]:
        """The books, grouped.

        :raises InvalidRequestError: if there is nothing of the kind to group by.
        """
        from llmkit.observe.rows import grouped, saving_at

        lines = self.lines()
        return grouped(lines if by == "instance" or by is None else lines[len(self._names) :], by, saving_at(self._price))

    def retries(self) -> dict[str, int]:
        """How often each provider was tried again after a failure."""
        with self._lock:
            return dict(self._retries)

    def unsaved(self) -> list[tuple[Row, tuple[int, ...], tuple[int, ...]]]:
        """The rows that have changed since they were last stored, with their counts now and the difference."""
        changed = []
        for row in self.kept():
            with self._lock:
                now = tuple(row.counts)
            if now != row.saved:
                changed.append((row, now, tuple(map(operator.sub, now, row.saved))))
        return changed

    def reset_lock(self) -> None:
        """Start afresh in a forked child, with a lock that nobody holds and books of its own."""
        self._lock = threading.Lock()
        self._rows, self._former, self._retries = {}, [], Counter()


def _add(row: Row, costs: int, unpriced: int, units: int | None) -> None:
    if units is None:
        row.counts[unpriced] += 1
    else:
        row.counts[costs] += units


def units_of(what: Usage | Bill, price: Price | None) -> int | None:
    """What a usage costs at a price, or a bill comes to; that may rest on prices from plugins, and no call fails for them."""
    if isinstance(what, Usage):
        return None if price is None else price.units(what)
    try:
        return what.units()
    except Exception as problem:
        LOG.warning("the cost of a call: %s", type(problem).__name__)
    return None


_tokens = operator.attrgetter(*COUNTS[WHOLE:PARTIAL])


def tokens_of(usage: Any) -> tuple[int, int, int, int, int, int] | None:
    """The six counts of a usage, if they are whole numbers that can be believed.

    One test serves for all of them: ``|`` of whole numbers is negative if one of them is, is at least as large as the largest, and
    refuses everything else.
    """
    try:
        tokens: tuple[int, int, int, int, int, int] = _tokens(usage)
        prompt, completion, total, read, written, reasoning = tokens
        if 0 <= (prompt | completion | total | read | written | reasoning) < MOST_TOKENS:
            return tokens
    except (TypeError, AttributeError):
        pass
    return None
