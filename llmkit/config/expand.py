"""``${VAR}``, ``${VAR:-default}`` and ``$$`` in the strings of a parsed file.

Only values are expanded, after parsing, and once: what a variable holds is text, so it can neither add keys nor be expanded
again. A default stands in for a variable that is not set or empty, as in a shell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmkit.config.positions import Path
from llmkit.config.problems import Problems, plain

_REFERENCE = re.compile(r"\$\$|\$\{(?P<inside>[^}]*)(?P<closed>\})?")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)


class Undefined(str):
    """Stands for a value that could not be expanded; it has been reported and is not to be reported again."""

    __slots__ = ()


def expand(value: Any, environ: Mapping[str, str], problems: Problems, path: Path = ()) -> Any:
    """``value`` with every string in it expanded; what was expanded and what went wrong is noted in ``problems``."""
    if isinstance(value, dict):
        return {key: expand(item, environ, problems, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item, environ, problems, (*path, number)) for number, item in enumerate(value)]
    if isinstance(value, str) and "$" in value:
        return _expand_text(value, environ, problems, path)
    return value


def _expand_text(text: str, environ: Mapping[str, str], problems: Problems, path: Path) -> str:
    failed = False

    def replace(match: re.Match[str]) -> str:
        nonlocal failed
        if match[0] == "$$":
            return "$"
        problems.expanded.add(path)
        inside = _INSIDE.fullmatch(match["inside"]) if match["closed"] else None
        if inside is None:
            failed = True
            problems.add(path, "expected ${NAME} or ${NAME:-default}; write $$ for a dollar sign")
            return ""
        name, default = inside["name"], inside["default"]
        found = environ.get(name)
        if default is not None:
            return found or default
        if found is None:
            failed = True
            said = f"{name!r} is not set; set it with: export {name}=..." if plain(name) else "is not set"
            problems.add(path, f"environment variable {said}")
        return found or ""

    expanded = _REFERENCE.sub(replace, text)
    return Undefined() if failed else expanded
