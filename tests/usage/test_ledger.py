"""The books: sums, groups, money, hostile numbers, threads."""

from __future__ import annotations

import math
import operator
import threading
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from llmkit import InvalidRequestError, Usage
from llmkit.errors import BudgetExceededError, RateLimitError, ServerError
from llmkit.observe import ledger as ledgers
from llmkit.observe.ledger import Ledger, tokens_of
from llmkit.observe.table import rounded, table
from llmkit.values.money import dollars, units
from tests.usage.conftest import price_of

TOKENS = st.integers(0, 10**9)
USAGES = st.builds(Usage, TOKENS, TOKENS, TOKENS, TOKENS, TOKENS, TOKENS, st.booleans())
PLACES = st.tuples(
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["k#1", "k#2"]),
    st.sampled_from([None, "t"]),
    st.sampled_from([(), ("x", "y")]),
)
MODELS = {"a": "m", "b": "big", "c": "unknown"}


def opened() -> Ledger:
    books = Ledger(price_of)
    for name, model in MODELS.items():
        books.open(name, "p", model)
    return books


class Booking(RuleBasedStateMachine):
    """Whatever is booked, each way of grouping adds up to it."""

    def __init__(self) -> None:
        super().__init__()
        self.books = opened()
        self.whole: list[tuple[Any, Usage]] = []
        self.partial: list[tuple[Any, Usage]] = []
        self.errors = self.hits = self.left = 0

    @rule(place=PLACES, usage=USAGES)
    def answer(self, place: Any, usage: Usage) -> None:
        self.books.answered(*place, usage, 0.1)
        self.whole.append((place, usage))

    @rule(place=PLACES, usage=USAGES, broke=st.booleans())
    def interrupt(self, place: Any, usage: Usage, broke: bool) -> None:
        self.books.interrupted(*place, usage, ServerError("x") if broke else None)
        self.partial.append((place, usage))
        self.errors += broke

    @rule(place=PLACES)
    def fail(self, place: Any) -> None:
        self.books.failed(*place, RateLimitError("x"), 3.0)
        self.books.failed(*place, BudgetExceededError("was never sent"))
        self.errors += 1

    @rule(place=PLACES)
    def hit(self, place: Any) -> None:
        self.books.cache_hit(place[0], place[2], place[3])
        self.hits += 1

    @invariant()
    def every_grouping_adds_up(self) -> None:
        whole = reduce(operator.add, [usage for _, usage in self.whole], Usage())
        partial = reduce(operator.add, [usage for _, usage in self.partial], Usage())
        for by in ("instance", "key", "model", "provider", "task", ("task", "model"), None):
            rows = self.books.rows(by)
            assert sum(row.calls for row in rows) == len(self.whole)
            assert sum(row.errors for row in rows) == self.errors
            assert sum(row.cache_hits for row in rows) == self.hits
            assert sum(row.interrupted for row in rows) == len(self.partial)
            assert reduce(operator.add, [row.usage for row in rows], Usage()) == whole
            tokens = [row.partial_usage.total_tokens for row in rows]
            assert sum(tokens) == partial.total_tokens

    @invariant()
    def money_is_exact(self) -> None:
        """Against fractions, which round nothing."""
        rates = {"m": (Fraction(15, 10**8), Fraction(6, 10**7)), "big": (Fraction(25, 10**7), Fraction(1, 10**5))}
        for row in self.books.rows("model"):
            mine = [usage for place, usage in self.whole if MODELS[place[0]] == row.model]
            if row.model == "unknown":
                assert row.unpriced == row.calls == len(mine)
                assert row.cost is None if mine else row.cost == 0
                continue
            prompt, completion = rates[row.model]
            assert Fraction(row.cost) == sum(u.prompt_tokens * prompt + u.completion_tokens * completion for u in mine)
            assert row.unpriced == 0


TestBooking = Booking.TestCase


def test_default_shape():
    """What ``usage()`` has always given: a row for each instance, used or not."""
    books = opened()
    books.answered("b", "b#1", None, (), Usage(1, 2, 3))
    assert [(row.instance, row.provider, row.model, row.calls) for row in books.rows()] == [
        ("a", "p", "m", 0),
        ("b", "p", "big", 1),
        ("c", "p", "unknown", 0),
    ]
    with pytest.raises(InvalidRequestError, match="did you mean 'instance'"):
        books.rows("instances")


def test_a_sum_over_known_and_unknown_prices_says_how_many_are_left_out():
    books = opened()
    books.answered("a", "a#1", None, (), Usage(10, 10, 20))
    books.answered("c", "c#1", None, (), Usage(10, 10, 20))
    books.answered("a", "a#1", None, (), None)
    total = books.rows(None)[0]
    assert (total.cost, total.unpriced, total.calls) == (Decimal("0.0000075"), 2, 3)
    assert "The price of 2 of the calls is not known" in table(books.rows())


def test_unknown_prices_are_noted_once(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "llmkit.usage")
    books = opened()
    for number in range(5):
        books.answered("c", f"c#{number}", None, (), Usage(1, 1, 2))
        books.rows()
    assert len([said for said in caplog.messages if "not known" in said]) == 1


def test_a_price_list_that_fails_harms_no_call(caplog: pytest.LogCaptureFixture):
    def broken(provider: str, model: str) -> Any:
        raise LookupError

    books = Ledger(broken)
    books.open("a", "p", "m")
    books.answered("a", "a#1", None, (), Usage(1, 1, 2))
    assert books.rows()[0].cost is None
    assert "LookupError" in caplog.text


@pytest.mark.parametrize("hostile", [-1, 10**30, math.nan, math.inf, "7", None, 1.5, [], b"1", Decimal(1)])
@pytest.mark.parametrize("field", ["prompt_tokens", "completion_tokens", "total_tokens", "reasoning_tokens"])
def test_hostile_usage(hostile: Any, field: str):
    """R14: a plugin's numbers that cannot be are left out, the call is counted, and the sums stay whole numbers."""
    books = opened()
    place = ("a", "a#1", None, ())
    usage = Usage(**{"prompt_tokens": 1, "completion_tokens": 1, field: hostile})
    books.answered(*place, usage)
    books.interrupted(*place, usage, None)
    books.answered(*place, Usage(1, 2, 3))
    row = books.rows()[0]
    assert (row.calls, row.interrupted, row.unpriced) == (2, 1, 1)
    assert row.usage == Usage(1, 2, 3)
    assert row.partial_usage == Usage()


@example([(1 << 40) - 1, 0, 0, 0, 0, 0])
@example([0, 0, 1 << 40, 0, 0, 0])
@example([0, 0, 0, 0, 0, -1])
@given(st.lists(st.integers() | st.integers(0, 1 << 40), min_size=6, max_size=6))
def test_tokens_are_believed_exactly_in_their_range(counts: list[int]):
    believed = all(0 <= count < 1 << 40 for count in counts)
    assert tokens_of(Usage(*counts)) == (tuple(counts) if believed else None)


def test_prices_are_looked_up_when_the_books_are_read():
    """Not by the first calls, which should not wait for a catalogue; and not before there is something to price for ever."""
    asked = []

    def look_up(provider: str, model: str) -> Any:
        asked.append(model)
        return price_of(provider, model)

    books = Ledger(look_up)
    books.open("a", "p", "m")
    books.open("b", "p", "big")
    for _ in range(5):
        books.answered("a", "a#1", None, (), Usage(10, 0, 10))
        books.interrupted("a", "a#1", None, (), Usage(10, 0, 10), None)
    assert asked == []
    assert [(row.cost, row.partial_cost) for row in books.rows() if row.calls] == [(dollars(7_500_000), dollars(7_500_000))]
    assert asked == ["m"]
    books.answered("a", "a#2", None, (), Usage(10, 0, 10))
    assert asked == ["m"]
    for _ in range(200):
        books.answered("b", "b#1", None, (), Usage(10, 0, 10))
    assert asked == ["m", "big"]
    assert books.rows()[1].cost == dollars(200 * 25_000_000)


def test_a_cost_that_is_known_better_is_taken():
    """A vendor that states what it charges, or a call at another price than the list's."""
    books = opened()
    for cost in (7, None, 0):
        books.answered("a", "a#1", None, (), Usage(10, 0, 10), cost=cost)
        books.interrupted("a", "a#1", None, (), Usage(10, 0, 10), None, cost=cost)
    books.answered("a", "a#1", None, (), None, cost=5)
    row = books.rows()[0]
    assert (row.cost, row.unpriced, row.partial_cost, row.partial_unpriced) == (dollars(12), 1, dollars(7), 1)


def test_a_flood_of_tags_is_booked_together(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    """Labels that anybody can make up do not fill the memory, and nothing is lost from the sums."""
    monkeypatch.setattr(ledgers, "MOST_ROWS", 20)
    books = opened()
    for number in range(100):
        books.answered("a", "a#1", None, (f"tag-{number}",), Usage(1, 1, 2))
    assert len(books.kept()) == 21
    assert books.rows(None)[0].calls == 100
    assert {row.tag: row.calls for row in books.rows("tag")}["(other)"] == 80
    assert len(caplog.messages) == 1


def test_a_name_that_is_given_to_another_model_keeps_both_books():
    books = opened()
    books.answered("a", "a#1", None, (), Usage(10, 0, 10))
    books.open("a", "p", "big")
    books.answered("a", "a#1", None, (), Usage(10, 0, 10))
    costs = {row.model: row.cost for row in books.rows("model") if row.calls}
    assert costs == {"m": dollars(1_500_000), "big": dollars(25_000_000)}


def test_a_call_with_tags_is_in_the_row_of_each():
    books = opened()
    books.answered("a", "a#1", None, ("x", "y"), Usage(1, 1, 2))
    books.answered("a", "a#1", None, (), Usage(1, 1, 2))
    assert {row.tag: row.calls for row in books.rows("tag")} == {"x": 1, "y": 1, None: 1}


def test_threads_lose_nothing_and_nothing_is_stored_twice():
    books = opened()
    stored = [0]
    stop = threading.Event()

    def store() -> None:
        while not stop.is_set():
            for row, now, delta in books.unsaved():
                stored[0] += delta[0]
                row.saved = now

    def work(number: int) -> None:
        for _ in range(2000):
            books.answered("a", f"a#{number % 3}", None, (), Usage(1, 2, 3), 0.1)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    writer = threading.Thread(target=store)
    for thread in [writer, *threads]:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    writer.join()
    stored[0] += sum(delta[0] for _, _, delta in books.unsaved())
    assert stored[0] == 12_000 == books.rows(None)[0].calls
    assert books.rows(None)[0].usage == Usage(12_000, 24_000, 36_000)


@given(st.integers(-(10**40), 10**40))
def test_money_goes_out_and_in_exactly(amount: int):
    assert Fraction(dollars(amount)) == Fraction(amount, 10**12)
    if abs(amount) < 10**40:
        assert units(dollars(amount)) == amount


@pytest.mark.parametrize("wrong", ["", "five", math.nan, math.inf, None, True, [], "1e99"])
def test_no_money(wrong: Any):
    with pytest.raises(ValueError, match="no amount"):
        units(wrong)


def test_small_money_is_not_shown_as_none():
    assert [rounded(Decimal(text)) for text in ("0", "0.0000001", "1.5")] == ["0.000000", "1.0e-7", "1.500000"]
