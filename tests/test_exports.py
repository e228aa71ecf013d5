"""What ``import llmkit`` shows, and what it costs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import llmkit
import llmkit.errors

ROOT = Path(__file__).resolve().parents[1]

FIXED = {
    *("Client", "AsyncClient", "Instance", "Task", "Request", "Message", "Tool", "Completion", "Usage", "Timeouts", "LLMError"),
    *("hookimpl", "generate", "agenerate", "stream", "astream", "get_client", "set_client", "reset_client"),
}
"""Names that the documentation and other people's code rely on."""

HEAVY = {
    *("aiohttp", "asyncio", "attr", "attrs", "cattrs", "concurrent.futures", "instructor", "keyring", "llmkit_providers"),
    *("multiprocessing", "opentelemetry", "orjson", "pluggy", "prometheus_client", "pydantic", "redis", "requests", "socket"),
    *("ssl", "tenacity", "tiktoken", "tomli", "urllib3"),
}
"""What nobody pays for before the first use."""

MOST_MODULES = 90


def run(code: str) -> Any:
    """What ``code`` prints as JSON, in a fresh interpreter that sees the same packages."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_all_is_what_is_visible():
    """A fresh ``dir(llmkit)`` shows the names of ``__all__`` and no others."""
    visible = run("import json, llmkit; print(json.dumps([name for name in dir(llmkit) if not name.startswith('_')]))")

    assert sorted(name for name in llmkit.__all__ if not name.startswith("_")) == sorted(visible)
    assert len(set(llmkit.__all__)) == len(llmkit.__all__)


def test_every_name_is_there():
    """Each name of ``__all__`` can be had, and the same object comes twice."""
    for name in llmkit.__all__:
        assert getattr(llmkit, name) is getattr(llmkit, name)


def test_fixed_names():
    """The names that the documentation promises, and every error class, are public."""
    classes = {name: found for name, found in vars(llmkit.errors).items() if isinstance(found, type)}
    errors = {name for name, found in classes.items() if issubclass(found, llmkit.errors.LLMError)}

    assert set() == (FIXED | errors | {"ErrorCode"}) - set(llmkit.__all__)


def test_unknown_name():
    """A name that does not exist is an AttributeError that names it, as for any module."""
    message = run("""
import json, llmkit
try:
    llmkit.Clinet
except AttributeError as error:
    print(json.dumps(str(error)))
""")

    assert "Clinet" in message


def test_static_tools_see_the_same():
    """What type checkers read in ``llmkit/__init__.py`` is ``__all__`` too."""
    tree = ast.parse((ROOT / "llmkit" / "__init__.py").read_text(encoding="utf-8"))
    seen = {
        alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    } | {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}

    assert set() == {name for name in llmkit.__all__ if not name.startswith("_")} - seen


def test_import_is_light():
    """``import llmkit`` loads no HTTP library, no event loop, no vendor, and few modules at all."""
    loaded = run("""
import json, sys
bare = set(sys.modules)
import llmkit
print(json.dumps(sorted(set(sys.modules) - bare)))
""")

    assert "llmkit" in loaded
    assert set() == HEAVY & set(loaded)
    assert set() == {name for name in loaded if name.startswith("llmkit_providers")}
    assert len(loaded) <= MOST_MODULES


def test_import_and_names_connect_to_nothing():
    """With sockets out of order, importing llmkit and every public name still works."""
    names = run("""
import json, socket
def refuse(*_, **__):
    raise AssertionError("a connection was attempted")
socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse
import llmkit
print(json.dumps([name for name in llmkit.__all__ if getattr(llmkit, name) is None]))
""")

    assert names == []


def test_no_vendor_is_loaded_by_the_public_names():
    """All public names together load no vendor module, no pydantic, no redis."""
    loaded = run("""
import json, sys, llmkit
for name in llmkit.__all__:
    getattr(llmkit, name)
print(json.dumps(sorted(sys.modules)))
""")

    assert set() == {"pydantic", "redis", "prometheus_client", "opentelemetry", "keyring"} & set(loaded)
    assert set() == {name for name in loaded if name.startswith("llmkit_providers.")}
