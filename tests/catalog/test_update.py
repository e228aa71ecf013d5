"""The script that makes the data: two small tables in, the merged one and a report out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "update_catalog.py"


def chat(vendor: str, input: float, output: float, **more: Any) -> dict[str, Any]:
    return {"litellm_provider": vendor, "mode": "chat", "input_cost_per_token": input, "output_cost_per_token": output, **more}


LITELLM = {
    "sample_spec": {"litellm_provider": "one of many", "mode": "a mode"},
    "agreed": chat("openai", 1e-6, 2e-6, max_input_tokens=1000, supports_vision=True, deprecation_date="2026-12-01"),
    "agreed-2026-01-02": chat("openai", 1e-6, 2e-6, max_input_tokens=1000, supports_vision=True),
    "dear-2026-01-02": chat("openai", 9e-6, 9e-6),
    "differs": chat("openai", 1e-6, 2e-6, cache_read_input_token_cost=1e-7, max_input_tokens="500"),
    "alone": chat("openai", 3e-6, 4e-6, input_cost_per_token_above_200k_tokens=6e-6, output_cost_per_token_above_200k_tokens=8e-6),
    "gift": chat("openai", 0, 0),
    "slip": chat("openai", 3.2e-3, 1e-6),
    "slip-embed": {"litellm_provider": "openai", "mode": "embedding", "input_cost_per_token": 1e-4},
    "gpt-4.1-nano": chat("openai", 1e-7, 4e-7, cache_read_input_token_cost=2.5e-8, input_cost_per_token_batches=5e-8),
    "gpt-4.1-mini": chat("openai", 9e-7, 1.6e-6, input_cost_per_token_batches=5e-8, max_input_tokens=1000),
    "gone": chat("openai", 1e-6, 1e-6, deprecation_date="2020-01-01"),
    "picture": {"litellm_provider": "openai", "mode": "image_generation", "output_cost_per_image": 1},
    "gemini/flash": chat("gemini", 3e-7, 2.5e-6, output_cost_per_reasoning_token=2.5e-6),
    "elsewhere": chat("nobody", 1, 1),
}
GENAI = """
providers: list[Provider] = [
    Provider(id='openai', models=[
        ModelInfo(id='agreed', match=ClauseOr(or_=[ClauseEquals(equals='agreed'), ClauseEquals(equals='another-name')]),
            context_window=900,
            prices=ModelPrice(input_mtok=Decimal('1'), output_mtok=Decimal('2'), cache_read_mtok=Decimal('0.1'))),
        ModelInfo(id='differs', match=ClauseEquals(equals='differs'), context_window=700,
            prices=ModelPrice(input_mtok=Decimal('1'), output_mtok=Decimal('5'), cache_read_mtok=Decimal('0.1'))),
        ModelInfo(id='old-latest', match=ClauseStartsWith(starts_with='old'),
            prices=[ConditionalPrice(prices=ModelPrice(input_mtok=Decimal('7'), output_mtok=Decimal('8'))),
                ConditionalPrice(constraint=StartDateConstraint(start_date=datetime.date(2026, 1, 1)),
                    prices=ModelPrice(input_mtok=Decimal('5'), output_mtok=TieredPrices(base=Decimal('6'),
                        tiers=[Tier(start=1000, price=Decimal('9'))]))),
                ConditionalPrice(constraint=StartDateConstraint(start_date=datetime.date(2099, 1, 1)),
                    prices=ModelPrice(input_mtok=Decimal('50'), output_mtok=Decimal('60')))]),
        ModelInfo(id='hourly', match=ClauseEquals(equals='hourly'),
            prices=[ConditionalPrice(prices=ModelPrice(input_mtok=Decimal('1'), output_mtok=Decimal('1'))),
                ConditionalPrice(constraint=TimeOfDateConstraint(start_time=datetime.time(1, 0, tzinfo=datetime.UTC)),
                    prices=ModelPrice(input_mtok=Decimal('2'), output_mtok=Decimal('2')))]),
    ]),
    OTHERS
]
"""
TIERS = {"1000": {"input": 5_000_000, "output": 9_000_000}}
OTHERS = ("anthropic", "azure", "cohere", "deepseek", "google", "groq", "mistral", "openrouter", "perplexity", "together", "x-ai")


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Runs a copy of the script over the two tables; gives what it printed and the data it wrote, None where it wrote none."""
    for package, member, text in (
        ("litellm-1.2.3", "litellm/model_prices_and_context_window_backup.json", json.dumps(LITELLM)),
        (
            "genai_prices-4.5.6",
            "genai_prices/data.py",
            GENAI.replace("OTHERS", ", ".join(f"Provider(id='{name}', models=[])" for name in OTHERS)),
        ),
    ):
        with zipfile.ZipFile(tmp_path / f"{package}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(member, text)
    scripts = tmp_path / "tree" / "scripts"
    scripts.mkdir(parents=True)
    (tmp_path / "tree" / "llmkit" / "catalog").mkdir(parents=True)
    for script in SCRIPT.parent.glob("*.py"):
        (scripts / script.name).write_text(script.read_text())

    def go(*options: str) -> tuple[str, dict[str, Any] | None]:
        wheels = [str(next(tmp_path.glob(f"{name}-*"))) for name in ("litellm", "genai_prices")]
        command = [sys.executable, str(scripts / "update_catalog.py"), *wheels, "--today", "2026-11-21", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        written = tmp_path / "tree" / "llmkit" / "catalog" / "data" / "openai.json"
        return done.stdout, json.loads(written.read_text()) if written.exists() else None

    return go


def test_without_write_it_only_reports(run: Any):
    report, written = run()

    assert re.search(r"^openai: 12 models, \d aliases$", report, re.MULTILINE)
    assert "openai/differs: output 2 or 5; left out" in report
    assert "openai/slip: 3200 dollars for a million tokens; not believed, left out" in report
    assert written is None


def test_what_is_written(run: Any):
    _, written = run("--write")
    models = written["models"]

    assert written["sources"] == {"litellm": "1.2.3", "genai-prices": "4.5.6", "read": "2026-11-21"}
    assert written["aliases"] == {"another-name": "agreed", "old": "old-latest"}
    assert models["agreed"] == {
        "context": 900,  # the smaller one
        "can": "chat streaming vision",
        "price": {"input": 1_000_000, "output": 2_000_000, "cache_read": 100_000},
        "retires": "2026-12-01",
    }
    assert "agreed-2026-01-02" in models  # without a retirement and a cached price it says something else
    assert models["dear-2026-01-02"]["price"] == {"input": 9_000_000, "output": 9_000_000}
    assert models["differs"]["price"] == {"input": 1_000_000, "cache_read": 100_000}
    assert models["differs"]["context"] == 500
    assert models["differs"]["note"] == "sources differ (dollars per million tokens): output 2 or 5"
    assert models["alone"]["price"]["tiers"] == {"200000": {"input": 6_000_000, "output": 8_000_000}}
    assert "price" not in models["gift"]
    assert "price" not in models["slip"]
    assert models["old-latest"]["price"] == {"input": 5_000_000, "output": 6_000_000, "tiers": TIERS}
    assert models["hourly"]["price"]["besides"] == "time of day"
    assert not {"gone", "picture", "elsewhere", "sample_spec"} & set(models)


def test_a_vendor_s_own_page_goes_before_the_tables(run: Any):
    report, written = run("--write")
    models = written["models"]

    assert "openai/gpt-4.1-mini: input 0.4, not 0.9, cache_read 0.1, not none; by https://developers.openai.com" in report
    assert "openai: 1 prices are as on the vendor's page" in report
    assert models["gpt-4.1-mini"]["price"] == {"input": 400_000, "output": 1_600_000, "cache_read": 100_000}
    assert models["gpt-4.1-mini"]["note"].startswith("price by https://developers.openai.com/api/docs/pricing (read 20")
    assert models["gpt-4.1-mini"]["context"] == 1000
    assert models["gpt-4.1-mini"]["retires"] == "2027-01-14"
    assert models["gpt-4.1-nano"]["price"]["batch_input"] == 50_000
    assert "note" not in models["gpt-4.1-nano"]
    assert "gpt-4o" not in models  # of what neither table has, only what is meant to be added is
    assert "price" not in models["slip-embed"]


def test_code_in_a_table_is_not_run(run: Any, tmp_path: Path):
    with zipfile.ZipFile(next(tmp_path.glob("genai_prices-*")), "w") as wheel:
        wheel.writestr("genai_prices/data.py", f"providers: list = open({str(tmp_path / 'touched')!r}, 'w') + 1")

    with pytest.raises(subprocess.CalledProcessError):
        run()
    assert not (tmp_path / "touched").exists()
