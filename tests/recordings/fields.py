"""Small helpers for reading recorded requests."""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from llmkit.values.tools import Tool, ToolLike

NOT_GIVEN = "call_{}"
"""How ids are made up for calls that have none on the wire; providers do the same and do not send such ids."""


def without_nulls(fields: Mapping[str, Any]) -> dict[str, Any]:
    """``fields`` without those that are null: to every vendor the same as absent."""
    return {name: value for name, value in fields.items() if value is not None}


def take(fields: dict[str, Any], fits: Callable[[Any], bool], *names: str) -> Any:
    """The first of ``names`` whose value llmkit's own parameter would take, out of ``fields``; else None, and it stays."""
    for name in names:
        if name in fields and fits(fields[name]):
            return fields.pop(name)
    return None


def is_int(value: Any) -> bool:
    """Whether llmkit takes ``value`` for a seed."""
    return type(value) is int


def whole(value: Any) -> bool:
    """Whether llmkit takes ``value`` for a count."""
    return type(value) is int and value >= 0


def number(value: Any) -> bool:
    """Whether llmkit takes ``value`` for a temperature."""
    return type(value) in (int, float) and value >= 0


def share(value: Any) -> bool:
    """Whether llmkit takes ``value`` for ``top_p``."""
    return number(value) and value <= 1


def texts(value: Any) -> bool:
    """Whether llmkit takes ``value`` for ``stop``."""
    return bool(value) and all(isinstance(text, str) and text for text in ([value] if isinstance(value, str) else value))


def word(value: Any) -> bool:
    """Whether ``value`` is a text that is not empty."""
    return isinstance(value, str) and bool(value)


def binary(text: str) -> bytes | None:
    """What ``text`` is the base64 of; None where it cannot be written back as it was (recorders cut some short)."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None


def data_url(url: str) -> tuple[bytes, str] | None:
    """The bytes and the media type in a ``data:`` URL, or None."""
    found = re.fullmatch(r"data:([\w.+-]+/[\w.+-]+);base64,(.*)", url, re.DOTALL)
    data = binary(found[2]) if found else None
    return None if found is None or data is None else (data, found[1])


def schema_tool(fields: Mapping[str, Any], schema: str, known: set[str]) -> Tool | None:
    """A function declaration as a :class:`Tool`; None where it has more than that, or less."""
    fields = without_nulls(fields)
    if not set(fields) <= known or not isinstance(fields.get(schema, {}), Mapping):
        return None
    parameters = {"parameters": fields[schema]} if schema in fields else {}
    return Tool(fields["name"], fields.get("description", ""), strict=fields.get("strict"), **parameters)


def unambiguous(tools: list[tuple[Tool | None, Mapping[str, Any]]]) -> tuple[ToolLike, ...]:
    """Each tool, or its vendor's form where it has no other or where two tools have one name."""
    names = Counter(tool.name for tool, _ in tools if tool)
    return tuple(tool if tool and names[tool.name] == 1 else raw for tool, raw in tools)
