"""The two public tables of model facts, read from the wheels of ``litellm`` and ``genai-prices`` without importing either.

Both give rows of one form: ``{vendor: {model: row}}``, where a row has any of ``context``, ``output``, ``can``, ``price``,
``retires``, ``name``, ``note``. Prices are whole millionths of a dollar per million tokens, as in the package's own data.
"""

from __future__ import annotations

import ast
import datetime
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

Row = dict[str, Any]

LITELLM = "litellm/model_prices_and_context_window_backup.json"
GENAI = "genai_prices/data.py"
KINDS = {"chat": "chat", "responses": "chat", "completion": "completion", "embedding": "embeddings"}
"""litellm's modes that llmkit has calls for."""

VENDORS: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "anthropic": (("anthropic",), ("anthropic/",), "anthropic"),
    "azure_openai": (("azure", "azure_ai"), ("azure/", "azure_ai/"), "azure"),
    "cohere": (("cohere", "cohere_chat"), ("cohere/",), "cohere"),
    "deepseek": (("deepseek",), ("deepseek/",), "deepseek"),
    "google": (("gemini", "vertex_ai-language-models", "vertex_ai-embedding-models"), ("gemini/", "vertex_ai/"), "google"),
    "groq": (("groq",), ("groq/",), "groq"),
    "mistral": (("mistral", "codestral"), ("mistral/", "codestral/"), "mistral"),
    "openai": (("openai", "text-completion-openai"), ("openai/",), "openai"),
    "openrouter": (("openrouter",), ("openrouter/",), "openrouter"),
    "perplexity": (("perplexity",), ("perplexity/",), "perplexity"),
    "together": (("together_ai",), ("together_ai/",), "together"),
    "xai": (("xai",), ("xai/",), "x-ai"),
}
"""llmkit's providers whose models have public prices: litellm's names for them, its prefixes, genai-prices' name."""

UNWANTED = re.compile(
    r"^(global|global-standard|us|eu|apac|standard|low|medium|high)/"  # Azure's regions; an answer does not tell its region
    r"|^(together-ai-|container$|preset/|model[-_]router)"  # size classes, tools
    r"|^(openai|anthropic|google|xai|perplexity)/(?=.*)(?<!^openai/gpt-oss)"
)
CAPABILITIES = {
    "supports_function_calling": "tools",
    "supports_parallel_function_calling": "parallel_tools",
    "supports_vision": "vision",
    "supports_audio_input": "audio",
    "supports_audio_output": "audio_output",
    "supports_video_input": "video",
    "supports_pdf_input": "files",
    "supports_response_schema": "json_schema",
    "supports_reasoning": "reasoning",
    "supports_prompt_caching": "prompt_caching",
    "supports_web_search": "web_search",
    "supports_computer_use": "computer_use",
}
LITELLM_RATES = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "reasoning": "output_cost_per_reasoning_token",
    "audio_input": "input_cost_per_audio_token",
    "audio_output": "output_cost_per_audio_token",
    "image_input": "input_cost_per_image_token",
    "image_output": "output_cost_per_image_token",
    "batch_input": "input_cost_per_token_batches",
    "batch_output": "output_cost_per_token_batches",
}
GENAI_RATES = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
    "image_input": "input_image_mtok",
    "image_output": "output_image_mtok",
}
TIERED = ("input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning")
TIER = re.compile(r"^(input_cost_per_token|output_cost_per_token)_above_(\d+)k_tokens$")


def member(wheel: str, name: str) -> bytes:
    """A file in a wheel."""
    with zipfile.ZipFile(wheel) as opened:
        return opened.read(name)


def version(wheel: str) -> str:
    """The version in a wheel's file name."""
    return wheel.rsplit("/", 1)[-1].split("-")[1]


def millionths(amount: Decimal) -> int | None:
    """Dollars per million tokens as whole millionths; None where they are not whole, or no price."""
    units = amount * 10**6
    return int(units) if units == units.to_integral_value() and units >= 0 else None


# ------------------------------------------------------------------------------------------------------- litellm


def litellm(wheel: str) -> dict[str, dict[str, Row]]:
    """litellm's table."""
    table = json.loads(member(wheel, LITELLM), parse_float=Decimal)
    found: dict[str, dict[str, Row]] = {vendor: {} for vendor in VENDORS}
    for vendor, (names, prefixes, _) in VENDORS.items():
        for wanted in names:  # an earlier name's row goes before a later one's
            for full, entry in table.items():
                if entry.get("litellm_provider") == wanted and entry.get("mode") in KINDS:
                    model = next((full[len(prefix) :] for prefix in prefixes if full.startswith(prefix)), full)
                    if not unwanted(vendor, model):
                        found[vendor].setdefault(model, litellm_row(entry))
    return found


def unwanted(vendor: str, model: str) -> bool:
    """Whether a name stands for no model that this vendor's API takes."""
    if vendor in ("openrouter", "together", "groq"):
        return model.startswith("together-ai-")
    return UNWANTED.match(model) is not None


def litellm_row(entry: dict[str, Any]) -> Row:
    """One of litellm's entries as a row."""
    kind = KINDS[entry["mode"]]
    can = {word for name, word in CAPABILITIES.items() if entry.get(name)}
    if kind != "embeddings" and entry.get("supports_native_streaming") is not False:
        can.add("streaming")
    price = {name: litellm_rate(entry, field) for name, field in LITELLM_RATES.items()}
    if kind == "embeddings":
        price["output"] = 0
    tiers = {}
    for field in entry:
        if match := TIER.match(field):
            above = int(match[2]) * 1000
            tiers[above] = {
                name: value
                for name in TIERED
                if (value := litellm_rate(entry, f"{LITELLM_RATES[name]}_above_{match[2]}k_tokens")) is not None
            }
    if tiers:
        price["tiers"] = tiers
    if any(entry.get(name) for name in ("input_cost_per_request", "off_peak_pricing")):
        price["besides"] = "requests" if entry.get("input_cost_per_request") else "time of day"
    retires = entry.get("deprecation_date")
    return clean(
        {
            "context": whole(entry.get("max_input_tokens")),
            "output": None if kind == "embeddings" else whole(entry.get("max_output_tokens")),
            "can": sorted({kind, *can}),
            "price": clean(price) if price.get("input") is not None else None,
            "retires": retires if isinstance(retires, str) and re.fullmatch(r"20\d\d-\d\d-\d\d", retires) else None,
        }
    )


def litellm_rate(entry: dict[str, Any], field: str) -> int | None:
    """A price of litellm's, which is in dollars a token."""
    value = entry.get(field)
    return None if value is None else millionths(Decimal(value) * 10**6)


def whole(value: Any) -> int | None:
    """A limit, which some entries give as text or a float."""
    try:
        return int(value) or None
    except (TypeError, ValueError):
        return None


def clean(row: Row) -> Row:
    """``row`` without what is not known."""
    return {name: value for name, value in row.items() if value is not None}


# ------------------------------------------------------------------------------------------------------- genai-prices


def genai(wheel: str, today: datetime.date) -> dict[str, list[tuple[dict[str, Any], Row]]]:
    """genai-prices' table: the rows, each with its entry, whose ``match`` says which names it is for."""
    tree = ast.parse(member(wheel, GENAI))
    value = next(node.value for node in tree.body if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "providers")
    providers = {provider["id"]: provider for provider in evaluated(value)}
    return {
        vendor: [(entry, genai_row(entry, today)) for entry in providers[name]["models"]]
        for vendor, (_, _, name) in VENDORS.items()
    }


def evaluated(node: Any) -> Any:
    """The value of an expression of constructors and constants, none of which is run."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, (ast.List, ast.Tuple)):
        return [evaluated(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {evaluated(key): evaluated(item) for key, item in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.Attribute):
        return ast.unparse(node)
    if isinstance(node, ast.Call):
        function, given = ast.unparse(node.func), [evaluated(item) for item in node.args]
        if function == "Decimal":
            return Decimal(given[0])
        if function == "datetime.date":
            return datetime.date(*given)
        named = {keyword.arg: evaluated(keyword.value) for keyword in node.keywords}
        return {"is": function, "given": given, **named}
    raise SystemExit(f"genai-prices: cannot read {ast.unparse(node)[:80]!r}")


def genai_row(entry: dict[str, Any], today: datetime.date) -> Row:
    """One of genai-prices' entries as a row: the price that is valid today."""
    prices, besides = valid_price(entry["prices"], today)
    if prices.get("requests_kcount"):
        besides = "requests"
    price: Row = {}
    tiers: dict[int, Row] = {}
    for name, field in GENAI_RATES.items():
        value = prices.get(field)
        if isinstance(value, dict):
            for tier in value["tiers"]:
                tiers.setdefault(tier["start"], {})[name] = millionths(tier["price"])
            value = value["base"]
        price[name] = None if value is None else millionths(value)
    for variant in entry.get("price_variants") or ():
        if variant["when"] == {"processing": "batch"}:
            for name, field in (("batch_input", "input_mtok"), ("batch_output", "output_mtok")):
                value = variant["prices"].get(field)
                price[name] = millionths(value) if isinstance(value, Decimal) else None
    if tiers:
        base = {name: price[name] for name in TIERED}  # what has no tier of its own costs the same at any length
        price["tiers"] = {above: clean({**base, **tier}) for above, tier in sorted(tiers.items())}
    price["besides"] = besides
    return clean(
        {
            "name": entry.get("name"),
            "context": entry.get("context_window"),
            "price": clean(price) if price.get("input") is not None else None,
        }
    )


def valid_price(prices: Any, today: datetime.date) -> tuple[dict[str, Any], str | None]:
    """The price that is valid today, and what it depends on beside tokens."""
    if not isinstance(prices, list):
        return prices, None
    besides, valid = None, {}
    for step in prices:
        rule = step.get("constraint") or {}
        if rule.get("is") == "TimeOfDateConstraint":
            besides = "time of day"
        elif rule.get("start_date", today) <= today:
            valid = step["prices"]
    return valid, besides


def matches(clause: dict[str, Any], model: str) -> bool:
    """Whether a clause of genai-prices' is for a name."""
    tests: dict[str, Callable[[str], bool]] = {
        "equals": lambda text: model == text,
        "starts_with": lambda text: model.startswith(text),
        "ends_with": lambda text: model.endswith(text),
        "contains": lambda text: text in model,
        "regex": lambda text: re.search(text, model) is not None,
    }
    for name, test in tests.items():
        if name in clause:
            return test(clause[name])
    if "or_" in clause:
        return any(matches(part, model) for part in clause["or_"])
    return all(matches(part, model) for part in clause["and_"])


def names(clause: dict[str, Any]) -> Iterator[str]:
    """The whole names that a clause spells out."""
    if "equals" in clause:
        yield clause["equals"]
    for part in clause.get("or_", ()):
        yield from names(part)
