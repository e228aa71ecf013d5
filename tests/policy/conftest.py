"""The colour fixture, and hypothesis without its clock: on a busy machine a slow example is no failure."""

from __future__ import annotations

from hypothesis import settings

from tests.support.colours import colour

__all__ = ["colour"]

settings.register_profile("llmkit", deadline=None)
settings.load_profile("llmkit")
