"""Conversations in the form of Anthropic's Messages API: https://platform.claude.com/docs/en/api/messages

Differences to the common form: the system text stands above the messages, tool results are blocks of the user's turn, and
turns of one role that follow each other are one turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from llmkit.errors import InvalidRequestError
from llmkit.values.messages import (
    Extra,
    File,
    Image,
    Message,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    VendorPart,
)
from llmkit.values.tools import JsonSchema, Tool
from llmkit_providers._dialects.media import base64, media_type

PROVIDER = "anthropic"
"""The key of ``extra``, and the ``provider`` of parts, that belong to this dialect."""

Block = dict[str, Any]


def conversation(messages: Iterable[Message]) -> tuple[str | list[Block] | None, list[Block]]:
    """The ``system`` field (None where there is none) and the ``messages`` field."""
    system: list[Block] = []
    turns: list[Block] = []
    for message in messages:
        blocks = _blocks(message.content)
        if message.role == "system":
            system += blocks
            continue
        role = "assistant" if message.role == "assistant" else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        turn["content"] = _short(turn["content"])
    return (_short(system) if system else None), turns


def mark(body: dict[str, Any]) -> None:
    """Ask for the prompt to be kept: a breakpoint at the end of the system text (or of the tools, where there is none), for calls
    that begin alike, and one at the end of the last turn, for the conversation's next call. At most four breakpoints are allowed.

    https://platform.claude.com/docs/en/build-with-claude/prompt-caching
    """
    if "system" in body:
        body["system"] = _marked(body["system"])
    elif body.get("tools"):
        body["tools"] = _marked(body["tools"])
    if body["messages"]:
        body["messages"][-1]["content"] = _marked(body["messages"][-1]["content"])


def _marked(blocks: str | list[Block]) -> list[Block]:
    listed: list[Block] = [{"type": "text", "text": blocks}] if isinstance(blocks, str) else list(blocks)
    for position in reversed(range(len(listed))):
        if listed[position].get("type") not in ("thinking", "redacted_thinking"):  # these take no mark
            listed[position] = {"cache_control": {"type": "ephemeral"}, **listed[position]}
            break
    return listed


def _short(blocks: list[Block]) -> str | list[Block]:
    """A single plain text in its short form."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"} and blocks[0]["type"] == "text":
        return str(blocks[0]["text"])
    return blocks


def _blocks(parts: Iterable[Part]) -> list[Block]:
    blocks: list[Block] = []
    for part in parts:
        if type(part) is Text and not part.text:
            # Empty text is refused; the marks that a stream puts on one belong to the text before it.
            if blocks and blocks[-1]["type"] == "text":
                blocks[-1].update(_own(part.extra))
            continue
        block = _block(part)
        if block is not None:
            blocks.append(block)
    return blocks


def _own(extra: Extra) -> Mapping[str, Any]:
    """What this vendor attached to a part, or wants attached: ``cache_control``, ``citations``, ``caller``."""
    own = extra.get(PROVIDER) if extra else None
    return own if isinstance(own, Mapping) else {}


def _block(part: Part) -> Block | None:
    """One content block; None for what belongs to another vendor."""
    if isinstance(part, (Text, Refusal)):
        block: Block = {"type": "text", "text": part.text}
    elif isinstance(part, Image):
        block = {"type": "image", "source": _source(part)}
    elif isinstance(part, File):
        block = {"type": "document", "source": _source(part), **({"title": part.name} if part.name else {})}
    elif isinstance(part, ToolCall):
        block = {"type": "tool_use", "id": _id(part.id), "name": part.name, "input": part.arguments}
    elif isinstance(part, ToolResult):
        block = _tool_result(part)
    elif isinstance(part, Reasoning):
        return _thinking(part)
    elif isinstance(part, VendorPart):
        return dict(part.data) if part.provider == PROVIDER else None
    else:
        raise InvalidRequestError("anthropic takes no audio in messages", provider=PROVIDER)
    return {**block, **_own(part.extra)}


def _id(call_id: str) -> str:
    """Ids may hold letters, digits, ``_`` and ``-``; those of other vendors (``functions.f:0``) are made to fit.

    https://platform.claude.com/docs/en/api/messages, ``tool_use.id``
    """
    return re.sub(r"[^a-zA-Z0-9_-]", "_", call_id)


def _thinking(part: Reasoning) -> Block | None:
    """Thinking goes back unchanged, and only where it came from; without its signature it is refused.

    https://platform.claude.com/docs/en/build-with-claude/extended-thinking#preserving-thinking-blocks
    """
    if part.provider != PROVIDER:
        return None
    if part.redacted is not None:
        return {"type": "redacted_thinking", "data": part.redacted}
    if part.signature is not None:
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    return None


def _tool_result(part: ToolResult) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": _id(part.call_id)}
    content = part.content if isinstance(part.content, str) else _blocks(part.content)
    if content:
        block["content"] = content
    if part.is_error:
        block["is_error"] = True
    return block


def _source(part: Image | File) -> Block:
    """https://platform.claude.com/docs/en/build-with-claude/vision and .../pdf-support, .../files"""
    if part.url is not None:
        return {"type": "url", "url": part.url}
    if part.file_id is not None:
        return {"type": "file", "file_id": part.file_id}
    kind = media_type(part)
    if isinstance(part, File) and kind.startswith("text/"):
        return {"type": "text", "media_type": "text/plain", "data": (part.data or b"").decode("utf-8", "replace")}
    return {"type": "base64", "media_type": kind, "data": base64(part)}


def tools(given: Iterable[Tool | Mapping[str, Any]]) -> list[Block]:
    """The ``tools`` field; a mapping (a tool that the vendor runs) goes as it is."""
    return [_tool(tool) if isinstance(tool, Tool) else dict(tool) for tool in given]


def _tool(tool: Tool) -> Block:
    block: Block = {"name": tool.name, "input_schema": tool.parameters}
    if tool.description:
        block["description"] = tool.description
    if tool.strict is not None:
        block["strict"] = tool.strict
        block["input_schema"] = closed(tool.parameters) if tool.strict else tool.parameters
    return block


def tool_choice(choice: str) -> Block:
    """The ``tool_choice`` field: https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools"""
    if choice in ("auto", "none"):
        return {"type": choice}
    return {"type": "any"} if choice == "required" else {"type": "tool", "name": choice}


def output_format(wanted: JsonSchema) -> Block:
    """``output_config.format``: https://platform.claude.com/docs/en/build-with-claude/structured-outputs"""
    return {"type": "json_schema", "schema": closed(wanted.schema)}


def closed(schema: Any) -> Any:
    """The schema with ``additionalProperties: false`` on every object that says nothing about it.

    Structured outputs refuse objects without it:
    https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
    """
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    copy = {key: _members(value) if key in _NAMED else _inside(key, value) for key, value in schema.items()}
    if copy.get("type") == "object" or "properties" in copy:
        copy.setdefault("additionalProperties", False)
    return copy


_NAMED = ("properties", "$defs", "definitions", "patternProperties")
_VALUES = ("enum", "const", "default", "examples", "required")


def _members(schemas: Any) -> Any:
    return {name: closed(schema) for name, schema in schemas.items()} if isinstance(schemas, Mapping) else schemas


def _inside(key: str, value: Any) -> Any:
    return value if key in _VALUES else closed(value)
