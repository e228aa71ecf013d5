"""The two colours, and hypothesis without its clock: on a busy machine a slow example is no failure."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.support.colours import colour

__all__ = ["colour"]

settings.register_profile("llmkit", deadline=None)
settings.load_profile("llmkit")


@pytest.fixture(autouse=True)
def no_keys_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of whoever runs the tests plays no part."""
    import os

    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_API_KEYS", "_BASE_URL")) or name.startswith("LLMKIT_DISABLE"):
            monkeypatch.delenv(name)
