"""A simulator with every built-in half, whether llmkit is installed or run from its checkout."""

from __future__ import annotations

import configparser
import importlib
from pathlib import Path

import pytest
import requests

from llmkit.simulator import Simulator

KEY = "key-1"


def halves() -> list:
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    found = []
    for line in setup["options.entry_points"]["llmkit.simulators"].strip().splitlines():
        module, _, name = line.partition("=")[2].strip().partition(":")
        found.append(getattr(importlib.import_module(module), name)())
    return found


@pytest.fixture
def make():
    """Makes simulators that stop with the test."""
    made = []

    def new(**settings) -> Simulator:
        made.append(Simulator(vendors=halves(), **settings))
        return made[-1].start()

    yield new
    for simulator in made:
        simulator.stop()


@pytest.fixture(scope="module")
def simulator():
    """One simulator without settings, for tests that only send."""
    with Simulator(vendors=halves()) as one:
        yield one


@pytest.fixture(scope="module")
def http():
    with requests.Session() as session:
        session.trust_env = False
        yield session
