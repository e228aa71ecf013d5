"""What goes out to Cohere, version 2: messages, tools and parameters (https://docs.cohere.com/reference/chat)."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from llmkit.errors import InvalidRequestError
from llmkit.values.messages import Image, Message, Part, Reasoning, Refusal, Text, ToolCall, ToolResult, VendorPart
from llmkit.values.options import Options
from llmkit.values.tools import Tool
from llmkit.wire.json import dump_json

NAME = "cohere"

PARAMETERS = (
    ("max_tokens", "max_tokens"),
    ("temperature", "temperature"),
    ("top_p", "p"),
    ("stop", "stop_sequences"),
    ("seed", "seed"),
)
"""llmkit's names and Cohere's."""

BUDGETS: Mapping[str, int] = {"minimal": 512, "low": 1024, "medium": 8192}
"""Tokens of thinking for efforts below the model's own: https://docs.cohere.com/docs/reasoning"""

TOOL_PLAN = "tool_plan"
"""Signature of reasoning that came as ``tool_plan``."""


def parameters(given: Options) -> dict[str, Any]:
    """The fields of the request's body for the options that are set."""
    sent = {theirs: value for ours, theirs in PARAMETERS if (value := getattr(given, ours)) is not None}
    sent.update(_tools(given))
    if given.response_format == "json":
        sent["response_format"] = {"type": "json_object"}
    elif given.response_format is not None:
        sent["response_format"] = {"type": "json_object", "json_schema": given.response_format.schema}
    if given.reasoning_effort is not None:
        sent["thinking"] = _thinking(given.reasoning_effort)
    return sent


def messages(conversation: Sequence[Message]) -> list[dict[str, Any]]:
    """The conversation in Cohere's form, each tool's result as a message of its own."""
    sent: list[dict[str, Any]] = []
    for message in conversation:
        results = [part for part in message.content if isinstance(part, ToolResult)]
        sent += [{"role": "tool", "tool_call_id": result.call_id, "content": _result(result)} for result in results]
        rest = [part for part in message.content if not isinstance(part, ToolResult)]
        if rest or not results:
            sent.append(_message(message.role, rest))
    return sent


def _message(role: str, parts: Sequence[Part]) -> dict[str, Any]:
    sent: dict[str, Any] = {"role": role}
    content = [block for part in parts if (block := _block(part)) is not None]
    calls = [part for part in parts if isinstance(part, ToolCall)]
    plan = "".join([part.text for part in parts if isinstance(part, Reasoning) and _is_plan(part)])
    if len(content) == 1 and content[0]["type"] == "text":
        sent["content"] = content[0]["text"]
    elif content or not calls:
        sent["content"] = content or ""
    if calls:
        sent["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _arguments(call)}} for call in calls
        ]
    if plan:
        sent["tool_plan"] = plan
    return sent


def _block(part: Part) -> dict[str, Any] | None:
    """A content block, or None for what stands elsewhere in the message or is another vendor's."""
    if isinstance(part, (Text, Refusal)):
        return {"type": "text", "text": part.text}
    if isinstance(part, Image) and part.file_id is None:
        url = part.url
        if part.data is not None:
            url = f"data:{part.media_type or 'image/png'};base64,{base64.b64encode(part.data).decode()}"
        return {"type": "image_url", "image_url": {"url": url, **({"detail": part.detail} if part.detail else {})}}
    if isinstance(part, Reasoning) and part.text and part.provider in (None, NAME) and not _is_plan(part):
        return {"type": "thinking", "thinking": part.text}
    if isinstance(part, VendorPart) and part.provider == NAME:
        return dict(part.data)
    return None


def _is_plan(part: Reasoning) -> bool:
    return part.provider == NAME and part.signature == TOOL_PLAN


def _arguments(call: ToolCall) -> str:
    return call.raw if call.raw and call.valid else dump_json(call.arguments).decode()


def _result(result: ToolResult) -> str | list[dict[str, Any]]:
    """Text or Cohere's own document blocks; a tool's answer takes nothing else.

    :raises InvalidRequestError: if it holds another part.
    """
    if isinstance(result.content, str):
        return result.content
    blocks = []
    for part in result.content:
        block = None if isinstance(part, Image) else _block(part)
        if block is None:
            raise InvalidRequestError(f"Cohere takes no {part.type} in a tool's answer", provider=NAME)
        blocks.append(block)
    return blocks


def _tools(given: Options) -> dict[str, Any]:
    """Tools and the say in their use: ``tool_choice`` knows only REQUIRED and NONE, and strictness is one for all tools."""
    sent: dict[str, Any] = {}
    if given.tools:
        sent["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            }
            if isinstance(tool, Tool)
            else tool
            for tool in given.tools
        ]
        if any(isinstance(tool, Tool) and tool.strict for tool in given.tools):
            sent["strict_tools"] = True
    if given.tool_choice in ("required", "none"):
        sent["tool_choice"] = given.tool_choice.upper()
    return sent


def _thinking(effort: str) -> dict[str, Any]:
    effort = effort.lower()
    if effort in ("none", "disabled"):
        return {"type": "disabled"}
    return {"type": "enabled", **({"token_budget": BUDGETS[effort]} if effort in BUDGETS else {})}
