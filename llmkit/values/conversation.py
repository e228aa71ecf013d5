"""What a user may write for a prompt, as messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmkit.errors import InvalidRequestError, shown
from llmkit.values.messages import Audio, File, Image, Message, Part, Text, ToolCall, ToolResult

if TYPE_CHECKING:
    from llmkit.values.requests import Prompt


def conversation(prompt: Prompt, system: str | None = None) -> tuple[Message, ...]:
    """A prompt as messages, with ``system`` before them.

    :raises InvalidRequestError: if it is empty or of a wrong type; the message says at which position.
    """
    if type(prompt) is str and system is None:
        return (Message("user", prompt),)
    if isinstance(prompt, str):
        messages = [Message("user", prompt)]
    elif isinstance(prompt, Message):
        messages = [prompt]
    elif isinstance(prompt, Sequence) and not isinstance(prompt, (bytes, bytearray)):
        messages = [_message(item, position) for position, item in enumerate(prompt)]
    else:
        raise InvalidRequestError(f"prompt: expected text, a Message or a list of them, got {type(prompt).__name__}")
    if system is not None:
        if not isinstance(system, str):
            raise InvalidRequestError(f"system: expected text, got {type(system).__name__}")
        messages.insert(0, Message("system", system))
    if not messages:
        raise InvalidRequestError("prompt: expected at least one message, got none")
    return tuple(messages)


def _message(item: Any, position: int) -> Message:
    if isinstance(item, Message):
        return item
    if isinstance(item, str):
        return Message("user", item)
    if isinstance(item, Mapping):
        try:
            return from_openai(item)
        except (AttributeError, KeyError, TypeError, ValueError) as problem:
            said = str(problem)
        raise InvalidRequestError(f"prompt[{position}]: no message in the form of OpenAI's API ({said})")
    raise InvalidRequestError(f"prompt[{position}]: expected text, a Message or a mapping, got {type(item).__name__}")


def from_openai(message: Mapping[str, Any]) -> Message:
    """A message in the form of OpenAI's chat API (https://platform.openai.com/docs/api-reference/chat/create) as a value.

    :raises ValueError: if its role or a part of its content is not known.
    """
    role: Any = {"developer": "system", "function": "tool"}.get(message.get("role", ""), message.get("role"))
    content = message.get("content")
    if role == "tool":
        text = content if isinstance(content, str) else "".join(part["text"] for part in content or ())
        return Message("tool", ToolResult(message["tool_call_id"], text, message.get("name")))
    if role not in ("system", "user", "assistant"):
        raise ValueError(f"role {shown(role)}")
    parts: list[Part] = []
    if isinstance(content, str):
        parts = [Text(content)] if content else []
    elif content is not None:
        parts = [_part(part) for part in content]
    parts += [_call(call) for call in message.get("tool_calls") or ()]
    return Message(role, parts, message.get("name"))


def _part(part: Any) -> Part:
    if not isinstance(part, Mapping):
        raise ValueError(f"content part of type {type(part).__name__}")
    kind = part.get("type")
    if kind == "text":
        return Text(part["text"])
    if kind == "image_url":
        image = part["image_url"]
        url = image if isinstance(image, str) else image["url"]
        detail = None if isinstance(image, str) else image.get("detail")
        data, media_type = _data_url(url)
        return Image(data, None if data is not None else url, media_type=media_type, detail=detail)
    if kind == "input_audio":
        audio = part["input_audio"]
        return Audio(_base64(audio["data"]), media_type=f"audio/{audio['format']}")
    if kind == "file":
        file = part["file"]
        if "file_id" in file:
            return File(file_id=file["file_id"], name=file.get("filename"))
        data, media_type = _data_url(file["file_data"])
        return File(data, media_type=media_type, name=file.get("filename"))
    raise ValueError(f"content part of type {shown(kind)}")


def _call(call: Mapping[str, Any]) -> ToolCall:
    from llmkit.wire.json import tool_arguments

    function = call["function"]
    raw = function.get("arguments")
    arguments, valid = tool_arguments(raw)
    return ToolCall(call["id"], function["name"], arguments, raw if isinstance(raw, str) else None, valid)


def _data_url(url: str) -> tuple[bytes | None, str | None]:
    if not url.startswith("data:"):
        return None, None
    head, _, data = url[5:].partition(",")
    return _base64(data), head.partition(";")[0] or None


def _base64(text: str) -> bytes:
    import base64

    return base64.b64decode(text, validate=True)
