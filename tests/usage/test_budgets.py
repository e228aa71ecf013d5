"""Budgets as arithmetic: windows, holds, what concurrent calls can overshoot by, several processes."""

from __future__ import annotations

import calendar
import math
import time
from collections import defaultdict
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llmkit import Budget, BudgetExceededError, ConfigError
from llmkit.errors import Recovery
from llmkit.policy.budgets import Budgets, Hold, Where
from llmkit.policy.budgets import Spending as Spent
from llmkit.values.budgets import window_at

NOW = 1_700_000_000.0
DAY = 86400


# ----------------------------------------------------------------------------------------------- values and windows


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "exactly one of usd and tokens"),
        ({"usd": 1, "tokens": 1}, "exactly one of usd and tokens"),
        *[({"usd": wrong}, "Budget.usd: expected an amount above 0") for wrong in (0, -1, math.nan, math.inf, "five", True, [])],
        *[({"tokens": wrong}, "Budget.tokens: expected a whole number") for wrong in (0, -1, 1.5, "5", True)],
        ({"usd": 1, "per": "clients"}, "did you mean 'client'"),
        ({"usd": 1, "per": 5}, "Budget.per: expected one of"),
        ({"usd": 1, "mode": "soft"}, "Budget.mode: expected one of"),
        *[({"usd": 1, "window": wrong}, "Budget.window: expected hour, day, month") for wrong in ("week", 0, -1, 1.5, True)],
        ({"usd": 1, "mode": "degrade"}, "Budget.model: expected with mode 'degrade'"),
        ({"usd": 1, "model": "openai/m"}, "and with no other"),
        ({"usd": 1, "mode": "degrade", "model": "m", "per": "key"}, "per client, task or tag"),
        ({"usd": 1, "only": "x"}, "there is one client"),
        ({"usd": 1, "per": "tag", "only": []}, "Budget.only: expected a name"),
    ],
)
def test_mistakes_are_named(fields: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        Budget(**fields)


def test_money_is_taken_as_it_is_written():
    assert [Budget(usd=given).limit for given in (0.1, "0.1", Decimal("0.1"), 1)] == [10**11] * 3 + [10**12]


def test_names():
    assert Budget(usd=5).name == "5 USD per client a day"
    assert Budget(tokens=7, per="tag", only="x", window="hour").name == "7 tokens per tag an hour for x"
    assert Budget(tokens=7, window=None).name == "7 tokens per client"
    with pytest.raises(ConfigError, match="two are named"):
        Budgets([Budget(usd=5), Budget(usd=5)])


@given(st.integers(0, 4_000_000_000), st.sampled_from(["hour", "day", "month", None, 1, 7, 100_000]))
def test_windows_hold_their_moment_and_follow_each_other(now: int, window: Any):
    start, end = window_at(window, now)
    assert start <= now < end
    assert window_at(window, start) == (start, end) == window_at(window, end - 1)
    if window is not None:
        assert window_at(window, end)[0] == end


def test_windows_are_cut_in_utc():
    leap = datetime(2024, 2, 29, 23, 59, 59, tzinfo=timezone.utc).timestamp()
    names = {"hour": (2024, 2, 29, 23), "day": (2024, 2, 29), "month": (2024, 2, 1)}
    for window, (*date, last) in names.items():
        start, end = window_at(window, leap)
        parts = (*date, last)
        begins = datetime(*(parts if len(parts) > 2 else (*parts, 1)), tzinfo=timezone.utc)
        assert start == calendar.timegm(begins.timetuple())
        assert datetime.fromtimestamp(end, timezone.utc) == datetime(2024, 3, 1, tzinfo=timezone.utc)
    assert window_at("month", calendar.timegm((2023, 12, 31, 23, 59, 59)))[1] == calendar.timegm((2024, 1, 1, 0, 0, 0))


# ----------------------------------------------------------------------------------------------- holding


def test_concurrent_calls_share_what_is_left():
    budgets = Budgets([Budget(tokens=100)])
    holds = [budgets.reserve(Where(), 30, None, NOW) for _ in range(3)]
    with pytest.raises(BudgetExceededError) as caught:
        budgets.reserve(Where(), 30, None, NOW)
    error = caught.value
    assert (error.limit, error.used, error.held, error.needed, error.resets_at) == (100, 0, 90, 30, window_at("day", NOW)[1])
    assert error.recovery is Recovery.NEVER
    assert error.retry_after is None
    assert "turns at 2023-11-15T00:00:00Z" in str(error)
    budgets.settle(holds[0], 10, None)
    budgets.release(holds[1])
    budgets.release(holds[1])
    budgets.settle(holds[1], 50, None)  # a hold ends once
    assert budgets.states(NOW)[0].used == 10
    assert budgets.states(NOW)[0].held == 30
    budgets.reserve(Where(), 60, None, NOW)
    budgets.settle(holds[2], None, None)
    assert budgets.states(NOW)[0].used == 40, "where nobody said what was used, the estimate stands"


def test_a_refusal_holds_nothing_anywhere():
    """Of several budgets, one that refuses leaves the others as they were."""
    budgets = Budgets([Budget(tokens=1000), Budget(tokens=10, per="tag")])
    with pytest.raises(BudgetExceededError, match="of tag 'x'"):
        budgets.reserve(Where(tags=("x",)), 20, None, NOW)
    assert [state.held for state in budgets.states(NOW)] == [0] * len(budgets.states(NOW))


def test_scopes():
    """Each task, tag, key and instance has its own; ``only`` picks some; calls without a task have none."""
    budgets = Budgets([Budget(tokens=10, per="task"), Budget(tokens=5, per="tag", only=["night"]), Budget(tokens=10, per="key")])
    for where in (Where(task="a", key="1"), Where(task="b", key="2"), Where(key="3", tags=("day",))):
        budgets.settle(budgets.reserve(where, 10, None, NOW), 10, None)
    with pytest.raises(BudgetExceededError) as caught:
        budgets.reserve(Where(key="1"), 1, None, NOW)
    assert caught.value.recovery is Recovery.OTHER_KEY
    with pytest.raises(BudgetExceededError, match="night"):
        budgets.reserve(Where(tags=("day", "night", "night")), 6, None, NOW)
    assert {(state.per, state.scope): state.used for state in budgets.states(NOW)} == {
        ("task", "a"): 10, ("task", "b"): 10, ("key", "1"): 10, ("key", "2"): 10, ("key", "3"): 10, ("tag", "night"): 0,
    }  # fmt: skip


def test_modes_look_at_one_meter():
    """Warn at 50, turn to a smaller model at 80, refuse at 100: one count for the three."""
    budgets = Budgets([
        Budget(tokens=50, mode="warn"),
        Budget(tokens=80, mode="degrade", model="openai/small"),
        Budget(tokens=100),
    ])  # fmt: skip
    notes, models = [], []
    for _ in range(10):
        models.append(budgets.smaller_model(Where(), NOW))
        hold = budgets.reserve(Where(), 10, None, NOW)
        notes += hold.notes
        budgets.settle(hold, 10, None)
    assert len(notes) == 1
    assert "'50 tokens per client a day': 50 used" in notes[0]
    assert models == [None] * 8 + ["openai/small"] * 2
    with pytest.raises(BudgetExceededError):
        budgets.reserve(Where(), 1, None, NOW)
    assert budgets.reserve(Where(), 60, None, NOW + DAY).notes, "a new window warns again"


def test_a_model_without_a_price_is_told_of_once():
    budgets = Budgets([Budget(usd=1)])
    notes = [budgets.reserve(Where(model="p/new"), 10**9, None, NOW).blind for _ in range(3)]
    assert notes == [["budget '1 USD per client a day' cannot see calls of p/new, whose price is not known"], [], []]


def test_guesses_learn_from_answers():
    budgets = Budgets([Budget(tokens=10**9)])
    assert budgets.guess("a") == 500
    for _ in range(100):
        budgets.settle(budgets.reserve(Where(instance="a"), 1, None, NOW), 40, None, 40)
    assert budgets.guess("a") == 40
    assert budgets.guess("b") == 500


def test_a_call_counts_in_the_window_in_which_it_was_sent():
    budgets = Budgets([Budget(tokens=100, window="hour")])
    budgets.stored = True
    late = budgets.reserve(Where(), 60, None, NOW)
    budgets.settle(budgets.reserve(Where(), 80, None, NOW + 3600), 80, None)
    budgets.settle(late, 70, None)
    assert budgets.states(NOW + 3600)[0].used == 80
    assert budgets.states(NOW + 3600)[0].held == 0
    first, second = window_at("hour", NOW)[0], window_at("hour", NOW + 3600)[0]
    assert sorted(change[2:] for change in budgets.changes()) == [(first, 70), (second, 80)]


def test_a_clock_that_is_set_back_gives_nothing_back():
    """Nor does one that was set forward by a year and put right lock the budget for a year."""
    budgets = Budgets([Budget(tokens=100)])
    budgets.settle(budgets.reserve(Where(), 90, None, NOW), 90, None)
    with pytest.raises(BudgetExceededError):
        budgets.reserve(Where(), 20, None, NOW - DAY)
    budgets.settle(budgets.reserve(Where(), 90, None, NOW + 365 * DAY), 90, None)
    with pytest.raises(BudgetExceededError):
        budgets.reserve(Where(), 20, None, NOW + DAY)
    budgets.reserve(Where(), 90, None, NOW + 2 * DAY)


def test_many_tags_of_days_gone_by_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("llmkit.policy.budgets.MANY", 50)
    budgets = Budgets([Budget(tokens=100, per="tag", window="hour")])
    budgets.stored = True
    kept = [budgets.reserve(Where(tags=(f"{n}",)), 5, None, NOW + 60 * n) for n in range(1000)]
    assert len(budgets._accounts) < 180
    for hold in kept:
        budgets.settle(hold, 7, None)
    assert sum(change.amount for change in budgets.changes()) == 7000


# ----------------------------------------------------------------------------------------------- properties

AMOUNTS = st.integers(0, 40)


class Spending(RuleBasedStateMachine):
    """Two processes over one store, with estimates that are wrong, windows that turn, and batches that fail."""

    LIMIT = 100

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.processes = [Budgets([Budget(tokens=self.LIMIT, window="hour")]) for _ in range(2)]
        for budgets in self.processes:
            budgets.stored = True
        self.holds: list[tuple[Budgets, Hold, int, int]] = []
        self.store: dict[tuple[str, str, int], int] = defaultdict(int)
        self.real: dict[int, int] = defaultdict(int)
        self.wrong: dict[int, int] = defaultdict(int)
        self.unseen = 0

    def window(self) -> int:
        return window_at("hour", self.now)[0]

    @rule(which=st.integers(0, 1), estimate=AMOUNTS)
    def send(self, which: int, estimate: int) -> None:
        budgets = self.processes[which]
        try:
            hold = budgets.reserve(Where(), estimate, None, self.now)
        except BudgetExceededError as error:
            assert error.used + error.held + error.needed > self.LIMIT or error.used >= self.LIMIT
            return
        self.holds.append((budgets, hold, estimate, self.window()))

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), real=st.none() | AMOUNTS)
    def answer(self, data: Any, real: int | None) -> None:
        budgets, hold, estimate, start = self.holds.pop(data.draw(st.integers(0, len(self.holds) - 1)))
        budgets.settle(hold, real, None)
        used = estimate if real is None else real
        self.real[start] += used
        self.wrong[start] += max(0, used - estimate)

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def refuse(self, data: Any) -> None:
        budgets, hold, _, _ = self.holds.pop(data.draw(st.integers(0, len(self.holds) - 1)))
        budgets.release(hold)

    @rule(which=st.integers(0, 1), fails=st.booleans())
    def write(self, which: int, fails: bool) -> None:
        budgets = self.processes[which]
        changes = budgets.changes()
        if fails:
            return
        for change in changes:
            self.store[change[:3]] += change.amount
        budgets.written(changes)
        starts = budgets.starts(self.now)
        totals = [Spent(*place, amount) for place, amount in self.store.items() if place[2] >= starts[place[0]]]
        budgets.learn(totals, self.now)
        if totals:
            (state,) = budgets.states(self.now)
            assert state.used == totals[0].amount, "what both have stored is what each knows"

    @rule(seconds=st.integers(1, 2000))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def nothing_is_lost(self) -> None:
        """What is stored and what is still to be stored are what was used, window by window."""
        total = dict(self.store)
        for budgets in self.processes:
            for change in budgets.changes():
                total[change[:3]] = total.get(change[:3], 0) + change.amount
        assert {place[2]: amount for place, amount in total.items() if amount} == {k: v for k, v in self.real.items() if v}

    @invariant()
    def each_process_keeps_its_promise(self) -> None:
        """Two processes that do not see each other may each spend the limit; neither goes beyond by more than its estimates err."""
        for start, used in self.real.items():
            assert used <= 2 * self.LIMIT + self.wrong[start]


TestSpending = Spending.TestCase


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS, st.integers(0, 5)), max_size=60))
def test_overshoot_is_at_most_what_the_estimates_err(calls: list[tuple[int, int, int]]):
    """However many calls are under way together."""
    budgets = Budgets([Budget(tokens=100)])
    under_way: list[tuple[Hold, int, int]] = []
    used = wrong = 0
    for estimate, real, ends in calls:
        try:
            under_way.append((budgets.reserve(Where(), estimate, None, NOW), estimate, real))
        except BudgetExceededError:
            pass
        for hold, expected, spent in under_way[:ends]:
            budgets.settle(hold, spent, None)
            used += spent
            wrong += max(0, spent - expected)
        del under_way[:ends]
    for hold, expected, spent in under_way:
        budgets.settle(hold, spent, None)
        used += spent
        wrong += max(0, spent - expected)
    assert used <= 100 + wrong
    assert budgets.states(NOW)[0].used == used
    assert budgets.states(NOW)[0].held == 0


@given(st.lists(st.integers(1, 30), max_size=20), st.integers(1, 100))
def test_a_new_process_knows_what_was_spent(amounts: list[int], limit: int):
    assume(amounts)
    first = Budgets([Budget(tokens=10**6)])
    first.stored = True
    for amount in amounts:
        first.settle(first.reserve(Where(), 0, None, NOW), amount, None)
    second = Budgets([Budget(tokens=limit, mode="hard", name="another limit, the same meter")])
    second.learn(first.changes(), NOW)
    assert second.states(NOW)[0].used == sum(amounts)
    if sum(amounts) >= limit:
        with pytest.raises(BudgetExceededError):
            second.reserve(Where(), 0, None, NOW)
    else:
        second.reserve(Where(), 0, None, NOW)


def test_many_scopes_in_one_window_cost_no_more_than_few():
    """Each new scope beyond 10,000 looked through all of them for some whose window was over: 20 ms a call, under the lock."""
    budgets = Budgets(
        [Budget(tokens=100, per="tag", name="all time", window=None), Budget(tokens=100, per="tag", name="an hour", window=10)]
    )

    def spend(first: int, last: int, now: float) -> float:
        started = time.process_time()
        for number in range(first, last):
            budgets.settle(budgets.reserve(Where(tags=(f"u{number}",)), 1, None, now), 1, None)
        return time.process_time() - started

    few = spend(0, 1000, NOW)
    spend(1000, 6000, NOW)
    assert spend(6000, 7000, NOW) < 20 * few + 0.1
    spend(0, 1, NOW + 100)
    spend(7000, 7001, NOW + 100)
    assert len(budgets._accounts) == 7001 + 2, "those whose window is over are forgotten all the same"


def test_short_windows_that_come_after_long_ones_are_forgotten():
    budgets = Budgets([
        Budget(tokens=100, per="tag", name="all time", window=None, only=[f"u{number}" for number in range(10_001)]),
        Budget(tokens=100, per="tag", name="ten seconds", window=10, only=[f"v{number}" for number in range(100)]),
    ])  # fmt: skip
    for number in range(10_001):
        budgets.reserve(Where(tags=(f"u{number}",)), 1, None, NOW)
    for number in range(100):
        budgets.reserve(Where(tags=(f"v{number % 99}",)), 1, None, NOW)
    budgets.reserve(Where(tags=("v99",)), 1, None, NOW + 10)
    assert len(budgets._accounts) == 10_001 + 1
