"""The ``[models."provider/model"]`` tables of a file: facts of your own about models, over the catalogue's."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping
from typing import Any

from llmkit.catalog import split_model
from llmkit.config import checks
from llmkit.config.checks import Kind, read, reference
from llmkit.config.positions import Path
from llmkit.config.problems import Problems
from llmkit.errors import ConfigError
from llmkit.values.calls import CATEGORIES
from llmkit.values.model_requests import CAPABILITIES
from llmkit.values.models import ModelInfo
from llmkit.values.price import RATES, Price


def _day(value: Any) -> bool:
    return isinstance(value, datetime.date) and not isinstance(value, datetime.datetime)


MODEL: Mapping[str, Kind] = {
    "name": checks.TEXT,
    "context_window": checks.AT_LEAST_ONE,
    "max_output_tokens": checks.AT_LEAST_ONE,
    "capabilities": checks.TEXTS,
    "category": checks.one_of(*CATEGORIES),
    "price": checks.TABLE,
    "released": Kind("a date", _day),
    "retires": Kind("a date", _day),
    "tokenizer": checks.TEXT,
    "note": checks.TEXT,
}
DOLLARS = Kind("US dollars per million tokens", checks.NOT_NEGATIVE.accepts)
PRICE: Mapping[str, Kind] = {**dict.fromkeys(RATES, DOLLARS), "besides": checks.TEXT, "tiers": checks.TABLE}
TIER: Mapping[str, Kind] = dict.fromkeys(RATES, DOLLARS)


def read_models(problems: Problems, tables: Mapping[str, Any], known: Collection[str]) -> tuple[ModelInfo, ...]:
    """The models that a file describes; mistakes go to ``problems``."""
    found = []
    for name, table in tables.items():
        path: Path = ("models", name)
        provider, model = split_model(name, known)
        if provider is None:
            problems.add(path, "expected provider/model, with a provider that there is")
        elif not isinstance(table, dict):
            problems.expected(path, "a table", table)
        else:
            found.append(_model(problems, path, provider, model, table))
    return tuple(found)


def _model(problems: Problems, path: Path, provider: str, model: str, table: Mapping[str, Any]) -> ModelInfo:
    good = read(problems, path, table, MODEL)
    for number, word in enumerate(good.get("capabilities", ())):
        reference(problems, (*path, "capabilities", number), word, CAPABILITIES, "a capability")
    if "capabilities" in good:
        good["capabilities"] = frozenset(good["capabilities"])
    if "price" in good:
        good["price"] = _price(problems, (*path, "price"), good["price"])
    return ModelInfo(model, provider, **good)


def _price(problems: Problems, path: Path, table: Mapping[str, Any]) -> Price | None:
    good = read(problems, path, table, PRICE)
    tiers: dict[int, Price] = {}
    for above, rates in good.pop("tiers", {}).items():
        where = (*path, "tiers", above)
        if not above.isdecimal() or not isinstance(rates, dict):
            problems.add(where, "expected a number of tokens and a table of prices, such as 200000 = { input = 5, output = 20 }")
        elif (price := _made(problems, where, read(problems, where, rates, TIER))) is not None:
            tiers[int(above)] = price
    return _made(problems, path, {**good, "tiers": tiers})


def _made(problems: Problems, path: Path, amounts: Mapping[str, Any]) -> Price | None:
    try:
        return Price.of(**amounts)
    except ConfigError as error:
        name, _, said = error.message.partition(": ")
        problems.add((*path, name), said)
    return None
