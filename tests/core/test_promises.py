"""Eight faults at 10 % each: one outcome for every request, success as the maths allows, nothing doubled, streams honest."""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from typing import Any

import pytest

from llmkit import LLMError, NetworkError, RequestTimeout, StreamInterrupted, Timeouts
from llmkit.policy.strategies import STRATEGIES
from llmkit.simulator import Simulator
from llmkit.testing import Chunks
from llmkit.wire.http import HttpReply, HttpRequest
from tests.support.colours import DONE, FINISH, Colour, chat, chunks, delta, openai, refusal, streamed

LONG = bool(os.environ.get("LLMKIT_LONG"))
FAULTS = ("429", "500", "reset before", "reset inside", "cut", "garbage", "slow", "hang")
KEYS = [f"sk-key-{number:012}" for number in range(6)]


class Vendor:
    """A vendor in whose every answer stands the question's own number, and who remembers what it answered."""

    def __init__(self, rate: float, seed: int = 1) -> None:
        self.rate = rate
        self.random = random.Random(seed)
        self.served: dict[str, list[str]] = {}
        """By question: what became of each try ("ok", or the fault)."""

    def __call__(self, request: HttpRequest) -> Any:
        number = re.findall(rb"question (\d+)", request.body or b"")[0].decode()
        lot = self.random.random()
        fault = FAULTS[int(lot / self.rate)] if lot < self.rate * len(FAULTS) else "ok"
        self.served.setdefault(number, []).append(fault)
        text = f"answer {number} is whole"
        return self.stream(fault, text) if streamed(request) else self.whole(fault, text)

    def whole(self, fault: str, text: str) -> Any:
        if fault in ("reset inside", "slow"):
            return {"reset inside": NetworkError("reset", ambiguous=True), "slow": Chunks(tuple((9.0, b"{") for _ in range(99)))}[
                fault
            ]
        if fault == "cut":
            return HttpReply(200, {}, chat(text).body[:-20])
        return self.either(fault) or chat(text)

    def stream(self, fault: str, text: str) -> Any:
        words = [word + " " for word in text.split()]
        some = words[: self.random.randrange(len(words))]
        if fault == "reset inside":
            return chunks(*some, NetworkError("reset", ambiguous=True), end=())
        if fault == "cut":
            return chunks(*some, end=())
        if fault == "garbage":
            return chunks(*some, b"data: {not json\n\n", end=())
        if fault == "slow":
            return Chunks(tuple((5.0, b": ping\n\n") for _ in range(99)))
        return self.either(fault) or chunks(*words)

    @staticmethod
    def either(fault: str) -> Any:
        return {
            "429": refusal(429, "slow down", retry_after="1"),
            "500": refusal(500, "oops"),
            "reset before": NetworkError("reset", ambiguous=True),
            "garbage": HttpReply(200, {}, b"<html>busy</html>"),
            "hang": Chunks(((1e9, b""),)),
        }.get(fault)


def ask(client: Any, how: str, number: int, texts: Any = None) -> Any:
    """One answer, or the error; a stream's events must be what its completion says."""
    try:
        if how == "whole":
            return client.generate(f"question {number}", timeout=3600)
        shown = []
        try:
            with client.stream(f"question {number}", timeout=3600) as stream:
                shown.extend(event.text for event in stream)
                completion = stream.completion()
        except StreamInterrupted as error:
            assert error.partial is not None
            assert error.partial.text == "".join(shown)
            raise
        assert completion.text == "".join(shown)
        return completion
    except LLMError as error:
        return error


def client_for(colour: Colour, vendor: Vendor, **settings: Any) -> Any:
    timeouts = Timeouts(attempt=30, first_event=20, idle=20)
    return colour.scripted(vendor, [openai(*KEYS)], timeouts=timeouts, timeout=3600, **settings)


@pytest.mark.parametrize("how", ["whole", "streamed"])
def test_eight_faults(colour: Colour, how: str):
    """R1 to R4: every request has one outcome, success is what the maths allows, no text is wrong, foreign, doubled or cut, and a
    question is answered twice only after an attempt that says that it may have been."""
    count = 100_000 if LONG else 2_000
    vendor = Vendor(0.1, seed=count)
    client = client_for(colour, vendor, retries=7, breaker=False, retry_budget=None)
    outcomes: Counter[str] = Counter()

    for number in range(count):
        result = ask(client, how, number)
        faults = vendor.served.pop(str(number))
        outcomes["ok" if not isinstance(result, LLMError) else type(result).__name__] += 1
        assert len(result.attempts) == len(faults)
        assert [attempt.error is None for attempt in result.attempts] == [fault == "ok" for fault in faults]
        for attempt, fault in zip(result.attempts, faults, strict=True):
            assert attempt.ambiguous == (fault not in ("ok", "429", "500"))
        if isinstance(result, LLMError):
            assert "ok" not in faults
            if isinstance(result, StreamInterrupted):
                assert f"answer {number} is whole ".startswith(result.partial.text)
                assert result.partial.text
                assert faults[-1] in ("reset inside", "cut", "garbage")
        else:
            assert result.text.strip() == f"answer {number} is whole"
            assert faults.count("ok") == 1
        assert client.in_flight() == 0

    # each try fails with probability 0.8; a stream of four words commits in three of four of three faults, which then ends it
    fails = 0.8 if how == "whole" else 0.8 - 0.3 * 0.75
    ends = 0.0 if how == "whole" else 0.3 * 0.75
    expected = 0.2 * sum(fails**tries for tries in range(8))
    sigma = (expected * (1 - expected) / count) ** 0.5
    assert abs(outcomes["ok"] / count - expected) < 4 * sigma, outcomes
    assert (outcomes["StreamInterrupted"] > 0) == (ends > 0)
    rows = client.usage()
    assert sum(row.calls for row in rows) == outcomes["ok"]
    assert sum(row.usage.total_tokens for row in rows) == 3 * outcomes["ok"]


@pytest.mark.parametrize("how", ["whole", "streamed"])
def test_mild_faults(colour: Colour, how: str):
    """R2: with 10 % faults and five tries, 99.9 % succeed; of the streams, all that were not cut after they had begun."""
    client = client_for(colour, Vendor(0.1 / 8), retries=4)

    results = [ask(client, how, number) for number in range(1_000)]

    failed = [result for result in results if isinstance(result, LLMError) and not isinstance(result, StreamInterrupted)]
    assert len(failed) <= 1


def test_same_trace_in_both_colours():
    """R25: the same script and the same seed give the same log, whichever colour runs it."""
    logs = []
    for name in ("sync", "async"):
        colour = Colour(name)
        client = client_for(colour, Vendor(0.1, seed=7), retries=5)
        client.core._rng.seed(7)
        for number in range(300):
            ask(client, ("whole", "streamed")[number % 2], number)
        logs.append([(kind, getattr(what, "body", what)) for kind, what in client.runtime.log])
        colour.end()

    assert logs[0] == logs[1]
    assert len(logs[0]) > 300


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_same_trace_of_a_whole_fleet_in_both_colours(strategy: str):
    """R25: the same with several instances, keys, limits, breakers, a budget for retries and fallbacks, under every strategy."""
    logs = []
    for name in ("sync", "async"):
        colour = Colour(name)
        vendor = Vendor(0.06, seed=11)
        instances = [
            openai(*KEYS[:2], name="a", rpm=40, max_concurrency=3, weight=2),
            openai(*KEYS[2:5], name="b", rpm_per_key=15, priority=1),
            openai(KEYS[5], name="c", tpm=50_000),
            openai(KEYS[5], name="d", model="small"),
        ]
        timeouts = Timeouts(attempt=30, first_event=20, idle=20)
        settings = {"strategy": strategy, "timeouts": timeouts, "timeout": 600, "retries": 4, "rpm": 90}
        client = colour.scripted(vendor, instances, latency=0.3, **settings)
        client.core._rng.seed(7)
        outcomes = []
        for number in range(200):
            if number % 40 == 20:
                client.disable("abc"[number // 40 % 3])
            elif number % 40 == 39:
                client.enable("abc"[number // 40 % 3])
            try:
                how = {"model": "openai/m", "fallbacks": ["openai/small"]} if number % 3 else {}
                call = client.stream if number % 2 else client.generate
                answered = call(f"question {number}", **how)
                completion = answered.completion() if number % 2 else answered
                outcomes.append([(attempt.instance, attempt.key, attempt.seconds) for attempt in completion.attempts])
            except LLMError as error:
                outcomes.append([type(error).__name__, *[(attempt.instance, attempt.key) for attempt in error.attempts]])
        assert client.in_flight() == 0
        used = {row.instance: (row.calls, row.usage) for row in client.usage()}
        logs.append((outcomes, client.runtime.clock, [kind for kind, _ in client.runtime.log], used))
        colour.end()

    assert logs[0] == logs[1]
    assert len(logs[0][2]) > 200


@pytest.mark.parametrize("words", range(4))
@pytest.mark.parametrize(
    ("end", "cause"),
    [
        ((), "InvalidResponseError"),
        ((NetworkError("reset"),), "NetworkError"),
        ((b"data: {bad\n\n",), "InvalidResponseError"),
        ((99.0,), "RequestTimeout"),
        ((b'data: {"error": {"message": "broken", "code": "server_error"}}\n\n',), "ServerError"),
    ],
    ids=["cut", "reset", "garbage", "stall", "error event"],
)
def test_a_stream_is_whole_or_says_so(colour: Colour, words: int, end: tuple[Any, ...], cause: str):
    """R4: before the first content a fault is retried unseen; after it, StreamInterrupted holds exactly what had come."""
    texts = ["one ", "two ", "three "][:words]
    replies = [chunks(*texts, end=end), chunks("all ", "good")]
    client = colour.scripted(lambda request: replies.pop(0), [openai()])
    shown: list[str] = []

    if not words:
        with client.stream("q") as stream:
            assert "".join(event.text for event in stream) == "all good"
            assert [type(attempt.error).__name__ for attempt in stream.completion().attempts] == [cause, "NoneType"]
        return
    with pytest.raises(StreamInterrupted) as caught, client.stream("q") as stream:
        for event in stream:
            shown += [event.text] if event.text else []

    assert shown == texts
    assert caught.value.partial.text == "".join(texts)
    assert type(caught.value.__cause__).__name__ == cause
    assert [type(attempt.error).__name__ for attempt in caught.value.attempts] == [cause]
    assert len(replies) == 1, "nothing was sent again"
    with pytest.raises(StreamInterrupted):
        stream.completion()


def test_cut_at_every_byte(colour: Colour):
    """R4: a stream cut after any byte is whole only where its finish reason had come."""
    whole = b"".join([delta("Hello "), delta("world"), FINISH, DONE])
    finished = whole.index(FINISH) + len(FINISH)
    for cut in range(len(whole) + 1):
        client = colour.scripted(lambda request, cut=cut: Chunks(((0.0, whole[:cut]),)), [openai()], retries=0)
        try:
            with client.stream("q") as stream:
                shown = "".join(event.text for event in stream)
            assert shown == "Hello world"
            assert cut >= finished - 2
        except LLMError as error:
            assert cut < finished
            shown = error.partial.text if isinstance(error, StreamInterrupted) else ""
            assert "Hello world".startswith(shown)


def test_deadline_before_attempts(colour: Colour):
    """R11: one deadline covers every try and pause, and no retry starts that cannot finish."""
    client = colour.scripted(lambda request: refusal(500), [openai()], retries=100, timeout=20, latency=1.0)

    with pytest.raises(LLMError) as caught:
        client.generate("q")

    assert client.runtime.clock <= 20
    assert 3 <= len(caught.value.attempts) < 100


@pytest.mark.parametrize("others", [0, 2])
def test_deadline_ends_the_call(colour: Colour, others: int):
    """R11: a hanging vendor ends in the call's own timeout, and no other instance is tried after it."""
    instances = [openai(name=f"i{number}") for number in range(1 + others)]
    client = colour.scripted(lambda request: Chunks(((1e9, b""),)), instances, timeout=5)

    with pytest.raises(RequestTimeout) as caught:
        client.generate("q")

    assert caught.value.phase == "deadline"
    assert client.runtime.clock == pytest.approx(5)
    assert len(caught.value.attempts) == 1


def test_deadline_covers_the_readers_time(colour: Colour):
    """R11: a reader who takes his time does not stretch the call's deadline."""
    client = colour.scripted(lambda request: chunks("a ", 1.0, "b ", 1.0, "c "), [openai()], timeout=5)

    with pytest.raises(StreamInterrupted) as caught, client.stream("q") as stream:
        for _ in stream:
            client.runtime.clock += 4.5

    assert caught.value.__cause__.phase == "deadline"


def test_faults_over_sockets(colour: Colour):
    """R1 to R4 again, over real sockets, as the server's ledger saw it."""
    faults = ["429;retry-after=0", "500", "reset", "garbage", "stall:30", "cut:1"]
    with Simulator(seed=3) as simulator:
        for fault in faults:
            simulator.fail(vendor="openai", rate=0.1, fault=fault)
        instance = openai(*KEYS, base_url=simulator.base_url("openai"), model="gpt-4o-mini")
        client = colour.real(
            [instance], retries=7, retry_initial_delay=0.01, timeouts=Timeouts(attempt=0.4, first_event=0.4, idle=0.4)
        )
        outcomes: Counter[str] = Counter()
        tokens = 0
        for number in range(60):
            result = ask(client, ("whole", "streamed")[number % 2], number)
            outcomes[type(result).__name__] += 1
            if not isinstance(result, LLMError):
                assert result.text
                tokens += result.usage.total_tokens
        assert outcomes["Completion"] >= 45
        assert set(outcomes) <= {
            "Completion",
            "StreamInterrupted",
            "InvalidResponseError",
            "RequestTimeout",
            "ServerError",
            "NetworkError",
        }
        assert sum(row.usage.total_tokens for row in client.usage()) == tokens
        assert json.loads(json.dumps(simulator.ledger.snapshot()))
