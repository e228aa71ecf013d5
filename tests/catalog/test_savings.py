"""What the vendors' prompt caches saved, beside what calls cost."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from llmkit import ModelInfo, Price
from llmkit.observe.lines import COUNTS, Line
from llmkit.observe.rows import grouped, saving_at
from llmkit.values.usage import Usage
from llmkit.wire.http import HttpReply
from tests.support.colours import Colour, colour, openai

__all__ = ["colour"]

PRICE = Price.of(input="2.50", output=10, cache_read="0.25", cache_write="3.00")


def reply(prompt: int, read: int, written: int = 0) -> HttpReply:
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": 10,
        "total_tokens": prompt + 10,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
    }
    message = {"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}
    return HttpReply(200, {}, json.dumps({"id": "1", "model": "m", "choices": [message], "usage": usage}).encode())


def client_of(colour: Colour, *replies: HttpReply, price: Price | None = PRICE) -> Any:
    left = list(replies)
    models = [] if price is None else [ModelInfo("m", "openai", price=price)]
    return colour.scripted(lambda request: left.pop(0), [openai("a")], models=models)


def test_what_was_saved_is_what_the_tokens_would_have_cost_more(colour: Colour):
    client = client_of(colour, reply(1000, 0, 900), reply(1000, 900), reply(1000, 900))
    answers = [client.generate("hi") for _ in range(3)]
    row = client.usage()[0]
    fresh = PRICE.cost(Usage(3000, 30, 3030))
    assert fresh is not None
    assert row.cost == sum(answer.cost for answer in answers) == fresh - row.prompt_cache_saved
    assert row.prompt_cache_saved == Decimal("0.003600")  # 1,800 at 2.25 dollars a million less, less 900 at 0.50 more
    printed: list[str] = []
    client.print_token_usage(printed.append)
    assert "The vendors' prompt caches saved 0.003600 USD." in printed[0]
    assert json.loads(client.export_usage("json"))[0]["prompt_cache_saved"] == str(row.prompt_cache_saved)
    assert client.export_usage("csv").splitlines()[0].endswith(",prompt_cache_saved")


def test_without_a_price_nobody_knows(colour: Colour):
    client = client_of(colour, reply(100, 50), price=None)
    client.generate("hi")
    assert client.usage()[0].prompt_cache_saved is None
    printed: list[str] = []
    client.print_token_usage(printed.append)
    assert "prompt caches" not in printed[0]


def test_nothing_cached_saves_nothing(colour: Colour):
    client = client_of(colour, reply(100, 0), price=None)
    client.generate("hi")
    assert client.usage()[0].prompt_cache_saved == 0


def line(model: str, **counts: int) -> Line:
    return Line("a", "openai", model, "a#1", None, (), [counts.get(name, 0) for name in COUNTS])


def test_one_unknown_price_makes_a_sum_unknown():
    lines = [line("m", cache_read_tokens=100), line("n", cache_read_tokens=100)]
    price_of = {"m": PRICE}.get
    rows = grouped(lines, "model", saving_at(lambda provider, model: price_of(model)))
    assert [row.prompt_cache_saved for row in rows] == [Decimal("0.000225"), None]
    assert grouped(lines, None, saving_at(lambda provider, model: price_of(model)))[0].prompt_cache_saved is None
    assert grouped(lines, None)[0].prompt_cache_saved is None


class Broken:
    def units(self, usage: Usage) -> int:
        raise ValueError("no")


@pytest.mark.parametrize("price", [Broken(), Price.of(input=1, output=1)], ids=["raises", "has no cached price"])
def test_prices_that_do_not_tell(price: Any):
    found = grouped([line("m", cache_read_tokens=5)], None, saving_at(lambda provider, model: price))
    assert found[0].prompt_cache_saved is None
