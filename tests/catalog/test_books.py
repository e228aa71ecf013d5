"""What the books say that calls cost is what their answers say, to the last unit, however a vendor bills."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

from llmkit import Budget, Completion, Instance, Message, Usage
from llmkit.plugins.registry import REGISTRY
from llmkit.provider import Provider
from llmkit.testing import Chunks
from llmkit.values.messages import Text
from llmkit.wire.http import HttpReply, HttpRequest
from tests.support.colours import DONE, FINISH, Colour, chat, data, delta

COUNTS = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
CASES: dict[str, tuple[str, str, dict[str, Any], str | None]] = {
    "usual": ("openai", "gpt-4o-mini", {"service_tier": "default"}, "0.00021"),
    "another tier": ("openai", "gpt-4o-mini", {"service_tier": "priority"}, None),
    "another model answered": ("openai", "gpt-4o-mini", {"model": "gpt-4o-2024-08-06"}, "0.0035"),
    "the vendor's own bill": ("openrouter", "some/model", {"usage": {**COUNTS, "cost": 0.0123}}, "0.0123"),
    "nobody knows": ("openrouter", "some/model", {}, None),
    "no usage": ("openai", "gpt-4o-mini", {"usage": None}, None),
    "sound": (
        "openai",
        "gpt-4o-audio-preview-2024-12-17",
        {"usage": {**COUNTS, "prompt_tokens_details": {"audio_tokens": 5}}},
        None,
    ),
}


def replies(model: str, more: dict[str, Any]) -> Any:
    facts = {"model": model, "usage": COUNTS, **more}

    def script(request: Any) -> Any:
        if not json.loads(request.body).get("stream"):
            return chat("hello", **facts)
        usage = facts.get("usage")
        last = data(**{**facts, "choices": []}) if usage else b""
        begun = data(**{**facts, "usage": None, "choices": [{"index": 0, "delta": {"content": "hello"}}]})
        return Chunks(((0, begun + delta("!") + FINISH + last + DONE),))

    return script


def total(costs: Iterable[Decimal | None]) -> Decimal | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if known else None


@pytest.mark.parametrize("looked", [False, True], ids=["books first", "answers first"])
@pytest.mark.parametrize("case", CASES)
def test_books_and_answers_agree(colour: Colour, case: str, looked: bool):
    provider, model, more, expected = CASES[case]
    client = colour.scripted(replies(model, more), [Instance(provider, model, api_key="k")], budget=Budget(usd=100))
    cost = None if expected is None else Decimal(expected)
    answers = [client.generate("Hi"), client.generate("Hi", task=None, tags=("t",))]
    if looked:
        assert [answer.cost for answer in answers] == [cost, cost]
    else:
        client.usage()
    answers.append(client.generate("Hi"))
    with client.stream("Hi") as stream:
        list(stream)
        answers.append(stream.completion())
    assert [answer.cost for answer in answers] == [cost] * 4
    row = client.total_usage()
    assert (row.cost, row.unpriced) == (total(answer.cost for answer in answers), 0 if cost is not None else 4)
    if cost is not None:
        assert client.budgets()[0].used == row.cost


def test_a_bill_that_a_program_changes_in_raw_changes_nothing(colour: Colour):
    instance = Instance("openrouter", "some/model", api_key="k")
    client = colour.scripted(replies("some/model", {"usage": {**COUNTS, "cost": 0.5}}), [instance])
    answer = client.generate("Hi")
    answer.raw.clear()
    assert answer.cost == client.total_usage().cost == Decimal("0.5")


def test_prices_are_not_looked_up_in_the_way_of_a_first_call(colour: Colour):
    client = colour.scripted(replies("gpt-4o-mini", {}), [Instance("openai", "gpt-4o-mini", api_key="k")])
    client.generate("Hi")
    assert client.core.models._catalog is None
    assert client.total_usage().cost == Decimal("0.00021")


def test_many_calls_before_anybody_looks(colour: Colour):
    client = colour.scripted(replies("gpt-4o-mini", {}), [Instance("openai", "gpt-4o-mini", api_key="k")])
    for _ in range(150):
        client.generate("Hi")
    assert client.total_usage().cost == 150 * Decimal("0.00021")


@pytest.mark.parametrize("usage", ["x", {"prompt_tokens": "many"}, {"prompt_tokens": -5, "completion_tokens": 1}, 7])
def test_rubbish_for_usage_fails_no_call(colour: Colour, usage: Any):
    reply: Any = HttpReply(200, {}, chat("hello", model="gpt-4o-mini", usage=usage).body)
    client = colour.scripted(lambda request: reply, [Instance("openai", "gpt-4o-mini", api_key="k")])
    assert client.generate("Hi").cost is None
    assert client.total_usage().cost is None


class Teller(Provider):
    """A provider of somebody's that knows what its calls cost."""

    name = "teller"
    title = "Teller"
    base_url = "https://teller.test"
    needs_key = False

    def encode_chat(self, call: Any, instance: Any) -> HttpRequest:
        return HttpRequest("POST", self.base_url, {}, b"{}")

    def decode_chat(self, call: Any, reply: HttpReply) -> Completion:
        return Completion(Message("assistant", (Text("Hi"),)), usage=Usage(1, 2, 3), cost=Decimal("0.25"))


def test_a_cost_that_a_provider_gives(colour: Colour, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(REGISTRY._made, "teller", Teller())
    client = colour.scripted(lambda request: HttpReply(200, {}, b"{}"), [Instance("teller", "m")], budget=Budget(usd=100))
    assert client.generate("Hi").cost == client.total_usage().cost == client.budgets()[0].used == Decimal("0.25")
