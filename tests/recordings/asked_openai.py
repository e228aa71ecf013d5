"""Recorded chat requests in the OpenAI dialect, and in Ollama's and Cohere's, which differ from it in details."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from llmkit.values.messages import Audio, File, Image, Message, Part, Reasoning, Refusal, Text, ToolCall, ToolResult, VendorPart
from llmkit.values.options import Options
from llmkit.values.tools import JsonSchema, Tool, ToolLike

from .fields import (
    NOT_GIVEN,
    binary,
    data_url,
    is_int,
    number,
    schema_tool,
    share,
    take,
    texts,
    unambiguous,
    whole,
    without_nulls,
    word,
)

Asked = tuple[tuple[Message, ...], Options]

AUDIO = {"mp3": "audio/mpeg", "wav": "audio/wav"}
OWN_FIELD_BACK = ("openai_compatible", "xai")
"""Where no documentation names the field that takes thinking back, so that users who send it name it themselves."""
NOT_DOCUMENTED = {"deepseek": ("seed",)}
"""Parameters that a vendor's documentation does not have; who sends one anyway puts it into ``extra``."""
CHOICES = {"auto": "auto", "none": "none", "required": "required", "any": "required", "NONE": "none", "REQUIRED": "required"}


def openai_chat(request: Mapping[str, Any], provider: str) -> Asked:
    """https://platform.openai.com/docs/api-reference/chat/create"""
    asked = without_nulls(request)
    messages = tuple(_message(message, provider) for message in asked.pop("messages"))
    for name in ("model", "stream", "stream_options"):
        asked.pop(name, None)
    if provider == "openrouter" and set(asked.get("reasoning", {})) == {"effort"}:
        asked["reasoning_effort"] = asked.pop("reasoning")["effort"]
    options = Options(
        max_tokens=take(asked, whole, "max_completion_tokens", "max_tokens"),
        temperature=take(asked, number, "temperature"),
        top_p=take(asked, share, "top_p"),
        stop=take(asked, texts, "stop"),
        seed=None if "seed" in NOT_DOCUMENTED.get(provider, ()) else take(asked, is_int, "seed", "random_seed"),
        reasoning_effort=take(asked, word, "reasoning_effort"),
        tools=_tools(asked.pop("tools", None)),
        tool_choice=_choice(asked),
        response_format=_format(asked),
        extra=asked or None,
    )
    return messages, options


def ollama_chat(request: Mapping[str, Any], provider: str) -> Asked:
    """https://docs.ollama.com/api/chat"""
    asked = without_nulls(request)
    messages = _with_ids([_message(message, provider) for message in asked.pop("messages")])
    for name in ("model", "stream"):
        asked.pop(name, None)
    given = without_nulls(asked.pop("options", {}))
    wanted = take(asked, lambda value: value == "json" or isinstance(value, Mapping), "format")
    settled = {
        "max_tokens": take(given, whole, "num_predict"),
        "temperature": take(given, number, "temperature"),
        "top_p": take(given, share, "top_p"),
        "stop": take(given, texts, "stop"),
        "seed": take(given, is_int, "seed"),
    }
    if given:
        asked["options"] = given
    return messages, Options(
        **settled,
        tools=_tools(asked.pop("tools", None)),
        response_format=JsonSchema(wanted) if isinstance(wanted, Mapping) else wanted,
        extra=asked or None,
    )


def cohere_chat(request: Mapping[str, Any], provider: str) -> Asked:
    """https://docs.cohere.com/reference/chat"""
    asked = without_nulls(request)
    messages = tuple(_message(message, provider) for message in asked.pop("messages"))
    for name in ("model", "stream"):
        asked.pop(name, None)
    form = asked.get("response_format", {})
    schema = form.get("json_schema", form.get("schema"))
    if form:
        asked.pop("response_format")
    return messages, Options(
        max_tokens=take(asked, whole, "max_tokens"),
        temperature=take(asked, number, "temperature"),
        top_p=take(asked, share, "p"),
        stop=take(asked, texts, "stop_sequences"),
        seed=take(asked, is_int, "seed"),
        tools=_tools(asked.pop("tools", None)),
        tool_choice=_choice(asked),
        response_format=JsonSchema(schema) if schema else "json" if form else None,
        extra=asked or None,
    )


# ------------------------------------------------------------------------------------------------- what stands around


def _tools(listed: list[Mapping[str, Any]] | None) -> tuple[ToolLike, ...] | None:
    if not listed:
        return None
    return unambiguous([(_tool(tool), tool) for tool in listed])


def _tool(tool: Mapping[str, Any]) -> Tool | None:
    if not set(tool) <= {"type", "function"} or tool.get("type", "function") != "function":
        return None
    return schema_tool(tool["function"], "parameters", {"name", "description", "parameters", "strict"})


def _choice(asked: dict[str, Any]) -> str | None:
    choice = asked.get("tool_choice")
    if isinstance(choice, Mapping) and choice.get("type") == "function":
        return str(asked.pop("tool_choice")["function"]["name"])
    if isinstance(choice, str) and choice in CHOICES:
        return CHOICES[asked.pop("tool_choice")]
    return None


def _format(asked: dict[str, Any]) -> Any:
    form = asked.get("response_format", {})
    schema = form.get("json_schema")
    if form.get("type") == "json_object" and len(form) == 1:
        asked.pop("response_format")
        return "json"
    if form.get("type") != "json_schema" or not set(schema) <= {"name", "schema", "strict", "description"}:
        return None
    asked.pop("response_format")
    return JsonSchema(schema["schema"], schema["name"], schema.get("strict"), schema.get("description"))


# ----------------------------------------------------------------------------------------------------------- messages


def _message(message: Mapping[str, Any], provider: str) -> Message:
    said = without_nulls(message)
    role = said.pop("role")
    content = _content(said.pop("content", ""), provider)
    if role == "tool":
        return Message("tool", _result(said, content))
    content = [*_reasoning(said, provider), *content]
    if refusal := said.pop("refusal", None):
        content.append(Refusal(refusal))
    content += [_call(call) for call in said.pop("tool_calls", ())]
    content += [Image(data=binary(picture)) for picture in said.pop("images", ())]
    name = said.pop("name", None)
    said = {key: value for key, value in said.items() if value not in (False, [])}
    return Message("system" if role == "developer" else role, content, name, {provider: said} if said else None)


def _result(said: dict[str, Any], content: list[Part]) -> ToolResult:
    name = said.get("name", said.get("tool_name"))
    if all(type(part) is Text and part.extra is None for part in content):
        return ToolResult(said.get("tool_call_id", ""), "".join(part.text for part in content), name)  # type: ignore[union-attr]
    return ToolResult(said.get("tool_call_id", ""), tuple(content), name)  # type: ignore[arg-type]


def _reasoning(said: dict[str, Any], provider: str) -> list[Part]:
    found: list[Part] = []
    sent_as = {name: said[name] for name in ("reasoning", "reasoning_content", "reasoning_details") if name in said}
    details = said.pop("reasoning_details", None)
    thoughts = [said.pop(name, None) for name in ("reasoning_content", "reasoning", "thinking", "tool_plan")]
    text = next((thought for thought in thoughts if thought), "")
    if details or text or any(thought is not None for thought in thoughts):
        if provider not in OWN_FIELD_BACK:
            sent_as = {"reasoning_details": details} if details else {}
        found.append(Reasoning(text, provider=provider, extra={provider: sent_as} if sent_as else None))
    return found


def _call(call: Mapping[str, Any]) -> ToolCall:
    function = call["function"]
    arguments = function.get("arguments")
    if isinstance(arguments, Mapping):
        return ToolCall(call.get("id", ""), function["name"], arguments)
    try:
        parsed = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        return ToolCall(call["id"], function["name"], {}, arguments, valid=False)
    return ToolCall(call["id"], function["name"], parsed or {}, arguments)


def _with_ids(messages: list[Message]) -> tuple[Message, ...]:
    """The same messages, where calls and results have no ids: made-up ones, by order."""
    calls, results = 0, 0
    found = []
    for message in messages:
        content: list[Part] = []
        for part in message.content:
            if type(part) is ToolCall and not part.id:
                part = ToolCall(NOT_GIVEN.format(calls), part.name, part.arguments, part.raw, part.valid, part.extra)
                calls += 1
            elif type(part) is ToolResult and not part.call_id:
                part = ToolResult(NOT_GIVEN.format(results), part.content, part.name, part.is_error, part.extra)
                results += 1
            content.append(part)
        found.append(Message(message.role, content, message.name, message.extra))
    return tuple(found)


def _content(content: Any, provider: str) -> list[Part]:
    if isinstance(content, str):
        return [Text(content)] if content else []
    return [_part(part, provider) for part in content]


def _part(part: Mapping[str, Any], provider: str) -> Part:
    rest = {name: value for name, value in part.items() if name != "type"}
    kind = part.get("type", "text")
    if kind == "text":
        extra = {name: value for name, value in rest.items() if name != "text"}
        return Text(rest["text"], {provider: extra} if extra else None)
    if kind == "thinking" and isinstance(rest["thinking"], str):
        return Reasoning(rest["thinking"], provider=provider)
    made: Part | None = None
    if kind == "document" and set(rest["document"]) == {"data"} and len(rest["document"]["data"]) == 1:
        made = Text(next(iter(rest["document"]["data"].values())))  # how Cohere's own examples wrap a tool's text
    elif kind == "image_url":
        made = _image(rest["image_url"])
    elif kind == "input_audio":
        made = _audio(rest["input_audio"])
    elif kind == "file":
        made = _file(rest["file"].get("file_data"), rest["file"].get("filename"), rest["file"].get("file_id"))
    elif kind == "document_url":
        made = _file(rest["document_url"], rest.get("document_name"), None)
    return made or VendorPart(provider, part)


def _image(image: Any) -> Part:
    url, detail = (image, None) if isinstance(image, str) else (image["url"], image.get("detail"))
    found = data_url(url)
    return Image(data=found[0], media_type=found[1], detail=detail) if found else Image(url=url, detail=detail)


def _audio(audio: Any) -> Part | None:
    """``{"data", "format"}``, or base64 text alone, as Mistral takes it."""
    if isinstance(audio, str):
        audio = {"data": audio, "format": "wav"}
    data = binary(audio["data"])
    return Audio(data=data, media_type=AUDIO[audio["format"]]) if data else None


def _file(url: str | None, name: str | None, file_id: str | None) -> Part | None:
    if file_id:
        return File(file_id=file_id, name=name)
    if not url:
        return None
    found = data_url(url)
    return File(data=found[0], media_type=found[1], name=name) if found else File(url=url, name=name)
