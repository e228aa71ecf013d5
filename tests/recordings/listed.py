"""The exchanges that differ on purpose, with reasons: ``listed.toml``, read and kept honest."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from .cases import Case

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST = 0.02
"""Share of the cases that may be listed."""
LISTED: dict[str, dict[str, str]] = tomllib.loads((Path(__file__).parent / "listed.toml").read_text("utf-8"))


def verdict(case: Case, section: str, found: Sequence[str]) -> str | None:
    """What is wrong where ``found`` holds differences and the case is not listed, or where it is listed and has none."""
    reason = LISTED[section].get(case.id)
    if reason is None:
        return "\n    ".join([f"{case.id}:", *found]) if found else None
    return None if found else f"{case.id} passes: take it off the list ({reason})"


def check(case: Case, section: str, found: Sequence[str]) -> None:
    """Fail the test where :func:`verdict` has something to say."""
    if wrong := verdict(case, section, found):
        pytest.fail(wrong, pytrace=False)
