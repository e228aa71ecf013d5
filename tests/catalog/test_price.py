"""Prices: exact, never negative, None where something that is needed is not known."""

from __future__ import annotations

import copy
import pickle
import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit import ConfigError, Price, Usage
from llmkit.values.price import PER_TOKEN, UNITS, dollars, rate

COUNTS = st.integers(0, 10**12)
USAGES = st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
RATES = st.one_of(st.none(), st.integers(0, 10**9))
PRICES = st.builds(Price, input=RATES, output=RATES, cache_read=RATES, cache_write=RATES, reasoning=RATES)


def test_dollars_per_million_are_units_per_token():
    assert rate("2.50") == rate(2.5) == rate(Decimal("2.5")) == 2_500_000
    assert (rate(0), rate(None), rate("0.000001")) == (0, None, 1)
    assert dollars(UNITS) == 1
    assert str(dollars(2_500_000)) == "0.000002500000"
    assert str(dollars(10**40 + 1)).endswith("1")


@pytest.mark.parametrize("amount", [-1, "x", "", float("nan"), float("inf"), True, 10**7, "0.0000001", [], object()])
def test_what_is_no_price(amount: object):
    with pytest.raises(ConfigError, match="input: expected US dollars per million tokens"):
        Price.of(input=amount)  # type: ignore[arg-type]


def test_a_price_that_does_not_exist():
    with pytest.raises(ConfigError, match="expected one of input, output"):
        Price.of(outputs=1)


def test_every_part_has_its_price():
    price = Price.of(input=3, output=15, cache_read="0.30", cache_write="3.75", reasoning=20)
    usage = Usage(1000, 300, 1300, cache_read_tokens=400, cache_write_tokens=100, reasoning_tokens=200)

    assert price.units(usage) == 500 * 3_000_000 + 400 * 300_000 + 100 * 3_750_000 + 100 * 15_000_000 + 200 * 20_000_000
    assert price.cost(usage) == Decimal("0.007495")


def test_reasoning_costs_what_output_costs_unless_it_has_a_price():
    assert Price.of(input=1, output=10).cost(Usage(0, 100, 100, reasoning_tokens=90)) == Decimal("0.001")


def test_a_long_prompt_costs_more_all_of_it():
    long = Price.of(input=2, output=12, cache_read="0.4")
    price = Price.of(input=1, output=6, cache_read="0.1", tiers={200_000: long, 500_000: Price.of(input=4, output=24)})

    assert price.units(Usage(200_000, 10)) == 200_000 * PER_TOKEN + 10 * 6 * PER_TOKEN
    assert price.units(Usage(200_001, 10)) == 200_001 * 2 * PER_TOKEN + 10 * 12 * PER_TOKEN
    assert price.units(Usage(300_000, 0, 0, 100_000)) == 200_000 * 2 * PER_TOKEN + 100_000 * 400_000
    assert price.units(Usage(500_001, 1)) == 500_001 * 4 * PER_TOKEN + 24 * PER_TOKEN
    assert price.units(Usage(500_001, 1, 0, 5)) is None  # this tier has no price for cached tokens


@pytest.mark.parametrize(
    ("price", "usage"),
    [
        (Price(), Usage(1, 1)),
        (Price.of(input=1), Usage(1, 1)),
        (Price.of(output=1), Usage(1, 1)),
        (Price.of(input=1, output=1), Usage(10, 1, 11, cache_read_tokens=1)),
        (Price.of(input=1, output=1), Usage(10, 1, 11, cache_write_tokens=1)),
        (Price.of(input=1, output=1, besides="requests"), Usage(10, 1)),
    ],
)
def test_what_is_not_known_is_none_not_zero(price: Price, usage: Usage):
    assert price.units(usage) is None
    assert price.cost(usage) is None


def test_nothing_used_costs_nothing_and_a_gift_is_zero():
    assert Price.of(input=1, output=1).cost(Usage()) == 0
    assert Price.of(input=0, output=0).cost(Usage(5, 5)) == 0


def test_more_cached_tokens_than_the_prompt_has():
    """Azure has been seen to say so: no part goes below nothing."""
    price = Price.of(input=1, output=1, cache_read="0.1", cache_write="1.25")

    assert price.units(Usage(371, 0, 371, cache_read_tokens=493)) == 371 * 100_000
    assert price.units(Usage(10, 0, 10, cache_read_tokens=8, cache_write_tokens=8)) == 8 * 100_000 + 2 * 1_250_000
    assert Price.of(input=1, output=1, reasoning=5).units(Usage(0, 10, 10, reasoning_tokens=99)) == 10 * 5_000_000


@given(PRICES, USAGES)
def test_never_negative_and_equal_to_the_sum_of_its_parts(price: Price, usage: Usage):
    units = price.units(usage)
    if price.input is None or price.output is None:
        assert units is None
        return
    read = min(usage.cache_read_tokens, usage.prompt_tokens)
    written = min(usage.cache_write_tokens, usage.prompt_tokens - read)
    thought = 0 if price.reasoning is None else min(usage.reasoning_tokens, usage.completion_tokens)
    parts = [
        (usage.prompt_tokens - read - written, price.input),
        (read, price.cache_read),
        (written, price.cache_write),
        (usage.completion_tokens - thought, price.output),
        (thought, price.reasoning),
    ]
    if any(tokens and each is None for tokens, each in parts):
        assert units is None
    else:
        assert units == sum(tokens * (each or 0) for tokens, each in parts)
        assert units >= 0


@given(st.lists(USAGES, max_size=20))
def test_sums_are_exact(usages: list[Usage]):
    """Adding up what calls cost and pricing what they used together is the same, to the unit."""
    price = Price.of(input="0.123457", output="7.000001")
    plain = [Usage(usage.prompt_tokens, usage.completion_tokens) for usage in usages]

    assert sum(price.units(usage) or 0 for usage in plain) == price.units(sum(plain, Usage()))


def test_prices_compare_copy_and_pickle():
    price = Price.of(input=1, output=2, tiers={10: Price.of(input=2, output=4)})
    usage = Usage(random.Random(1).randrange(1, 100), 5)

    for twin in (copy.copy(price), copy.deepcopy(price), pickle.loads(pickle.dumps(price))):
        assert twin == price
        assert hash(twin) == hash(price)
        assert twin.units(usage) == price.units(usage)
    assert price != Price.of(input=1, output=2)
