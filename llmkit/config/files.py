"""Reading a TOML file into settings: one value, or one error with every mistake in it."""

from __future__ import annotations

import os
import re
import stat
import sys
import warnings
from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any

from llmkit.config.expand import expand
from llmkit.config.keys import looks_real
from llmkit.config.positions import Path
from llmkit.config.problems import Problems, hidden
from llmkit.config.settings import Settings, known_providers
from llmkit.config.shapes import Reader

MOST_BYTES = 1 << 20
"""A configuration of more than this is a mistake: some five thousand instances fit in."""
_TOO_LARGE = f"expected a configuration of at most {MOST_BYTES} bytes"
_TOO_DEEP = "expected fewer arrays and tables inside each other"
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def read_config(
    path: str | os.PathLike[str],
    *,
    environ: Mapping[str, str] | None = None,
    known_providers: Collection[str] | None = None,
    known_strategies: Collection[str] | None = None,
) -> Settings:
    """The settings in a TOML file.

    Warns, once, if the file holds API keys and others than its owner may read it.

    :param environ: where ``${VAR}`` is looked up; default the process's environment.
    :param known_providers: names of the providers there are; default the installed ones.
    :param known_strategies: names of strategies beside the built-in ones; default those of the installed plugins.
    :raises ConfigError: with every mistake in the file, or saying why it cannot be read.
    """
    file = os.fspath(path)
    data, mode = read_bytes(file)
    problems = Problems(file)
    settings, literal = _parse(decode(data, problems), problems, environ, known_providers, known_strategies)
    if literal:
        warn_if_readable(file, mode)
    return settings


def parse_config(
    text: str,
    file: str = "<string>",
    *,
    environ: Mapping[str, str] | None = None,
    known_providers: Collection[str] | None = None,
    known_strategies: Collection[str] | None = None,
) -> Settings:
    """The settings in TOML text; ``file`` is what errors call it. Otherwise as :func:`read_config`.

    :raises ConfigError: with every mistake in the text.
    """
    return _parse(text, Problems(file), environ, known_providers, known_strategies)[0]


def _parse(
    text: str,
    problems: Problems,
    environ: Mapping[str, str] | None,
    providers: Collection[str] | None,
    strategies: Collection[str] | None,
) -> tuple[Settings, bool]:
    """Settings, and whether the text itself holds keys."""
    text = text.removeprefix("\ufeff")
    document = load_toml(text, problems)
    problems.text = text
    reader = Reader(problems, known_providers() if providers is None else providers, strategies)
    settings = Settings()
    try:
        document = expand(document, os.environ if environ is None else environ, problems)
        settings = reader.settings(document)
    except RecursionError:
        problems.add_at(0, 0, "", _TOO_DEEP)
    problems.raise_if_any()
    return settings, _holds_keys(document, problems)


def read_bytes(file: str) -> tuple[bytes, int]:
    """What a file holds, and its mode.

    :raises ConfigError: if it cannot be read or is larger than :data:`MOST_BYTES`.
    """
    problems = Problems(file)
    data, mode = b"", 0
    try:
        with open(file, "rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            data = opened.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            problems.add_at(0, 0, "", _TOO_LARGE)
    except (OSError, ValueError) as error:
        problems.add_at(0, 0, "", f"cannot be read: {getattr(error, 'strerror', None) or 'not a file name'}")
    problems.raise_if_any()
    return data, mode


def decode(data: bytes, problems: Problems) -> str:
    """A file's bytes as text.

    :raises ConfigError: if they are no UTF-8 text.
    """
    text = ""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = error.start - (before.rfind(b"\n") + 1) + 1
        problems.add_at(before.count(b"\n") + 1, column, "", "expected UTF-8 text, got other bytes")
    problems.raise_if_any()
    return text


def load_toml(text: str, problems: Problems) -> dict[str, Any]:
    """Parsed TOML.

    :raises ConfigError: if it is none, with the parser's line and column.
    """
    toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    document: dict[str, Any] = {}
    if len(text) > MOST_BYTES:
        problems.add_at(0, 0, "", _TOO_LARGE)
    problems.raise_if_any()
    try:
        document = toml.loads(text)
    except (ValueError, RecursionError) as error:
        message = _TOO_DEEP if isinstance(error, RecursionError) else str(error)
        place = _PLACE.search(message)
        line, column = 1, 1
        if place is not None:
            end = (text.count("\n") + 1, len(text) - text.rfind("\n"))
            line, column = (int(place[1]), int(place[2])) if place[1] else end
        said = hidden(_PLACE.sub("", message))
        problems.add_at(line, column, "", f"not valid TOML: {said[:1].lower()}{said[1:]}")
    problems.raise_if_any()
    return document


def _holds_keys(document: Mapping[str, Any], problems: Problems) -> bool:
    """Whether a key stands in the file itself."""
    executors = document.get("executors", {})
    arrays: list[tuple[Path, Any]] = [
        (("instances",), document.get("instances", [])),
        (("providers",), document.get("providers", [])),
    ]
    arrays.append((("executors", "backends"), executors.get("backends", [])))
    tables: list[tuple[Path, Any]] = [((*path, number), table) for path, array in arrays for number, table in enumerate(array)]
    tables.append((("llm_client",), document.get("llm_client", {})))
    for path, table in tables:
        for name in ("api_key", "api_keys"):
            value = table.get(name, "")
            for number, key in enumerate([value] if isinstance(value, str) else value):
                where = (*path, name) if isinstance(value, str) else (*path, name, number)
                if looks_real(key) and where not in problems.expanded:
                    return True
    return False


def warn_if_readable(file: str, mode: int) -> None:
    """Warn if others than the owner may read a file that holds keys."""
    if os.name == "posix" and mode & (stat.S_IRGRP | stat.S_IROTH):
        warnings.warn(f"{file} holds API keys and others may read it; chmod 600 makes it yours alone", stacklevel=4)
