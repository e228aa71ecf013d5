"""``llmkit models``, ``simulate`` and ``demo``."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import pytest

from tests.cli.conftest import PROGRAM, Program, clean_environment, vendor_environment
from tests.cli.terminal import CTRL_C, Terminal, run


def test_one_model_to_a_line(program: Program):
    done = program("models", "openai")

    assert done.returncode == 0
    assert "openai/gpt-4o-mini" in done.stdout.splitlines()


def test_models_as_json(program: Program):
    models = json.loads(program("models", "openai", "--json").stdout)

    assert {"id": "gpt-4o-mini", "provider": "openai"}.items() <= next(m for m in models if m["id"] == "gpt-4o-mini").items()


def test_every_vendor_with_a_key_is_asked_and_local_ones_are_not(program: Program):
    """One that fails is reported; the others are listed, and the exit code tells."""
    base_url = program.simulator.base_url
    env = {
        **vendor_environment(program.simulator), "ANTHROPIC_API_KEY": "sk-test-models-401",
        "ANTHROPIC_BASE_URL": base_url("anthropic"), "OLLAMA_HOST": base_url("ollama"),
    }  # fmt: skip
    program.simulator.fail("401", key="sk-test-models-401")

    done = program("models", env=env)

    assert done.returncode == 4
    assert {row.partition("/")[0] for row in done.stdout.splitlines()} == {"openai"}
    assert done.stderr.startswith("error: anthropic/*: ")
    local = program("models", "ollama", env=env)
    assert (local.returncode, local.stdout[:7]) == (0, "ollama/")


def test_models_need_a_key_or_a_name(program: Program):
    done = program("models", env=clean_environment())

    assert done.returncode == 3
    assert "OPENAI_API_KEY" in done.stderr


def test_models_on_a_terminal_are_a_table(program: Program):
    code, terminal = run([*PROGRAM, "models", "openai"], vendor_environment(program.simulator))

    assert code == 0
    assert re.search(r"model +context +output +\$ in +\$ out +kind +can", terminal.plain)


def test_the_catalogue_is_listed_without_asking_anybody(program: Program):
    done = program("models", "openai", "--catalog", "--can", "tools", "--order", "cheapest", "--json", env=clean_environment())
    models = json.loads(done.stdout)

    assert done.returncode == 0
    assert {model["provider"] for model in models} == {"openai"}
    assert all("tools" in model["capabilities"] for model in models)
    prices = [3 * model["price"]["input"] + model["price"]["output"] for model in models if "output" in (model["price"] or {})]
    assert prices == sorted(prices)
    assert prices
    assert program("models", "--catalog", "--can", "flying").returncode != 0


def test_a_live_list_has_the_catalogue_s_facts(program: Program):
    models = json.loads(program("models", "openai", "--json").stdout)
    (mini,) = [model for model in models if model["id"] == "gpt-4o-mini"]

    assert mini["context_window"] == 128_000
    assert (mini["price"]["input"], mini["price"]["output"]) == (0.15, 0.6)
    assert "vision" in mini["capabilities"]


def test_simulate_serves_until_ctrl_c():
    with Terminal(
        [*PROGRAM, "simulate", "--port", "0", "--rate-limit", "k=1", "--fault", "slow:0"], clean_environment()
    ) as terminal:
        said = terminal.until("\nopenai ") + terminal.until("xai")
        found = re.search(r"openai +(http://127\.0\.0\.1:\d+/openai/v1)", said)
        assert found is not None
        request = urllib.request.Request(f"{found[1]}/models", headers={"Authorization": "Bearer k"})
        with urllib.request.urlopen(request, timeout=10) as reply:
            assert json.load(reply)["data"]
        terminal.type(CTRL_C)

        assert terminal.finish() == 0
        assert "Traceback" not in terminal.seen


def test_simulate_refuses_what_makes_no_sense(program: Program):
    assert program("simulate", "--rate-limit", "nothing").returncode == 2
    assert program("simulate", "--latency", "-1").returncode == 2
    fault = program("simulate", "--fault", "nonsense")
    assert fault.returncode == 3
    assert "unknown fault 'nonsense'" in fault.stderr


def test_the_demo(program: Program, tmp_path: Path):
    """Each step shows what it says it shows, without a key, and nothing is left on the disk."""
    done = program("demo", env=clean_environment(TMPDIR=str(tmp_path)))

    assert (done.returncode, done.stderr) == (0, "")
    steps = re.split(r"\n== \d\. ", done.stdout)
    assert len(steps) == 8
    intro, configuration, routed, streamed, failed, limited, vectors, books = steps
    assert "simulator" in intro
    assert configuration.count("[[instances]]") == 5
    assert {"chat", "summary", "translate"} <= {row.split()[0] for row in routed.splitlines() if "→" in row}
    assert {"gpt", "claude", "gemini", "llama"} <= set(re.findall(r"→ (\w+)", routed))
    assert {"gpt#1", "gpt#2"} <= set(re.findall(r"gpt#\d", routed))
    assert "first words after" in streamed
    assert re.search(r"1  claude .*OverloadedError", failed)
    assert re.search(r"2  gemini .*answered", failed)
    assert "claude failed, gemini answered" in failed
    assert re.findall(r"gpt#\d .*(RateLimitError|answered)", limited) == ["RateLimitError", "answered"]
    assert "3 vectors of 8 numbers" in vectors
    assert re.search(r"^total +12 +2 ", books, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


def test_the_demo_on_a_terminal():
    """In colour, with the stream arriving word by word; Ctrl-C ends it with 130."""
    with Terminal([*PROGRAM, "demo"], clean_environment()) as terminal:
        terminal.until("Once")
        assert "saw an answer" not in terminal.until("four")
        terminal.type(CTRL_C)

        assert terminal.finish() == 130
        assert "\x1b[" in terminal.seen
        assert "Traceback" not in terminal.seen


def test_the_demo_live(program: Program):
    """The same on the vendors whose keys are there: one question each and a stream."""
    done = program("demo", "--live", key="sk-test-live-0123456789")

    assert done.returncode == 0
    assert re.search(r"^openai +→ openai  gpt-5\.4-nano", done.stdout, re.MULTILINE)
    assert re.search(r"^total +2 +0 ", done.stdout, re.MULTILINE)


def test_the_demo_live_without_a_key(program: Program):
    done = program("demo", "--live", env=clean_environment())

    assert (done.returncode, done.stdout) == (3, "")
    assert "no vendor's key is in the environment; set one of ANTHROPIC_API_KEY" in done.stderr


def test_the_demo_live_with_a_bad_key(program: Program):
    program.simulator.fail("401", key="sk-test-live-401")

    assert program("demo", "--live", key="sk-test-live-401").returncode == 4
    assert program("demo", "--model", "openai/x").returncode == 2


@pytest.mark.parametrize("given", [("--order", "cheap"), ("--can", "toolz"), ("--category", "small")], ids=" ".join)
def test_a_word_that_is_none_is_wrong_usage(program: Program, given: tuple[str, str]):
    done = program("models", "--catalog", "openai", *given)

    assert done.returncode == 2
    assert f"'{given[0]}': '{given[1]}' is not one of" in done.stderr
