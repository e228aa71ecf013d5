"""What a value in a file may be: a table of names and kinds for each shape, and the one function that reads by it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import attrs

from llmkit.config.expand import Undefined
from llmkit.config.positions import Path
from llmkit.config.problems import Problems, listed
from llmkit.errors import ConfigError
from llmkit.values.budgets import MODES, PER, Budget
from llmkit.values.hedging import make_hedge
from llmkit.values.instances import Timeouts
from llmkit.values.options import CALL_SETTINGS, slip


@attrs.frozen
class Kind:
    """What a value must be: in words for the message, and as a test."""

    expected: str
    accepts: Callable[[Any], bool]
    words: tuple[str, ...] = ()
    """The valid words, for "did you mean"."""


def _number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _whole(value: Any) -> bool:
    return isinstance(value, int) and _number(value)


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(_text(item) for item in value)


def _keys(value: Any) -> bool:
    return _text(value) or (isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value))


def _plain(value: Any) -> bool:
    """Whether JSON has a value like it: TOML's dates, infinities and NaN are none."""
    if isinstance(value, dict):
        return all(_plain(item) for item in value.values())
    if isinstance(value, list):
        return all(_plain(item) for item in value)
    return isinstance(value, (str, bool)) or _number(value)


def _hedge(value: Any) -> bool:
    try:
        make_hedge(value)
    except ConfigError:
        return False
    return value is not None


def one_of(*words: str) -> Kind:
    """One of a few words."""
    return Kind(f"one of {', '.join(words)}", lambda value: isinstance(value, str) and value in words, words)


TEXT = Kind("a non-empty string", _text)
ANY_TEXT = Kind("a string", lambda value: isinstance(value, str))
TEXTS = Kind("an array of non-empty strings", _texts)
NAMES = Kind("an array of non-empty strings, at least one", lambda value: _texts(value) and bool(value))
TEXT_OR_TEXTS = Kind("a non-empty string or an array of them", lambda value: _text(value) or (_texts(value) and bool(value)))
KEYS = Kind("an array of keys, or one string of keys with commas between them", _keys)
POSITIVE = Kind("a number above 0", lambda value: _number(value) and value > 0)
NOT_NEGATIVE = Kind("a number of at least 0", lambda value: _number(value) and value >= 0)
SHARE = Kind("a number from 0 to 1", lambda value: _number(value) and 0 <= value <= 1)
BASE = Kind("a number of at least 1", lambda value: _number(value) and value >= 1)
WHOLE = Kind("a whole number", _whole)
COUNT = Kind("a whole number of at least 0", lambda value: _whole(value) and value >= 0)
AT_LEAST_ONE = Kind("a whole number of at least 1", lambda value: _whole(value) and value >= 1)
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
FLAG_OR_TABLE = Kind("true, false or a table", lambda value: isinstance(value, (bool, dict)))
SHARE_OR_FALSE = Kind("a number from 0 to 1, or false", lambda value: value is False or SHARE.accepts(value))
FLAG_OR_TEXT = Kind("true, false or a path", lambda value: isinstance(value, (bool, str)) and value != "")
HEDGE = Kind("seconds above 0, a percentile such as \"p95\", false, or a table of delay and max_extra", _hedge)
TABLE = Kind("a table", lambda value: isinstance(value, dict))
TABLES = Kind("an array of tables", lambda value: isinstance(value, list) and all(isinstance(item, dict) for item in value))
STEPS = Kind(
    'queue, reject, a table with a type, or an array of them',
    lambda value: _text(value) or isinstance(value, dict) or (isinstance(value, list) and bool(value)),
)
MONEY = Kind("an amount above 0, as a number or as text", lambda value: _text(value) or POSITIVE.accepts(value))
TEXT_OR_WHOLE = Kind("a word or whole seconds", lambda value: _text(value) or AT_LEAST_ONE.accepts(value))
TABLE_OR_TABLES = Kind("a table or an array of tables", lambda value: TABLE.accepts(value) or TABLES.accepts(value))
HEADERS = Kind(
    "a table of strings", lambda value: isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
)
PLAIN = Kind("a value that JSON has", _plain)
JSON_TABLE = Kind("a table of values that JSON has", lambda value: isinstance(value, dict) and _plain(value))

OPTIONS: Mapping[str, Kind] = {
    "max_tokens": COUNT,
    "temperature": NOT_NEGATIVE,
    "top_p": SHARE,
    "stop": TEXT_OR_TEXTS,
    "seed": WHOLE,
    "reasoning_effort": TEXT,
    "tools": Kind("an array of tables", lambda value: TABLES.accepts(value) and _plain(value)),
    "tool_choice": TEXT,
    "response_format": one_of("json"),
    "cache_prompt": FLAG,
    "extra": JSON_TABLE,
}
BREAKER: Mapping[str, Kind] = {
    **dict.fromkeys(("failures", "least"), AT_LEAST_ONE),
    **dict.fromkeys(("share", "window", "open", "longest"), POSITIVE),
}
TIMEOUTS: Mapping[str, Kind] = {field.name: POSITIVE for field in attrs.fields(Timeouts)}

BUDGET: Mapping[str, Kind] = {
    "usd": MONEY,
    "tokens": AT_LEAST_ONE,
    "per": one_of(*PER),
    "window": TEXT_OR_WHOLE,
    "mode": one_of(*MODES),
    "model": TEXT,
    "only": TEXT_OR_TEXTS,
    "name": TEXT,
}
"""``window = "total"`` is for all time, since TOML has no None."""


def read(problems: Problems, path: Path, table: Mapping[str, Any], kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """The values of ``table`` that are what ``kinds`` says; what is not, and what has an unknown name, is noted."""
    good: dict[str, Any] = {}
    for name, value in table.items():
        kind = kinds.get(name)
        if kind is None:
            problems.unknown((*path, name), tuple(kinds))
        elif kind not in (TABLE, TABLES) and has_undefined(value):
            continue
        elif kind.accepts(value):
            good[name] = value
        else:
            problems.expected((*path, name), kind.expected, value, kind.words)
    return good


def has_undefined(value: Any) -> bool:
    """Whether expansion failed in ``value``, which has been reported then."""
    if isinstance(value, (list, dict)):
        return any(has_undefined(item) for item in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, Undefined)


def read_options(problems: Problems, path: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a task or an instance. Names llmkit does not know go to the vendor, unless they look like a slip of the
    pen or are settings of calls; ``extra`` takes those too. All of them come back in ``extra``."""
    kinds = dict(OPTIONS)
    for name in table:
        if name not in kinds and name not in CALL_SETTINGS and slip(name) is None:
            kinds[name] = PLAIN
    good = read(problems, path, table, kinds)
    known = {name: value for name, value in good.items() if name in OPTIONS}
    extra = {**{name: value for name, value in good.items() if name not in OPTIONS}, **good.get("extra", {})}
    return {**known, "extra": extra} if extra else known


def read_budgets(problems: Problems, path: Path, given: Any) -> tuple[Budget, ...]:
    """One table, or several, as budgets; those that are wrong are noted."""
    places = [(path, given)] if isinstance(given, dict) else [((*path, number), table) for number, table in enumerate(given)]
    budgets = []
    for place, table in places:
        before = len(problems)
        good = read(problems, place, table, BUDGET)
        if good.get("window") == "total":
            good["window"] = None
        if len(problems) == before and not has_undefined(table):
            try:
                budgets.append(Budget(**good))
            except ConfigError as problem:
                problems.add(place, problem.message)
    return tuple(budgets)


def reference(problems: Problems, path: Path, name: str, valid: Collection[str], what: str) -> bool:
    """Whether ``name`` is one of ``valid``; noted if not."""
    if name not in valid:
        problems.expected(path, f"{what} ({listed(valid)})", name, valid)
    return name in valid
