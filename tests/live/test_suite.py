"""The live tests themselves: left out unless asked for, skipped without keys, and passing against the simulator."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.support.vendors import ROOT, VENDORS, provider, simulated, simulator

FOLDER = "tests/live/test_vendors.py"


def run(*arguments: str, **variables: str) -> str:
    """The output of pytest in a process of its own, in which no vendor's key or address is set but those given."""
    ours = {name for vendor in VENDORS for name in (*provider(vendor).key_names, *provider(vendor).base_url_names)}
    clean = {name: value for name, value in os.environ.items() if name not in ours and not name.startswith("LLMKIT_LIVE_")}
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *arguments, FOLDER]
    done = subprocess.run(command, cwd=ROOT, env={**clean, **variables}, capture_output=True, text=True, timeout=100, check=False)
    return done.stdout + done.stderr


def count(output: str, what: str) -> int:
    found = re.search(rf"(\d+) {what}", output)
    return int(found[1]) if found else 0


def test_left_out_unless_asked_for():
    output = run()
    assert count(output, "deselected") > 0, output
    assert count(output, "passed") == count(output, "skipped") == count(output, "failed") == 0, output


def test_skipped_without_keys():
    """Each skip names the variable that would let the test run."""
    output = run("-m", "live")
    assert count(output, "skipped") > 0, output
    assert count(output, "passed") == count(output, "failed") == count(output, "error") == 0, output
    for name in VENDORS:
        vendor = provider(name)
        assert (vendor.key_names[0] if vendor.needs_key else f"LLMKIT_LIVE_BASE_URL_{name.upper()}") in output, name


def test_passes_against_the_simulator():
    variables = {}
    with simulator() as made:
        for name in simulated():
            variables[f"LLMKIT_LIVE_BASE_URL_{name.upper()}"] = made.base_url(name)
            variables[f"LLMKIT_LIVE_{name.upper()}_MODEL"] = variables[f"LLMKIT_LIVE_{name.upper()}_EMBED_MODEL"] = "m"
            if provider(name).needs_key:
                variables[provider(name).key_names[0]] = f"key-of-{name}"
        output = run("-m", "live", **variables)
        calls = {account["vendor"] for account in made.ledger.snapshot()["accounts"] if account["ok"]}
    assert count(output, "passed") > 10 * len(simulated()), output
    assert count(output, "failed") == count(output, "error") == 0, output
    assert calls == set(simulated())
