"""Imports only look down: the contracts in setup.cfg hold, and each of them notices a fault."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("importlinter", reason="import-linter is not installed (tox -e layers installs it)")

ROOT = Path(__file__).resolve().parents[1]

FAULTS = {
    "a flow opens a socket": ("llmkit/flow/ask.py", "import aiohttp", {"colourless", "one-door"}),
    "a policy reads the clock": ("llmkit/policy/keys.py", "import time", {"a-clock-is-handed-in"}),
    "a value knows the wire": ("llmkit/values/usage.py", "import llmkit.wire.http", {"core-layers"}),
    "a vendor reads the environment": ("llmkit_providers/openai.py", "import os", {"a-clock-is-handed-in"}),
    "a vendor reaches behind the counter": ("llmkit_providers/openai.py", "import llmkit.client", {"vendors-see-the-counter"}),
    "a vendor knows another": ("llmkit_providers/openai.py", "import llmkit_providers.anthropic", {"vendors-are-strangers"}),
    "the core knows a vendor": ("llmkit/client.py", "import llmkit_providers.openai", {"core-knows-no-vendor"}),
    "the client speaks HTTP itself": ("llmkit/client.py", "import requests", {"one-door"}),
    "a room without a floor": ("llmkit/helpers.py", "import llmkit.errors", {"core-layers"}),
    "a flow is read upwards": ("llmkit/flow/kit.py", "import llmkit.flow.ask", {"flow-layers"}),
}


def contracts() -> dict[str, str]:
    """The contracts' ids by the name that the linter prints."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    prefix = "importlinter:contract:"
    return {settings[section]["name"]: section.removeprefix(prefix) for section in settings if section.startswith(prefix)}


def lint(tree: Path) -> tuple[set[str], set[str]]:
    """The ids of the contracts that are kept and that are broken in a tree."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run(
        [*command, "--config", "setup.cfg", "--no-cache"], cwd=tree, capture_output=True, text=True, timeout=100
    )
    ids = contracts()
    found: dict[str, set[str]] = {"KEPT": set(), "BROKEN": set()}
    for name, verdict in re.findall(r"^(.+?) (KEPT|BROKEN)\b", done.stdout, re.MULTILINE):
        found[verdict].add(ids[name])
    assert found["KEPT"] | found["BROKEN"] == set(ids.values()), f"not every contract was checked:\n{done.stdout}{done.stderr}"
    return found["KEPT"], found["BROKEN"]


def test_contracts_are_kept():
    """The tree as it is keeps every contract."""
    _, broken = lint(ROOT)

    assert set() == broken


def test_every_contract_notices_a_fault():
    """No contract stands there without a fault, below, that breaks it."""
    assert set(contracts().values()) == set().union(*(broken for _, _, broken in FAULTS.values()))


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_noticed(fault: str, tmp_path: Path):
    """A deliberate fault in a copy of the tree breaks the contracts that guard against it."""
    file, line, expected = FAULTS[fault]
    for package in ("llmkit", "llmkit_providers"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    assert file.endswith("helpers.py") or (tmp_path / file).exists()
    with (tmp_path / file).open("a") as source:
        source.write(f"\n{line}\n")

    _, broken = lint(tmp_path)

    assert expected <= broken


def test_the_one_door_is_there():
    """The contract about HTTP libraries has something to check: each colour's transport imports its own."""
    for file, library in (("blocking.py", "requests"), ("aio.py", "aiohttp")):
        source = (ROOT / "llmkit" / "transports" / file).read_text(encoding="utf-8")

        assert re.search(rf"^\s*(import|from) {library}\b", source, re.MULTILINE)
