"""The documentation tells the truth: its programs run, its configurations load, its commands are the ones that CI runs.

A fenced ``python`` block is a whole program and is run against the simulator, unless its info string says ``no-run:`` and why.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest

import llmkit
from llmkit import errors
from llmkit.catalog import BUILT_IN_PROVIDERS
from llmkit.cli.codes import ExitCode
from llmkit.config.tables import SETTINGS
from llmkit.plugins import specs
from llmkit.plugins.registry import REGISTRY
from llmkit.policy.strategies import STRATEGIES
from llmkit.simulator import faults
from llmkit.values.arguments import GenerateOptions
from llmkit.values.events import Event

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md")) + sorted(ROOT.glob("examples/**/README.md"))
TRY = 'python3 -m venv .venv && .venv/bin/pip install ".[cli]" && .venv/bin/llmkit demo'
TEST = "python3 -m venv .venv-tox && .venv-tox/bin/pip install tox && .venv-tox/bin/tox"
VENDORS = ("anthropic", "openai")
"""The vendors that the documentation's programs call."""
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "MISTRAL_API_KEY")


class Block(NamedTuple):
    """A fenced block: where it is, what it says about itself, its text."""

    where: str
    line: int
    language: str
    info: str
    text: str

    @property
    def runs(self) -> bool:
        return not self.info.startswith("no-run")


def blocks(*languages: str) -> list[Block]:
    """The fenced blocks of these languages on all pages."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"^```(\w+)[ ]*(.*)\n((?s:.*?))^```$", text, re.MULTILINE):
            line = text.count("\n", 0, match.start()) + 2
            found.append(Block(page.relative_to(ROOT).as_posix(), line, *match.groups()))
    return [block for block in found if block.language in languages]


PROGRAMS = [block for block in blocks("python") if block.runs]
CONFIGURATIONS = [block for block in blocks("toml") if "[project" not in block.text]


def label(block: Block) -> str:
    return f"{block.where}:{block.line}"


@pytest.fixture(scope="module")
def vendors() -> Iterator[None]:
    """Simulated vendors on this machine, where the real ones would be; no way to any other machine."""
    from llmkit.simulator import Simulator

    with pytest.MonkeyPatch.context() as patch, Simulator() as simulator:
        for name in VENDORS:
            (provider,) = entry_points(group="llmkit.providers", name=name)
            patch.setattr(provider.load(), "base_url", simulator.base_url(name))
        patch.setattr(socket, "getaddrinfo", _only_this_machine(socket.getaddrinfo))
        yield


def _only_this_machine(look_up: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(host: Any, *arguments: Any, **options: Any) -> Any:
        assert host in (None, "localhost", "127.0.0.1", "::1"), f"a program in the documentation calls {host}"
        return look_up(host, *arguments, **options)

    return guarded


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Keys of no worth in the environment, an empty folder to stand in, and no client left from before or for after."""
    for name in KEYS:
        monkeypatch.setenv(name, "sk-simulated-0123456789")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "llmkit-echo"))
    llmkit.reset_client()
    yield
    llmkit.reset_client()


@pytest.mark.usefixtures("vendors", "fresh")
@pytest.mark.parametrize("block", PROGRAMS, ids=label)
def test_program_runs(block: Block):
    """A program from the documentation runs to its end, as it stands there."""
    exec(compile("\n" * (block.line - 1) + block.text, str(ROOT / block.where), "exec"), {"__name__": "__main__"})


def test_there_are_programs():
    """The pages are found, most of their programs run, and those that do not say why."""
    idle = [block for block in blocks("python") if not block.runs]

    assert len(PROGRAMS) >= 15
    assert CONFIGURATIONS
    assert len(idle) * 3 < len(PROGRAMS)
    assert [label(block) for block in idle if not re.fullmatch(r"no-run: \S.+", block.info)] == []


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("block", CONFIGURATIONS, ids=label)
def test_configuration_loads(block: Block):
    """A configuration from the documentation is one."""
    with llmkit.Client.from_config_str(block.text) as client:
        assert client.get_provider_count() >= 1


def test_commands():
    """README has the two commands, each on a line of its own, and CI runs the second one as README has it."""
    commands = [line for block in blocks("sh") if block.where == "README.md" for line in block.text.splitlines()]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    pattern = re.search(r"grep -m 1 '([^']+)' README\.md", script)

    assert commands == [TRY, TEST]
    assert pattern is not None
    found = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if re.search(pattern[1], line)]
    assert found == [TEST]
    assert 'bash -c "$command"' in script


def test_ci_script_is_a_script():
    """bash can read .ci/run, and it can be executed."""
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)

    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent == ROOT], ids=lambda page: page.name)
def test_links_of_the_root_pages(page: Path):
    """A relative link on a page at the root leads to a file (Sphinx checks those in docs/)."""
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))

    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_readme_names_every_vendor():
    """README's list of vendors is the list of built-in providers."""
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    titles = [REGISTRY.get(name).title for name in BUILT_IN_PROVIDERS if name != "openai_compatible"]

    assert [title for title in titles if title not in text] == []


def test_every_hook_is_documented():
    """The guide's table has every hook, with the arguments it can take."""
    text = (ROOT / "docs" / "how-to" / "write-hooks.md").read_text(encoding="utf-8")
    hooks = {name: hook for name, hook in vars(specs).items() if name.startswith("llmkit_")}

    assert hooks
    assert [name for name, hook in hooks.items() if f"{name}({', '.join(signature(hook).parameters)})" not in text] == []


def test_every_error_is_documented():
    """The guide's table has every error with its code."""
    text = (ROOT / "docs" / "how-to" / "errors.md").read_text(encoding="utf-8")
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.LLMError)]

    rows = [kind for kind in kinds if kind is not errors.LLMError]
    assert rows
    assert [kind.__name__ for kind in rows if f"`{kind.__name__}` | `{kind.default_code.value}` |" not in text] == []


def test_every_setting_is_documented():
    """Every parameter of a client, an instance, a call and the timeouts stands in its table."""
    configure, choose, messages, timeouts = (
        (ROOT / "docs" / "how-to" / f"{name}.md").read_text(encoding="utf-8")
        for name in ("configure", "choose-instances", "messages", "timeouts")
    )
    client = [name for name in signature(llmkit.Client).parameters if name not in ("instances", "tasks")]

    assert [name for name in client if f"`{name}`" not in configure] == []
    assert [name for name in signature(llmkit.Instance).parameters if f"`{name}`" not in choose] == []
    assert [name for name in GenerateOptions.__annotations__ if f"`{name}`" not in messages] == []
    assert [name for name in signature(llmkit.Timeouts).parameters if f"`Timeouts.{name}`" not in timeouts] == []


def test_every_event_fault_strategy_and_exit_code_is_documented():
    """The tables of words have every word that the code has."""
    stream, simulator, choose, configure = (
        (ROOT / "docs" / "how-to" / f"{name}.md").read_text(encoding="utf-8")
        for name in ("stream", "simulator", "choose-instances", "configure")
    )
    cli = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")

    assert [event.__name__ for event in get_args(Event) if f"| `{event.type}` | `{event.__name__}` |" not in stream] == []
    assert [fault for fault in faults.DEFAULTS if not re.search(rf"`{fault}(:[A-Z])?`", simulator)] == []
    assert [name for name in STRATEGIES if not re.search(rf"^\|.*`{name}`.*\|", choose, re.MULTILINE)] == []
    assert [name for name in SETTINGS if f"`{name}`" not in configure] == []
    assert [code.value for code in ExitCode if f"| {code.value} |" not in cli] == []


def test_every_file_in_tables_exists():
    """The paths that CONTRIBUTING and the way through the code name are there."""
    for page in (ROOT / "CONTRIBUTING.md", ROOT / "docs" / "reading-the-code.md"):
        text = page.read_text(encoding="utf-8")
        paths = set(re.findall(r"`((?:llmkit|llmkit_providers|docs|tests|examples)/[\w./-]*)`", text))

        assert paths
        assert {path for path in paths if not (ROOT / path).exists()} == set()


def test_the_demo_runs():
    """README's first command ends in a demo that works without a key and without a network."""
    code = "import sys; from llmkit.cli import main; sys.argv = ['llmkit', 'demo']; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout
