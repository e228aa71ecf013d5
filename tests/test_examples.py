"""Every example runs as it stands, against the simulator, and prints what it says it prints."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmkit.simulator import Answer, Question, SimulatedCall, Simulator

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
NO_PROGRAMS = {"service.py", "testing_your_app.py"}
"""Those have tests of their own."""
SAYS = {
    "quickstart_sync.py": ("Why is the sky blue? One sentence.", "finish reason: stop", "tries: 1"),
    "quickstart_async.py": ("Why is the sky blue?", "Why is grass green?"),
    "streaming.py": ("Tell me a story of three sentences.", "[stop; Usage("),
    "tools.py": ("-> weather({'city': 'Cardiff'})", "It is: rain in Cardiff"),
    "routing.py": ("summary    gpt ", "translate  claude ", "translate  mistral ", "Token Usage"),
    "keys_and_retries.py": ("LLM_RATE_LIMIT", "openai/gpt-4o-mini#1: ", "openai/gpt-4o-mini#2: ", "fetched at try 2"),
    "fit_a_prompt.py": ("2336 tokens (estimate: tiktoken", "- user message", "messages are left, the first: You are a librarian"),
    "race.py": ("race: Seven times eight?", "answered", "hedged: What is 2 times eight?"),
    "models_and_prices.py": (
        "the cheapest that see and use tools:\n  ",
        "1. openai/gpt-4o-mini (fast; reads 128,000 tokens; $0.15 in, $0.6 out)",
        "openai/gpt-4o-mini: 0.0000",
        "openai/gpt-4o: 0.000",
        "anthropic/claude-haiku-4-5: 0.000",
    ),
    "fallbacks.py": ("<- degrade: model openai/gpt-4o-mini", "Come back tomorrow. <- reject", "queued: ", "done: The number 2"),
    "usage_and_budgets.py": ("tag summary: 3 calls", "not sent: budget '60 tokens per tag a day' of tag 'summary'", "Token Usage"),
    "cache.py": ("| cached: False", "| cached: True | cost: 0", "1 text for 8 threads; 2 calls to the vendor, 9 from the cache"),
    "batch.py": ("The largest city of Wales? -> The largest city of Wales?", "failed: temperature", "5: ", "Token Usage"),
}


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """The vendors, on this machine."""
    with Simulator() as running:
        yield running


@pytest.fixture
def environ(simulator: Simulator) -> Iterator[dict[str, str]]:
    """Keys of no worth, and base URLs that lead to the simulator; nothing else of this process's llmkit variables."""
    given = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_API_KEYS", "_BASE_URL"))}
    for vendor in ("openai", "anthropic", "mistral"):
        given[f"{vendor.upper()}_API_KEY"] = "sk-simulated-0123456789"
        given[f"{vendor.upper()}_BASE_URL"] = simulator.base_url(vendor)
    given["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    given["PYTHONWARNINGS"] = "error::ResourceWarning,error::RuntimeWarning,error::UserWarning"
    yield given
    simulator.heal()
    simulator.script(None)


def weather(question: Question) -> Answer | str:
    """A model that asks for the weather and then tells it."""
    if question.results:
        return f"It is: {question.results[-1]}"
    return Answer(tool_calls=(SimulatedCall("weather", {"city": "Cardiff"}),))


def run(name: str, environ: dict[str, str], folder: Path) -> str:
    """What an example prints."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], cwd=folder, env=environ, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def test_every_example_is_tested():
    """A new file is run by a test, and examples/README.md names it."""
    programs = {path.name for path in EXAMPLES.glob("*.py")}
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")

    assert programs == {*SAYS, *NO_PROGRAMS}
    assert {path.name for path in EXAMPLES.iterdir() if path.name not in listed} <= {"README.md", "__pycache__"}


@pytest.mark.parametrize("name", sorted(SAYS))
def test_example_runs(name: str, environ: dict[str, str], simulator: Simulator, tmp_path: Path):
    """It ends well, without a warning, and says what a reader expects."""
    if name == "keys_and_retries.py":
        environ["OPENAI_API_KEYS"] = "sk-simulated-first-1,sk-simulated-second-2"
        simulator.fail("429;retry-after=0.2", vendor="openai", times=1)
    if name == "tools.py":
        simulator.script(weather)

    said = run(name, environ, tmp_path)

    assert [words for words in SAYS[name] if words not in said] == [], said


def test_streaming_example_survives_a_cut(environ: dict[str, str], simulator: Simulator, tmp_path: Path):
    """A stream that breaks is told as one."""
    simulator.fail("cut:2", vendor="openai")

    assert "[cut off after " in run("streaming.py", environ, tmp_path)


def test_tests_of_the_example_pass(environ: dict[str, str], tmp_path: Path):
    """The example's own tests."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [*command, str(EXAMPLES / "testing_your_app.py")], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout


def test_service(environ: dict[str, str], simulator: Simulator, tmp_path: Path):
    """The service answers, streams, says how it is, refuses with a status of its own, and stops when it is told to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    service = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "service.py"), str(port)], cwd=tmp_path, env=environ, stdout=subprocess.DEVNULL
    )
    try:
        here = f"http://127.0.0.1:{port}"
        assert '"text": "Hello there"' in fetch(f"{here}/ask?q=Hello%20there", patience=30)[1]
        streamed = fetch(f"{here}/stream?q=Hello%20there")[1]
        assert streamed.startswith('data: "Hello')
        assert streamed.endswith("event: done\ndata: {}\n\n")
        assert '"in_flight": 0' in fetch(f"{here}/health")[1]
        simulator.fail("400;message=no", vendor="openai")
        for path in ("ask", "stream"):
            status, said = fetch(f"{here}/{path}?q=Hello")
            assert status == 400
            assert '"error": "INVALID_REQUEST"' in said
        service.send_signal(signal.SIGTERM)
        assert service.wait(20) == 0
    finally:
        service.kill()
        service.wait()


def fetch(url: str, patience: float = 0.0) -> tuple[int, Any]:
    """Status and text of a reply; a server that does not listen yet is waited for."""
    until = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(url, timeout=20) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
