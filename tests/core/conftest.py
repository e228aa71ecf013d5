"""The two colours, and no key from outside."""

from __future__ import annotations

import pytest

from tests.support.colours import colour

__all__ = ["colour"]


@pytest.fixture(autouse=True)
def no_keys_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of whoever runs the tests plays no part."""
    import os

    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_API_KEYS", "_BASE_URL")) or name.startswith("LLMKIT_DISABLE"):
            monkeypatch.delenv(name)
