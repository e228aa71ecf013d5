"""How Sphinx builds this documentation: ``tox -e docs``, where a warning is an error."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import llmkit

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "llmkit"
author = "llmkit contributors"
copyright = "2026, llmkit contributors"

extensions = ["myst_parser", "sphinx.ext.autodoc", "vendors"]
html_theme = "furo"
html_title = "llmkit"
exclude_patterns = ["_build", "_ext"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["ref.python"]
"""Short names in signatures that two modules have (``Price``, ``Group``); one that none has is still an error."""

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True

nitpicky = True
nitpick_ignore_regex = [
    # What other projects document; no inventory is fetched, so that the documentation builds without a network.
    (r"py:.*", rf"({project})\..*")
    for project in (
        *("aiohttp", "asyncio", "attrs?", "cattrs", "click", "collections", "concurrent", "contextlib", "datetime", "decimal"),
        *("enum", "logging", "os", "pathlib", "pluggy", "prometheus_client", "pydantic", "_?pytest", "re", "requests", "responses"),
        *("sqlite3", "tenacity", "threading", "types", "typing"),
    )
] + [
    (r"py:(obj|class)", r"(.*\.)?_?[A-Z][A-Za-z]?(_co)?"),  # type variables
    (r"py:class", r"(.*\.)?_[A-Za-z]+"),  # private bases
    # What a signature shows by its short name.
    (r"py:class", r"(.*\.)?(Self|Kit|OnUnsupported|CacheUse|Resume|AnyStrategy|Router|deque|Decimal|Event|Path)|dict\[str, Any\]"),
    (r"py:class", r"(.*\.)?(ResponseFormat|Breaker|RetryBudget|Limiter|Window)"),
]


def find_name(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Let ``llmkit.Client``, or ``Client`` alone, lead to the module that defines it: each object is documented there, once."""
    if node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    name = node["reftarget"].removeprefix("llmkit.")
    public = getattr(llmkit, name, None)
    if hasattr(public, "__qualname__"):
        targets = [f"{public.__module__}.{public.__qualname__}"]
    else:
        targets = [full for full in domain.objects if full.startswith("llmkit.") and full.endswith(f".{name}")]
    if len(targets) != 1:
        return None
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", targets[0], node, content)


def setup(app: Any) -> None:
    """Register the above."""
    app.connect("missing-reference", find_name)
