"""The pytest fixtures of llmkit. pytest loads this in every test run of its user, so nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from llmkit.simulator import Simulator


@pytest.fixture
def llmkit_simulator() -> Iterator[Simulator]:
    """A :class:`~llmkit.simulator.server.Simulator` of the test's own, on a free port; it starts when its URL is asked for."""
    from llmkit.simulator import Simulator

    simulator = Simulator()
    try:
        yield simulator
    finally:
        simulator.stop()
