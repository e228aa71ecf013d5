"""``llmkit config check``: what a file says, or everything that is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Program, clean_environment

KEYS = ("sk-first-0123456789abcdef", "sk-second-0123456789abcdef")
GOOD = f"""
[settings]
strategy = "round_robin"
retries = 2
proxy = "http://user:hidden-password@127.0.0.1:3128"

[[tasks]]
name = "summary"
max_tokens = 50

[[instances]]
name = "main"
provider = "openai"
model = "gpt-4o-mini"
api_keys = ["{KEYS[0]}", "{KEYS[1]}"]
tasks = ["summary"]
max_concurrency = 4

[[instances]]
provider = "ollama"
model = "llama3.2"

[logging]
level = "info"
targets = ["somewhere"]
"""
BAD = """
[settings]
retries = -1

[[instances]]
provider = "opnai"
modle = "gpt-4o-mini"
"""


def written(folder: Path, text: str) -> str:
    path = folder / "llmkit.toml"
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def test_a_good_file(program: Program, tmp_path: Path):
    done = program("config", "check", written(tmp_path, GOOD), env=clean_environment())

    assert done.returncode == 0
    assert done.stdout.startswith(f"ok {tmp_path}/llmkit.toml: 2 instances\n")
    for said in ("strategy = round_robin", "retries = 2", "task summary: max_tokens = 50", "main#1 (", "max_concurrency 4"):
        assert said in done.stdout
    assert "hidden-password" not in done.stdout + done.stderr
    assert not any(key in done.stdout + done.stderr for key in KEYS)


def test_a_good_file_as_json(program: Program, tmp_path: Path):
    done = program("config", "check", written(tmp_path, GOOD), "--json", env=clean_environment())

    document = json.loads(done.stdout)
    assert (done.returncode, document["ok"]) == (0, True)
    assert [key["label"] for key in document["instances"][0]["keys"]] == ["main#1", "main#2"]
    assert len({key["fingerprint"] for key in document["instances"][0]["keys"]}) == 2
    assert document["instances"][1]["keys"] == []
    assert not any(key in done.stdout for key in KEYS)


def test_every_mistake_with_its_place(program: Program, tmp_path: Path):
    file = written(tmp_path, BAD)
    done = program("config", "check", file, env=clean_environment())

    assert (done.returncode, done.stdout) == (3, "")
    lines = done.stderr.splitlines()
    assert len(lines) >= 3
    assert all(line.startswith(f"error: {file}:") for line in lines)
    assert any(f"{file}:3:1: settings.retries" in line for line in lines)
    assert any("did you mean" in line and "model" in line for line in lines)


def test_every_mistake_as_json(program: Program, tmp_path: Path):
    done = program("config", "check", written(tmp_path, BAD), "--json", env=clean_environment())

    document = json.loads(done.stdout)
    assert (done.returncode, document["ok"]) == (3, False)
    assert {"settings.retries", "instances[0].modle"} <= {problem["path"] for problem in document["problems"]}


def test_a_missing_key_is_a_mistake(program: Program, tmp_path: Path):
    file = written(tmp_path, '[[instances]]\nprovider = "openai"\nmodel = "gpt-4o-mini"\n')
    done = program("config", "check", file, env=clean_environment())

    assert done.returncode == 3
    assert done.stderr.startswith(f"error: {file}: instance openai/gpt-4o-mini: no key")


def test_a_file_that_is_not_there(program: Program):
    done = program("config", "check", "nowhere.toml")

    assert done.returncode == 3
    assert done.stderr == "error: nowhere.toml: cannot be read: No such file or directory\n"


def test_generate_with_a_file(program: Program, tmp_path: Path):
    """A task's defaults are used, and the instance that serves it."""
    base_url = program.simulator.base_url("anthropic")
    file = written(
        tmp_path,
        f"""
[[tasks]]
name = "summary"
max_tokens = 2

[[instances]]
name = "claude"
provider = "anthropic"
model = "claude-haiku-4-5"
api_key = "k1"
tasks = ["summary"]
base_url = "{base_url}"
""",
    )
    done = program("generate", "-c", file, "-t", "summary", "one two three", "--json", env=clean_environment())

    answer = json.loads(done.stdout)
    assert (answer["text"], answer["finish_reason"], answer["instance"]) == ("one two", "length", "claude")
