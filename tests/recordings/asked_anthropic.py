"""Recorded chat requests in Anthropic's dialect: https://platform.claude.com/docs/en/api/messages"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmkit.values.messages import File, Image, Message, Part, Reasoning, Text, ToolCall, ToolResult, VendorPart
from llmkit.values.options import Options
from llmkit.values.tools import JsonSchema, Tool

from .fields import binary, number, schema_tool, share, take, texts, unambiguous, whole, without_nulls

CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def anthropic_chat(request: Mapping[str, Any], provider: str) -> tuple[tuple[Message, ...], Options]:
    """The messages and the options of a recorded request."""
    asked = without_nulls(request)
    messages = [message for turn in asked.pop("messages") for message in _turn(turn)]
    if system := asked.pop("system", None):
        messages.insert(0, Message("system", _content(system)))
    for name in ("model", "stream", "anthropic_version"):
        asked.pop(name, None)
    wanted = _schema(asked)
    effort = asked.get("output_config", {}).get("effort")
    if effort and len(asked["output_config"]) == 1 and "thinking" not in asked:
        asked.pop("output_config")
    else:
        effort = None
    tools = asked.pop("tools", None)
    options = Options(
        max_tokens=take(asked, whole, "max_tokens"),
        temperature=take(asked, number, "temperature"),
        top_p=take(asked, share, "top_p"),
        stop=take(asked, texts, "stop_sequences"),
        reasoning_effort=effort,
        tools=unambiguous([(_tool(tool), tool) for tool in tools]) if tools else None,
        tool_choice=_choice(asked),
        response_format=wanted,
        extra=asked or None,
    )
    return tuple(messages), options


def _schema(asked: dict[str, Any]) -> JsonSchema | None:
    config = dict(asked.pop("output_config", {}))
    form = config.pop("format", None) or asked.pop("output_format", None)
    if config:
        asked["output_config"] = config
    return JsonSchema(form["schema"]) if form else None


def _tool(tool: Mapping[str, Any]) -> Tool | None:
    if tool.get("type", "custom") != "custom" or "input_schema" not in tool:
        return None
    return schema_tool(tool, "input_schema", {"type", "name", "description", "input_schema", "strict"})


def _choice(asked: dict[str, Any]) -> str | None:
    choice = asked.get("tool_choice")
    if not choice or choice.get("disable_parallel_tool_use"):
        return None
    asked.pop("tool_choice")
    return str(choice["name"]) if choice["type"] == "tool" else CHOICES[choice["type"]]


def _turn(turn: Mapping[str, Any]) -> list[Message]:
    """A user's turn may hold tool results and text, which llmkit says in two messages."""
    content = _content(turn["content"])
    results = [part for part in content if type(part) is ToolResult]
    rest = [part for part in content if type(part) is not ToolResult]
    messages = [Message("tool", results)] if results else []
    return [*messages, Message(turn["role"], rest)] if rest or not results else messages


def _content(content: Any) -> list[Part]:
    return [Text(content)] if isinstance(content, str) else [_block(block) for block in content]


def _block(block: Mapping[str, Any]) -> Part:
    kind = block["type"]
    attached = {name: block[name] for name in ("cache_control", "citations") if block.get(name) is not None}
    extra = {"anthropic": attached} if attached else None
    made: Part | None = None
    if kind == "text":
        made = Text(block["text"], extra)
    elif kind == "thinking":
        made = Reasoning(block["thinking"], block.get("signature"), provider="anthropic")
    elif kind == "redacted_thinking":
        made = Reasoning(redacted=block["data"], provider="anthropic")
    elif kind == "tool_use":
        made = ToolCall(block["id"], block["name"], block["input"], extra=extra)
    elif kind == "tool_result":
        made = _result(block, extra)
    elif kind == "image":
        made = _media(Image, block["source"], {"extra": extra})
    elif kind == "document":
        made = _media(File, block["source"], {"extra": extra, "name": block.get("title")})
    return made or VendorPart("anthropic", block)


def _media(make: type[Image] | type[File], source: Mapping[str, Any], rest: dict[str, Any]) -> Part | None:
    kind = source["type"]
    if kind == "base64":
        data = binary(source["data"])
        return make(data=data, media_type=source["media_type"], **rest) if data else None
    if kind == "url":
        return make(url=source["url"], **rest)
    if kind == "file":
        return make(file_id=source["file_id"], **rest)
    if kind == "text":
        return make(data=source["data"].encode(), media_type=source["media_type"], **rest)
    return None


def _result(block: Mapping[str, Any], extra: Mapping[str, Any] | None) -> ToolResult | None:
    content = block.get("content") or ""
    if not isinstance(content, str):
        parts = _content(content)
        if not all(isinstance(part, (Text, Image, File)) for part in parts):
            return None
        content = tuple(parts)
    return ToolResult(block["tool_use_id"], content, is_error=bool(block.get("is_error")), extra=extra)
