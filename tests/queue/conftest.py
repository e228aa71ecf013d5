"""The two colours, a queue in a folder of the test's own, and no key from outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.colours import colour

__all__ = ["colour"]


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment and the state of whoever runs the tests play no part."""
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_API_KEYS", "_BASE_URL")) or name.startswith("LLMKIT_DISABLE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the queue is."""
    return str(tmp_path / "queue.sqlite")
