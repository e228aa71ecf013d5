"""The data in the package: every file has its shape, every word is one there is."""

from __future__ import annotations

import datetime
import gzip
import re
from itertools import pairwise
from pathlib import Path

import orjson
import pytest

import llmkit.catalog
from llmkit.catalog import BUILT_IN_PROVIDERS
from llmkit.catalog.facts import VENDORS, model_info, read, sources
from llmkit.values.calls import CATEGORIES
from llmkit.values.model_requests import CAPABILITIES
from llmkit.values.price import RATES

DATA = Path(llmkit.catalog.__file__).parent / "data"
ROW = {"context", "output", "category", "can", "price", "released", "retires", "tokenizer", "note"}
LOCAL = {"lmstudio", "ollama", "openai_compatible", "vllm"}


def test_every_vendor_that_has_prices_has_a_file():
    assert set(VENDORS) == set(BUILT_IN_PROVIDERS) - LOCAL
    assert {path.stem for path in DATA.glob("*.json")} == set(VENDORS)


def test_the_sources_and_their_licences_are_named():
    assert set(sources()) == {"litellm", "genai-prices", "read"}
    assert datetime.date.fromisoformat(sources()["read"])
    notice = (DATA / "NOTICE.txt").read_text()
    assert "Berri AI" in notice
    assert "Pydantic Services" in notice
    assert notice.count("Permission is hereby granted, free of charge") == 2


def test_the_data_are_small():
    assert len(gzip.compress(b"".join(path.read_bytes() for path in sorted(DATA.iterdir())))) < 60_000


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_file_s_shape(vendor: str):
    document = orjson.loads((DATA / f"{vendor}.json").read_bytes())
    rows, aliases = read(vendor)

    assert set(document) == {"sources", "models", "aliases"}
    assert rows
    for name, row in rows.items():
        where = f"{vendor}/{name}"
        assert set(row) <= ROW, where
        assert name == name.strip(), where
        assert all(type(row[limit]) is int and row[limit] > 0 for limit in ("context", "output") if limit in row), where
        assert set(row.get("can", "chat").split()) <= set(CAPABILITIES), where
        assert row.get("category", "fast") in CATEGORIES, where
        assert all(re.fullmatch(r"20\d\d-\d\d-\d\d", row[day]) for day in ("released", "retires") if day in row), where
        check_price(row.get("price"), where)
        model_info(vendor, name, row)
    for other, name in aliases.items():
        assert name in rows, other
        assert other not in rows, other


def check_price(price: dict | None, where: str, tier: bool = False) -> None:
    """A price is whole millionths of a dollar per million tokens; its tiers are in order."""
    if price is None:
        return
    assert set(price) <= {*RATES, *(() if tier else ("tiers", "besides"))}, where
    rates = [value for name, value in price.items() if name in RATES]
    assert all(type(value) is int and 0 <= value < 10**9 for value in rates), where
    steps = [int(above) for above in price.get("tiers", {})]
    assert all(one < two for one, two in pairwise(steps)), where
    for rates in price.get("tiers", {}).values():
        check_price(rates, where, tier=True)


def test_what_the_sources_do_not_agree_on_has_no_price():
    for vendor in VENDORS:
        for name, row in read(vendor)[0].items():
            if row.get("note", "").startswith("sources differ"):
                info = model_info(vendor, name, row)
                assert info.price is not None
                missing = [rate for rate in ("input", "output", "cache_read", "cache_write") if f"{rate} " in row["note"]]
                assert missing, name
                assert all(getattr(info.price, rate) is None for rate in missing), name


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_data_say_what_the_vendors_pages_do(vendor: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(DATA.parents[2] / "scripts"))
    from catalog_checked import last_days, prices

    rows, _ = read(vendor)
    for name, rates, page in prices(vendor):
        assert rates.items() <= {**dict.fromkeys(rates), **rows[name]["price"]}.items(), (name, page.url)
        assert page.url.startswith("https://"), name
        assert re.fullmatch(r"20\d\d-[01]\d", page.read), name
    for name, day in last_days(vendor):
        assert rows[name]["retires"] == day, name


def test_the_demo_s_models_are_known_and_have_not_gone():
    from llmkit.cli.demo_live import SMALL_MODELS

    for vendor, model in SMALL_MODELS.items():
        rows, aliases = read(vendor)
        row = rows.get(aliases.get(model, model))
        assert row is not None, (vendor, model)
        assert row.get("retires", "9999") > sources()["read"], (vendor, model)
        assert row["price"]["input"] < 1_500_000, (vendor, model)
