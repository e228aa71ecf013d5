"""Looking models up by the names they go by, and one's own facts over the catalogue's."""

from __future__ import annotations

import datetime

import pytest

from llmkit import ModelInfo, Price, find_alternative_model, get_model_info, list_available_models
from llmkit.catalog import price_of
from llmkit.catalog.store import MOST_REMEMBERED, Catalog
from llmkit.errors import InvalidRequestError

CATALOG = Catalog()


@pytest.mark.parametrize(
    ("provider", "name", "found"),
    [
        ("openai", "gpt-4o", "gpt-4o"),
        ("openai", "gpt-4o-2024-08-06", "gpt-4o"),  # a snapshot that says nothing of its own
        ("openai", "gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),  # one that has a price of its own
        ("openai", "gpt-4o-2031-01-31", "gpt-4o"),
        ("openai", "GPT-4o", "gpt-4o"),
        ("openai", "openai/gpt-4o", "gpt-4o"),
        ("openai", "ft:gpt-4o-2024-08-06:my-org::abc123", "ft:gpt-4o-2024-08-06"),
        ("anthropic", "claude-sonnet-4-20250514", "claude-sonnet-4-0"),
        ("anthropic", "claude-3-haiku-20240307", "claude-3-haiku"),
        ("anthropic", "claude-haiku-4-5@20251001", "claude-haiku-4-5"),
        ("google", "models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("google", "publishers/google/models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("google", "gemini-2.0-flash-001", "gemini-2.0-flash"),
        ("azure_openai", "azure/gpt-4o-2024-08-06", "gpt-4o"),
        ("azure_openai", "gpt-35-turbo", "gpt-35-turbo"),
        ("openrouter", "openai/gpt-4o", "openai/gpt-4o"),
        ("openrouter", "anthropic/claude-4.5-haiku-20251001", "anthropic/claude-haiku-4.5"),
        ("groq", "openai/gpt-oss-120b", "openai/gpt-oss-120b"),
        ("together", "meta-llama/meta-llama-3.1-8b-instruct-turbo", "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo"),
        # nothing is guessed
        ("openai", "gpt-4o-2024-08-99", None),
        ("openai", "gpt-4o-experimental", None),
        ("openai", "my-gpt-4o", None),
        ("openai", "", None),
        ("openai", "ft:", None),
        ("openrouter", "openai/gpt-4o:nitro", None),
        ("openrouter", "gpt-4o", None),
        ("ollama", "llama3.2", None),
        ("nobody", "gpt-4o", None),
        ("openai", "x" * 10_000, None),
    ],
)
def test_names(provider: str, name: str, found: str | None):
    info = CATALOG.find(provider, name)

    assert (None if info is None else info.id) == found
    assert CATALOG.find(provider, name) is info  # remembered


def test_bare_names():
    assert get_model_info("gpt-4o") is get_model_info("openai/gpt-4o")
    assert get_model_info("llama-3.3-70b-versatile").provider == "groq"  # only one vendor has that name
    assert get_model_info("codestral-2@001") is None
    assert get_model_info("no-such-model") is None
    with pytest.raises(InvalidRequestError, match="expected a name"):
        get_model_info(None)  # type: ignore[arg-type]


def test_what_is_known_of_a_model():
    info = get_model_info("claude-haiku-5-5")

    assert (info.provider, info.context_window, info.max_output_tokens) == ("anthropic", 1_000_000, 128_000)
    assert info.category == "fast"
    assert info.can("tools", "vision", "json_schema", "reasoning")
    assert not info.can("audio")
    assert info.price == Price.of(
        input="0.10", output="0.50", cache_read="0.01", cache_write="0.125", cache_write_1h="0.20", batch_input="0.05",
        batch_output="0.25",
        tiers={100_000: Price.of(input="0.50", output="2.50", cache_read="0.05", cache_write="0.625", cache_write_1h=1)},
    )  # fmt: skip
    assert get_model_info("gpt-4o").tokenizer == "o200k_base"
    assert get_model_info("gpt-4-turbo").tokenizer == "cl100k_base"
    assert get_model_info("gpt-4o-2024-05-13").retires == datetime.date(2026, 10, 23)
    assert price_of("openai", "gpt-4o") == get_model_info("gpt-4o").price
    assert price_of("openai", "unknown") is None


def test_names_that_are_made_up_do_not_fill_the_memory():
    catalog = Catalog()
    for number in range(MOST_REMEMBERED + 10):
        catalog.find("ollama", f"m{number}")

    assert len(catalog._found) <= MOST_REMEMBERED


def test_one_s_own_facts_go_before():
    own = ModelInfo("gpt-4o", "openai", price=Price.of(input=1, output=2), note=None)
    new = ModelInfo("my-model", "acme", context_window=5000, capabilities=frozenset({"chat"}))
    snapshot = ModelInfo("gpt-4o-2024-08-06", "openai", max_output_tokens=7)
    catalog = Catalog([own, new, snapshot])

    assert catalog.get("openai/gpt-4o").price == Price.of(input=1, output=2)
    assert catalog.get("openai/gpt-4o").context_window == 128_000  # what is not said stays
    assert catalog.get("gpt-4o-2024-11-20").price == Price.of(input=1, output=2)
    assert catalog.get("gpt-4o-2024-08-06").max_output_tokens == 7
    assert catalog.get("acme/my-model") == new
    assert catalog.get("my-model") == new
    assert new in list(catalog.models("acme"))
    assert len([info for info in catalog.models("openai") if info.id == "gpt-4o"]) == 1
    assert CATALOG.get("acme/my-model") is None


def test_the_available_models():
    day = datetime.date(2026, 11, 21)
    found = list_available_models(["tools", "vision"], 500_000, order="cheapest", on=day)

    assert found
    assert all(info.can("tools", "vision") and info.context_window >= 500_000 for info in found)
    assert all(info.retires is None or info.retires > day for info in found)
    assert {info.provider for info in list_available_models(provider="xai", on=day)} == {"xai"}
    assert all(info.category == "fast" for info in list_available_models(category="fast", on=day))
    cheap = list_available_models(max_price="0.5", on=day)
    assert cheap
    assert all(3 * info.price.input + info.price.output <= 4 * 500_000 for info in cheap)
    before = {info.id for info in list_available_models(provider="openai", on=datetime.date(2024, 1, 1))}
    assert "gpt-4o-2024-05-13" in before
    assert "gpt-4o-2024-05-13" not in {info.id for info in list_available_models(provider="openai", on=day)}
    assert any(info.can("embeddings") for info in list_available_models(["embeddings"], on=day))
    with pytest.raises(InvalidRequestError, match="did you mean 'tools'"):
        list_available_models(["tool"])


@pytest.mark.parametrize(
    "model", ["openai/gpt-4o", "anthropic/claude-haiku-4-5", "google/gemini-2.5-flash", "mistral/mistral-small-latest"]
)
def test_alternatives_do_all_that_the_model_does(model: str):
    info = get_model_info(model)
    for reason in ("unavailable", "context", "cost", "vendor"):
        other = find_alternative_model(model, reason)
        if reason == "context" and model.startswith("google"):
            continue  # nothing that hears reads more
        assert other is not None, reason
        assert other.id != info.id
        assert other.capabilities >= info.capabilities & {"tools", "vision", "json_schema", "streaming"}
        assert other.context_window >= info.context_window
        if reason == "context":
            assert other.context_window > info.context_window
        if reason == "cost":
            assert 3 * other.price.input + other.price.output < 3 * info.price.input + info.price.output
        if reason == "vendor":
            assert other.provider != info.provider


def test_no_alternative():
    assert find_alternative_model("no-such-model") is None
    assert find_alternative_model("gpt-4o", among=[]) is None
    with pytest.raises(InvalidRequestError, match="reason: expected one of"):
        find_alternative_model("gpt-4o", "boredom")


def test_a_vendor_s_list_is_completed_not_corrected():
    listed = ModelInfo("gpt-4o", "openai", context_window=99, raw={"id": "gpt-4o"})
    whole = CATALOG.with_facts(listed)

    assert (whole.context_window, whole.max_output_tokens, whole.raw) == (99, 16_384, {"id": "gpt-4o"})
    assert whole.price == price_of("openai", "gpt-4o")
    for unknown in (ModelInfo("x"), ModelInfo("x", "openai")):
        assert CATALOG.with_facts(unknown) is unknown
