"""What recorded calls cost: by the prices on the vendors' pages, worked out on paper, and by the bills that vendors send along."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from llmkit.catalog.cost import STATED, Pricer, stated_units
from llmkit.catalog.store import Catalog
from llmkit.values.completion import Completion
from llmkit.values.embeddings import Embeddings
from llmkit.values.usage import Usage

from .cases import CASES, Case, needs_recordings
from .replay import decode

needs_recordings()

CATALOG = Catalog()

# Dollars per million tokens: input, output, cached read, cached write. Every number is what the vendor's page above it said in the
# month in brackets, by a copy or a dated quotation of the page; none comes from the catalogue's data or the tables behind them.
PAGES: dict[str, dict[str, str]] = {
    "openai": {
        # https://developers.openai.com/api/docs/pricing (2026-09)
        "gpt-4o-2024-08-06": "2.50 10 1.25", "gpt-4o-2024-05-13": "5 15", "gpt-4o-mini-2024-07-18": "0.15 0.60 0.075",
        "gpt-4.1-2025-04-14": "2 8 0.50", "gpt-4.1-mini-2025-04-14": "0.40 1.60 0.10", "gpt-4.1-nano-2025-04-14": "0.10 0.40 0.025",
        "gpt-5-2025-08-07": "1.25 10 0.125", "gpt-5-mini-2025-08-07": "0.25 2 0.025", "gpt-5-nano-2025-08-07": "0.05 0.40 0.005",
        "gpt-5.1-2025-11-13": "1.25 10 0.125", "gpt-5.4-2026-03-05": "2.50 15 0.25", "o4-mini-2025-04-16": "1.10 4.40 0.275",
        "gpt-3.5-turbo-0125": "0.50 1.50", "gpt-4-0613": "30 60",
    },
    "anthropic": {
        # https://platform.claude.com/docs/en/about-claude/pricing (2026-03; Opus 4.7 and 4.8 and Sonnet 5: 2026-09)
        "claude-sonnet-4-6": "3 15 0.30 3.75", "claude-haiku-4-5-20251001": "1 5 0.10 1.25",
        "claude-sonnet-4-5-20250929": "3 15 0.30 3.75", "claude-sonnet-4-20250514": "3 15 0.30 3.75",
        "claude-3-7-sonnet-20250219": "3 15 0.30 3.75", "claude-3-haiku-20240307": "0.25 1.25 0.03 0.30",
        "claude-3-opus-20240229": "15 75 1.50 18.75", "claude-3-5-haiku-20241022": "0.80 4 0.08 1",
        "claude-opus-4-6": "5 25 0.50 6.25", "claude-opus-4-7": "5 25 0.50 6.25", "claude-opus-4-8": "5 25 0.50 6.25",
        "claude-sonnet-5": "2 10 0.20 2.50",
        # https://docs.anthropic.com/en/docs/about-claude/models/overview#model-pricing (2025-05)
        "claude-3-5-sonnet-20241022": "3 15 0.30 3.75",
    },
    "google": {
        # https://ai.google.dev/gemini-api/docs/pricing (2026-10; 2.0: 2026-02; the cached prices of 3.x: 2026-09)
        "gemini-2.5-flash": "0.30 2.50 0.03", "gemini-2.5-flash-lite": "0.10 0.40 0.01", "gemini-2.5-pro": "1.25 10 0.125",
        "gemini-2.0-flash": "0.10 0.40 0.025", "gemini-2.0-flash-001": "0.10 0.40 0.025", "gemini-2.0-flash-lite": "0.075 0.30",
        "gemini-3-flash-preview": "0.50 3 0.05", "gemini-3.5-flash": "1.50 9 0.15", "gemini-3.6-flash": "0.75 3.75 0.075",
        "gemini-3.1-flash-lite": "0.25 1.50 0.025", "gemini-3.1-pro-preview": "2 12 0.20",
    },
    "mistral": {
        # https://docs.mistral.ai/inference/pricing (2026-09)
        "mistral-small-latest": "0.15 0.60 0.015", "mistral-large-latest": "0.50 1.50 0.05",
        "mistral-medium-latest": "1.50 7.50 0.15", "magistral-small-latest": "0.15 0.60 0.015",
        "ministral-3b-latest": "0.10 0.10 0.01", "ministral-8b-latest": "0.15 0.15 0.015",
    },
    "groq": {
        # https://console.groq.com/docs/models (2026-07; the cached prices: https://console.groq.com/docs/prompt-caching, 2026-09)
        "llama-3.3-70b-versatile": "0.59 0.79", "llama-3.1-8b-instant": "0.05 0.08", "qwen/qwen3-32b": "0.29 0.59",
        "meta-llama/llama-4-scout-17b-16e-instruct": "0.11 0.34", "openai/gpt-oss-120b": "0.15 0.60 0.075",
        "openai/gpt-oss-20b": "0.075 0.30 0.0375",
    },
    "together": {
        "meta-llama/Llama-3.3-70B-Instruct-Turbo": "1.04 1.04",  # https://docs.together.ai/docs/serverless/models (2026-10)
    },
}  # fmt: skip
UNCONFIRMED: dict[str, dict[str, str]] = {
    # No copy of a vendor's page with these numbers was at hand. OpenAI's are what everybody repeats; Azure's page fills its table
    # by a script, so these are OpenAI's own prices for the same models. The rest of the recorded models stand in neither table.
    "openai": {
        "text-embedding-3-small": "0.02 0", "text-embedding-3-large": "0.13 0", "text-embedding-ada-002": "0.10 0",
        "text-embedding-ada-002-v2": "0.10 0",
    },
    "azure_openai": {"gpt-4.1-mini-2025-04-14": "0.40 1.60 0.10", "gpt-5-mini-2025-08-07": "0.25 2 0.025"},
}  # fmt: skip
BILLED = {
    # Cohere tells what it bills, which is less than what it counts. https://cohere.com/pricing (2026-10)
    "command-r-08-2024": "0.15 0.60", "command-r7b-12-2024": "0.0375 0.15", "command-r": "0.50 1.50", "embed-v4.0": "0.12 0",
}  # fmt: skip
OTHERWISE = {
    "openrouter-273e83a1c53b", "openrouter-72e27900c6bc",  # an older price
    "openrouter-58f8ad8dce15",  # a price before a discount
    "openrouter-dbd25567abd2",  # a cheaper host of the same model
    "openrouter-37a1d92c861d", "openrouter-8a9908f93788", "openrouter-cef52cbc9d6f", "openrouter-dcac7ce35662",  # with searches
}  # fmt: skip
"""Bills that are no product of today's price and usage, and why."""


def answers() -> list[tuple[Case, Any]]:
    """Every recorded answer, decoded, with its case."""
    cases = [case for case in CASES if case.expected["outcome"] == "ok" and case.kind in ("chat", "embeddings")]
    decoded = [(case, decode(case)) for case in cases]
    return [(case, answer) for case, answer in decoded if isinstance(answer, (Completion, Embeddings))]


def cost_by_page(usage: Usage, page: str) -> Decimal:
    """The sum as one does it on paper."""
    input, output, read, write = (Decimal(price) for price in [*page.split(), "0", "0"][:4])
    cached = min(usage.cache_read_tokens, usage.prompt_tokens)
    fresh = usage.prompt_tokens - cached - usage.cache_write_tokens
    return (fresh * input + cached * read + usage.cache_write_tokens * write + usage.completion_tokens * output) / 10**6


def checked_by(pages: dict[str, dict[str, str]]) -> Counter[str]:
    """How many answers of each vendor cost what these prices say, all that are named there and have a cost at all."""
    checked: Counter[str] = Counter()
    for case, answer in answers():
        page = pages.get(case.provider, {}).get(answer.model or "")
        cost = Pricer(lambda: CATALOG, case.provider, case.model or "")(answer)
        if page is None or answer.usage is None or cost is None:
            continue
        raw = answer.raw if isinstance(answer.raw, dict) else {}
        kept = ((raw.get("usage") or {}).get("cache_creation") or {}).get("ephemeral_1h_input_tokens")
        if kept:
            continue  # at another price; test_cost.py of the catalogue has it
        assert cost == cost_by_page(answer.usage, page), (case, answer.usage)
        checked[case.provider] += 1
    return checked


def test_every_case_costs_what_the_vendor_s_page_says():
    checked = checked_by(PAGES)

    assert sum(checked.values()) >= 950, checked
    assert set(checked) == set(PAGES)


def test_what_no_page_confirms_is_as_it_is_told_elsewhere():
    checked = checked_by(UNCONFIRMED)

    assert sum(checked.values()) >= 40, checked
    assert not [model for vendor, models in UNCONFIRMED.items() for model in models if model in PAGES.get(vendor, ())]


def test_cohere_s_answers_cost_what_it_bills_at_the_prices_of_its_page():
    checked: Counter[str] = Counter()
    for case, answer in answers():
        raw = answer.raw if isinstance(answer.raw, dict) else {}
        billed = (raw.get("meta") or raw.get("usage") or {}).get("billed_units") or {}
        cost = Pricer(lambda: CATALOG, case.provider, case.model or "")(answer)
        if case.provider != "cohere" or case.model not in BILLED or not billed or cost is None:
            continue
        usage = Usage(int(billed.get("input_tokens", 0)), int(billed.get("output_tokens", 0)), 0)
        assert cost == cost_by_page(usage, BILLED[case.model]), (case, billed)
        checked[case.model] += 1

    assert sum(checked.values()) >= 10, checked
    assert set(checked) >= {"command-r-08-2024", "command-r7b-12-2024", "embed-v4.0"}, checked


def test_prices_agree_with_the_bills_that_vendors_send():
    agreed: Counter[str] = Counter()
    for case, answer in answers():
        billed = stated_units(STATED[case.provider], answer.raw) if case.provider in STATED else None
        pricer = Pricer(lambda: CATALOG, case.provider, case.model or "")
        if billed is None:
            continue
        assert pricer.units(answer) == billed
        price = pricer.price(answer.model)
        units = None if price is None or answer.usage is None else price.units(answer.usage)
        if units is None or case.id in OTHERWISE:
            continue
        assert abs(units - billed) <= max(1000, billed // 10**6), (case, answer.usage, units, billed)
        agreed[case.provider] += 1

    assert agreed["openrouter"] >= 80
    assert agreed["xai"] >= 8


def test_no_cost_is_negative():
    costs = [Pricer(lambda: CATALOG, case.provider, case.model or "").units(answer) for case, answer in answers()]

    assert min(cost for cost in costs if cost is not None) >= 0
    assert len([cost for cost in costs if cost is not None]) >= 1400
