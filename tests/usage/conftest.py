"""A price list, and the two colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import llmkit.assembly
from llmkit.catalog.store import Catalog
from llmkit.values.price import Price
from tests.support.colours import colour

__all__ = ["colour"]


PRICES = {
    name: Price(input=read, output=made, cache_read=read, cache_write=read)
    for name, read, made in (("m", 150_000, 600_000), ("big", 2_500_000, 10_000_000))
}
"""0.15 and 0.60, 2.50 and 10 dollars for a million tokens."""


def price_of(provider: str, model: str) -> Price | None:
    return PRICES.get(model)


@pytest.fixture(autouse=True)
def prices(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Clients know two models' prices and no other."""
    monkeypatch.setattr(llmkit.catalog.own.ClientCatalog, "price_of", staticmethod(price_of))
    monkeypatch.setattr(Catalog, "price_of", staticmethod(price_of))
    return price_of
