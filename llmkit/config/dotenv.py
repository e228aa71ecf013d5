r"""A ``.env`` file's variables.

One ``NAME=value`` a line, with ``export`` in front or not. ``'...'`` is taken as it is; ``"..."`` knows ``\n``, ``\t``,
``\"`` and ``\\``; what is not quoted ends at white space before ``#``. ``$`` means nothing: a password may hold one.
"""

from __future__ import annotations

import re

from llmkit.config.problems import Problems

_LINE = re.compile(r"[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*(?P<value>.*)", re.DOTALL)
_QUOTED = re.compile(r"""(?:'(?P<single>[^']*)'|"(?P<double>(?:\\.|[^"\\])*)")[ \t]*(?:\#.*)?""")
_COMMENT = re.compile(r"(?:^|[ \t]+)\#.*")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}


def parse_dotenv(text: str, problems: Problems) -> dict[str, tuple[str, int]]:
    """Each variable's value and line; the last line that names it wins. What cannot be read is noted in ``problems``."""
    found: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None or "\x00" in line:
            problems.add_at(number, 1, "", "expected NAME=value")
            continue
        value = _value(match["value"].strip())
        if value is None:
            problems.add_at(number, match.start("value") + 1, match["name"], "expected a closing quote, then at most a comment")
        else:
            found[match["name"]] = (value, number)
    return found


def _value(text: str) -> str | None:
    if text[:1] not in ("'", '"'):
        return _COMMENT.sub("", text)
    match = _QUOTED.fullmatch(text)
    if match is None:
        return None
    if match["single"] is not None:
        return match["single"]
    return _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[0]), match["double"])
