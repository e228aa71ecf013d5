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

pytestmark = pytest.mark.timeout(600)  # pip installs two dozen distributions into a new environment

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


def test_answers_in_both_colours(installed: Installed, server: str):
    """A call and a stream through the plugin, sync and async, over real HTTP; the model says what was said."""
    said = installed.run(
        """
import asyncio, json, sys
from llmkit import AsyncClient, Client, Instance
instance = Instance("echo", "parrot", base_url=sys.argv[1])

with Client([instance]) as client:
    answer = client.generate("one two three")
    with client.stream("one two three", max_tokens=2) as stream:
        pieces = [event.text for event in stream if event.text]
        whole = stream.completion()

async def main():
    async with AsyncClient([instance]) as client:
        again = await client.generate("one two three")
        async with client.stream("one two three", max_tokens=2) as stream:
            return again.text, [event.text async for event in stream if event.text]

print(json.dumps({
    "sync": [answer.text, pieces], "async": asyncio.run(main()), "finish": [answer.finish_reason, whole.finish_reason],
    "tokens": answer.usage.total_tokens, "provider": answer.provider,
}))
""",
        server,
    )

    assert said["sync"] == ["one two three", ["one", " two"]]
    assert said["async"] == said["sync"]
    assert said["finish"] == ["stop", "length"]
    assert said["tokens"] == 6
    assert said["provider"] == "echo"


def test_is_not_imported_before_its_first_use(installed: Installed, server: str):
    """Making a client for another vendor does not load the plugin; the first call to it does."""
    loaded = installed.run(
        """
import json, sys
from llmkit import Client, Instance
with Client([Instance("openai", "gpt-4o-mini", api_key="k1")]) as client:
    before = "llmkit_echo" in sys.modules
    client.add_instance(Instance("echo", "parrot", base_url=sys.argv[1], name="parrot"))
    client.generate("Hi", instance="parrot")
print(json.dumps([before, "llmkit_echo" in sys.modules]))
""",
        server,
    )

    assert loaded == [False, True]


def test_what_it_cannot_do_is_refused(installed: Installed):
    """A parameter that is not among the plugin's features is an error that names it, before anything is sent."""
    refused = installed.run("""
import json
from llmkit import Client, Instance, UnsupportedParameterError
with Client([Instance("echo", "parrot", base_url="http://127.0.0.1:9")]) as client:
    try:
        client.generate("Hi", temperature=0.5)
    except UnsupportedParameterError as error:
        print(json.dumps([list(error.parameters), error.provider]))
""")

    assert refused == [["temperature"], "echo"]


def test_listed_by_the_program(installed: Installed):
    """``llmkit plugins`` shows the plugin and where it comes from."""
    listed = installed.call(installed.bin / "llmkit", "plugins")

    assert "echo" in listed
    assert "llmkit-echo" in listed


def test_the_demo_of_the_installed_program(installed: Installed):
    """What README's first command ends in, without a key in the environment."""
    assert installed.call(installed.bin / "llmkit", "demo")
