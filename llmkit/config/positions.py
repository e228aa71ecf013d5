"""Where each key of a TOML text stands. The standard parser gives values without places; errors need both.

The text is known to be valid TOML when it comes here, so the scanner only tells keys from values and skips the values.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Union

Path = tuple[Union[str, int], ...]

_KEY = re.compile(r"""[ \t]*(?:"(?P<basic>(?:\\.|[^"\\\n])*)"|'(?P<literal>[^'\n]*)'|(?P<bare>[A-Za-z0-9_-]+))[ \t]*(?P<dot>\.)?""")
_SPACE = re.compile(r"(?:[ \t\r\n]+|\#[^\n]*)*")
_VALUE_TOKEN = re.compile(
    r"""
    \"\"\"(?:\\.|(?!\"\"\").)*\"{3,5}      # multi-line strings may end in up to two quotes of their own
    | '''(?:(?!''').)*'{3,5}
    | "(?:\\.|[^"\\\n])*"
    | '[^'\n]*'
    | \#[^\n]*
    | (?P<open>[\[{])
    | (?P<close>[\]}])
    | (?P<newline>\n)
    | [^"'\#\[\]{}\n]+
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_ESCAPED = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"}


class Positions:
    """The places of the keys and table headers of a valid TOML text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = [0] + [match.end() for match in re.finditer("\n", text)]
        self._found: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}
        self._scan()

    def of(self, path: Path) -> tuple[int, int]:
        """Line and column, from 1, of the key at ``path``; where it has no place of its own, of the nearest key around it."""
        while path and path not in self._found:
            path = path[:-1]
        offset = self._found.get(path, 0)
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1

    def _scan(self) -> None:
        text = self._text
        table: Path = ()
        position = _SPACE.match(text, 0).end()  # type: ignore[union-attr]
        while position < len(text):
            start = position
            if text[position] == "[":
                double = text.startswith("[[", position)
                keys, position = self._keys(position + 1 + double)
                table = self._open(keys, start, double)
                position = text.find("]", position) + 1 + double
            else:
                keys, position = self._keys(position)
                if not keys:
                    return
                for length in range(1, len(keys) + 1):
                    self._found.setdefault(self._resolve(table, keys[:length]), start)
                position = self._skip_value(position)
            position = _SPACE.match(text, position).end()  # type: ignore[union-attr]

    def _keys(self, position: int) -> tuple[Path, int]:
        keys: list[str] = []
        while match := _KEY.match(self._text, position):
            position = match.end()
            basic = match["basic"]
            keys.append(match["bare"] or match["literal"] or "" if basic is None else _ESCAPE.sub(_unescape, basic))
            if not match["dot"]:
                break
        return tuple(keys), position

    def _open(self, keys: Path, start: int, double: bool) -> Path:
        """Note a table's header, and give the path that its keys continue."""
        table = self._resolve((), keys[:-1]) + keys[-1:]
        if double:
            number = self._counts.get(table, 0)
            self._counts[table] = number + 1
            self._found.setdefault(table, start)
            table = (*table, number)
        for length in range(1, len(keys)):
            self._found.setdefault(self._resolve((), keys[:length]), start)
        self._found.setdefault(table, start)
        return table

    def _resolve(self, table: Path, keys: Path) -> Path:
        """``keys`` below ``table``, with the number of the latest table wherever an array of tables is passed."""
        for key in keys:
            table = (*table, key)
            if table in self._counts:
                table = (*table, self._counts[table] - 1)
        return table

    def _skip_value(self, position: int) -> int:
        depth = 0
        while token := _VALUE_TOKEN.match(self._text, position):
            if token["newline"] and depth == 0:
                break
            depth += bool(token["open"]) - bool(token["close"])
            position = token.end()
        return position


def _unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else _ESCAPED.get(match[3], match[3])
