"""What has the wrong type is refused by name, in the books, budgets, catalogue and cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmkit import Budget, CacheSettings, ConfigError, InvalidRequestError, list_available_models
from tests.support.colours import Colour, answer, openai


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        *[({"window": wrong}, "Budget.window") for wrong in (10**11, 10**30, 10**400)],
        ({"only": 5, "per": "tag"}, "Budget.only"),
        ({"name": 5}, "Budget.name"),
        *[({"mode": "degrade", "model": wrong}, "Budget.model") for wrong in (5, "", ["m"])],
    ],
)
def test_budgets(fields: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        Budget(tokens=1, **fields)


def test_the_longest_window(colour: Colour):
    client = colour.scripted(answer(), [openai()], budget=Budget(tokens=1000, window=10**10))
    client.generate("q")
    assert client.budgets()[0].used == 3


@pytest.mark.parametrize("by", [5, [[]], [5], b"x", [{}], object()])
def test_books(colour: Colour, by: Any):
    client = colour.scripted(answer(), [openai()])
    for read in (client.client.usage, client.client.export_usage):
        with pytest.raises(InvalidRequestError, match="by: expected"):
            read(by=by)


@pytest.mark.parametrize("words", [5, None, [5], [[]], "x"])
def test_capabilities(colour: Colour, words: Any):
    client = colour.scripted(answer(), [openai()])
    reads: tuple[Callable[..., Any], ...] = (client.client.list_available_models, list_available_models)
    for read in reads:
        with pytest.raises(InvalidRequestError, match="capabilities: expected"):
            read(required_capabilities=words)


def test_a_namespace_and_names_that_have_no_form_in_utf_8(colour: Colour):
    with pytest.raises(ConfigError, match=r"cache\.namespace"):
        CacheSettings(namespace="\ud800")
    client = colour.scripted(answer(), [openai(name="a\ud800")], cache=True)
    assert not client.generate("q", instance="a\ud800").cached
    assert not client.generate("q", instance="a\ud800").cached
