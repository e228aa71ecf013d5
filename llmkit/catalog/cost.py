"""What an answer cost.

A vendor that states in its answer what it charges is believed: it knows of searches, fees and discounts. Otherwise the
cost is what the price says for the usage. Where either is missing there is no cost, and that is said once for each model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decimal import Decimal

    from llmkit.catalog.store import Catalog
    from llmkit.values.price import Price
    from llmkit.values.usage import Usage

UNITS = 10**12
"""Units in a US dollar, as in :mod:`llmkit.values.price`, which is not needed before somebody asks for a cost."""
STATED: Mapping[str, tuple[tuple[str, ...], int]] = {
    # https://openrouter.ai/docs/use-cases/usage-accounting: credits, which are US dollars
    "openrouter": (("usage", "cost"), UNITS),
    # https://github.com/perplexityai/perplexity-py/blob/main/src/perplexity/types/responses_usage.py and, of the former chat
    # completions, https://docs.perplexity.ai/api-reference/chat-completions-post: US dollars
    "perplexity": (("usage", "cost", "total_cost"), UNITS),
    # https://docs.x.ai/docs/api-reference: 10^10 ticks are a US dollar
    "xai": (("usage", "cost_in_usd_ticks"), UNITS // 10**10),
}
"""Where in its JSON a vendor states the cost of a call, and how many of our units one of its units is."""


TIERED = ("anthropic", "azure_openai", "openai")
USUAL = (None, "default", "auto", "standard", "global", "not_available")
"""What a vendor says of a call that was served at its usual price, the commonest first."""
TIERS = frozenset(("service_tier", "speed", "inference_geo"))
"""Where among its counts a vendor says how a call was served."""
COUNTED = ("usage", "usageMetadata")
"""Where in its JSON a vendor tells what it counted."""
MOST_PUT_OFF = 64
"""Answers after which the price is looked up, though nobody has asked what they cost."""


class Pricer:
    """What the answers of one model cost. It is made with the first instance of it, and does nothing until it is asked.

    :param catalog: gives the catalogue.
    """

    __slots__ = ("_catalog", "_model", "_prices", "_provider", "_put_off", "_simple", "_stated", "_tiered")

    def __init__(self, catalog: Callable[[], Catalog], provider: str, model: str) -> None:
        self._catalog = catalog
        self._provider = provider
        self._model = model
        self._stated = STATED.get(provider)
        self._tiered = provider in TIERED
        self._put_off = 0
        self._prices: dict[str | None, Price | None] = {}
        """By the model that answered."""
        self._simple: dict[str | None, Callable[[Usage], int | None]] = {}
        """Those where nothing counts beside the usage and the tier, as functions."""

    def __call__(self, answer: Any) -> Decimal | None:
        """An answer's cost in US dollars, exactly; None where it is not known."""
        from llmkit.values.price import dollars

        units = self.units(answer)
        return None if units is None else dollars(units)

    def units(self, answer: Any) -> int | None:
        """The same in units of 10^-12 US dollars, for sums."""
        facts = vars(answer)
        bill = facts["_bill"] if "_bill" in facts else self.bill_of(answer.usage, answer.model, answer.raw)
        return bill.units() if isinstance(bill, Bill) else bill

    def bill(self, answer: Any) -> int | Bill | None:
        """What an answer costs, in units, if that can be told at once; else what tells it later. It is written on the answer too:
        so the books and the answer say the same.

        It lies in the way of every call, and so does not look for a price that nobody has asked for yet: that reads the catalogue.
        """
        facts = answer.__dict__
        bill: int | Bill | None
        try:
            simple = self._simple.get(facts["model"])
            if simple is not None and (not self._tiered or facts["raw"].get("service_tier") in USUAL) and "cost" not in facts:
                bill = simple(facts["usage"])
            elif "cost" in facts:  # a provider may know it
                from llmkit.values.money import units

                bill = units(facts["cost"])
            else:
                bill = self.bill_of(facts["usage"], facts["model"], facts["raw"])
        except Exception:  # what another provider calls usage may be anything
            bill = None
        facts["_bill"] = bill
        return bill

    def bill_of(self, usage: Usage | None, model: str | None, raw: Any) -> int | Bill | None:
        """The same for an answer with this usage, of this model and JSON."""
        if self._stated is not None and (stated := stated_units(self._stated, raw)) is not None:
            return stated
        if self._provider == "cohere":
            usage = billed(raw)
        if usage is None or (self._tiered and other_tier(raw)):
            return None
        if model in self._prices or self._put_off >= MOST_PUT_OFF:
            return self.listed(usage, model, raw)
        self._put_off += 1
        return Bill(self, usage, model, raw)

    def listed(self, usage: Usage, model: str | None, raw: Any) -> int | None:
        """What an answer costs at its model's list price, in units; None where that is not known."""
        price = self._prices[model] if model in self._prices else self._look_up(model)
        if price is None or (_has_kinds(price) and other_kinds(raw, price)):
            return None
        units = price.units(usage)
        if units is not None and self._provider == "anthropic" and usage.cache_write_tokens:
            units += long_writes(raw, price.at(usage.prompt_tokens))
        return units

    def _look_up(self, model: str | None) -> Price | None:
        price = self.price(model)
        if len(self._prices) > 100:
            self._prices, self._simple = {}, {}
        self._prices[model] = price
        if price is None or price.besides is not None:
            why = "is not known" if price is None else f"depends on more than tokens ({price.besides})"
            self._catalog().tell(f"the price of {self._provider}/{model or self._model} {why}: its calls have no cost")
        if self._stated is None and self._provider != "cohere":
            if price is None:
                self._simple[model] = _nothing
            elif self._provider != "anthropic" and price.besides is None and not _has_kinds(price):
                self._simple[model] = price.units
        return price

    def price(self, model: str | None = None) -> Price | None:
        """The price that counts for an answer of ``model``: its own, or else that of the model that was asked for.

        At Azure the name that was asked for is the user's own, and says nothing where the answer names an unknown model.
        """
        price_of = self._catalog().price_of
        found = None if model is None else price_of(self._provider, model)
        if found is not None or (model is not None and self._provider == "azure_openai"):
            return found
        return price_of(self._provider, self._model)


def _nothing(usage: Usage) -> None:
    """What a model costs whose price is not known."""


class Bill:
    """What the cost of an answer depends on, until somebody asks for it."""

    __slots__ = ("_counted", "_model", "_pricer", "_usage")

    def __init__(self, pricer: Pricer, usage: Usage, model: str | None, raw: Any) -> None:
        self._pricer = pricer
        self._usage = usage
        self._model = model
        self._counted = {name: raw[name] for name in COUNTED if name in raw} if isinstance(raw, Mapping) else None

    def units(self) -> int | None:
        """The cost in units of 10^-12 US dollars; None where it is not known."""
        return self._pricer.listed(self._usage, self._model, self._counted)


def stated_units(where: tuple[tuple[str, ...], int], raw: Any) -> int | None:
    """What a vendor says a call cost, in units; None where it says nothing, or nothing believable."""
    from decimal import Decimal

    path, scale = where
    value: Any = raw.get("response", raw) if isinstance(raw, Mapping) else None
    usage = value.get("usage") if isinstance(value, Mapping) else None
    if isinstance(usage, Mapping) and usage.get("is_byok"):
        return None  # OpenRouter's own fee alone: the model's maker charges the rest to the user's key
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    if type(value) not in (int, float):
        return None
    if not 0 <= value * scale < 10**9 * UNITS:  # NaN is not either
        return None
    return int((Decimal(str(value)) * scale).to_integral_value())


def other_tier(raw: Any) -> bool:
    """Whether an answer says that it was served faster, slower or nearer than usual, at another price.

    https://platform.openai.com/docs/guides/priority-processing, https://platform.claude.com/docs/en/about-claude/pricing
    """
    if not isinstance(raw, dict):  # which JSON's objects are, and which is told at a fifth of the cost of a Mapping
        return False
    if (word := raw.get("service_tier")) not in USUAL and isinstance(word, str):
        return True
    usage = raw.get("usage")
    if not isinstance(usage, dict) or TIERS.isdisjoint(usage):
        return False
    return any(isinstance(usage[name], str) and usage[name] not in USUAL for name in TIERS & usage.keys())


def billed(raw: Any) -> Usage | None:
    """The tokens that Cohere charges for: ``billed_units``, which leave out what it adds to prompt and answer itself.

    https://docs.cohere.com/v2/docs/how-does-cohere-pricing-work
    """
    from llmkit.values.usage import Usage, tokens

    whole = raw.get("delta", raw) if isinstance(raw, Mapping) else None
    usage = (whole.get("usage") or whole.get("meta")) if isinstance(whole, Mapping) else None
    units = usage.get("billed_units") if isinstance(usage, Mapping) else None
    if not isinstance(units, Mapping) or units.get("images") or units.get("image_tokens"):
        return None
    try:
        read, written = tokens(units.get("input_tokens")), tokens(units.get("output_tokens"))
    except ValueError:
        return None
    return Usage(read, written, read + written)


def long_writes(raw: Any, price: Price) -> int:
    """What Anthropic charges more for prompt that it keeps for an hour: usage counts it with what it keeps for five minutes.

    https://platform.claude.com/docs/en/build-with-claude/prompt-caching#pricing
    """
    usage = raw.get("usage") if isinstance(raw, Mapping) else None
    kept = usage.get("cache_creation") if isinstance(usage, Mapping) else None
    count = kept.get("ephemeral_1h_input_tokens") if isinstance(kept, Mapping) else None
    if type(count) is not int or count <= 0 or price.cache_write_1h is None or price.cache_write is None:
        return 0
    return count * max(0, price.cache_write_1h - price.cache_write)


def _has_kinds(price: Price) -> bool:
    return price.audio_input is not None or price.audio_output is not None or price.image_output is not None


def other_kinds(raw: Any, price: Price) -> bool:
    """Whether a vendor's JSON tells of sound read or made, or of pictures made: usage counts their tokens with those of text, and
    ``price`` has other prices for them."""
    usage = (raw.get("usage") or raw.get("usageMetadata")) if isinstance(raw, Mapping) else None
    if not isinstance(usage, Mapping):
        return False
    sound = price.audio_input is not None or price.audio_output is not None
    for name, details in usage.items():
        kinds = _kinds(details)
        made = name.startswith(("completion", "output", "candidates"))
        if ("audio" in kinds and sound) or ("image" in kinds and made and price.image_output is not None):
            return True
    return False


def _kinds(details: Any) -> set[str]:
    """The kinds of tokens that OpenAI's ``audio_tokens: 5`` or Google's ``modality: AUDIO, tokenCount: 5`` tell of."""
    if isinstance(details, Mapping):
        return {name.removesuffix("_tokens") for name, count in details.items() if isinstance(name, str) and count}
    if isinstance(details, list):
        told = [entry for entry in details if isinstance(entry, Mapping) and entry.get("tokenCount")]
        return {str(entry.get("modality")).lower() for entry in told}
    return set()
