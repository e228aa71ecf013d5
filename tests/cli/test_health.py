"""``llmkit health``."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import PROGRAM, Program, clean_environment, vendor_environment
from tests.cli.terminal import run

TWO = """
[[instances]]
provider = "openai"
model = "m"
name = "one"
api_keys = ["sk-health-1", "sk-health-2"]
base_url = "{url}"

[[instances]]
provider = "openai"
model = "m"
name = "two"
api_key = "sk-health-bad"
base_url = "{url}"
"""


def configured(program: Program, folder: Path) -> str:
    path = folder / "llmkit.toml"
    path.write_text(TWO.format(url=program.simulator.base_url("openai")))
    path.chmod(0o600)
    return str(path)


def test_nobody_is_asked_without_probe(program: Program, tmp_path: Path):
    program.simulator.fail("500", key="sk-health-bad")
    done = program("health", "-c", configured(program, tmp_path))
    program.simulator.heal()

    assert (done.returncode, done.stderr) == (0, "")
    rows = done.stdout.splitlines()
    assert rows[0].split()[:2] == ["INSTANCE", "STATUS"]
    assert [row.split()[:4] for row in rows[1:]] == [["one", "healthy", "2", "healthy"], ["two", "healthy", "1", "healthy"]]


def test_probe_finds_what_is_wrong(program: Program, tmp_path: Path):
    """The exit code tells a refused key from a vendor that does not answer."""
    path = configured(program, tmp_path)
    for fault, status, code in (("401", "out", 4), ("500", "healthy", 5)):
        program.simulator.fail(fault, key="sk-health-bad")
        done = program("health", "-c", path, "--probe", "--json")
        program.simulator.heal()
        document = json.loads(done.stdout)
        one, two = document["instances"]

        assert (done.returncode, document["well"]) == (code, False)
        assert (one["status"], one["probe"]["ok"]) == ("healthy", True)
        assert (two["status"], two["probe"]["ok"], two["probe"]["error"]["status"]) == (status, False, int(fault))
        assert "sk-health" not in done.stdout


def test_all_is_well(program: Program):
    done = program("health", "--probe")
    assert done.returncode == 0
    assert "openai" in done.stdout
    assert "answers, 0." in done.stdout


def test_a_saved_state_is_shown(program: Program, tmp_path: Path):
    from llmkit import Client

    path = configured(program, tmp_path)
    with Client.from_config(path) as client:
        client.disable("two")
        state = client.state()
    state["instances"]["one"]["keys"]["one#1"].update(
        rest=1e6, strikes=1, struck_age=0.0,
        reason={"type": "QuotaExceededError", "message": "no credit", "provider": "openai", "status": 402, "vendor_code": None},
    )  # fmt: skip
    saved = tmp_path / "state.json"
    saved.write_text(json.dumps(state))
    done = program("health", "-c", path, "--state", str(saved))

    assert done.returncode == 0
    rows = done.stdout.splitlines()
    assert "1 out, 1 healthy" in rows[1]
    assert rows[2].split()[:2] == ["two", "disabled"]
    saved.write_text("{}")
    done = program("health", "-c", path, "--state", str(saved))
    assert (done.returncode, done.stderr[:20]) == (3, "error: state.version")
    assert program("health", "-c", path, "--state", str(tmp_path / "none")).returncode == 3


def test_health_needs_a_key_or_a_file(program: Program):
    done = program("health", env=clean_environment())
    assert done.returncode == 3
    assert "OPENAI_API_KEY" in done.stderr


def test_health_on_a_terminal(program: Program):
    code, terminal = run([*PROGRAM, "health"], vendor_environment(program.simulator))
    assert code == 0
    assert "nobody was asked" in terminal.plain
