"""Programs that some tests need beside Python: where they are, or a skip that names the Debian package to install.

``LLMKIT_REQUIRE_COMPONENTS=1`` turns the skip into a failure; CI sets it, together with the variables below.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import pytest


class Component(NamedTuple):
    """A program: the variable that says where it is, and the package that has it."""

    variable: str
    package: str


REDIS = Component("LLMKIT_REDIS_URL", "redis-server")
PROMETHEUS = Component("LLMKIT_PROMETHEUS_URL", "prometheus")
CHROMIUM = Component("LLMKIT_CHROMIUM", "chromium")


def where(component: Component) -> str:
    """Where a component is: a URL, or a program's path. Skips the test, or fails it, where it is missing."""
    found = os.environ.get(component.variable)
    if found:
        return found
    said = f"{component.variable} is not set: install and start {component.package}, as .ci/run does"
    if os.environ.get("LLMKIT_REQUIRE_COMPONENTS", "0") not in ("", "0"):
        pytest.fail(said)
    pytest.skip(said)
