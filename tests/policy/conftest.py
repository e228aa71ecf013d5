"""The colour fixture."""

from __future__ import annotations

from tests.support.colours import colour

__all__ = ["colour"]
