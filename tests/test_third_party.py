"""A plugin from another distribution: llmkit's wheel and examples/llmkit-echo, installed side by side by pip."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "llmkit-echo"


class Installed:
    """A virtual environment with llmkit[cli] and llmkit-echo."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / ("Scripts" if os.name == "nt" else "bin")
        self.python = self.bin / "python"

    def call(self, *command: str | Path, **env: str) -> str:
        """What a command prints, run away from the checkout."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LLMKIT_"))}
        done = subprocess.run(
            [str(word) for word in command], cwd=self.bin, env={**clean, **env}, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self, code: str, *arguments: str) -> Any:
        """What ``code`` prints as JSON; warnings are errors."""
        return json.loads(self.call(self.python, "-W", "error", "-c", code, *arguments))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """llmkit as pip installs it, and the example beside it."""
    folder = tmp_path_factory.mktemp("third-party")
    given = os.environ.get("LLMKIT_DIST")
    if given:
        (package,) = Path(given).glob("llmkit-*.whl")
    else:
        package = shutil.copytree(
            ROOT, folder / "llmkit", ignore=lambda _, names: [name for name in names if name.startswith(".") or name == "build"]
        )
    example = shutil.copytree(EXAMPLE, folder / "llmkit-echo")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, timeout=100)
    installed = Installed(folder / "venv")
    installed.call(installed.python, "-m", "pip", "install", "--quiet", f"{package}[cli]", example)
    return installed


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The example's server, on a free port."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    import echo_server

    server = echo_server.serve(0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_discovered(installed: Installed):
    """The entry point names the distribution it comes from, beside llmkit's own."""
    found = installed.run("""
import json
from importlib.metadata import entry_points
print(json.dumps({point.name: point.dist.name for point in entry_points(group="llmkit.providers")}))
""")

    assert found["echo"] == "llmkit-echo"
    assert found["openai"] == "llmkit"


def test_every_provider_loads(installed: Installed):
    """Each entry point of the installed wheel loads and is a provider of that name."""
    found = installed.run("""
import json
from importlib.metadata import entry_points
from llmkit.provider import Provider
print(json.dumps({p.name: issubclass(p.load(), Provider) and p.load().name for p in entry_points(group="llmkit.providers")}))
""")

    assert found == {name: name for name in found}
    assert len(found) > 1
