"""The documentation's pictures are what their scripts draw."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
SCRIPTS = sorted(script for script in PICTURES.glob("*.py") if script.stem not in ("plot", "world"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_picture_is_what_its_script_draws(script: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.svg"
    runpy.run_path(str(script))["main"](drawn)
    assert drawn.read_text(encoding="utf-8") == script.with_suffix(".svg").read_text(encoding="utf-8")


def test_there_are_pictures() -> None:
    assert SCRIPTS
