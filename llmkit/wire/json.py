"""The one way JSON comes in and goes out.

What comes in is not trusted: NaN, Infinity, numbers out of a float's range, nesting deeper than :data:`MOST_DEPTH` and text
that is no JSON raise :class:`~llmkit.errors.InvalidResponseError`; invalid UTF-8 and lone surrogates become U+FFFD.
"""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

from llmkit.errors import InvalidRequestError, InvalidResponseError

MOST_DEPTH = 200
"""Deepest nesting of arrays and objects that is accepted."""


BROKEN = object()


def parse_json(data: bytes | str) -> Any:
    """The value of a JSON document.

    :raises InvalidResponseError: if it is none.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        value = BROKEN
    if value is BROKEN:  # outside the except block: the decode error holds the whole document
        return _parse_broken(data)
    openers = data.count(b"[") + data.count(b"{") if isinstance(data, bytes) else data.count("[") + data.count("{")
    if openers > MOST_DEPTH:
        _check_depth(value)
    return value


def parse_object(data: bytes | str) -> dict[str, Any]:
    """The value of a JSON document that must be an object.

    :raises InvalidResponseError: if it is none.
    """
    value = parse_json(data)
    if type(value) is not dict:
        raise InvalidResponseError(f"expected a JSON object, got {_excerpt(data)}")
    return value


def tool_arguments(raw: Any) -> tuple[dict[str, Any], bool]:
    """A tool call's arguments, as a vendor sent them, and whether they were whole JSON: an object, its JSON as text, or
    nothing at all for a call without arguments."""
    if type(raw) is dict:
        return raw, True
    if raw is None or not str(raw).strip():
        return {}, True
    try:
        value = parse_json(str(raw))
    except (InvalidResponseError, UnicodeEncodeError):
        return {}, False
    return (value, True) if type(value) is dict else ({}, value is None)


def parse_answer(text: str) -> Any:
    """A model's answer as JSON, with a Markdown fence around it taken off; None if it is none."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```"):
        text = text[3:-3].removeprefix("json").strip()
    try:
        return parse_json(text)
    except (InvalidResponseError, UnicodeEncodeError):
        return None


def dump_json(value: Any) -> bytes:
    """A value as compact JSON.

    :raises InvalidRequestError: if something in it has no JSON form.
    """
    try:
        return orjson.dumps(value)
    except TypeError as problem:
        message = str(problem)
    raise InvalidRequestError(f"the request cannot be written as JSON: {message}")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MOST_DEPTH):
        below: list[Any] = []
        for container in level:
            items = container.values() if type(container) is dict else container if type(container) is list else ()
            below += [item for item in items if type(item) is dict or type(item) is list]
        if not below:
            return
        level = below
    raise InvalidResponseError(f"JSON nested deeper than {MOST_DEPTH} levels")


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number


def _whole(text: str) -> int | float:
    """A whole number; as in :mod:`orjson`, one of more than 64 bits is a float."""
    number = int(text) if len(text) <= 20 else _number(text)
    return number if -(2**63) <= number < 2**64 else float(number)


def _parse_broken(data: bytes | str) -> Any:
    """Second chance for documents whose only fault is their encoding."""
    text = data.removeprefix("\ufeff") if isinstance(data, str) else bytes(data).decode("utf-8-sig", "replace")
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_number, parse_int=_whole)
        _check_depth(value)
    except (ValueError, RecursionError):
        broken = True
    else:
        broken = False
    if broken:  # raised here, outside the except block, so that the error drags no chain along
        raise InvalidResponseError(f"expected JSON, got {_excerpt(data)}")
    return _without_surrogates(value)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


def _excerpt(data: bytes | str) -> str:
    from llmkit.wire.redact import redact

    if not data:
        return "nothing"
    text = data[:400] if isinstance(data, str) else bytes(data[:400]).decode("utf-8", "replace")
    return repr(redact(text)[:200])
