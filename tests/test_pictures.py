"""The documentation's pictures are what their scripts draw."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from llmkit.policy.fallbacks import PLAN_NAMES
from llmkit.policy.strategies import STRATEGIES
from llmkit.values.fallbacks import KINDS

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
SCRIPTS = sorted(script for script in PICTURES.glob("*.py") if script.stem not in ("plot", "world"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_picture_is_what_its_script_draws(script: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.svg"
    runpy.run_path(str(script))["main"](drawn)
    assert drawn.read_text(encoding="utf-8") == script.with_suffix(".svg").read_text(encoding="utf-8")


def test_every_picture_is_shown() -> None:
    assert SCRIPTS
    pages = "".join([page.read_text(encoding="utf-8") for page in PICTURES.parent.rglob("*.md")])
    assert [script.stem for script in SCRIPTS if f"(../pictures/{script.stem}.svg)" not in pages] == []


def test_every_strategy_and_every_kind_of_fallback_is_drawn() -> None:
    strategies, steps = [(PICTURES / f"{name}.svg").read_text(encoding="utf-8") for name in ("strategies", "steps")]
    assert [name for name in STRATEGIES if f">{name}: " not in strategies] == []
    kinds = [*[kind.__name__ for kind in KINDS.values()], *PLAN_NAMES[1:]]
    assert [kind for kind in kinds if kind not in steps] == []
