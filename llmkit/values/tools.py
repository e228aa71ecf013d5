"""Tools the model may ask the client to run, and the shape its answer must have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Union

import attrs

from llmkit.errors import InvalidRequestError, shown
from llmkit.values.base import Value


def _named(value: Any, attribute: Any, name: str) -> None:
    if not isinstance(name, str) or not name:
        raise InvalidRequestError(f"{type(value).__name__}.{attribute.name}: expected a non-empty string, got {shown(name)}")


def _schema(value: Any, attribute: Any, schema: Any) -> None:
    if not isinstance(schema, Mapping):
        raise InvalidRequestError(
            f"{type(value).__name__}.{attribute.name}: expected a JSON schema (a mapping), got {type(schema).__name__}"
        )


@attrs.frozen(eq=False, repr=False)
class Tool(Value):
    """A function the model may call. ``parameters`` is the JSON schema of its arguments; ``strict`` asks the vendor to
    enforce it, where it can."""

    name: str = attrs.field(validator=_named)
    description: str = ""
    parameters: Mapping[str, Any] = attrs.field(factory=lambda: {"type": "object", "properties": {}}, validator=_schema)
    strict: bool | None = None


@attrs.frozen(eq=False, repr=False)
class JsonSchema(Value):
    """The shape an answer must have. ``strict`` asks the vendor to enforce it, where it can."""

    schema: Mapping[str, Any] = attrs.field(validator=_schema)
    name: str = attrs.field(default="answer", validator=_named)
    strict: bool | None = True
    description: str | None = None


ToolLike = Union[Tool, Mapping[str, Any]]
"""A :class:`Tool`, or a mapping in the vendor's own form for tools that the vendor runs itself."""
ResponseFormat = Union[Literal["json"], JsonSchema]


def response_format(shape: Any) -> ResponseFormat | None:
    """``"json"``, a :class:`JsonSchema`, or a JSON schema as a mapping, as the value that :class:`~llmkit.Options` holds.

    :raises InvalidRequestError: if it is none of them.
    """
    if isinstance(shape, Mapping):
        return JsonSchema(shape)
    if shape in (None, "json"):
        return shape  # type: ignore[no-any-return]
    check_shape("response_model", shape, '"json", a JSON schema')
    return shape  # type: ignore[no-any-return]


def check_shape(name: str, shape: Any, expected: str = '"json"') -> None:
    """Check that ``shape``, the parameter ``name``, is a :class:`JsonSchema`.

    :raises InvalidRequestError: if it is not.
    """
    if not isinstance(shape, JsonSchema):
        raise InvalidRequestError(f"{name}: expected {expected} or a JsonSchema, got {shown(shape)}")


def check_tools(tools: tuple[ToolLike, ...]) -> None:
    """Check that each is a tool, and has a name of its own.

    :raises InvalidRequestError: if one is not, or has not.
    """
    names = set()
    for tool in tools:
        if not isinstance(tool, (Tool, Mapping)):
            raise InvalidRequestError(f"tools: expected a Tool or a mapping in the vendor's form, got {type(tool).__name__}")
        if isinstance(tool, Tool):
            if tool.name in names:
                raise InvalidRequestError(f"tools: two tools are named {tool.name!r}")
            names.add(tool.name)
