"""Tools the model may ask the client to run, and the shape its answer must have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
