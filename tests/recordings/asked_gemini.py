"""Recorded chat requests in Gemini's dialect: https://ai.google.dev/api/generate-content"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from llmkit.values.messages import Audio, File, Image, Message, Part, Reasoning, Text, ToolCall, ToolResult, VendorPart
from llmkit.values.options import Options
from llmkit.values.tools import JsonSchema, Tool

from .fields import NOT_GIVEN, binary, is_int, number, schema_tool, share, take, texts, unambiguous, whole, without_nulls

CHOICES = {"AUTO": "auto", "ANY": "required", "NONE": "none"}
SCHEMAS = ("properties", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema")
AS_THEY_ARE = (*SCHEMAS, "args", "response", "labels")
"""Fields that hold names of the user's own, which no one may respell."""


def camel(value: Any) -> Any:
    """A request with its field names in camelCase: the API takes snake_case too, and means the same."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    spelled = {re.sub(r"_([a-z])", lambda found: found[1].upper(), name): item for name, item in value.items()}
    return {name: item if name in AS_THEY_ARE else camel(item) for name, item in without_nulls(spelled).items()}


def gemini_chat(request: Mapping[str, Any], provider: str) -> tuple[tuple[Message, ...], Options]:
    """The messages and the options of a recorded request."""
    asked = camel(dict(request))
    ids = _Ids()
    messages = [message for turn in asked.pop("contents") for message in _turn(turn, ids)]
    if system := asked.pop("systemInstruction", None):
        messages.insert(0, Message("system", [_part(part, ids) for part in system["parts"]]))
    config = asked.pop("generationConfig", {})
    tools, rest = _tools(asked.pop("tools", []))
    settled: dict[str, Any] = {
        "max_tokens": take(config, whole, "maxOutputTokens"),
        "temperature": take(config, number, "temperature"),
        "top_p": take(config, share, "topP"),
        "stop": take(config, texts, "stopSequences"),
        "seed": take(config, is_int, "seed"),
        "response_format": _format(config),
        "tool_choice": _choice(asked),
        "tools": (*tools, *rest) or None,
    }
    if config:
        asked["generationConfig"] = config
    return tuple(messages), Options(**settled, extra=asked or None)


def _tools(listed: list[Mapping[str, Any]]) -> tuple[tuple[Any, ...], list[Any]]:
    declared: list[tuple[Tool | None, Mapping[str, Any]]] = []
    rest = []
    for tool in listed:
        for declaration in tool.get("functionDeclarations", ()):
            schema = "parametersJsonSchema" if "parametersJsonSchema" in declaration else "parameters"
            known = {"name", "description", schema}
            declared.append((schema_tool(declaration, schema, known), {"functionDeclarations": [declaration]}))
        others = {name: value for name, value in tool.items() if name != "functionDeclarations"}
        if others:
            rest.append(others)
    return unambiguous(declared), rest


def _format(config: dict[str, Any]) -> Any:
    schema = config.get("responseJsonSchema", config.get("responseSchema"))
    if config.get("responseMimeType") != "application/json":
        return None
    for name in ("responseMimeType", "responseJsonSchema", "responseSchema"):
        config.pop(name, None)
    return JsonSchema(schema) if schema else "json"


def _choice(asked: dict[str, Any]) -> str | None:
    config = dict(asked.get("toolConfig", {}))
    calling = config.pop("functionCallingConfig", {})
    names = calling.get("allowedFunctionNames", [])
    if not calling or len(names) > 1:
        return None
    asked.pop("toolConfig")
    if config:
        asked["toolConfig"] = config
    return names[0] if names else CHOICES[calling["mode"]]


class _Ids:
    """Ids for calls and results that have none: the nth result of a name answers the nth call of that name."""

    def __init__(self) -> None:
        self._calls = 0
        self._waiting: dict[str, list[str]] = {}

    def call(self, given: str | None, name: str) -> str:
        made = given or NOT_GIVEN.format(self._calls)
        self._calls += 1
        if not given:
            self._waiting.setdefault(name, []).append(made)
        return made

    def result(self, given: str | None, name: str) -> str:
        waiting = self._waiting.get(name)
        return given or (waiting.pop(0) if waiting else NOT_GIVEN.format(99))


def _turn(turn: Mapping[str, Any], ids: _Ids) -> list[Message]:
    content = [_part(part, ids) for part in turn["parts"]]
    role = "assistant" if turn.get("role") == "model" else "user"
    results = [part for part in content if type(part) is ToolResult]
    rest = [part for part in content if type(part) is not ToolResult]
    messages = [Message("tool", results)] if results else []
    return [*messages, Message(role, rest)] if rest or not results else messages  # type: ignore[arg-type]


def _part(part: Mapping[str, Any], ids: _Ids) -> Part:
    signature = part.get("thoughtSignature")
    extra = {"google": {"thoughtSignature": signature}} if signature else None
    if part.get("thought") and ("text" in part or signature):
        return Reasoning(part.get("text", ""), signature, provider="google")
    if "text" in part:
        return Text(part["text"], extra)
    if "functionCall" in part:
        call = part["functionCall"]
        return ToolCall(ids.call(call.get("id"), call["name"]), call["name"], call.get("args") or {}, extra=extra)
    if "functionResponse" in part:
        return _result(part["functionResponse"], ids)
    if "inlineData" in part or "fileData" in part:
        return _media(part) or VendorPart("google", part)
    return VendorPart("google", part)


def _result(result: Mapping[str, Any], ids: _Ids) -> ToolResult:
    """A response with one field of the usual names holds the tool's text; any other is an object the tool answered with."""
    response = result["response"]
    only = next(iter(response), None) if len(response) == 1 else None
    said = response[only] if only in ("result", "output", "error") else response
    content: Any = said if isinstance(said, str) else orjson.dumps(said).decode()
    if pictures := [_media(part) for part in result.get("parts", ())]:
        content = (Text(content), *pictures)
    return ToolResult(ids.result(result.get("id"), result["name"]), content, result["name"], only == "error")


def _media(part: Mapping[str, Any]) -> Part | None:
    inline, stored = part.get("inlineData"), part.get("fileData")
    kind = (inline or stored or {}).get("mimeType") or ""
    make: Any = Image if kind.startswith("image/") else Audio if kind.startswith("audio/") else File
    if stored:
        return make(url=stored["fileUri"], media_type=kind or None)  # type: ignore[no-any-return]
    data = binary(inline["data"]) if inline else None
    return make(data=data, media_type=kind) if data else None
