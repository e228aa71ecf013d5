"""``[models]`` tables: facts of one's own about models."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest

from llmkit import Client, ConfigError, ModelInfo, Price, Usage
from llmkit.config import parse_config

WHOLE = """
[models."openai/gpt-4o"]
price = { input = 2.0, output = 8, cache_read = 1 }

[models."openai_compatible/house/model"]
name = "House"
context_window = 32768
max_output_tokens = 4096
capabilities = ["chat", "tools"]
category = "fast"
tokenizer = "o200k_base"
released = 2026-01-02
retires = 2027-01-02
note = "ours"
[models."openai_compatible/house/model".price]
input = 0.1
output = 0.3
besides = "requests"
tiers = { 16000 = { input = 0.2, output = 0.6 } }
"""


def test_a_file_s_models():
    priced, house = parse_config(WHOLE).models

    assert priced == ModelInfo("gpt-4o", "openai", price=Price.of(input=2, output=8, cache_read=1))
    assert house == ModelInfo(
        "house/model",
        "openai_compatible",
        name="House",
        context_window=32768,
        max_output_tokens=4096,
        capabilities=frozenset({"chat", "tools"}),
        category="fast",
        price=Price.of(input="0.1", output="0.3", besides="requests", tiers={16000: Price.of(input="0.2", output="0.6")}),
        released=datetime.date(2026, 1, 2),
        retires=datetime.date(2027, 1, 2),
        tokenizer="o200k_base",
        note="ours",
    )


def test_a_client_uses_them():
    with Client.from_config_str(WHOLE) as client:
        info = client.get_model_info("openai/gpt-4o-2024-08-06")

    assert info.price.cost(Usage(10**6, 10**6)) == Decimal(10)
    assert info.context_window == 128_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('models = 5', "1:1: models: expected a table, got 5"),
        ('[models]\ngpt = {}', "2:1: models.gpt: expected provider/model, with a provider that there is"),
        ('[models."nobody/gpt"]', "1:1: models.'nobody/gpt': expected provider/model, with a provider that there is"),
        ('[models]\n"openai/gpt" = 5', "2:1: models.'openai/gpt': expected a table, got 5"),
        ('[models."openai/x"]\ncontext_windw = 5', "2:1: models.'openai/x'.context_windw: unknown key; did you mean 'context_win"),
        ('[models."openai/x"]\ncontext_window = 0', "expected a whole number of at least 1, got 0"),
        ('[models."openai/x"]\ncategory = "quick"', "expected one of fast, balanced, quality, got 'quick'"),
        ('[models."openai/x"]\ncapabilities = ["tool"]', "expected a capability"),
        ('[models."openai/x"]\nretires = "soon"', "2:1: models.'openai/x'.retires: expected a date, got 'soon'"),
        ('[models."openai/x"]\nretires = 2026-01-01T00:00:00', "expected a date, got a date and time"),
        ('[models."openai/x"]\nprice = 5', "2:1: models.'openai/x'.price: expected a table, got 5"),
        ('[models."openai/x"]\n[models."openai/x".price]\ninptu = 5', "3:1: models.'openai/x'.price.inptu: unknown key; did you"),
        ('[models."openai/x"]\nprice.input = -1', "expected US dollars per million tokens, got -1"),
        ('[models."openai/x"]\nprice.input = "1"', "expected US dollars per million tokens, got a string"),
        ('[models."openai/x"]\nprice.input = 0.00000001', "expected US dollars per million tokens, with at most six decimals"),
        ('[models."openai/x"]\nprice.tiers = { many = { input = 1 } }', "expected a number of tokens and a table of prices"),
        ('[models."openai/x"]\nprice.tiers = { 5 = 5 }', "expected a number of tokens and a table of prices"),
        ('[models."openai/x"]\nprice.tiers = { 5 = { besides = "x" } }', "unknown key"),
    ],
)
def test_mistakes_have_their_place(text: str, said: str):
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "llmkit.toml")

    assert said in str(caught.value)
    assert str(caught.value).startswith("llmkit.toml:")
    assert len(caught.value.problems) == 1


def test_models_in_code_are_checked():
    with pytest.raises(ConfigError, match="models: 'x' names no provider"):
        Client(models=[ModelInfo("x")], plugins=[])
    with pytest.raises(ConfigError, match="models"):
        Client(models=["openai/x"], plugins=[])  # type: ignore[list-item]
