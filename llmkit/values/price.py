"""What tokens cost. Prices are exact: whole units of 10^-12 US dollars, no floating point anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Union

import attrs

from llmkit.errors import ConfigError, shown
from llmkit.values.base import Value
from llmkit.values.usage import Usage

UNITS = 10**12
"""Units in a US dollar. A price of 1 dollar per million tokens is 10^6 units a token."""
PER_TOKEN = 10**6
MOST_DOLLARS = 10**6
"""A price for a million tokens above this is taken for a mistake."""

Dollars = Union[Decimal, int, float, str]
"""US dollars per million tokens."""


def dollars(units: int) -> Decimal:
    """Units as US dollars, exactly: ``dollars(2_500_000)`` is ``Decimal("0.000002500000")``."""
    return Decimal(f"{units}E-12")


def rate(amount: Dollars | None, name: str = "price") -> int | None:
    """US dollars per million tokens as units per token.

    :raises ConfigError: if it is no amount from 0 to :data:`MOST_DOLLARS` with at most six decimals.
    """
    if amount is None:
        return None
    try:
        units = Decimal(str(amount)) * PER_TOKEN
        whole = not isinstance(amount, bool) and units == units.to_integral_value() and 0 <= units <= MOST_DOLLARS * PER_TOKEN
    except (InvalidOperation, ValueError):
        whole = False
    if not whole:
        raise ConfigError(f"{name}: expected US dollars per million tokens, with at most six decimals, got {shown(amount)}")
    return int(units)


@attrs.frozen(eq=False, repr=False)
class Tier(Value):
    """What a request costs whose prompt is longer than ``above`` tokens: all of it, not only what is above."""

    above: int
    price: Price


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Price(Value):
    """What a model's tokens cost, in units per token: 10^-12 US dollars, which is a millionth of the dollars per million tokens
    that vendors print. :meth:`of` takes dollars. None is not known; 0 is free.
    """

    input: int | None = None
    """Prompt tokens that are neither read from nor written to the vendor's cache."""
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    """For the vendor's shortest keeping time."""
    cache_write_1h: int | None = None
    """Anthropic's keeping time of an hour. Usage does not tell the two apart, so it counts in no cost."""
    reasoning: int | None = None
    """None where reasoning costs what output costs."""
    audio_input: int | None = None
    audio_output: int | None = None
    image_input: int | None = None
    image_output: int | None = None
    batch_input: int | None = None
    """In the vendor's batch API, which llmkit does not call."""
    batch_output: int | None = None
    tiers: tuple[Tier, ...] = ()
    """By length of the prompt, the shortest first."""
    besides: str | None = None
    """What the cost of a call depends on beside its tokens, such as ``requests`` or ``time of day``. The cost of a call is not
    known then."""

    def __attrs_post_init__(self) -> None:
        known = self.input is not None and self.output is not None and self.besides is None
        first = self.tiers[0].above if self.tiers else None
        vars(self)["_known"] = (self.input, self.output, first) if known else None

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in self.__attrs_attrs__}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self.__attrs_post_init__()

    @classmethod
    def of(cls, *, tiers: Mapping[int, Price] | None = None, besides: str | None = None, **amounts: Dollars | None) -> Price:
        """A price from US dollars per million tokens: ``Price.of(input="2.50", output=10, cache_read="1.25")``.

        :param tiers: prices of requests whose prompt is longer than so many tokens.
        :raises ConfigError: if there is no such amount, or one is no price.
        """
        for name in amounts:
            if name not in RATES:
                raise ConfigError(f"price: expected one of {', '.join(RATES)}; got {shown(name)}")
        rates = {name: rate(amount, name) for name, amount in amounts.items()}
        steps = tuple([Tier(above, price) for above, price in sorted((tiers or {}).items())])
        return cls(tiers=steps, besides=besides, **rates)

    def units(self, usage: Usage) -> int | None:
        """What ``usage`` costs, in units; None where a price that it needs is not known.

        A vendor that reports more cached tokens than the prompt has is taken to mean the whole prompt; so no part is negative.
        """
        known: tuple[int, int, int | None] | None = self._known  # type: ignore[attr-defined]
        if known is None:
            return None
        input, output, first = known
        prompt = usage.prompt_tokens
        if first is not None and prompt > first:
            return _units(self.at(prompt), usage)
        if usage.cache_read_tokens or usage.cache_write_tokens or self.reasoning is not None:
            return _units(self, usage)
        return prompt * input + usage.completion_tokens * output

    def at(self, prompt_tokens: int) -> Price:
        """What a request with so long a prompt costs: this price, or that of its tier."""
        price = self
        for tier in self.tiers:
            if prompt_tokens <= tier.above:
                break
            price = tier.price
        return price

    def cost(self, usage: Usage) -> Decimal | None:
        """What ``usage`` costs in US dollars, exactly; None where a price that it needs is not known."""
        units = self.units(usage)
        return None if units is None else dollars(units)


def _units(price: Price, usage: Usage) -> int | None:
    """Each part of ``usage`` at its own price, tiers left aside."""
    fresh, answer = usage.prompt_tokens, usage.completion_tokens
    if price.input is None or price.output is None:
        return None
    total = 0
    if (read := usage.cache_read_tokens) and fresh:
        if price.cache_read is None:
            return None
        read = fresh if read > fresh else read
        total = read * price.cache_read
        fresh -= read
    if (written := usage.cache_write_tokens) and fresh:
        if price.cache_write is None:
            return None
        written = fresh if written > fresh else written
        total += written * price.cache_write
        fresh -= written
    if price.reasoning is not None:
        thought = min(usage.reasoning_tokens, answer)
        total += thought * price.reasoning
        answer -= thought
    return total + fresh * price.input + answer * price.output


RATES = tuple(field.name for field in attrs.fields(Price) if field.name not in ("tiers", "besides"))
