"""A price list, and the two colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import llmkit.assembly
from llmkit.observe.ledger import Price
from llmkit.values.usage import Usage
from tests.support.colours import colour

__all__ = ["colour"]


class PerToken:
    """A price in 10^-12 dollars for each prompt token and each completion token."""

    def __init__(self, prompt: int, completion: int) -> None:
        self.prompt = prompt
        self.completion = completion

    def units(self, usage: Usage) -> int | None:
        return usage.prompt_tokens * self.prompt + usage.completion_tokens * self.completion


PRICES = {"m": PerToken(150_000, 600_000), "big": PerToken(2_500_000, 10_000_000)}
"""0.15 and 0.60, 2.50 and 10 dollars for a million tokens."""


def price_of(provider: str, model: str) -> Price | None:
    return PRICES.get(model)


@pytest.fixture(autouse=True)
def prices(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Clients know two models' prices and no other."""
    monkeypatch.setattr(llmkit.catalog.own.ClientCatalog, "price_of", staticmethod(price_of))
    return price_of
