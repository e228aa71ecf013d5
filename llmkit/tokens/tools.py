"""Tools as the model reads them.

OpenAI shows a model its tools as TypeScript, found out by experiment and not documented
(https://hmarr.com/blog/counting-openai-tokens/, and token counts that OpenAI reported); other vendors are taken to show JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmkit.values.tools import Tool, ToolLike
from llmkit.wire.json import dump_json

WORDS = {"integer": "number", "number": "number", "boolean": "boolean", "null": "null", "string": "string"}


def as_typescript(tools: Sequence[Tool]) -> str:
    """Tools as one TypeScript namespace."""
    lines = ["namespace functions {", ""]
    for tool in tools:
        if tool.description:
            lines.append(f"// {tool.description}")
        if tool.parameters.get("properties"):
            lines += [f"type {tool.name} = (_: {{", _fields(tool.parameters, 0), "}) => any;", ""]
        else:
            lines += [f"type {tool.name} = () => any;", ""]
    return "\n".join([*lines, "} // namespace functions"])


def as_json(tools: Sequence[ToolLike]) -> str:
    """Tools as JSON, in the form of OpenAI's API; those in a vendor's own form as they are."""
    return dump_json([_function(tool) if isinstance(tool, Tool) else tool for tool in tools]).decode()


def _function(tool: Tool) -> Mapping[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _fields(schema: Mapping[str, Any], depth: int) -> str:
    required = schema.get("required") or ()
    properties = schema.get("properties")
    lines = []
    for name, field in properties.items() if isinstance(properties, Mapping) else ():
        field = field if isinstance(field, Mapping) else {}
        if field.get("description") and depth < 2:
            lines.append(f"// {field['description']}")
        lines.append(f"{name}{'' if name in required else '?'}: {_type(field, depth)},")
    return "\n".join([" " * 2 * depth + line for line in lines])


def _type(field: Any, depth: int) -> str:
    if not isinstance(field, Mapping) or depth > 20:
        return "any"
    if isinstance(field.get("enum"), Sequence):
        return " | ".join([dump_json(value).decode() for value in field["enum"]])
    kind = field.get("type")
    choices = field.get("anyOf") or ([{**field, "type": one} for one in kind] if isinstance(kind, list) else None)
    if isinstance(choices, list):
        return " | ".join([_type(choice, depth + 1) for choice in choices])
    if kind == "array":
        return f"{_type(field['items'], depth + 1)}[]" if field.get("items") else "any[]"
    if kind == "object":
        return f"{{\n{_fields(field, depth + 1)}\n}}" if field.get("properties") else "object"
    return WORDS.get(kind, "any") if isinstance(kind, str) else "any"
