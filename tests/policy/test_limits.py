"""Limits on requests and tokens: what a limiter lets start, against books kept the plain way."""

from __future__ import annotations

import os
import random
import time
from collections import deque
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llmkit.policy.limits import DAY, MINUTE, Limiter
from llmkit.policy.routes import Booking
from llmkit.policy.windows import GRAIN, MARGIN
from llmkit.wire.rate_limits import Quota, RateLimits
from tests.policy.windows import held, most_in_any

REQUESTS = 100_000 if os.environ.get("LLMKIT_LONG") else 20_000


def book(limiter: Limiter, now: float, tokens: int) -> Booking:
    """A call that concerns no other limiter."""
    booking = Booking(now)
    booking.book(limiter.windows, tokens)
    return booking


def saturate(limiter: Limiter, sizes: Iterator[tuple[int, int]], answers_after: float) -> tuple[list[float], list[int]]:
    """Start calls as fast as the limiter lets them, in turn; ``sizes`` gives what each is expected to use, and what it uses.

    :return: when they started, and what they used.
    """
    now, starts, used = 0.0, [], []
    running: deque[tuple[float, Booking, int]] = deque()
    for expected, real in sizes:
        while True:
            while running and running[0][0] <= now:
                at, taken, tokens = running.popleft()
                taken.settle(tokens, at)
            ready = limiter.ready_at(now, expected)
            if ready <= now:
                break
            now = min(ready, running[0][0]) if running else ready
        running.append((now + answers_after, book(limiter, now, expected), real))
        starts.append(now)
        used.append(real)
    return starts, used


def utilised(starts: list[float], amounts: list[int], limit: int, seconds: float) -> float:
    """What was used of what a limit allows, up to the last start."""
    end = starts[-1]
    return sum(amount for at, amount in zip(starts, amounts, strict=True) if at < end) / (end / seconds * limit)


@pytest.mark.parametrize(("limit", "seconds"), [(1000, 60.0), (50, 1.0), (7, 1.0), (3, 60.0)])
def test_requests_stay_within_their_limit_and_use_it(limit: int, seconds: float) -> None:
    limiter = Limiter(requests=[(limit, seconds)])
    starts, _ = saturate(limiter, ((0, 0) for _ in range(REQUESTS)), answers_after=2.0)
    assert most_in_any([(at, 1) for at in starts], seconds) == limit
    assert utilised(starts, [1] * REQUESTS, limit, seconds) >= 0.97


def test_tokens_stay_within_their_limit_and_use_it() -> None:
    luck = random.Random(1)
    sizes = ((real + luck.randrange(300), real) for real in (luck.randrange(1, 600) for _ in range(REQUESTS)))
    limiter = Limiter(rpm=1000, tpm=250_000)
    starts, used = saturate(limiter, sizes, answers_after=1.0)  # what is expected and not used is free after the answer only
    assert most_in_any([(at, 1) for at in starts], MINUTE) <= 1000
    assert most_in_any(list(zip(starts, used, strict=True)), MINUTE) <= 250_000
    assert utilised(starts, used, 250_000, MINUTE) >= 0.97


@pytest.mark.parametrize("seconds", [MINUTE, 1.0])
def test_what_arrives_a_little_late_breaks_no_limit_either(seconds: float) -> None:
    luck = random.Random(2)
    limiter = Limiter(requests=[(60, seconds)])
    starts, _ = saturate(limiter, ((0, 0) for _ in range(20_000)), answers_after=1.0)
    assert most_in_any([(at + luck.random() * MARGIN * seconds, 1) for at in starts], seconds) <= 60


def test_a_million_seconds_of_minutes_and_days_take_few_seconds() -> None:
    luck = random.Random(3)
    began = time.perf_counter()
    limiter = Limiter(rpm=6, tpm=3000, rpd=6000, tpd=2_000_000)
    now, starts, used = 0.0, [], []
    while now < 1_000_000:
        expected = luck.randrange(100, 700)
        while (ready := limiter.ready_at(now, expected)) > now:
            now = ready
        taken = book(limiter, now, expected)
        real = luck.randrange(100, expected + 1)
        taken.settle(real, now)
        starts.append(now)
        used.append(real)
        now += luck.random() * 5
    assert time.perf_counter() - began < 20
    for amounts, minute, day in (([1] * len(starts), 6, 6000), (used, 3000, 2_000_000)):
        bookings = list(zip(starts, amounts, strict=True))
        assert most_in_any(bookings, MINUTE) <= minute
        assert most_in_any(bookings, DAY) <= day
    assert utilised(starts, [1] * len(starts), 6000, DAY) >= 0.97
    assert all(len(entries) <= 1 / GRAIN * (1 + MARGIN) + 2 for entries in limiter.saved(now).values())


def test_a_window_keeps_few_entries_whatever_the_limit() -> None:
    limiter = Limiter(rpm=10**6, tpm=10**9)
    for step in range(120_000):
        book(limiter, step / 1000, 1000)
    assert [len(entries) for entries in limiter.saved(120.0).values()] == [pytest.approx(202, abs=2)] * 2


class Books(RuleBasedStateMachine):
    """Whatever happens in whatever order, no window ever holds more than its limit, and nobody waits longer than needed."""

    LIMITS = (("_requests", 5, MINUTE), ("_tokens", 1000, MINUTE), ("_requests", 20, 600.0), ("_tokens", 2500, 600.0))

    def __init__(self) -> None:
        super().__init__()
        self.limiter = Limiter(rpm=5, tpm=1000, requests=[(20, 600.0)], tokens=[(2500, 600.0)])
        self.now = 0.0
        self.open: list[tuple[Booking, int]] = []
        self.closed: list[Booking] = []
        self.bookings: list[list[float | int]] = []  # when, requests, tokens

    def amounts(self, kind: str) -> list[tuple[float, int]]:
        column = 1 if kind == "_requests" else 2
        return [(at, row[column]) for row in self.bookings for at in row[:1]]  # type: ignore[misc]

    def fits(self, tokens: int, longer: float) -> bool:
        for kind, limit, seconds in self.LIMITS:
            need = min(1 if kind == "_requests" else tokens, limit)
            if held(self.amounts(kind), seconds * longer, self.now) + need > limit:
                return False
        return True

    @rule(seconds=st.floats(0, 200) | st.sampled_from([0.01, 0.3, 30.0, 60.0, 60.6, 606.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(tokens=st.integers(0, 1200), come_back=st.booleans())
    def ask(self, tokens: int, come_back: bool) -> None:
        ready = self.limiter.ready_at(self.now, tokens)
        if ready <= self.now:
            assert self.fits(tokens, 1.0)
        else:
            assert not self.fits(tokens, 1 + MARGIN + GRAIN + 1e-9)
            if come_back:
                self.now = ready
                assert self.limiter.ready_at(ready, tokens) <= ready

    @rule(tokens=st.integers(0, 1200))
    def start(self, tokens: int) -> None:
        while (ready := self.limiter.ready_at(self.now, tokens)) > self.now:
            self.now = ready
        self.bookings.append([self.now, 1, tokens])
        self.open.append((book(self.limiter, self.now, tokens), len(self.bookings) - 1))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), share=st.floats(0, 1))
    def settle(self, data: st.DataObject, share: float) -> None:
        taken, row = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.bookings[row][2] = int(taken.tokens * share)
        taken.settle(int(taken.tokens * share), self.now)
        self.closed.append(taken)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), more=st.integers(1, 500))
    def settle_for_more(self, data: st.DataObject, more: int) -> None:
        taken, _ = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.bookings.append([self.now, 0, more])
        taken.settle(taken.tokens + more, self.now)
        self.closed.append(taken)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def refund(self, data: st.DataObject) -> None:
        taken, row = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.bookings[row][1:] = [0, 0]
        taken.refund()
        self.closed.append(taken)

    @precondition(lambda self: self.closed)
    @rule(data=st.data(), tokens=st.integers(0, 2000))
    def again(self, data: st.DataObject, tokens: int) -> None:
        taken = data.draw(st.sampled_from(self.closed))
        before = self.limiter.saved(self.now)
        taken.settle(tokens, self.now)
        taken.refund()
        assert self.limiter.saved(self.now) == before

    @invariant()
    def books_agree(self) -> None:
        state = self.limiter.state(self.now)
        assert 0 <= state.headroom <= 1
        named = dict(zip(("rpm", "requests/600s", "tpm", "tokens/600s"), (0, 2, 1, 3), strict=True))
        for window in state.windows:
            kind, limit, seconds = self.LIMITS[named[window.name]]
            assert window.limit == limit
            assert held(self.amounts(kind), seconds, self.now) <= window.used
            assert window.used <= held(self.amounts(kind), seconds * (1 + MARGIN + GRAIN) + 1e-9, self.now)


EXAMPLES = 2_500 if os.environ.get("LLMKIT_LONG") else 150  # R25: 100,000 steps
Books.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=40)
TestBooks = Books.TestCase


# ------------------------------------------------------------------------------------------- single behaviours


def test_without_limits_nothing_waits() -> None:
    limiter = Limiter()
    for _ in range(1000):
        assert limiter.ready_at(5.0, 10**9) == 5.0
        book(limiter, 5.0, 10**9)
    assert limiter.headroom(5.0) == 1
    assert limiter.usage_score == 0


def test_limits_of_one_length_stand_side_by_side_and_the_tighter_counts() -> None:
    limiter = Limiter(rpm=9, tpm=100, requests=[(2, MINUTE)], tokens=[(500, MINUTE)])
    assert [(window.name, window.limit) for window in limiter.state(0.0).windows] == [("rpm", 2), ("tpm", 100)]


def test_a_call_larger_than_the_limit_goes_alone() -> None:
    limiter = Limiter(tpm=1000)
    book(limiter, 0.0, 10)
    alone = limiter.ready_at(1.0, 50_000)
    assert alone == pytest.approx(MINUTE * (1 + MARGIN))
    assert limiter.ready_at(alone, 50_000) == alone
    book(limiter, alone, 50_000)
    assert limiter.ready_at(alone + 1, 0) == pytest.approx(alone + MINUTE * (1 + MARGIN))
    assert limiter.headroom(alone + 1) == 0


def test_a_settlement_that_comes_late_changes_nothing() -> None:
    limiter = Limiter(tpm=1000)
    old = book(limiter, 0.0, 1000)
    assert limiter.ready_at(100.0, 1000) == 100.0
    book(limiter, 100.0, 600)
    old.settle(10, 101.0)
    assert limiter.state(101.0).windows[0].used == 600


def test_what_a_call_used_beyond_its_estimate_counts_from_when_that_is_known() -> None:
    limiter = Limiter(tpm=1000)
    taken = book(limiter, 0.0, 100)
    taken.settle(1000, 50.0)
    assert limiter.ready_at(62.0, 200) == pytest.approx(50 + MINUTE * (1 + MARGIN))
    assert limiter.ready_at(62.0, 100) == 62.0


def test_negative_usage_is_none() -> None:
    limiter = Limiter(tpm=1000)
    book(limiter, 0.0, 100).settle(-500, 1.0)
    assert limiter.state(1.0).windows[0].used == 0


def test_a_clock_that_steps_back_a_little_breaks_nothing() -> None:
    limiter = Limiter(rpm=2)
    book(limiter, 10.0, 0)
    book(limiter, 9.9, 0)
    assert limiter.ready_at(9.95, 0) == pytest.approx(10 + MINUTE * (1 + MARGIN))


def test_the_score_orders_by_what_is_free_and_moves_only_with_bookings() -> None:
    busy, idle, other = Limiter(rpm=100, tpm=1000), Limiter(rpm=10, tpm=10_000), Limiter(rpm=10, rpd=10)
    for limiter in (busy, idle):
        book(limiter, 1000.0, 500)
    assert idle.usage_score < busy.usage_score
    score = busy.usage_score
    busy.ready_at(1059.0, 10)
    busy.headroom(1059.0)
    assert busy.usage_score == score == 1000 + 30
    taken = book(busy, 1000.0, 100)
    taken.settle(0, 1001.0)
    assert busy.usage_score == score
    book(other, 1000.0, 1)
    assert other.usage_score == 1000 + 6  # the day's window, of which a tenth is used, is 8640 seconds from empty


def test_saved_books_are_held_again() -> None:
    limiter = Limiter(rpm=10, tpd=1000)
    book(limiter, 100.0, 600)
    book(limiter, 130.0, 300)
    saved = limiter.saved(140.0)
    later = Limiter(rpm=10, tpd=1000)
    later.restore(saved, 1005.0 - 20.0)  # 20 seconds went by, and the clock began again
    assert later.state(1005.0).windows[0].used == 2
    assert later.ready_at(1005.0, 200) - 1005.0 == pytest.approx(limiter.ready_at(160.0, 200) - 160.0)
    assert later.headroom(1005.0) == pytest.approx(0.1)
    assert later.usage_score == 985 + 12


# ------------------------------------------------------------------------------------------- what vendors tell


def test_a_vendors_word_makes_calls_wait_where_no_limit_is_configured() -> None:
    limiter = Limiter()
    taken = book(limiter, 0.0, 10)
    limiter.learn(taken, RateLimits(requests=Quota(60, 1, reset=59.0)))
    assert limiter.ready_at(0.5, 10) == 0.5
    book(limiter, 0.5, 10)
    assert limiter.ready_at(0.5, 10) == pytest.approx(1.0)
    assert limiter.ready_at(1.0, 10) == 1.0
    assert limiter.state(30.0).told == {"requests": (60, pytest.approx(30.0))}


def test_a_vendors_word_never_loosens_a_configured_limit() -> None:
    limiter = Limiter(rpm=1, tpm=100)
    taken = book(limiter, 0.0, 100)
    limiter.learn(taken, RateLimits(Quota(1000, 999, 0.06), Quota(10**6, 10**6, 0.0)))
    assert limiter.ready_at(2.0, 1) == pytest.approx(MINUTE * (1 + MARGIN))


def test_what_others_use_of_the_same_key_is_waited_for() -> None:
    limiter = Limiter(rpm=1000)
    taken = book(limiter, 0.0, 0)
    limiter.learn(taken, RateLimits(Quota(1000, 0, 60.0)))
    assert limiter.ready_at(0.0, 0) == pytest.approx(0.06)
    assert limiter.headroom(0.0) == 0


def test_calls_sent_after_the_one_that_is_answered_count_on_top() -> None:
    limiter = Limiter()
    first = book(limiter, 0.0, 0)
    for _ in range(4):
        book(limiter, 0.0, 0)
    limiter.learn(first, RateLimits(Quota(10, 9, window=10.0)))
    assert limiter.state(0.0).told["requests"] == (10, 5)


def test_an_answer_to_an_older_request_changes_nothing() -> None:
    limiter = Limiter()
    old, new = book(limiter, 0.0, 0), book(limiter, 5.0, 0)
    limiter.learn(new, RateLimits(Quota(100, 0, 60.0)))
    limiter.learn(old, RateLimits(Quota(100, 90, 6.0)))
    assert limiter.state(5.0).told["requests"] == (100, 0)


def test_an_idle_key_is_given_no_more_than_the_vendors_whole_limit_at_once() -> None:
    limiter = Limiter()
    limiter.learn(book(limiter, 0.0, 0), RateLimits(Quota(5, 4, window=60.0)))
    at = 10_000.0
    for _ in range(5):
        assert limiter.ready_at(at, 0) == at
        book(limiter, at, 0)
    assert limiter.ready_at(at, 0) == pytest.approx(at + 12)


def test_the_limit_on_tokens_of_which_least_is_left_counts() -> None:
    limiter = Limiter()
    observed = RateLimits(
        tokens=Quota(100, 50, window=60.0), input_tokens=Quota(80, 60, window=60.0), output_tokens=Quota(10, 0, window=60.0)
    )
    limiter.learn(book(limiter, 0.0, 0), observed)
    assert limiter.ready_at(0.0, 5) == pytest.approx(30)
    assert limiter.ready_at(0.0, 1000) == pytest.approx(60)  # larger than all of it: alone


@pytest.mark.parametrize(
    ("quota", "seconds"),
    [
        (Quota(0.1, 0, reset=10.0), 10.0),  # Together's 0.1 requests a second
        (Quota(120, 0, reset=60_000.0, window=60.0), 0.5),  # a reset in milliseconds, which the window's length corrects
        (Quota(14_400, 0, reset=86_400.0), 6.0),  # Groq's requests of a day
        (Quota(60, 0), 1.0),
        (Quota(60, 0, reset=0.0), 1.0),
        (Quota(10, 20, reset=2.0), 0.0),  # more left than the limit
    ],
)
def test_how_long_a_vendors_word_makes_calls_wait(quota: Quota, seconds: float) -> None:
    limiter = Limiter()
    limiter.learn(book(limiter, 0.0, 0), RateLimits(quota))
    assert limiter.ready_at(0.0, 0) == pytest.approx(seconds)
    if seconds:
        assert limiter.ready_at(seconds, 0) == seconds


def test_unused_estimates_come_back_to_what_the_vendor_told_too() -> None:
    limiter = Limiter()
    taken = book(limiter, 0.0, 400)
    limiter.learn(taken, RateLimits(tokens=Quota(1000, 600, window=60.0)))
    more = book(limiter, 0.0, 500)
    assert limiter.ready_at(0.0, 300) > 0
    more.settle(100, 0.0)
    assert limiter.ready_at(0.0, 300) == 0
    book(limiter, 0.0, 300).refund()
    assert limiter.state(0.0).told["tokens"] == (1000, 500)


def test_what_was_settled_before_the_vendor_told_of_tokens_counts_as_settled_whichever_window_limits_them() -> None:
    for limits in ({"tpm": 10**6}, {"rpm": 10, "tpd": 10**6}):
        limiter = Limiter(**limits)
        told_by = book(limiter, 0.0, 10)
        book(limiter, 0.0, 500).settle(20, 0.0)
        limiter.learn(told_by, RateLimits(tokens=Quota(1000, 300, window=60.0)))
        assert limiter.state(0.0).told["tokens"] == (1000, 280)


def test_a_call_from_before_the_vendors_first_word_is_in_none_of_the_books() -> None:
    limiter = Limiter()
    limiter.learn(Booking(0.0), RateLimits(Quota(10, 1, window=60.0)))
    book(limiter, 1.0, 0)
    limiter.learn(Booking(0.5), RateLimits(Quota(10, 0, window=60.0)))  # under way already when that came
    assert limiter.state(1.0).told["requests"] == (10, 0)
    assert limiter.ready_at(1.0, 0) == pytest.approx(0.5 + 12)
