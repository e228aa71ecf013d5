"""What is shipped: the wheel and the sdist hold both packages, whole, and nothing else.

``LLMKIT_DIST`` names a folder with a wheel and an sdist that were built from this tree (tox -e package sets it); without it
they are built here, which needs the ``build`` package.
"""

from __future__ import annotations

import ast
import configparser
import email
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("llmkit", "llmkit_providers")
MOST_BYTES = 3 * 1024 * 1024


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one wheel and one sdist of this tree."""
    given = os.environ.get("LLMKIT_DIST")
    if given:
        return Path(given)
    pytest.importorskip("build", reason="the build package is not installed (tox -e package installs it)")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return folder


@pytest.fixture(scope="session")
def wheel(dist: Path) -> dict[str, bytes]:
    """The files in the wheel, by name."""
    (path,) = dist.glob("llmkit-*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="session")
def sdist(dist: Path) -> set[str]:
    """The names in the sdist, below its one folder."""
    (path,) = dist.glob("llmkit-*.tar.gz")
    with tarfile.open(path) as archive:
        return {member.name.partition("/")[2] for member in archive if member.isfile()}


@pytest.fixture(scope="session")
def settings() -> configparser.ConfigParser:
    """setup.cfg."""
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def sources() -> set[str]:
    """Every file that belongs to the two packages."""
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def entry_points(settings: configparser.ConfigParser) -> list[tuple[str, str, str]]:
    """Group, name and target of each entry point."""
    section = settings["options.entry_points"]
    lines = [(group, line) for group in section for line in section[group].split("\n") if line]
    return [(group, *re.split(r"\s*=\s*", line, maxsplit=1)) for group, line in lines]


def test_wheel_holds_the_packages_and_nothing_else(wheel: dict[str, bytes]):
    """Both packages with py.typed, the licence, the metadata; no tests, no benchmarks."""
    shipped = {name for name in wheel if ".dist-info/" not in name}

    assert {f"{package}/py.typed" for package in PACKAGES} <= shipped
    assert sources() == shipped
    assert any(re.fullmatch(r"llmkit-[^/]+\.dist-info/(licenses/)?LICENSE", name) for name in wheel)


def test_sdist_holds_what_a_build_needs(sdist: set[str]):
    """Both packages and the files at the root; no tests."""
    assert sources() | {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "setup.cfg"} <= sdist
    assert set() == {name for name in sdist if name.startswith(("tests/", "docs/", ".")) or "__pycache__" in name}


def test_size(dist: Path):
    """Neither archive is larger than 3 MB."""
    sizes = {path.name: path.stat().st_size for path in dist.iterdir()}

    assert len(sizes) == 2
    assert {name: size for name, size in sizes.items() if size > MOST_BYTES} == {}


def test_metadata(wheel: dict[str, bytes], settings: configparser.ConfigParser):
    """Name, version, licence and a description that is the README."""
    (name,) = (name for name in wheel if name.endswith(".dist-info/METADATA"))
    metadata = email.message_from_bytes(wheel[name])

    assert metadata["Name"] == "llmkit"
    assert metadata["Version"] == settings["metadata"]["version"]
    assert metadata["Requires-Python"] == ">=3.10"
    assert "MIT" in (metadata["License"], metadata["License-Expression"])
    assert metadata.get_payload(decode=True).decode().strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()


def test_every_entry_point_is_there(settings: configparser.ConfigParser):
    """The module that an entry point names exists and binds the name it gives."""
    missing = []
    for group, name, target in entry_points(settings):
        module, _, attribute = target.partition(":")
        path = ROOT / (module.replace(".", "/") + ".py")
        path = path if path.exists() else ROOT / module.replace(".", "/") / "__init__.py"
        if not path.exists():
            missing.append(f"{group}: {name} = {target}")
            continue
        if attribute and attribute not in bound(path):
            missing.append(f"{group}: {name} = {target}")

    assert missing == []


def bound(path: Path) -> set[str]:
    """The names that a module binds at its top level."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(target.id for target in targets if isinstance(target, ast.Name))
    return names


def test_every_vendor_is_registered(settings: configparser.ConfigParser):
    """Each vendor's module has its entry point, and each entry point its extra."""
    registered = {name: target for group, name, target in entry_points(settings) if group == "llmkit.providers"}
    modules = {path.stem for path in (ROOT / "llmkit_providers").glob("*.py") if not path.stem.startswith("_")}

    assert modules == {target.partition(":")[0].rpartition(".")[2] for target in registered.values()}
    assert set() == set(registered) - set(settings["options.extras_require"])


def test_dependencies_have_floors_and_no_ceilings(settings: configparser.ConfigParser):
    """An upper pin here would forbid users a security release elsewhere."""
    required = [line for line in settings["options"]["install_requires"].split("\n") if line]

    assert required
    assert [line for line in required if ">=" not in line.partition(";")[0]] == []
    assert [line for line in required if re.search(r"<|==|~=", line.partition(";")[0])] == []
