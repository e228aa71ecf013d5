"""The promises on real sockets. ``LLMKIT_LONG=1`` makes the runs as long as the promises say."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.colours import colour
from tests.support.faultserver import FaultServer
from tests.support.remote import Remote, remote

__all__ = ["colour"]

LONG = os.environ.get("LLMKIT_LONG", "0") not in ("", "0")


@pytest.fixture(scope="package")
def calm() -> Iterator[Remote]:
    """A simulator that answers at once."""
    with remote() as made:
        yield made


@pytest.fixture(scope="package")
def slow() -> Iterator[Remote]:
    """A simulator that says 100 words a second."""
    with remote(token_rate=100.0) as made:
        yield made


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as made:
        yield made
