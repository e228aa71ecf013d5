"""Make the catalogue's data (``llmkit/catalog/data/*.json``) from two public tables, and report where they differ.

Nothing runs this by itself. To refresh::

    pip download --no-deps --dest tables litellm genai-prices
    python scripts/update_catalog.py tables/litellm-*.whl tables/genai_prices-*.whl --write

Rules, in this order:

0. A price that is on a vendor's own page, as ``catalog_checked.py`` has it, goes before both tables.
1. A price that both tables give for the same name is taken where they agree, and left out, with a note, where they do not,
   unless :data:`DECISIONS` says which one the vendor's own page confirms.
2. A price that one table gives is taken.
3. A price that depends on more than tokens (a fee for each request, the hour) is kept, and marked, so that no cost is made from it.
4. Of two context windows the smaller is taken: a limit that is too low fails no call.
5. A dated snapshot that says nothing but what its undated name says is left out; looking it up finds the undated one.

Without ``--write`` it only reports.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from catalog_checked import FACTS, last_days, prices
from catalog_sources import Row, clean, genai, litellm, matches, names, version

DATA = Path(__file__).parent.parent / "llmkit" / "catalog" / "data"
DATED = re.compile(r"^(?P<stem>.+?)[-@](20\d\d-?[01]\d-?[0-3]\d)$")
GONE = datetime.timedelta(days=730)
"""Models that were retired longer ago are left out."""

DECISIONS: Mapping[str, tuple[str, str]] = {
    # model: (the table that is right, the vendor's page that says so)
    "mistral/mistral-large-latest": ("litellm", "https://docs.mistral.ai/models/mistral-large-3-25-12"),
    "mistral/mistral-large-4": ("genai", "https://docs.mistral.ai/inference/pricing (from 2026-10-29)"),
    "mistral/mistral-large-4-0": ("genai", "https://docs.mistral.ai/inference/pricing (from 2026-10-29)"),
    "deepseek/deepseek-flash": ("genai", "https://api-docs.deepseek.com/quick_start/pricing (off-peak; peak is twice)"),
    "deepseek/deepseek-v4-flash": ("genai", "https://api-docs.deepseek.com/quick_start/pricing (off-peak; peak is twice)"),
    "deepseek/deepseek-v4-pro": ("genai", "https://api-docs.deepseek.com/quick_start/pricing (off-peak; peak is twice)"),
}
ALIASES: Mapping[str, Mapping[str, str]] = {
    "azure_openai": {"gpt-35-turbo-0125": "gpt-3.5-turbo-0125", "gpt-35-turbo-1106": "gpt-3.5-turbo-1106"},
    "google": {"gemini-2.0-flash-001": "gemini-2.0-flash", "gemini-2.0-flash-lite-001": "gemini-2.0-flash-lite"},
}
CATEGORIES: tuple[tuple[str, str], ...] = (
    # How vendors name the small, the large and the middle model of a family; the first that matches counts.
    (r"embed|rerank|moderation|guard|tts|transcribe|audio|live|image|search|research|computer|robotics|ocr|codex|decider", ""),
    (r"nano|(?<!ge)mini(?!max)|haiku|flash-lite|(?<![\da-z])\d(\.\d)?b|lite|small|instant|tiny|luna|fast|command-r7b", "fast"),
    (r"opus|-pro\b|ultra|large|405b|sol\b|fable|mythos|argon|heavy|deep-think|grok-4(?!.*mini)|o1$|o3$|r1$|plus|max\b", "quality"),
    (
        r"^(gpt-4o|gpt-4\.1|gpt-5|gpt-6|claude|gemini.*flash|mistral-medium|sonar|command|llama|deepseek|o4|chatgpt)|(70|32|120)b",
        "balanced",
    ),
)
TOKENIZERS: tuple[tuple[str, str], ...] = (
    # https://github.com/openai/tiktoken/blob/main/tiktoken/model.py
    (r"gpt-oss", "o200k_harmony"),
    (r"^(ft:)?(o[134]|chatgpt-4o|gpt-4o|gpt-4\.1|gpt-4\.5|gpt-5|gpt-6)(\b|-)", "o200k_base"),
    (r"^(ft:)?(gpt-4|gpt-3\.5|gpt-35|davinci-002|babbage-002|text-embedding-ada-002|text-embedding-3)", "cl100k_base"),
)
UPSTREAM = {"anthropic": "anthropic", "cohere": "cohere", "deepseek": "deepseek", "google": "google", "mistralai": "mistral",
            "openai": "openai", "perplexity": "perplexity", "x-ai": "xai"}  # fmt: skip
"""Whose model ``openrouter/<vendor>/...`` is."""
MOST = 1_000 * 10**6
"""A thousand dollars for a million tokens: a price above it is a slip in the table, such as a price for a thousand tokens."""
MOST_EMBEDDING = 10 * 10**6
"""The same for embeddings, which cost cents."""
SEARCHES = re.compile(r"sonar|-search|search-|deep-research|online$")
"""Models that search the web whenever they are called, which costs more than their tokens."""
COMPARED = ("input", "output", "cache_read", "cache_write")


def main() -> None:
    """Read both tables, merge them, report, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("litellm", help="the wheel of litellm")
    parser.add_argument("genai", help="the wheel of genai-prices")
    parser.add_argument("--today", type=datetime.date.fromisoformat, default=datetime.date.today())
    parser.add_argument("--write", action="store_true", help="write the data; without it, only report")
    given = parser.parse_args()
    report: list[str] = []
    first, second = litellm(given.litellm), genai(given.genai, given.today)
    tables = {vendor: merged(vendor, first[vendor], second[vendor], given.today, report) for vendor in first}
    borrow(tables)
    sources = {"litellm": version(given.litellm), "genai-prices": version(given.genai), "read": given.today.isoformat()}
    for vendor, (models, aliases) in tables.items():
        print(f"{vendor}: {len(models)} models, {len(aliases)} aliases")
        if given.write:
            write(vendor, models, aliases, sources)
    print("\n".join(["", f"Differences ({len(report)}):", *report]))


def merged(
    vendor: str, lite: dict[str, Row], entries: list[tuple[dict[str, Any], Row]], today: datetime.date, report: list[str]
) -> tuple[dict[str, Row], dict[str, str]]:
    """One vendor's models and other names for them."""
    if vendor == "xai":  # https://docs.x.ai/developers/models: a prompt of just 200,000 tokens is long already
        for tiers in [row["price"].get("tiers", {}) for row in lite.values() if "price" in row]:
            if 200_000 in tiers:
                tiers[199_999] = tiers.pop(200_000)
    exact: dict[str, tuple[dict[str, Any], Row]] = {}
    for entry, row in entries:
        for name in (entry["id"], *names(entry["match"])):
            exact.setdefault(name, (entry, row))
    models: dict[str, Row] = {}
    for name, row in lite.items():
        found = exact.get(name) or exact.get(name.lower())
        models[name] = row if found is None else both(f"{vendor}/{name}", row, found[1], report)
        if found is None or "price" not in found[1]:
            doubt_nothing(models[name])
    aliases = added(vendor, entries, models, {id(exact[name][0]) for name in models if name in exact})
    check(vendor, models, report)
    for name, row in models.items():
        most = MOST_EMBEDDING if "embeddings" in row.get("can", ()) else MOST
        if any(isinstance(rate, int) and rate > most for rate in row.get("price", {}).values()):
            high = row.pop("price")["input"] / 1e6
            report.append(f"  {vendor}/{name}: {high:g} dollars for a million tokens; not believed, left out")
    kept = {name: finished(vendor, name, row) for name, row in models.items() if not long_gone(row, today)}
    kept = {name: row for name, row in kept.items() if not repeats(name, row, kept)}
    good = {name: target for name, target in aliases.items() if target in kept and name not in kept and name != target}
    return dict(sorted(kept.items())), dict(sorted(good.items()))


def added(
    vendor: str, entries: list[tuple[dict[str, Any], Row]], models: dict[str, Row], taken: set[int]
) -> dict[str, str]:
    """Add to ``models`` what genai-prices alone has; gives the other names that its entries are for.

    :param taken: the ids of the entries that were merged with a row of litellm's.
    """
    aliases = dict(ALIASES.get(vendor, {}))
    for entry, row in entries:
        own = entry["id"]
        if "price" not in row or (vendor == "openrouter" and ("/" not in own or own.endswith(":batch"))):
            continue
        if id(entry) not in taken and own not in models:
            models[own] = dict(row)
        stem = own.removesuffix("-latest")
        for name in {stem, f"{stem}-latest"} - {own}:  # where the table says so of any name that begins like it
            if name not in models and matches(entry["match"], name + "-20240101"):
                aliases.setdefault(name, own)
        target = own if own in models else next((name for name in names(entry["match"]) if name in models), None)
        for name in names(entry["match"]):
            if target is not None and name != target and name not in models and not name.endswith((":free", ":beta")):
                aliases.setdefault(name, target)
    return aliases


def check(vendor: str, models: dict[str, Row], report: list[str]) -> None:
    """Set the prices and last days that the vendor's own pages have."""
    agreed = 0
    for name, rates, page in prices(vendor):
        if name not in models and f"{vendor}/{name}" not in FACTS:
            continue
        row = models.setdefault(name, dict(FACTS.get(f"{vendor}/{name}", {})))
        price = row.setdefault("price", {})
        changed = {rate: value for rate, value in rates.items() if price.get(rate) != value}
        if not changed:
            agreed += 1
            continue
        said = ", ".join([f"{rate} {dollars(value)}, not {dollars(price.get(rate))}" for rate, value in changed.items()])
        report.append(f"  {vendor}/{name}: {said}; by {page.url}")
        kept = {fact: value for fact, value in price.items() if fact not in ("tiers", "batch_input", "batch_output")}
        row["price"] = clean({**kept, **rates})
        row["note"] = f"price by {page.url} (read {page.read})"
    for name, day in last_days(vendor):
        if name in models:
            models[name]["retires"] = day
    if agreed:
        report.append(f"  {vendor}: {agreed} prices are as on the vendor's page")


def dollars(rate: int | None) -> str:
    """A price as it is read; ``none`` where there is none."""
    return "none" if rate is None else f"{rate / 1e6:g}"


def doubt_nothing(row: Row) -> None:
    """Take out a price of nothing that only one table has: it may be a gift, or a gap."""
    price = row.get("price") or {}
    if price.get("input") == 0 and "embeddings" not in row.get("can", ()) and not price.get("output"):
        del row["price"]
        row["note"] = "one source says that it is free of charge"


def both(model: str, lite: Row, other: Row, report: list[str]) -> Row:
    """The row of a model that is in both tables."""
    row = dict(lite)
    limits = [limit for limit in (lite.get("context"), other.get("context")) if limit]
    if limits:
        row["context"] = min(limits)
    one, two = lite.get("price"), other.get("price")
    if one is None or two is None:
        row["price"] = one or two
        return clean(row)
    differ = {name: (one[name], two[name]) for name in COMPARED if name in one and name in two and one[name] != two[name]}
    if "embeddings" in lite.get("can", ()):
        differ.pop("output", None)
    price = {**two, **one}
    if besides := one.get("besides") or two.get("besides"):
        price["besides"] = besides
    compare_tiers(model, one, two, report)
    if not differ:
        row["price"] = price
        return row
    said = ", ".join(f"{name} {a / 1e6:g} or {b / 1e6:g}" for name, (a, b) in differ.items())
    decided = DECISIONS.get(model)
    if decided is not None:
        better = two if decided[0] == "genai" else one
        doubtful = ("tiers", "batch_input", "batch_output")
        row["price"] = clean({**price, **better, **{name: better.get(name) for name in doubtful}})
        row["note"] = f"price by {decided[1]}"
        report.append(f"  {model}: {said}; decided: {decided[0]}, by {decided[1]}")
        return row
    row["price"] = {name: value for name, value in price.items() if name not in ("tiers", "batch_input", "batch_output")}
    for name in differ:
        del row["price"][name]
    row["note"] = f"sources differ (dollars per million tokens): {said}"
    report.append(f"  {model}: {said}; left out")
    return row


def compare_tiers(model: str, lite: Row, other: Row, report: list[str]) -> None:
    """Report tiers that the tables do not agree on; litellm's are taken where it has some."""
    first, second = lite.get("tiers"), other.get("tiers")
    plain = [
        {above: {name: tier.get(name) for name in COMPARED[:3]} for above, tier in (tiers or {}).items()}
        for tiers in (first, second)
    ]
    if plain[0] == plain[1]:
        return
    if not first or not second:
        where = "litellm" if first else "genai-prices"
        report.append(f"  {model}: tiers above {list(first or second or {})} tokens in {where} alone; kept")
    else:
        report.append(f"  {model}: tiers above {list(first)} or {list(second)} tokens differ; litellm's kept")


def finished(vendor: str, name: str, row: Row) -> Row:
    """A row with what follows from the name."""
    done = dict(row)
    stem = name.rsplit("/", 1)[-1].lower()
    category = next((word for pattern, word in CATEGORIES if re.search(pattern, stem)), "")
    if category:
        done["category"] = category
    if vendor in ("openai", "azure_openai") or "gpt-oss" in stem:
        done["tokenizer"] = next((word for pattern, word in TOKENIZERS if re.search(pattern, stem)), None)
    if match := re.search(r"-(20\d\d)-?([01]\d)-?([0-3]\d)$", name):
        done["released"] = "-".join(match.groups())
    if "can" not in done and "embed" in stem:
        done["can"] = ["embeddings"]
        done["price"] = {**done["price"], "output": 0}
    if "reasoning" in done.get("price", {}) and done["price"]["reasoning"] == done["price"].get("output"):
        done["price"] = {fact: value for fact, value in done["price"].items() if fact != "reasoning"}
    if "price" in done and SEARCHES.search(stem):
        done["price"] = {**done["price"], "besides": done["price"].get("besides", "searches")}
    if done.get("price", {}).get("cache_write") == 0 and done["price"].get("input"):  # a gap: nobody gives the prompt away
        done["price"] = {fact: value for fact, value in done["price"].items() if fact != "cache_write"}
    done.pop("name", None)
    return clean(done)


def long_gone(row: Row, today: datetime.date) -> bool:
    """Whether a model was retired so long ago that nobody asks for it."""
    retires = row.get("retires")
    return retires is not None and datetime.date.fromisoformat(retires) + GONE < today


def repeats(name: str, row: Row, rows: Mapping[str, Row]) -> bool:
    """Whether a dated name says nothing that the undated one does not."""
    match = DATED.match(name)
    if match is None or match["stem"] not in rows:
        return False
    base = rows[match["stem"]]
    return all(base.get(fact) == value for fact, value in row.items() if fact not in ("released", "retires"))


def borrow(tables: Mapping[str, tuple[dict[str, Row], dict[str, str]]]) -> None:
    """Let OpenRouter's models have the limits and capabilities that their makers' tables give for them."""
    for name, row in tables["openrouter"][0].items():
        maker, _, model = name.partition("/")
        vendor = UPSTREAM.get(maker)
        if vendor is None:
            continue
        models, aliases = tables[vendor]
        bare = model.split(":")[0]
        keys = [aliases.get(spelling, spelling) for spelling in (bare, bare.replace(".", "-"))]
        found = next((models[key] for key in keys if key in models), {})
        for fact in ("can", "output", "category", "tokenizer"):
            if fact in found:
                row.setdefault(fact, found[fact])


def write(vendor: str, models: Mapping[str, Row], aliases: Mapping[str, str], sources: Mapping[str, str]) -> None:
    """Write one vendor's file: a line for each model, so that a change shows as one line."""
    def dumped(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    lines = [f"{dumped(name)}:{dumped(compact(row))}" for name, row in models.items()]
    others = [f"{dumped(name)}:{dumped(target)}" for name, target in aliases.items()]
    text = f'{{"sources":{dumped(sources)},\n"models":{{\n' + ",\n".join(lines) + '},\n"aliases":{\n' + ",\n".join(others) + "}}\n"
    DATA.mkdir(exist_ok=True)
    (DATA / f"{vendor}.json").write_text(text, encoding="utf-8")


def compact(row: Row) -> Row:
    """A row with its capabilities as words in one string."""
    order = ("context", "output", "category", "can", "price", "released", "retires", "tokenizer", "note")
    made = {name: row[name] for name in order if name in row}
    if "can" in made:
        made["can"] = " ".join(made["can"])
    return made


if __name__ == "__main__":
    main()
