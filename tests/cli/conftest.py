"""The real program in processes of its own, against simulated vendors: piped, and on a pseudo-terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from llmkit.simulator import Simulator

KEY = "sk-test-0123456789abcdef0123456789"
PROGRAM = (sys.executable, "-m", "llmkit")
ROOT = Path(__file__).resolve().parents[2]


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without keys, addresses and models of anybody's own, and with the folder that this test imports from."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.endswith(("_API_KEY", "_API_KEYS", "_BASE_URL", "_API_BASE", "_LLM", "_MODELS")) and name != "NO_COLOR"
    }
    return {**kept, "TERM": "xterm-256color", "PYTHONWARNINGS": "", **more}


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    """Vendors that answer at once."""
    with Simulator() as running:
        yield running


@pytest.fixture(scope="session")
def slow() -> Iterator[Simulator]:
    """Vendors that say ten words a second."""
    with Simulator(token_rate=10) as running:
        yield running


def vendor_environment(simulator: Simulator, key: str = KEY) -> dict[str, str]:
    """An environment in which OpenAI is the simulated one."""
    return clean_environment(OPENAI_API_KEY=key, OPENAI_BASE_URL=simulator.base_url("openai"))


class Program:
    """Runs the program."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    def __call__(
        self, *arguments: str, said: str = "", key: str = KEY, env: Mapping[str, str] | None = None, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        environment = vendor_environment(self.simulator, key) if env is None else env
        return subprocess.run(
            [*PROGRAM, *arguments], input=said, env=environment, capture_output=True, text=True, timeout=30, check=False, **more
        )


@pytest.fixture
def program(simulator: Simulator) -> Program:
    """The program with its output piped."""
    return Program(simulator)
