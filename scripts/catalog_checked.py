"""What vendors' own pages say of the models that are used most: prices and the days on which models go.

:data:`PRICES` goes before both tables of ``catalog_sources``; what it does not name stays as they have it. :data:`GONE` goes before
their retirement dates. Each entry names the page, and the month in which the page said so by a copy or a dated quotation of it. To
check again, read the pages and correct the numbers here; ``update_catalog.py`` reports where the tables say otherwise.

What could not be checked, because nothing of a vendor's page with a price was at hand: xAI's models that were retired in May 2026
(bills state their cost), Together's models but for the few below, Cohere's Command A family (its page has no price for each token
any more), OpenAI's embeddings, most retired models of Google, Mistral and Groq, ``mistral-large-4`` since its sale, and all of
Azure's and OpenRouter's.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

RATES = ("input", "output", "cache_read", "cache_write")


class Page(NamedTuple):
    """A vendor's page and its prices: ``input output [cached read [cached write]]``, dollars a million tokens, ``-`` for none."""

    url: str
    read: str
    prices: Mapping[str, str]


PRICES: Mapping[str, tuple[Page, ...]] = {
    "anthropic": (
        Page("https://platform.claude.com/docs/en/about-claude/pricing", "2026-09", {
            "claude-opus-5": "5 25 0.50 6.25", "claude-opus-4-8": "5 25 0.50 6.25", "claude-opus-4-7": "5 25 0.50 6.25",
            "claude-opus-4-6": "5 25 0.50 6.25", "claude-opus-4-5": "5 25 0.50 6.25", "claude-sonnet-5": "2 10 0.20 2.50",
            "claude-sonnet-4-6": "3 15 0.30 3.75", "claude-sonnet-4-5": "3 15 0.30 3.75", "claude-haiku-4-5": "1 5 0.10 1.25",
        }),
    ),
    "cohere": (
        Page("https://cohere.com/pricing", "2026-10", {
            "command-r-08-2024": "0.15 0.60", "command-r-plus-08-2024": "2.50 10", "command-r7b-12-2024": "0.0375 0.15",
            "command": "1 2", "command-light": "0.30 0.60", "c4ai-aya-expanse-8b": "0.50 1.50", "c4ai-aya-expanse-32b": "0.50 1.50",
            "embed-v4.0": "0.12 0",
            # for customers who had them; the aliases are theirs: https://docs.cohere.com/changelog/2025-09-15-major-command-deprecations
            "command-r": "0.50 1.50", "command-r-03-2024": "0.50 1.50", "command-r-plus": "3 15", "command-r-plus-04-2024": "3 15",
        }),
    ),
    "deepseek": (
        Page("https://api-docs.deepseek.com/quick_start/pricing", "2026-09", {  # off-peak; peak is twice
            "deepseek-flash": "0.15 0.60 0.003", "deepseek-v4-flash": "0.15 0.60 0.003", "deepseek-v4-pro": "0.66 1.98 0.022",
        }),
    ),
    "google": (
        Page("https://ai.google.dev/gemini-api/docs/pricing", "2026-10", {
            # until 2026-12-31; from then on twice as much
            "gemini-3.8-flash": "0.75 3.75 0.075", "gemini-3.7-flash": "0.75 3.75 0.075", "gemini-3.6-flash": "0.75 3.75 0.075",
            "gemini-3.5-flash": "1.50 9 0.15", "gemini-3.5-flash-lite": "0.30 2.50 0.03",
            "gemini-3.1-flash-lite": "0.25 1.50 0.025", "gemini-3.1-pro-preview": "2 12 0.20",
            "gemini-3-flash-preview": "0.50 3 0.05", "gemini-embedding-2": "0.20 0", "gemini-2.5-pro": "1.25 10 0.125",
            "gemini-2.5-flash": "0.30 2.50 0.03", "gemini-2.5-flash-lite": "0.10 0.40 0.01",
        }),
        Page("https://ai.google.dev/gemini-api/docs/pricing", "2026-02", {
            "gemini-2.0-flash": "0.10 0.40 0.025", "gemini-2.0-flash-lite": "0.075 0.30",
        }),
    ),
    "groq": (
        Page("https://console.groq.com/docs/models", "2026-09", {
            "openai/gpt-oss-120b": "0.15 0.60 0.075", "openai/gpt-oss-20b": "0.075 0.30 0.0375", "qwen/qwen3.8-27b": "0.80 4",
        }),
        Page("https://console.groq.com/docs/models", "2026-07", {
            "llama-3.3-70b-versatile": "0.59 0.79", "llama-3.1-8b-instant": "0.05 0.08", "qwen/qwen3-32b": "0.29 0.59",
            "meta-llama/llama-4-scout-17b-16e-instruct": "0.11 0.34", "meta-llama/llama-prompt-guard-2-22m": "0.03 0.03",
            "meta-llama/llama-prompt-guard-2-86m": "0.04 0.04", "openai/gpt-oss-safeguard-20b": "0.075 0.30",
        }),
    ),
    "mistral": (
        Page("https://docs.mistral.ai/inference/pricing", "2026-09", {
            "mistral-large-latest": "0.50 1.50 0.05", "mistral-large-2512": "0.50 1.50 0.05",
            "mistral-medium": "1.50 7.50 0.15", "mistral-medium-latest": "1.50 7.50 0.15",
            "mistral-medium-3-5": "1.50 7.50 0.15", "mistral-medium-2604": "1.50 7.50 0.15",
            "mistral-small-latest": "0.15 0.60 0.015", "mistral-small-2603": "0.15 0.60 0.015",
            "magistral-small-latest": "0.15 0.60 0.015", "ministral-3b-latest": "0.10 0.10 0.01",
            "ministral-8b-latest": "0.15 0.15 0.015", "ministral-14b-latest": "0.20 0.20 0.02",
            "codestral-latest": "0.30 0.90 0.03", "zai-glm-5-3": "1.40 4.40 0.14",
        }),
        Page("https://docs.mistral.ai/inference/pricing", "2026-08", {  # the two before; no cached price was listed
            "mistral-medium-2508": "0.40 2 -", "mistral-medium-2505": "0.40 2 -",
        }),
    ),
    "openai": (
        Page("https://developers.openai.com/api/docs/pricing", "2026-09", {
            "gpt-5.4-mini": "0.75 4.50 0.075", "gpt-5.4-nano": "0.20 1.25 0.02", "gpt-5.2": "1.75 14 0.175",
            "gpt-5.1": "1.25 10 0.125", "gpt-5": "1.25 10 0.125", "gpt-5-mini": "0.25 2 0.025", "gpt-5-nano": "0.05 0.40 0.005",
            "gpt-4.1": "2 8 0.50", "gpt-4.1-mini": "0.40 1.60 0.10", "gpt-4.1-nano": "0.10 0.40 0.025",
            "gpt-4o": "2.50 10 1.25", "gpt-4o-mini": "0.15 0.60 0.075", "gpt-4o-2024-05-13": "5 15", "o3": "2 8 0.50",
            "o4-mini": "1.10 4.40 0.275", "gpt-4-0613": "30 60", "gpt-3.5-turbo": "0.50 1.50",
        }),
    ),
    "perplexity": (
        Page("https://docs.perplexity.ai/docs/getting-started/pricing", "2026-05", {  # before the fee for each request
            "sonar": "1 1", "sonar-pro": "3 15", "sonar-reasoning-pro": "2 8", "sonar-deep-research": "2 8",
        }),
    ),
    "together": (
        Page("https://docs.together.ai/docs/serverless/models", "2026-10", {
            "meta-llama/Llama-3.3-70B-Instruct-Turbo": "1.04 1.04", "openai/gpt-oss-120b": "0.15 0.60",
            "Qwen/Qwen3.5-9B": "0.17 0.25", "zai-org/GLM-5.3": "1.40 4.40 0.26", "Qwen/Qwen3.8-2.4T-A95B": "2 6 0.50",
            "Qwen/Qwen3.7-Plus": "0.32 1.28",
        }),
    ),
    "xai": (
        Page("https://docs.x.ai/developers/pricing", "2026-09", {
            "grok-4.7": "2 6 0.50", "grok-4.6": "2 6 0.50", "grok-4.5": "2 6 0.30", "grok-4.3": "1.25 2.50 0.20",
        }),
    ),
}  # fmt: skip

COMMAND_R = {"context": 128_000, "output": 4_096, "can": ["chat", "streaming", "tools"]}
"""https://docs.cohere.com/docs/command-r"""

FACTS: Mapping[str, Mapping[str, Any]] = {
    **dict.fromkeys([f"cohere/{name}" for name in ("command-r", "command-r-03-2024", "command-r-plus", "command-r-plus-04-2024")],
                    COMMAND_R),
    "mistral/mistral-medium-2508": {}, "mistral/mistral-medium-2505": {},
}  # fmt: skip
"""The models that the tables have no row of and that are added, with what else is known of them."""

GEMINI = "https://ai.google.dev/gemini-api/docs/deprecations"
OPENAI = "https://developers.openai.com/api/docs/deprecations"
GROK = "https://docs.x.ai/developers/migration/may-15-retirement"
SONAR = "https://docs.perplexity.ai/docs/agent-api/migrate-from-sonar/overview"
LLAMA = "https://console.groq.com/docs/deprecations"
MEDIUM = "https://docs.mistral.ai/models/overview"

GONE: Mapping[str, tuple[str, str]] = {
    # provider/model: (its last day, the page that says so)
    **dict.fromkeys(("google/gemini-2.0-flash", "google/gemini-2.0-flash-lite"), ("2026-06-01", GEMINI)),
    "google/gemini-3-pro-preview": ("2026-03-09", GEMINI),
    # from then on answered, and billed, as gemini-3.8-flash and gemini-3.5-flash-lite
    **dict.fromkeys(("google/gemini-2.5-pro", "google/gemini-2.5-flash"), ("2026-12-01", GEMINI)),
    # but for enterprise customers
    **dict.fromkeys(("groq/llama-3.3-70b-versatile", "groq/llama-3.1-8b-instant"), ("2026-08-16", LLAMA)),
    **dict.fromkeys(("mistral/mistral-medium-2508", "mistral/mistral-medium-2505"), ("2026-08-31", MEDIUM)),
    **dict.fromkeys([f"openai/{name}" for name in ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini")], ("2027-01-14", OPENAI)),
    **dict.fromkeys([f"perplexity/{name}" for name in ("sonar-pro", "sonar-reasoning-pro", "sonar-deep-research")],
                    ("2026-09-27", SONAR)),
    **dict.fromkeys([f"xai/{name}" for name in ("grok-4-1-fast-reasoning", "grok-4-1-fast-non-reasoning", "grok-4-fast-reasoning",
                     "grok-4-fast-non-reasoning", "grok-4-0709", "grok-code-fast-1", "grok-3")], ("2026-05-15", GROK)),
}  # fmt: skip


def prices(vendor: str) -> Iterator[tuple[str, dict[str, int | None], Page]]:
    """A vendor's models, their prices in whole millionths of a dollar (None: it has no such price), and the page."""
    for page in PRICES.get(vendor, ()):
        for model, text in page.prices.items():
            rates = [None if number == "-" else int(Decimal(number) * 10**6) for number in text.split()]
            yield model, dict(zip(RATES, rates, strict=False)), page


def last_days(vendor: str) -> Iterator[tuple[str, str]]:
    """A vendor's models with the day on which its page says that they go."""
    for model, (day, _) in GONE.items():
        provider, _, name = model.partition("/")
        if provider == vendor:
            yield name, datetime.date.fromisoformat(day).isoformat()
