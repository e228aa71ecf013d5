"""Races: the first answer wins, the others are called off, and the books say so. One text for both colours, without a network."""

from __future__ import annotations

import json
from typing import Any

import pytest

import llmkit
import llmkit.testing
from llmkit import (
    AllInstancesFailed,
    CallCancelled,
    ClientClosedError,
    ConfigError,
    InvalidRequestError,
    RateLimitError,
    ServerError,
)
from llmkit.testing import Chunks
from llmkit.wire.http import HttpRequest
from tests.support.colours import Colour, chat, openai, refusal, sent


def model_of(request: HttpRequest) -> str:
    return json.loads(request.body or b"")["model"]


def slowly(**seconds: float) -> Any:
    """A script that answers with the model's name, each after its seconds."""

    def script(request: HttpRequest) -> Any:
        name = model_of(request)
        return Chunks(((seconds[name], chat(name).body),))

    return script


def models(*names: str, **more: Any) -> list[Any]:
    return [openai(model=name, name=name, **more) for name in names]


def test_the_first_answer_wins(colour: Colour):
    client = colour.scripted(slowly(a=3.0, b=1.0, c=2.0), models("a", "b", "c"))
    completion = client.race("q", models=["a", "b", "c"])
    assert (completion.text, completion.instance) == ("b", "b")
    assert client.runtime.clock == 1.0
    assert [model_of(request) for request in sent(client)] == ["a", "b", "c"]
    tries = {attempt.instance: attempt for attempt in completion.attempts}
    assert list(tries) == ["a", "b", "c"]
    assert tries["b"].error is None
    for loser in ("a", "c"):
        assert isinstance(tries[loser].error, CallCancelled)
        assert tries[loser].ambiguous
        assert tries[loser].seconds == 1.0


def test_the_books_tell_of_losers(colour: Colour):
    client = colour.scripted(slowly(a=3.0, b=1.0), models("a", "b"))
    client.race("q", models=["a", "b"])
    a, b = client.usage()
    assert (a.calls, a.errors, a.interrupted, a.usage.total_tokens) == (0, 0, 1, 0)
    assert (b.calls, b.errors, b.interrupted, b.usage.total_tokens) == (1, 0, 0, 3)
    assert client.in_flight() == 0


def test_by_instances_and_options_for_all(colour: Colour):
    asked = []

    def script(request: HttpRequest) -> Any:
        asked.append(json.loads(request.body or b""))
        return chat()

    client = colour.scripted(script, models("a", "b"))
    client.race("q", instances=["b", "a"], max_tokens=7, system="Be short.")
    assert [(body["model"], len(body["messages"])) for body in asked] == [("b", 2), ("a", 2)]
    assert all(7 in body.values() for body in asked)


def test_one_racer_is_a_call(colour: Colour):
    client = colour.scripted(slowly(a=1.0), models("a"))
    completion = client.race("q", models=["a"])
    assert [attempt.error for attempt in completion.attempts] == [None]


def test_the_same_model_twice(colour: Colour):
    client = colour.scripted(slowly(a=1.0), models("a"))
    completion = client.race("q", models=["a", "a"])
    assert len(sent(client)) == 2
    assert [type(attempt.error) for attempt in completion.attempts] == [type(None), CallCancelled]


def test_a_failure_is_not_an_answer(colour: Colour):
    def script(request: HttpRequest) -> Any:
        return refusal(400, "bad") if model_of(request) == "a" else Chunks(((5.0, chat("late").body),))

    client = colour.scripted(script, models("a", "b"))
    completion = client.race("q", models=["a", "b"])
    assert completion.text == "late"
    assert [type(attempt.error) for attempt in completion.attempts] == [InvalidRequestError, type(None)]
    assert client.usage()[0].errors == 1


def test_a_racer_retries(colour: Colour):
    """A racer has its own retries, while the others go on."""
    replies = {"a": [refusal(500), chat("at last")], "b": [Chunks(((60.0, chat("late").body),))]}
    client = colour.scripted(lambda request: replies[model_of(request)].pop(0), models("a", "b"))
    completion = client.race("q", models=["a", "b"])
    assert completion.text == "at last"
    assert client.runtime.clock < 2
    kinds = [(attempt.instance, type(attempt.error)) for attempt in completion.attempts]
    assert sorted(kinds, key=str) == sorted([("a", ServerError), ("a", type(None)), ("b", CallCancelled)], key=str)


def test_nobody_wins(colour: Colour):
    def script(request: HttpRequest) -> Any:
        return {"a": refusal(400, "bad"), "b": refusal(500, "broken"), "c": refusal(429, "slow down", retry_after="900")}[
            model_of(request)
        ]

    client = colour.scripted(script, models("a", "b", "c"), retries=0)
    with pytest.raises(AllInstancesFailed) as caught:
        client.race("q", models=["a", "b", "c"])
    assert [type(failure) for failure in caught.value.failures] == [InvalidRequestError, ServerError, RateLimitError]
    assert [attempt.instance for attempt in caught.value.attempts] == ["a", "b", "c"]
    assert "bad" in str(caught.value)
    assert "broken" in str(caught.value)


def test_everybody_runs_out_of_time(colour: Colour):
    client = colour.scripted(slowly(a=9.0, b=9.0), models("a", "b"))
    with pytest.raises(AllInstancesFailed) as caught:
        client.race("q", models=["a", "b"], timeout=2)
    assert [failure.code for failure in caught.value.failures] == ["LLM_TIMEOUT"] * 2
    assert client.runtime.clock == 2


def test_fallbacks_are_for_those_who_ask(colour: Colour):
    """The client's fallback models are left out of a race: every racer would turn to them."""

    def script(request: HttpRequest) -> Any:
        return chat("saved") if model_of(request) == "c" else refusal(404, "no such model")

    client = colour.scripted(script, models("a", "b", "c"), fallbacks=["c"])
    with pytest.raises(AllInstancesFailed):
        client.race("q", models=["a", "b"])
    assert client.race("q", models=["a", "b"], fallbacks=["c"]).text == "saved"


def test_a_racer_waits_for_room(colour: Colour):
    """One that finds no room stands in line; called off, it leaves the line."""
    client = colour.scripted(slowly(a=1.0), models("a", max_concurrency=1))
    completion = client.race("q", models=["a", "a", "a"])
    assert [attempt.error for attempt in completion.attempts] == [None]
    assert client.in_flight() == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "models=.* or instances="),
        ({"models": ["a"], "instances": ["a"]}, "either"),
        ({"models": []}, "1 to 64 names, got 0"),
        ({"instances": []}, "1 to 64"),
        ({"models": ["a"] * 65}, "got 65"),
        ({"models": "a"}, "models: expected a list"),
        ({"models": iter(["a"])}, "models: expected a list"),
        ({"models": [1]}, r"models\[0\]: expected text"),
        ({"models": [None]}, r"models\[0\]"),
        ({"models": 5}, "models"),
        ({"models": ["a"], "model": "a"}, "model: a race takes a list"),
        ({"models": ["a"], "instance": "a"}, "instance: a race takes a list"),
        ({"models": ["a"], "temprature": 1}, "temprature"),
        ({"models": ["a"], "temperature": -1}, "temperature"),
        ({"models": ["a"], "timeout": 0}, "timeout"),
        ({"models": ["a"], "hedge": -1}, "hedge"),
    ],
)
def test_bad_input(colour: Colour, arguments: dict[str, Any], said: str):
    client = colour.scripted(slowly(a=1.0), models("a"))
    with pytest.raises(InvalidRequestError, match=said):
        client.race("q", **arguments)
    assert sent(client) == []


@pytest.mark.parametrize("arguments", [{"models": ["a", "nobody"]}, {"instances": ["a", "nobody"]}, {"models": ["a"], "task": "x"}])
def test_unknown_names(colour: Colour, arguments: dict[str, Any]):
    """A racer that does not exist is told before anybody runs."""
    client = colour.scripted(slowly(a=1.0), models("a"), environ={})
    with pytest.raises(ConfigError):
        client.race("q", **arguments)
    assert sent(client) == []


def test_a_closed_client(colour: Colour):
    client = colour.scripted(slowly(a=1.0, b=1.0), models("a", "b"))
    client.close()
    with pytest.raises(ClientClosedError):
        client.race("q", models=["a", "b"])


def test_hooks_see_every_try(colour: Colour):
    seen: list[tuple[str, str]] = []

    class Plugin:
        @llmkit.hookimpl
        def llmkit_attempt(self, attempt: Any) -> None:
            seen.append((attempt.instance, type(attempt.error).__name__))

        @llmkit.hookimpl
        def llmkit_answer(self, answer: Any) -> None:
            seen.append((answer.instance, "answer"))

    client = colour.scripted(slowly(a=2.0, b=1.0), models("a", "b"), plugins=[Plugin()])
    client.race("q", models=["a", "b"])
    assert seen == [("b", "NoneType"), ("b", "answer"), ("a", "CallCancelled")]


def test_mock_clients_race(colour: Colour):
    """The first named wins where all answer at once, every time; every racer has asked."""
    for _ in range(3):
        kind = llmkit.testing.MockClient if colour.sync else llmkit.testing.AsyncMockClient
        client = kind(["one", "two"])
        assert colour.run(client.race("q", models=["openai/x", "anthropic/y"])).text == "one"
        assert [call.model for call in client.calls] == ["openai/x", "anthropic/y"]
