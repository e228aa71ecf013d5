"""Tests against real vendors run when they are asked for by ``-m live``, and only for vendors whose keys are in the environment."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave live tests out unless the marker expression names them."""
    if "live" in config.option.markexpr.replace("not live", ""):
        return
    live = [item for item in items if item.get_closest_marker("live")]
    if live:
        config.hook.pytest_deselected(items=live)
        items[:] = [item for item in items if item not in live]
