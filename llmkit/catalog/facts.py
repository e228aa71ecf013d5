"""From the package's data to values: one vendor's file, read when somebody first asks for one of its models."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from typing import Any

import orjson

from llmkit.values.models import ModelInfo
from llmkit.values.price import Price, Tier

VENDORS = (
    "anthropic",
    "azure_openai",
    "cohere",
    "deepseek",
    "google",
    "groq",
    "mistral",
    "openai",
    "openrouter",
    "perplexity",
    "together",
    "xai",
)
"""The providers there are data for. Local servers have no public prices."""

Rows = Mapping[str, Mapping[str, Any]]


def read(vendor: str) -> tuple[Rows, Mapping[str, str]]:
    """One vendor's models as they are written, and other names for them; both empty where there is no file."""
    if vendor not in VENDORS:
        return {}, {}
    data = _file(vendor)
    return data["models"], data["aliases"]


def sources() -> Mapping[str, str]:
    """The versions of the tables that the data come from, and the day on which they were read."""
    return _file(VENDORS[0])["sources"]  # type: ignore[no-any-return]


def _file(vendor: str) -> Any:
    with open(os.path.join(os.path.dirname(__file__), "data", f"{vendor}.json"), "rb") as opened:
        return orjson.loads(opened.read())


def model_info(vendor: str, name: str, row: Mapping[str, Any]) -> ModelInfo:
    """A row as a value."""
    can, price, get = row.get("can"), row.get("price"), row.get
    return ModelInfo(
        id=name,
        provider=vendor,
        context_window=get("context"),
        max_output_tokens=get("output"),
        capabilities=None if can is None else frozenset(can.split()),
        category=get("category"),
        price=None if price is None else _price(price),
        released=_day(get("released")),
        retires=_day(get("retires")),
        tokenizer=get("tokenizer"),
        note=get("note"),
    )


def _price(row: Mapping[str, Any]) -> Price:
    if "tiers" not in row:
        return Price(**row)
    tiers = tuple([Tier(int(above), Price(**rates)) for above, rates in row["tiers"].items()])
    return Price(**{**row, "tiers": tiers})


def _day(text: str | None) -> datetime.date | None:
    return None if text is None else datetime.date.fromisoformat(text)
