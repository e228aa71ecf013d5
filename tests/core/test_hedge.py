"""Late tries are doubled, within their budget, and never for what another request cannot mend. One text for both colours."""

from __future__ import annotations

import asyncio
import json
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llmkit
from llmkit import (
    AllInstancesFailed,
    CallCancelled,
    ConfigError,
    Hedge,
    InvalidRequestError,
    RateLimitError,
    RequestTimeout,
    ServerError,
)
from llmkit.policy.hedging import MOST_CREDIT, Hedging
from llmkit.policy.latency import ENOUGH, RATIO, Latencies
from llmkit.testing import Chunks
from llmkit.values.hedging import make_hedge
from llmkit.wire.http import HttpRequest
from tests.support.colours import Colour, ScriptedAsyncClient, chat, chunks, key_of, openai, refusal, sent, streamed
from tests.support.virtual import VirtualRuntime, virtually


def after(seconds: float, text: str = "hello") -> Chunks:
    """A whole answer that takes so long."""
    return Chunks(((seconds, chat(text).body),))


def by_model(**replies: Any) -> Any:
    """A script that gives each model's replies, one after the other, the last for ever."""
    rest = {name: [reply] if not isinstance(reply, list) else reply for name, reply in replies.items()}

    def script(request: HttpRequest) -> Any:
        mine = rest[json.loads(request.body or b"")["model"]]
        return mine.pop(0) if len(mine) > 1 else mine[0]

    return script


def instances(*names: str, **more: Any) -> list[Any]:
    return [openai(model=name, name=name, **more) for name in names]


def kinds(completion: Any) -> list[tuple[str, str]]:
    return [(attempt.instance, type(attempt.error).__name__) for attempt in completion.attempts]


def test_a_late_try_is_doubled_elsewhere(colour: Colour):
    client = colour.scripted(by_model(a=after(9.0, "slow"), b=after(1.0, "quick")), instances("a", "b"))
    completion = client.generate("q", hedge=0.5)
    assert (completion.text, completion.instance) == ("quick", "b")
    assert client.runtime.clock == 1.5
    assert kinds(completion) == [("a", "CallCancelled"), ("b", "NoneType")]
    assert [attempt.started for attempt in completion.attempts] == [0.0, 0.5]
    assert [(row.calls, row.interrupted, row.errors) for row in client.usage()] == [(0, 1, 0), (1, 0, 0)]


def test_the_first_may_still_be_quicker(colour: Colour):
    client = colour.scripted(by_model(a=after(1.0, "first"), b=after(9.0)), instances("a", "b"))
    completion = client.generate("q", hedge=0.5)
    assert completion.text == "first"
    assert kinds(completion) == [("a", "NoneType"), ("b", "CallCancelled")]
    assert client.runtime.clock == 1.0


def test_a_try_in_time_is_not_doubled(colour: Colour):
    client = colour.scripted(by_model(a=after(0.4), b=after(0.1)), instances("a", "b"))
    assert kinds(client.generate("q", hedge=0.5)) == [("a", "NoneType")]
    assert len(sent(client)) == 1


def test_another_key_of_a_lone_instance(colour: Colour):
    client = colour.scripted(lambda request: after(9.0 if key_of(request) == "sk-1" else 1.0), [openai("sk-1", "sk-2")])
    completion = client.generate("q", hedge=0.5)
    assert [attempt.key for attempt in completion.attempts] == ["openai/m#1", "openai/m#2"]


def test_the_same_key_where_there_is_no_other(colour: Colour):
    client = colour.scripted(by_model(m=[after(9.0), after(1.0, "again")]), [openai()])
    assert client.generate("q", hedge=0.5).text == "again"


def test_no_room_no_double(colour: Colour):
    """A double takes no place in the queue: the first try goes on alone, and the account is as before."""
    client = colour.scripted(by_model(m=after(3.0)), [openai(max_concurrency=1)])
    for _ in range(3):
        assert kinds(client.generate("q", hedge=0.5)) == [("openai/m", "NoneType")]
    assert client.core.hedging().affords()


def test_no_fallback_model_is_asked_for_being_late(colour: Colour):
    client = colour.scripted(by_model(a=after(3.0, "a"), b=after(0.1, "b")), instances("a", "b"))
    completion = client.generate("q", model="a", fallbacks=["b"], hedge=0.5)
    assert completion.text == "a"
    assert {attempt.instance for attempt in completion.attempts} == {"a"}


def test_errors_are_failovers_business(colour: Colour):
    """A failure before the delay is retried as ever, and no double is made for it."""
    client = colour.scripted(by_model(a=refusal(500), b=after(0.1)), instances("a", "b"))
    assert kinds(client.generate("q", hedge=0.5)) == [("a", "ServerError"), ("b", "NoneType")]
    assert client.core.hedging()._credit == pytest.approx(1.1)


def test_the_callers_fault_ends_both(colour: Colour):
    late_refusal = Chunks(((1.0, refusal(400, "bad").body),), 400)
    client = colour.scripted(by_model(a=late_refusal, b=after(9.0)), instances("a", "b"))
    with pytest.raises(InvalidRequestError) as caught:
        client.generate("q", hedge=0.5)
    assert client.runtime.clock == 1.0
    assert sorted(type(attempt.error).__name__ for attempt in caught.value.attempts) == ["CallCancelled", "InvalidRequestError"]


def test_the_double_goes_on_when_the_first_fails(colour: Colour):
    late_failure = Chunks(((1.0, refusal(500).body),), 500)
    client = colour.scripted(by_model(a=late_failure, b=after(3.0, "saved")), instances("a", "b"))
    completion = client.generate("q", hedge=0.5)
    assert completion.text == "saved"
    assert kinds(completion) == [("a", "ServerError"), ("b", "NoneType")]
    assert client.usage()[0].errors == 1


def test_the_first_goes_on_when_the_double_fails(colour: Colour):
    client = colour.scripted(by_model(a=after(3.0, "slow"), b=refusal(429, retry_after="60")), instances("a", "b"))
    completion = client.generate("q", hedge=0.5)
    assert completion.text == "slow"
    assert kinds(completion) == [("a", "NoneType"), ("b", "RateLimitError")]
    assert client.health()[1].keys[0].status == "cooling"


def test_when_both_fail_both_are_told(colour: Colour):
    late_failure = Chunks(((1.0, refusal(500, "first").body),), 500)
    client = colour.scripted(by_model(a=late_failure, b=refusal(429, "second")), instances("a", "b"), retries=0)
    with pytest.raises(AllInstancesFailed) as caught:
        client.generate("q", hedge=0.5)
    assert [type(failure) for failure in caught.value.failures] == [RateLimitError, ServerError]
    assert [type(attempt.error) for attempt in caught.value.attempts] == [RateLimitError, ServerError]


def test_the_deadline_counts_for_both(colour: Colour):
    client = colour.scripted(by_model(a=after(9.0), b=after(9.0)), instances("a", "b"))
    with pytest.raises(RequestTimeout) as caught:
        client.generate("q", hedge=0.5, timeout=2)
    assert caught.value.phase == "deadline"
    assert client.runtime.clock == 2


def test_the_budget(colour: Colour):
    """The first late call is doubled; then one in ten, however late all are."""
    client = colour.scripted(by_model(m=after(3.0)), [openai()], hedge=Hedge(1.0, max_extra=0.1))
    for _ in range(100):
        client.generate("q")
    assert len(sent(client)) == 100 + 1 + 10
    client.generate("q", hedge=False)
    assert len(sent(client)) == 112


def test_a_percentile_is_the_instances_own(colour: Colour):
    """Nothing is doubled before enough is known; then what is slower than the instance's usual."""
    times = [0.1] * ENOUGH + [5.0, 0.1]
    client = colour.scripted(lambda request: after(times.pop(0)), [openai("sk-1", "sk-2")], hedge="p95")
    for _ in range(ENOUGH):
        client.generate("q")
    assert len(sent(client)) == ENOUGH
    began = client.runtime.clock
    completion = client.generate("q")
    assert [type(attempt.error).__name__ for attempt in completion.attempts] == ["CallCancelled", "NoneType"]
    assert 0.2 <= client.runtime.clock - began <= 0.1 * RATIO + 0.11


def test_streams_are_hedged_up_to_their_first_content(colour: Colour):
    def script(request: HttpRequest) -> Any:
        assert streamed(request)
        return chunks(9.0, "slow") if key_of(request) == "sk-1" else chunks("quick ", 5.0, "words")

    client = colour.scripted(script, [openai("sk-1", "sk-2")])
    with client.stream("q", hedge=0.5) as stream:
        assert client.runtime.clock == 0.5
        assert "".join(event.text for event in stream) == "quick words"
    completion = stream.completion()
    assert [attempt.key for attempt in completion.attempts] == ["openai/m#1", "openai/m#2"]
    assert isinstance(completion.attempts[0].error, CallCancelled)
    assert len(sent(client)) == 2
    row = client.usage()[0]
    assert (row.calls, row.interrupted, row.usage.total_tokens) == (1, 1, 3)


def test_hooks_hear_of_a_second_request(colour: Colour):
    """Told before it is sent, with where it goes and after how long; not where there is none to send."""
    told: list[Any] = []

    class Plugin:
        @llmkit.hookimpl
        def llmkit_request(self, instance: str) -> None:
            told.append(instance)

        @llmkit.hookimpl
        def llmkit_hedge(self, call: Any, instance: str, delay: float) -> None:
            told.append((call.tags, instance, delay))

    script = by_model(a=after(9.0), b=after(1.0))
    client = colour.scripted(script, instances("a", "b"), plugins=[Plugin()])
    client.generate("q", hedge=0.5, tags=["t"])
    assert told == ["a", (("t",), "b", 0.5), "b"]
    told.clear()
    client.generate("q", instance="b", hedge=Hedge(2.0, max_extra=1.0))  # it comes in time
    assert told == ["b"]
    told.clear()
    client.generate("q", instance="a", hedge=Hedge(2.0, max_extra=1.0))
    assert told == ["a", ((), "a", 2.0), "a"]
    told.clear()
    client = colour.scripted(script, instances("a", max_concurrency=1), plugins=[Plugin()])
    client.generate("q", hedge=0.5)  # nothing has room for it
    assert told == ["a"]


def test_hedging_off_is_what_it_was(colour: Colour):
    client = colour.scripted(by_model(m=after(3.0)), [openai()])
    client.generate("q")
    assert client.core._hedging is None


def test_batches_hedge(colour: Colour):
    client = colour.scripted(by_model(a=after(9.0), b=after(1.0, "quick")), instances("a", "b"), strategy="round_robin")
    assert [result.text for result in client.batch([llmkit.Request("q", hedge=0.5)])] == ["quick"]


WRONG = [0, -1, True, "p5", "p100", "p-1", "q95", "95", "", math.inf, math.nan, [], {"delay": 0}, {"dely": 1}, "p9५"]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_bad_input(colour: Colour, wrong: Any):
    client = colour.scripted(by_model(m=after(1.0)), [openai()])
    with pytest.raises(InvalidRequestError, match="hedge"):
        client.generate("q", hedge=wrong)
    with pytest.raises(InvalidRequestError, match="hedge"):
        client.stream("q", hedge=wrong)
    with pytest.raises(ConfigError, match="hedge"):
        colour.scripted(by_model(m=after(1.0)), [openai()], hedge=wrong)
    assert sent(client) == []


@pytest.mark.parametrize("share", [0, -0.1, 1.1, True, "0.1", None, math.nan])
def test_bad_shares(share: Any):
    with pytest.raises(ConfigError, match="max_extra"):
        Hedge(1.0, max_extra=share)


def test_ways_to_write_it():
    assert make_hedge(0.5) == Hedge(0.5)
    assert make_hedge("p95") == Hedge() == Hedge("p95", 0.1)
    assert make_hedge({"delay": 2, "max_extra": 1}) == Hedge(2, 1)
    assert make_hedge(False) is make_hedge(None) is None
    text = '[[instances]]\nprovider = "openai"\nmodel = "m"\napi_key = "sk-1"\n\n[settings]\nplugins = []\nhedge = '
    for toml, found in (("0.5", Hedge(0.5)), ('"p90"', Hedge("p90")), ("{ delay = 2, max_extra = 0.5 }", Hedge(2, 0.5))):
        with llmkit.Client.from_config_str(text + toml) as client:
            assert client._core.hedge == found
    with llmkit.Client.from_config_str(text + "false") as client:
        assert client._core.hedge is None
    with pytest.raises(ConfigError, match=r"settings\.hedge: expected seconds above 0"):
        llmkit.Client.from_config_str(text + '"later"')


@given(st.lists(st.tuples(st.sampled_from(["pay", "take", "back"]), st.floats(0.01, 1.0)), max_size=300))
def test_the_account_never_gives_more_than_promised(steps: list[tuple[str, float]]):
    account, paid, taken = Hedging(), 0.0, 0
    for what, share in steps:
        if what == "pay":
            account.pay_in(Hedge(1.0, share))
            paid += share
        elif what == "take":
            could = account.affords()
            assert account.take() == could
            taken += could
        elif taken:
            account.give_back()
            taken -= 1
        assert taken <= 1 + paid + 1e-6
        assert -1e-6 <= account._credit <= MOST_CREDIT


@settings(max_examples=50)
@given(st.lists(st.floats(0.0011, 1400.0), min_size=ENOUGH, max_size=200), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_percentiles_are_right_within_a_bucket(times: list[float], share: float):
    """Against the sorted list; times weigh almost alike as long as they are few."""
    record = Latencies()
    for seconds in times:
        record.observe(seconds)
    found = record.quantile(share)
    assert found is not None
    slack = 0.25  # the newest of 200 weigh half as much again as the oldest
    ordered = sorted(times)
    low = ordered[max(0, int((share - slack) * len(times)) - 1)]
    high = ordered[min(len(times) - 1, int((share + slack) * len(times)) + 1)]
    assert low * 0.999 <= found <= high * RATIO * 1.001


def test_percentiles_forget():
    record = Latencies()
    assert record.quantile(0.95) is None
    for _ in range(100_000):
        record.observe(10.0)
    for _ in range(3000):
        record.observe(0.1)
    found = record.quantile(0.95)
    assert found is not None
    assert 0.1 <= found <= 0.1 * RATIO * 1.001
    for seconds in (0.0, -1.0, 1e-9, 1e9):
        record.observe(seconds)
    assert record.quantile(1.0) == pytest.approx(0.001 * RATIO**149)
    assert record.quantile(0.0) == pytest.approx(0.001)


class LongTail:
    """A vendor that is quick, but for one call in twenty-five."""

    def __init__(self) -> None:
        self.chance = random.Random(3)
        self.asked = 0

    def __call__(self, request: HttpRequest) -> tuple[float, Any]:
        self.asked += 1
        slow = self.chance.random() < 0.04
        return (20.0 if slow else 0.5 + 0.5 * self.chance.random()), chat()


def took(hedge: Any) -> tuple[list[float], LongTail]:
    """How long 3,000 calls take, each with another behind it, 30 at once, in virtual time."""
    vendor = LongTail()

    async def main() -> list[float]:
        client = ScriptedAsyncClient(VirtualRuntime(vendor), instances("a", "b"), hedge=hedge)
        seconds: list[float] = []

        async def worker() -> None:
            for _ in range(100):
                completion = await client.generate("q")
                seconds.append(completion.timing.total)

        await asyncio.gather(*[worker() for _ in range(30)])
        assert sum(route.in_flight for route in client._core.router.routes()) == 0
        assert sum(row.calls for row in client.usage()) == 3000
        await client.close()
        return seconds

    return sorted(virtually(main())), vendor


def test_what_it_is_for():
    """Of 3,000 calls one in 25 is slow. Hedged, ninety-nine in a hundred are quick, for less than a tenth more requests."""
    plain, vendor = took(None)
    assert plain[2970] == pytest.approx(20.0)
    assert vendor.asked == 3000
    hedged, vendor = took("p95")
    assert hedged[2970] < 3.0
    assert vendor.asked <= 3000 + 1 + 300
    assert vendor.asked > 3000
