"""Writing messages, tools and answer formats in the OpenAI chat-completions dialect:
https://platform.openai.com/docs/api-reference/chat/create"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmkit.errors import InvalidRequestError
from llmkit.values.messages import (
    Audio,
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
from llmkit.wire.json import dump_json

if TYPE_CHECKING:
    from llmkit.values.tools import JsonSchema, Tool, ToolLike
    from llmkit_providers._dialects.openai_chat import OpenAIChat


def encode_messages(messages: Sequence[Message], vendor: OpenAIChat) -> list[dict[str, Any]]:
    """The ``messages`` field. A tool result becomes a ``tool`` message of its own, ahead of what else its message says."""
    encoded: list[dict[str, Any]] = []
    tools: bool | None = None
    for message in messages:
        if message.role == "user" and len(message.content) == 1 and type(message.content[0]) is Text and not message.extra:
            only = message.content[0]
            if not only.extra and message.name is None:  # what most messages are
                encoded.append({"role": "user", "content": only.text})
                continue
        results = [part for part in message.content if type(part) is ToolResult]
        encoded += [vendor.tool_message(result) for result in results]
        if results and len(results) == len(message.content):
            continue
        if message.role == "tool":
            raise InvalidRequestError("a tool message holds tool results only")
        if tools is None:
            tools = any([turn.role == "assistant" and turn.tool_calls for turn in messages])
        encoded.append(_message(message, vendor, tools))
    return encoded


def _message(message: Message, vendor: OpenAIChat, tools: bool) -> dict[str, Any]:
    if message.role == "assistant":
        encoded = _assistant(message, vendor, tools)
    else:
        encoded = {"role": message.role, "content": content(message.content, vendor, lists=message.role == "user")}
    if message.name is not None and vendor.message_names:
        encoded["name"] = message.name
    encoded.update(own(message.extra, vendor))
    return encoded


def _assistant(message: Message, vendor: OpenAIChat, tools: bool) -> dict[str, Any]:
    said: list[Part] = []
    calls: list[dict[str, Any]] = []
    encoded: dict[str, Any] = {"role": "assistant", "content": None}
    for part in message.content:
        if type(part) is ToolCall:
            calls.append(_call(part, vendor))
        elif type(part) is Refusal and vendor.refusal_field:
            encoded["refusal"] = encoded.get("refusal", "") + part.text
        elif type(part) is Refusal:
            said.append(Text(part.text))
        elif type(part) is Reasoning:
            encoded.update(own(part.extra, vendor))
        elif type(part) is not ToolResult:
            said.append(part)
    if said:
        encoded["content"] = content(said, vendor, lists=False)
    if calls:
        encoded["tool_calls"] = calls
    elif not said and "refusal" not in encoded:
        encoded["content"] = ""
    thoughts = [part for part in message.content if type(part) is Reasoning and part.provider in (None, vendor.name)]
    vendor.send_back(thoughts, encoded, tools)
    return encoded


def _call(call: ToolCall, vendor: OpenAIChat) -> dict[str, Any]:
    attached = own(call.extra, vendor)
    if attached.get("type") == "custom":
        custom = {"name": call.name, "input": call.arguments.get("input", "")}
        return {"id": vendor.call_id(call.id), "type": "custom", "custom": custom}
    arguments = call.raw if call.raw and (not call.valid or call.raw.lstrip().startswith("{")) else None
    if arguments is None:
        arguments = dump_json(dict(call.arguments)).decode()
    function = {"name": call.name, "arguments": arguments}
    return {"id": vendor.call_id(call.id), "type": "function", "function": function, **attached}


def own(extra: Mapping[str, Any] | None, vendor: OpenAIChat) -> Mapping[str, Any]:
    """What ``extra`` holds for this vendor."""
    mine = extra.get(vendor.name) if extra else None
    return mine if isinstance(mine, Mapping) else {}


def content(parts: Sequence[Part], vendor: OpenAIChat, *, lists: bool) -> str | list[dict[str, Any]]:
    """Parts as a ``content`` field: one text, or a list. Texts alone are joined unless ``lists``, because many servers take a
    list from users only."""
    texts = [part for part in parts if type(part) is Text and not own(part.extra, vendor)]
    if len(texts) == len(parts) and (len(texts) < 2 or not lists or not vendor.text_lists):
        return "".join([part.text for part in texts])
    encoded = []
    for part in parts:
        if type(part) is VendorPart:
            if part.provider == vendor.name:
                encoded.append(dict(part.data))
        elif type(part) not in (Reasoning, ToolResult):
            encoded.append(_part(part, vendor))
    return encoded


def _part(part: Part, vendor: OpenAIChat) -> dict[str, Any]:
    if type(part) is Text:
        return {"type": "text", "text": part.text, **own(part.extra, vendor)}
    if type(part) is Image:
        return {**vendor.image_part(part), **own(part.extra, vendor)}
    if type(part) is Audio:
        return {**vendor.audio_part(part), **own(part.extra, vendor)}
    if type(part) is File:
        return {**vendor.file_part(part), **own(part.extra, vendor)}
    raise InvalidRequestError(f"a {part.type} part cannot stand in this message")


def encode_tools(tools: Sequence[ToolLike], strict: bool) -> list[dict[str, Any]]:
    """The ``tools`` field; mappings go out as they are.

    :param strict: whether the vendor takes ``strict``.
    """
    return [dict(tool) if isinstance(tool, Mapping) else _tool(tool, strict) for tool in tools]


def _tool(tool: Tool, strict: bool) -> dict[str, Any]:
    return {"type": "function", "function": _named(tool, "parameters", tool.parameters, strict)}


def encode_schema(wanted: JsonSchema, strict: bool) -> dict[str, Any]:
    """The ``response_format`` for a JSON schema: https://platform.openai.com/docs/guides/structured-outputs

    :param strict: whether the vendor takes ``strict``.
    """
    return {"type": "json_schema", "json_schema": _named(wanted, "schema", wanted.schema, strict)}


def _named(given: Tool | JsonSchema, field: str, schema: Any, strict: bool) -> dict[str, Any]:
    """A schema under its name, with ``strict`` where the vendor takes it and the caller says so."""
    named: dict[str, Any] = {"name": given.name}
    if given.description:
        named["description"] = given.description
    named[field] = strict_schema(schema) if strict and given.strict else schema
    if strict and given.strict is not None:
        named["strict"] = given.strict
    return named


def strict_schema(schema: Any) -> Any:
    """A JSON schema under the rules of strict mode: every object closed and every property required.

    https://platform.openai.com/docs/guides/structured-outputs#supported-schemas. What the schema says itself
    (``additionalProperties: true``) is left alone; the vendor refuses what it cannot enforce.
    """
    if isinstance(schema, (list, tuple)):
        return [strict_schema(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    closed = {name: _inner(name, value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), Mapping):
        closed.setdefault("additionalProperties", False)
        given = [name for name in schema.get("required") or () if name in schema["properties"]]
        closed["required"] = given + [name for name in schema["properties"] if name not in given]
    elif schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


def _inner(name: str, value: Any) -> Any:
    if name in ("enum", "const", "default", "examples"):
        return value
    if name in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
        return {key: strict_schema(item) for key, item in value.items()}
    return strict_schema(value)
