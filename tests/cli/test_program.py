"""The program as a whole: help, versions, what it loads, what it says when something is missing or broken."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import llmkit
from llmkit.cli.app import run
from tests.cli.conftest import PROGRAM, Program, clean_environment, vendor_environment

COMMANDS = ("chat", "config", "config check", "demo", "generate", "models", "plugins", "simulate")

PLUGIN = """
import click
from llmkit import hookimpl

@hookimpl
def llmkit_register_commands(group):
    @group.command("hello")
    def hello():
        "Say hello."
        click.echo("hello from a plugin")

    @group.command("demo")
    def demo():
        click.echo("not the real one")
"""


def test_version(program: Program):
    assert program("--version").stdout == f"llmkit {llmkit.__version__}\n"


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command: str, capsys: pytest.CaptureFixture[str]):
    assert run([*command.split(), "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: llmkit {command}".strip())


def test_no_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]):
    assert run([]) == 2
    assert run(["nonsense"]) == 2
    assert capsys.readouterr().err.endswith("error: No such command 'nonsense'.\n")


def test_help_loads_no_transport():
    """``llmkit --help`` looks at every command and imports neither the HTTP libraries nor rich nor a client."""
    code = """
import sys
from llmkit.cli.app import run
assert run(["--help"]) == 0
print([name for name in ("requests", "aiohttp", "rich", "tenacity", "cattrs", "llmkit.client") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("missing", "said"), [("click", "click, which is"), ("rich", "rich, which is")])
def test_a_missing_extra_is_one_clear_error(missing: str, said: str):
    """Without click or rich the program names the extra and exits with 2."""
    code = f"""
import importlib.machinery, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.PathFinder.find_spec(name, path) if name != {missing!r} else None
sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not importlib.machinery.PathFinder
                    and "editable" not in repr(finder)] + [Missing()]
from llmkit.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr == f'error: the llmkit program needs {said} not installed; pip install "llmkit[cli]"\n'


def test_a_reader_that_leaves_is_no_error(program: Program):
    """``llmkit models | head -1`` writes nothing on standard error."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [*PROGRAM, "generate", "-m", "openai/x"]
    with subprocess.Popen(command, env=vendor_environment(program.simulator), **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(b"x " * 200_000)
        process.stdin.close()
        said = process.stderr.read()

    assert (process.returncode, said) == (141, b"")


def plugin(folder: Path, module: str, text: str, entry_points: str) -> dict[str, str]:
    """An environment in which a package with one module is installed."""
    (folder / f"{module}.py").write_text(text)
    about = folder / f"{module}-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text(entry_points)
    environment = clean_environment()
    return {**environment, "PYTHONPATH": f"{folder}:{environment.get('PYTHONPATH', '')}"}


def test_a_plugin_adds_commands_and_replaces_none(program: Program, tmp_path: Path):
    env = plugin(tmp_path, "hello_plugin", PLUGIN, "[llmkit]\nhello = hello_plugin\n")

    done = program("hello", env=env)

    assert (done.returncode, done.stdout) == (0, "hello from a plugin\n")
    assert done.stderr == "warning: a plugin's command 'demo' is left out: llmkit has its own\n"
    assert "Say hello." in program("--help", env=env).stdout


def test_a_broken_plugin_hurts_nobody(program: Program, tmp_path: Path):
    """It is reported in one line, and ``llmkit plugins --load`` shows it and exits with 1."""
    env = plugin(tmp_path, "broken_plugin", "raise RuntimeError('out of order')", "[llmkit]\nbroken = broken_plugin\n")

    version = program("--version", env=env)
    listed = program("plugins", env=env)
    loaded = program("plugins", "--load", "--json", env=env)

    assert version.returncode == 0
    assert version.stdout.startswith("llmkit ")
    assert listed.returncode == 0
    assert loaded.returncode == 1
    broken = [info for info in json.loads(loaded.stdout) if info["error"]]
    assert [(info["name"], info["error"]) for info in broken] == [("broken", "RuntimeError: out of order")]


def test_plugins_of_others_are_listed(program: Program, tmp_path: Path):
    """A vendor plugin in one file of a package of its own is listed with its package, and its models can be called."""
    example = (Path(__file__).resolve().parents[2] / "examples" / "llmkit-echo" / "llmkit_echo.py").read_text()
    env = plugin(tmp_path, "llmkit_echo", example, "[llmkit.providers]\necho = llmkit_echo:Echo\n")

    listed = program("plugins", env=env)
    loaded = program("plugins", "--load", env=env)

    assert ["llmkit.providers", "echo", "llmkit_echo", "1.2", "llmkit_echo:Echo"] in [
        row.split() for row in listed.stdout.splitlines()
    ]
    assert (loaded.returncode, loaded.stderr) == (0, "")
