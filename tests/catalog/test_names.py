"""Names of providers and models."""

import configparser
from pathlib import Path

import pytest

from llmkit.catalog import BUILT_IN_PROVIDERS, MODEL_PREFIXES, PROVIDER_ALIASES, provider_for, provider_name, split_model


@pytest.mark.parametrize(
    ("text", "provider", "model"),
    [
        ("openai/gpt-4o", "openai", "gpt-4o"),
        ("OpenAI/gpt-4o", "openai", "gpt-4o"),
        ("openrouter/meta-llama/llama-3.1-8b", "openrouter", "meta-llama/llama-3.1-8b"),
        ("meta-llama/llama-3.1-8b", None, "meta-llama/llama-3.1-8b"),
        ("gemini/gemini-pro", "google", "gemini-pro"),
        ("together-ai/x", "together", "x"),
        ("gpt-4o", None, "gpt-4o"),
        ("openai/", None, "openai/"),
        ("/gpt-4o", None, "/gpt-4o"),
        ("", None, ""),
    ],
)
def test_a_model_is_split_at_the_first_slash_after_a_provider(text, provider, model):
    assert split_model(text, BUILT_IN_PROVIDERS) == (provider, model)


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o", "openai"),
        ("o3-mini", "openai"),
        ("Claude-3-haiku", "anthropic"),
        ("gemini-pro", "google"),
        ("codestral-latest", "mistral"),
        ("command-r", "cohere"),
        ("sonar-pro", "perplexity"),
        ("deepseek-chat", "deepseek"),
        ("grok-4", "xai"),
        ("llama3", None),
    ],
)
def test_a_bare_name_finds_its_vendor(model, provider):
    assert provider_for(model) == provider


def test_names_lead_to_providers_there_are():
    assert {*PROVIDER_ALIASES.values(), *dict(MODEL_PREFIXES).values()} <= set(BUILT_IN_PROVIDERS)
    assert not set(PROVIDER_ALIASES) & set(BUILT_IN_PROVIDERS)
    assert provider_name("mine", ["mine"]) == "mine"
    assert provider_name("gemini", ["openai"]) is None
    assert provider_name("Gemini", ["gemini", "google"]) == "gemini"


def test_the_built_in_providers_are_the_ones_that_are_declared():
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).resolve().parents[2] / "setup.cfg", encoding="utf-8")
    declared = setup["options.entry_points"]["llmkit.providers"].strip().splitlines()
    assert sorted(line.partition("=")[0].strip() for line in declared) == sorted(BUILT_IN_PROVIDERS)
