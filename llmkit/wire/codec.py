"""Values to JSON and back, without loss: for queues, caches, logs and tests.

Parts and events carry their ``type``; bytes are base64, money is text. A key has no JSON form and is refused.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeVar, Union, get_args

import attrs
import cattrs

from llmkit import errors
from llmkit.errors import InvalidRequestError, InvalidResponseError, LLMError, Recovery
from llmkit.values import calls, events, fallbacks, messages, other_calls
from llmkit.values.calls import CacheUse
from llmkit.values.completion import Completion
from llmkit.values.embeddings import Embeddings
from llmkit.values.hedging import Hedge
from llmkit.values.model_requests import ModelRequest
from llmkit.values.options import Options
from llmkit.values.secret import Secret
from llmkit.values.tools import JsonSchema, ResponseFormat, Tool, ToolLike
from llmkit.wire.json import dump_json, parse_json

T = TypeVar("T")

VERSION = 1
"""Version of the JSON form; grows when an older reader would misread a newer text."""


def to_json(value: Any) -> bytes:
    """An attrs value of :mod:`llmkit.values` as JSON.

    :raises InvalidRequestError: if it holds something that has no JSON form, such as a key.
    """
    try:
        return dump_json(converter().unstructure(value))
    except TypeError as problem:
        said = str(problem)
    raise InvalidRequestError(f"{type(value).__name__} cannot be written as JSON: {said}")


def from_json(data: bytes | str, kind: type[T]) -> T:
    """The value of type ``kind`` in JSON written by :func:`to_json`.

    :raises InvalidResponseError: if it is none; the message names the field.
    """
    document = parse_json(data)
    try:
        return converter().structure(document, kind)
    except (cattrs.BaseValidationError, LLMError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as problem:
        said = "; ".join(cattrs.transform_error(problem)) if isinstance(problem, cattrs.BaseValidationError) else str(problem)
    raise InvalidResponseError(f"no {kind.__name__}: {said}")


@lru_cache(maxsize=1)
def converter() -> cattrs.Converter:
    """The cattrs converter behind :func:`to_json` and :func:`from_json`."""
    for answer in (Completion, Embeddings):
        attrs.resolve_types(answer, localns={"Decimal": Decimal})
    names = {"ModelRequest": ModelRequest, "FallbackPlan": fallbacks.FallbackPlan, "Hedge": Hedge}
    for kind in (calls.ChatCall, other_calls.EmbedCall, other_calls.ModelsCall):
        attrs.resolve_types(kind, localns=names)
    attrs.resolve_types(Options, localns={"ToolLike": ToolLike, "ResponseFormat": ResponseFormat})
    made = cattrs.Converter(forbid_extra_keys=True)
    _plain(made)
    for union in (messages.Part, events.Event, fallbacks.Step):
        _tagged(made, union)
    _text_or_parts(made)
    _options(made)
    return made


def _plain(made: cattrs.Converter) -> None:
    made.register_unstructure_hook(bytes, lambda data: base64.b64encode(data).decode("ascii"))
    made.register_structure_hook(bytes, lambda text, _: base64.b64decode(text, validate=True))
    made.register_unstructure_hook(Decimal, str)
    made.register_structure_hook(Decimal, lambda text, _: Decimal(text))
    made.register_unstructure_hook_func(lambda kind: kind == frozenset[str], sorted)
    made.register_unstructure_hook(Secret, _refuse)
    made.register_unstructure_hook_func(lambda kind: isinstance(kind, type) and issubclass(kind, LLMError), _error_facts)
    made.register_structure_hook_func(lambda kind: isinstance(kind, type) and issubclass(kind, LLMError), _error)
    made.register_structure_hook_func(lambda kind: kind in _OBJECTS, lambda data, _: _object(data))
    made.register_unstructure_hook_func(lambda kind: kind in _OBJECTS, dict)


def _text_or_parts(made: cattrs.Converter) -> None:
    def unstructure(value: Any) -> Any:
        return value if isinstance(value, str) else [made.unstructure(part, messages.Part) for part in value]

    def structure(data: Any, _: Any) -> Any:
        return data if isinstance(data, str) else tuple(made.structure(part, messages.Part) for part in data)  # type: ignore[arg-type]

    made.register_unstructure_hook(_TEXT_OR_PARTS, unstructure)
    made.register_structure_hook(_TEXT_OR_PARTS, structure)


def _options(made: cattrs.Converter) -> None:
    """Unions that have no tag: a tool of ours or of the vendor's own form, a shape by word or by schema."""

    def tool(data: Any, _: Any) -> Any:
        fields = _object(data)
        return made.structure(fields["tool"], Tool) if "tool" in fields else _object(fields["vendor"])

    def tool_fields(tool: Any) -> Any:
        return {"tool": made.unstructure(tool, Tool)} if isinstance(tool, Tool) else {"vendor": dict(tool)}

    def shape(data: Any, _: Any) -> Any:
        return made.structure(data, JsonSchema) if isinstance(data, dict) else data

    def shape_fields(shape: Any) -> Any:
        return made.unstructure(shape, JsonSchema) if isinstance(shape, JsonSchema) else shape

    def model(data: Any, _: Any) -> Any:
        return made.structure(data, ModelRequest) if isinstance(data, dict) else data

    def model_fields(model: Any) -> Any:
        return made.unstructure(model, ModelRequest) if isinstance(model, ModelRequest) else model

    made.register_structure_hook(Union[str, ModelRequest, None], model)
    made.register_unstructure_hook(Union[str, ModelRequest, None], model_fields)
    made.register_structure_hook(CacheUse, lambda use, _: use)
    made.register_unstructure_hook(CacheUse, lambda use: use)
    made.register_structure_hook(ToolLike, tool)
    made.register_unstructure_hook(ToolLike, tool_fields)
    for kind in (ResponseFormat, Union[ResponseFormat, None]):
        made.register_structure_hook(kind, shape)
        made.register_unstructure_hook(kind, shape_fields)


_TEXT_OR_PARTS = Union[str, tuple[Union[messages.Text, messages.Image, messages.File], ...]]
_OBJECTS = (Mapping[str, Any], dict[str, Any])


def _object(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ValueError(f"expected an object, got {type(data).__name__}")
    return data


def _refuse(value: Any) -> Any:
    raise TypeError("a key is not written out")


def _tagged(made: cattrs.Converter, union: Any) -> None:
    """A union whose members say in ``type`` which they are."""
    kinds = {kind.type: kind for kind in get_args(union)}

    def unstructure(value: Any) -> dict[str, Any]:
        return {"type": value.type, **made.unstructure(value, type(value))}

    def structure(data: Any, _: Any) -> Any:
        fields = dict(_object(data))
        kind = kinds.get(fields.pop("type", None))
        if kind is None:
            raise ValueError(f"type: expected one of {', '.join(kinds)}, got {data.get('type')!r}")
        return made.structure(fields, kind)

    made.register_unstructure_hook(union, unstructure)
    made.register_structure_hook(union, structure)


_FACTS = ("message", "provider", "instance", "status", "request_id", "retry_after", "vendor_code", "body", "ambiguous")


def _error_facts(error: LLMError) -> dict[str, Any]:
    """An error's facts. Its attempts and its chain are left out: they would repeat what the answer's own attempts say."""
    return {"error": type(error).__name__, "recovery": error.recovery.value} | {name: getattr(error, name) for name in _FACTS}


def _error(data: Any, _: Any) -> LLMError:
    fields = dict(_object(data))
    kind = getattr(errors, str(fields.pop("error", "")), LLMError)
    if not (isinstance(kind, type) and issubclass(kind, LLMError)):
        kind = LLMError
    recovery = Recovery(fields.pop("recovery"))
    known = {name: fields[name] for name in _FACTS if name in fields and name != "message"}
    return kind(fields["message"], recovery=recovery, **known)
