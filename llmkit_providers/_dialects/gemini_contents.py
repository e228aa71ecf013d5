"""Conversations in the form of Gemini's generateContent: https://ai.google.dev/api/generate-content

Differences to the common form: the system text is ``systemInstruction``, the assistant is ``model``, results of tools are parts
of the user's turn and carry the tool's name.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llmkit.errors import InvalidRequestError
from llmkit.values.messages import (
    Audio,
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
from llmkit.values.tools import Tool
from llmkit_providers._dialects.media import base64, media_type

PROVIDER = "google"
"""The key of ``extra``, and the ``provider`` of parts, that belong to this dialect."""

NO_SIGNATURE = "skip_thought_signature_validator"
"""Stands for the signature of a call that another model made; models that check signatures refuse a call without one.
https://ai.google.dev/gemini-api/docs/thought-signatures"""

Json = dict[str, Any]


def conversation(messages: Sequence[Message], needs_signature: bool) -> tuple[Json | None, list[Json]]:
    """The ``systemInstruction`` (None where there is none) and the ``contents``.

    :param needs_signature: whether the model refuses calls without a thought signature.
    """
    system: list[Json] = []
    contents: list[Json] = []
    names: dict[str, str] = {}
    for message in messages:
        names.update({call.id: call.name for call in message.tool_calls})
        parts = _parts(message.content, names)
        if message.role == "system":
            system += parts
            continue
        if message.role == "assistant" and needs_signature:
            _sign(parts)
        role = "model" if message.role == "assistant" else "user"
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        elif parts:
            contents.append({"role": role, "parts": parts})
        elif role == "user" and any(isinstance(part, Text) for part in message.content):
            contents.append({"role": role, "parts": [{"text": ""}]})  # taken, where no contents at all are refused
    return ({"parts": system} if system else None), contents


def _sign(parts: list[Json]) -> None:
    """Of several calls at once, Gemini signs the first."""
    calls = [part for part in parts if "functionCall" in part]
    if calls and not any("thoughtSignature" in part for part in calls):
        calls[0]["thoughtSignature"] = NO_SIGNATURE


def _parts(parts: Iterable[Part], names: Mapping[str, str]) -> list[Json]:
    return [found for part in parts if (found := _part(part, names)) is not None]


def _own(extra: Extra) -> Mapping[str, Any]:
    """What this vendor attached to a part, or wants attached: ``thoughtSignature``, ``videoMetadata``."""
    own = extra.get(PROVIDER) if extra else None
    return own if isinstance(own, Mapping) else {}


def _part(part: Part, names: Mapping[str, str]) -> Json | None:
    """One part; None for what belongs to another vendor, and for empty text."""
    if isinstance(part, VendorPart):
        return dict(part.data) if part.provider == PROVIDER else None
    if isinstance(part, Reasoning):
        if part.provider != PROVIDER or part.signature is None:
            return None
        return {"text": part.text, "thought": True, "thoughtSignature": part.signature}
    own = _own(part.extra)
    if isinstance(part, (Text, Refusal)):
        return {"text": part.text, **own} if part.text or own else None
    if isinstance(part, ToolCall):
        return {"functionCall": {"name": part.name, "args": part.arguments, **_id(part.id)}, **own}
    if isinstance(part, ToolResult):
        return {"functionResponse": _function_response(part, names), **own}
    return {**_media(part), **own}


def _id(call_id: str) -> dict[str, str]:
    """Ids that begin with ``call_`` are not Google's (llmkit's own for answers without ids, or another vendor's); without ids,
    calls and results belong together by name and order."""
    return {} if call_id.startswith("call_") else {"id": call_id}


def _function_response(part: ToolResult, names: Mapping[str, str]) -> Json:
    """https://ai.google.dev/api/caching#FunctionResponse: ``output`` and ``error`` are the documented keys."""
    name = part.name or names.get(part.call_id)
    if name is None:
        raise InvalidRequestError(
            f"the tool result for call {part.call_id!r} has no name, and no earlier message holds that call", provider=PROVIDER
        )
    texts = [part.content] if isinstance(part.content, str) else [item.text for item in part.content if isinstance(item, Text)]
    media = [] if isinstance(part.content, str) else [_media(item) for item in part.content if not isinstance(item, Text)]
    response: Json = {"name": name, "response": {"error" if part.is_error else "output": "".join(texts)}, **_id(part.call_id)}
    if media:
        response["parts"] = media
    return response


def _media(part: Image | Audio | File) -> Json:
    """https://ai.google.dev/gemini-api/docs/file-input-methods"""
    if part.data is not None:
        return {"inlineData": {"mimeType": media_type(part), "data": base64(part)}}
    uri = part.url or part.file_id or ""
    kind = part.media_type or mimetypes.guess_type(uri.partition("?")[0])[0]
    return {"fileData": {**({"mimeType": kind} if kind else {}), "fileUri": uri}}


def tools(given: Iterable[Tool | Mapping[str, Any]]) -> list[Json]:
    """The ``tools`` field; a mapping (``{"googleSearch": {}}``) goes as it is.

    Parameters go as ``parametersJsonSchema``, which takes JSON schema as it is; ``parameters`` would take a part of it only.
    """
    functions = [_function(tool) for tool in given if isinstance(tool, Tool)]
    others = [dict(tool) for tool in given if not isinstance(tool, Tool)]
    return [*([{"functionDeclarations": functions}] if functions else []), *others]


def _function(tool: Tool) -> Json:
    described = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **described, "parametersJsonSchema": tool.parameters}


def tool_config(choice: str) -> Json:
    """The ``toolConfig`` field: https://ai.google.dev/gemini-api/docs/function-calling#function_calling_modes"""
    modes = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
    if choice in modes:
        return {"functionCallingConfig": {"mode": modes[choice]}}
    return {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [choice]}}
