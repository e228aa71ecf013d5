"""The two colours; no key of whoever runs the tests plays a part."""

from __future__ import annotations

from tests.core.conftest import colour, no_keys_from_outside

__all__ = ["colour", "no_keys_from_outside"]
