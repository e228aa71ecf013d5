"""What is known about providers and models by name alone; no plugin is loaded.

This page holds names and three small look-ups, which every client needs. The rest is read when somebody asks for it: ``store``
has the catalogue of models (their data lie in ``data/``, a file for each vendor), ``facts`` turns the data into values, ``cost``
says what an answer cost, ``requests`` and ``select`` choose a model by what is wanted of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from llmkit.values.price import Price

BUILT_IN_PROVIDERS = (
    "anthropic",
    "azure_openai",
    "cohere",
    "deepseek",
    "google",
    "groq",
    "lmstudio",
    "mistral",
    "ollama",
    "openai",
    "openai_compatible",
    "openrouter",
    "perplexity",
    "together",
    "vllm",
    "xai",
)
"""The providers that ship with llmkit; the same names as in its entry points."""

PROVIDER_ALIASES: Mapping[str, str] = {
    "azure": "azure_openai",
    "azureopenai": "azure_openai",
    "gemini": "google",
    "google_ai": "google",
    "googleai": "google",
    "lm_studio": "lmstudio",
    "together_ai": "together",
    "togetherai": "together",
}
"""Other programs' names for providers, in lower case with ``_`` for ``-``."""

MODEL_PREFIXES: tuple[tuple[str, str], ...] = (
    ("gpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("chatgpt-", "openai"),
    ("claude", "anthropic"),
    ("gemini", "google"),
    ("gemma", "google"),
    ("mistral", "mistral"),
    ("ministral", "mistral"),
    ("codestral", "mistral"),
    ("magistral", "mistral"),
    ("pixtral", "mistral"),
    ("devstral", "mistral"),
    ("command", "cohere"),
    ("c4ai", "cohere"),
    ("sonar", "perplexity"),
    ("deepseek", "deepseek"),
    ("grok", "xai"),
)
"""How the names of a vendor's own models begin."""


def provider_name(text: str, known: Collection[str]) -> str | None:
    """The provider that ``text`` names, by its own name or an alias, in any case; None if it is not in ``known``."""
    if text in known:
        return text
    plain = text.strip().lower().replace("-", "_")
    plain = plain if plain in known else PROVIDER_ALIASES.get(plain, plain)
    return plain if plain in known else None


def split_model(text: str, known: Collection[str]) -> tuple[str | None, str]:
    """Provider and model in ``provider/model``, split at the first ``/``; the provider is None where what stands before it
    is no provider (``meta-llama/llama-3.1-8b``) or there is no ``/``.

    :param known: the names of the providers there are.
    """
    first, slash, rest = text.partition("/")
    provider = provider_name(first, known) if slash and rest else None
    return (None, text) if provider is None else (provider, rest)


def provider_for(model: str) -> str | None:
    """The vendor whose own models are named like ``model``, or None. ``gpt-4o`` is OpenAI's; ``llama3`` is nobody's."""
    lowered = model.lower()
    for prefix, provider in MODEL_PREFIXES:
        if lowered.startswith(prefix):
            return provider
    return None


def price_of(provider: str, model: str) -> Price | None:
    """What a provider's model costs, by llmkit's own catalogue; None where it is not known. :mod:`llmkit.catalog.store` has the
    rules by which names are found."""
    from llmkit.catalog.store import CATALOG

    return CATALOG.price_of(provider, model)
