"""The two colours, without what the environment of whoever runs the tests holds."""

from __future__ import annotations

from tests.core.conftest import no_keys_from_outside
from tests.support.colours import colour

__all__ = ["colour", "no_keys_from_outside"]
