"""Collecting every mistake of one source, and saying it without showing a secret."""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Any

from llmkit.config.positions import Path, Positions
from llmkit.errors import ConfigError, Problem
from llmkit.wire.redact import redact

MOST_PROBLEMS = 100
"""Mistakes that one error lists; further ones are counted."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WORDS = re.compile(r"[A-Za-z_][A-Za-z0-9]{0,15}(?:[_./:*-]+[A-Za-z0-9]{1,16})*")
_QUOTED = re.compile(r"'([^'\n]+)'")
_LONG = re.compile(r"[^\s,;()'\"]{21,}")
_SECRET_NAMES = re.compile(r"key|secret|password|auth|headers|proxy|url|endpoint", re.IGNORECASE)
_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "a string"),
    (list, "an array"),
    (dict, "a table"),
    (datetime.datetime, "a date and time"),
    (datetime.date, "a date"),
    (datetime.time, "a time"),
)


def plain(text: str) -> bool:
    """Whether text reads like words with a few digits, as names do and keys do not."""
    few_digits = sum(character.isdigit() for character in text) < 10
    return len(text) <= 50 and few_digits and _WORDS.fullmatch(text) is not None and redact(text) == text


def hidden(text: str) -> str:
    """A message without whatever in it could be a key: quoted text and long words that do not read like names."""
    text = _QUOTED.sub(lambda match: match[0] if len(match[1]) == 1 or plain(match[1]) else "'...'", text)
    return redact(_LONG.sub(lambda match: match[0] if plain(match[0]) else "...", text))


def dotted(path: Path) -> str:
    """A key path as people write it: ``instances[0].model``; a key that could be a secret is left out."""
    said = ""
    for part in path:
        if isinstance(part, int):
            said += f"[{part}]"
        else:
            name = (part if _BARE.fullmatch(part) else repr(part)) if plain(part) else "'...'"
            said += f".{name}" if said else name
    return said


def nearest(name: str, valid: Iterable[str]) -> str:
    """``; did you mean 'x'?``, or nothing where no valid name is near."""
    found = get_close_matches(name, list(valid), 1, 0.6)
    return f"; did you mean {found[0]!r}?" if found and plain(found[0]) else ""


def listed(names: Collection[str]) -> str:
    """Names for the end of a sentence; the first twenty of a long list."""
    said = ", ".join(name if plain(name) else "'...'" for name in sorted(names)[:20])
    return f"{said}, ..." if len(names) > 20 else said or "none"


class Problems:
    """The mistakes of one source, in the order they were found, each once for a key path."""

    def __init__(self, file: str, text: str = "") -> None:
        self.file = file
        self.expanded: set[Path] = set()
        """Values that came from the environment: never shown."""
        self.text = text
        self._positions: Positions | None = None
        self._found: dict[tuple[str, str], Problem] = {}
        self._more = 0

    def __len__(self) -> int:
        return len(self._found) + self._more

    def add(self, path: Path, message: str) -> None:
        """Note a mistake at a key path."""
        if self._full():
            return
        if self._positions is None:
            self._positions = Positions(self.text)
        line, column = self._positions.of(path)
        self.add_at(line, column, dotted(path), message)

    def _full(self) -> bool:
        """Whether there are enough already; if so, one more is counted."""
        full = len(self._found) >= MOST_PROBLEMS
        self._more += full
        return full

    def add_at(self, line: int, column: int, path: str, message: str, file: str | None = None) -> None:
        """Note a mistake at a place, in another file if one is given."""
        problem = Problem(file or self.file, line, column, path, hidden(message))
        self._found.setdefault((path, problem.message), problem)

    def unknown(self, path: Path, valid: Collection[str]) -> None:
        """Note a key that does not exist."""
        if self._full():
            return
        name = str(path[-1])
        self.add(path, f"unknown key{nearest(name, valid) or f'; expected one of: {listed(valid)}'}")

    def shown(self, path: Path, value: Any) -> str:
        """``value`` for a message: strings only where they cannot be a secret, else the type."""
        secret = path in self.expanded or any(_SECRET_NAMES.search(str(part)) for part in path)
        if isinstance(value, str):
            if plain(value) and not secret:
                return repr(value)
            return "a string" if value.strip() else "an empty string"
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, (int, float)) and not secret and not abs(value) >= 1e9:
            return f"{value:.12g}"
        return next((said for kind, said in _TYPES if isinstance(value, kind)), type(value).__name__)

    def expected(self, path: Path, what: str, value: Any, valid: Collection[str] = ()) -> None:
        """Note a value that is not what it should be, with the nearest of the ``valid`` words."""
        if self._full():
            return
        shown = self.shown(path, value)
        near = nearest(value.lower(), valid) if isinstance(value, str) and len(value) <= 100 and valid else ""
        self.add(path, f"expected {what}, got {shown}{near}")

    def raise_if_any(self) -> None:
        """Raise everything noted as one error.

        :raises ConfigError: if there is anything.
        """
        if not self._found:
            return
        found = tuple(sorted(self._found.values(), key=lambda problem: (problem.line, problem.column)))
        lines = [str(problem) for problem in found]
        if self._more:
            lines.append(f"{self.file}: and {self._more} more")
        raise ConfigError("\n".join(lines), problems=found)
