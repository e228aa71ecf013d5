"""What a vendor of the OpenAI dialect refuses, and how it words it.

Sentences and codes follow what the vendors answer: https://platform.openai.com/docs/guides/error-codes,
https://platform.openai.com/docs/guides/structured-outputs, https://docs.perplexity.ai/api-reference/chat-completions-post
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from llmkit.simulated import Refusal, texts_in
from llmkit_providers.simulated.openai_dialects import Dialect

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
PARTS = ("text", "image_url", "input_audio", "file", "refusal", "thinking", "reference", "video_url", "document_url", "file_url")
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
TYPES: Mapping[str, tuple[Any, str]] = {
    "temperature": ((int, float), "a decimal"),
    "top_p": ((int, float), "a decimal"),
    "frequency_penalty": ((int, float), "a decimal"),
    "presence_penalty": ((int, float), "a decimal"),
    "max_tokens": (int, "an integer"),
    "max_completion_tokens": (int, "an integer"),
    "seed": (int, "an integer"),
    "random_seed": (int, "an integer"),
    "n": (int, "an integer"),
    "stream": (bool, "a boolean"),
    "parallel_tool_calls": (bool, "a boolean"),
    "stop": ((str, list), "a string or an array of strings"),
    "tools": (list, "an array of objects"),
    "tool_choice": ((str, dict), "a string or an object"),
    "response_format": (dict, "an object"),
    "stream_options": (dict, "an object"),
    "reasoning_effort": (str, "a string"),
}
RANGES = {
    "temperature": (0, 2), "top_p": (0, 1), "frequency_penalty": (-2, 2), "presence_penalty": (-2, 2), "max_tokens": (1, 10**9),
    "max_completion_tokens": (1, 10**9), "n": (1, 128),
}  # fmt: skip


def wrong(message: str, param: str | None = None, code: str | None = None) -> Refusal:
    """The refusal of a field."""
    return Refusal("invalid", message, param=param, code=code)


def check_chat(body: Mapping[str, Any], vendor: str, dialect: Dialect) -> None:
    """Refuse a chat request the vendor would refuse.

    :raises Refusal: at the first fault.
    """
    _check_fields(body, vendor, dialect)
    _check_types(body)
    check_messages(body.get("messages"), dialect)
    _check_tools(body)
    _check_format(body, dialect, strict=vendor in ("openai", "azure_openai"))
    if vendor in ("openai", "azure_openai"):
        _check_reasoning_model(body)


def _check_fields(body: Mapping[str, Any], vendor: str, dialect: Dialect) -> None:
    for name in ("messages",) if vendor == "azure_openai" else ("model", "messages"):
        if name not in body:
            if vendor == "mistral":
                raise Refusal("unprocessable", "Field required", param=name, code="missing")
            raise wrong(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
    for name in body:
        if dialect.fields is not None and name not in dialect.fields:
            if vendor == "mistral":
                raise Refusal("unprocessable", "Extra inputs are not permitted", param=name, code="extra_forbidden")
            if vendor == "groq":
                raise wrong(f"property '{name}' is unsupported")
            raise wrong(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    if not isinstance(body.get("model", ""), str):
        raise wrong("Invalid type for 'model': expected a string.", "model", "invalid_type")


def _check_types(body: Mapping[str, Any]) -> None:
    for name, (types, words) in TYPES.items():
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, types) or (isinstance(value, bool) and types is not bool):
            given = type(value).__name__
            raise wrong(f"Invalid type for '{name}': expected {words}, but got {given} instead.", name, "invalid_type")
        if name in RANGES and not RANGES[name][0] <= value <= RANGES[name][1]:
            low, high = RANGES[name]
            words = f"Invalid '{name}': expected a value from {low} to {high}, but got {value} instead."
            raise wrong(words, name, "invalid_value")
    stop = body.get("stop")
    if isinstance(stop, list) and (len(stop) > 4 or not all(isinstance(text, str) for text in stop)):
        raise wrong("Invalid 'stop': expected an array of at most 4 strings.", "stop", "array_above_max_length")
    if body.get("stream_options") is not None and not body.get("stream"):
        raise wrong("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")


def check_messages(messages: Any, dialect: Dialect) -> None:
    """Refuse a conversation that is none."""
    if not isinstance(messages, list):
        raise wrong("Invalid type for 'messages': expected an array of objects.", "messages", "invalid_type")
    if not messages:
        raise wrong("Invalid 'messages': empty array. Expected an array with minimum length 1.", "messages", "empty_array")
    waiting: list[str] = []
    for number, message in enumerate(messages):
        at = f"messages[{number}]"
        if not isinstance(message, dict):
            raise wrong(f"Invalid type for '{at}': expected an object.", at, "invalid_type")
        role = message.get("role")
        if role not in ROLES:
            raise wrong(f"Invalid value: '{role}'. Supported values are: {', '.join(ROLES)}.", f"{at}.role", "invalid_value")
        if role == "tool":
            _check_result(message, waiting, at)
            continue
        _check_all_answered(waiting, at)
        _check_content(message, at)
        waiting = _calls(message, at) if role == "assistant" else []
    _check_all_answered(waiting, f"messages[{len(messages) - 1}]")
    if dialect.alternate:
        _check_turns(messages)


def _check_result(message: Mapping[str, Any], waiting: list[str], at: str) -> None:
    if not isinstance(message.get("tool_call_id"), str):
        raise wrong(f"Missing required parameter: '{at}.tool_call_id'.", f"{at}.tool_call_id", "missing_required_parameter")
    if message["tool_call_id"] not in waiting:
        words = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
        raise wrong(words, f"{at}.role")
    waiting.remove(message["tool_call_id"])
    if not isinstance(message.get("content"), (str, list)):
        raise wrong(f"Invalid type for '{at}.content': expected a string.", f"{at}.content", "invalid_type")


def _check_all_answered(waiting: list[str], at: str) -> None:
    if waiting:
        raise wrong(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
            f"The following tool_call_ids did not have response messages: {', '.join(waiting)}",
            at,
        )


def _check_content(message: Mapping[str, Any], at: str) -> None:
    content = message.get("content")
    if isinstance(content, list):
        for number, part in enumerate(content):
            field = f"{at}.content[{number}]"
            kind = part.get("type") if isinstance(part, dict) else None
            if kind not in PARTS:
                raise wrong(f"Invalid value: '{kind}'. Supported values are: {', '.join(PARTS)}.", f"{field}.type")
            if kind == "text" and not isinstance(part.get("text"), str):
                raise wrong(f"Missing required parameter: '{field}.text'.", f"{field}.text")
            if kind == "image_url" and not isinstance(part.get("image_url"), (dict, str)):
                raise wrong(f"Missing required parameter: '{field}.image_url'.", f"{field}.image_url")
    elif content is None:
        instead = ("tool_calls", "refusal", "function_call", "audio")
        if message["role"] != "assistant" or not any(message.get(name) for name in instead):
            raise wrong(f"Invalid value for 'content': expected a string, got null. ({at}.content)", f"{at}.content")
    elif not isinstance(content, str):
        raise wrong(f"Invalid type for '{at}.content': expected a string or an array.", f"{at}.content", "invalid_type")


def _calls(message: Mapping[str, Any], at: str) -> list[str]:
    ids = []
    for number, call in enumerate(message.get("tool_calls") or ()):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(call.get("id"), str) or not isinstance(function.get("name"), str):
            field = f"{at}.tool_calls[{number}]"
            raise wrong(f"Invalid tool call: '{field}' needs an id and a function.", field)
        if not isinstance(function.get("arguments"), str):
            field = f"{at}.tool_calls[{number}].function.arguments"
            raise wrong(f"Invalid type for '{field}': expected a string.", field, "invalid_type")
        ids.append(call["id"])
    return ids


def _check_turns(messages: list[Mapping[str, Any]]) -> None:
    roles = [message["role"] for message in messages if message["role"] != "system"]
    if not roles or roles[-1] not in ("user", "tool"):
        raise Refusal("invalid", "Last message must have role `user` or `tool`.", code="invalid_message")
    if any(one == two for one, two in pairwise(roles) if one != "tool"):
        words = "After the (optional) system message(s), user or tool message(s) should alternate with assistant message(s)."
        raise Refusal("invalid", words, code="invalid_message")


def _check_tools(body: Mapping[str, Any]) -> None:
    tools, choice = body.get("tools"), body.get("tool_choice")
    names = []
    for number, tool in enumerate(tools or ()):
        at = f"tools[{number}]"
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict):
            raise wrong(f"Missing required parameter: '{at}.function'.", f"{at}.function", "missing_required_parameter")
        if not isinstance(function.get("name"), str) or not NAME.fullmatch(function["name"]):
            words = f"Invalid '{at}.function.name': string does not match pattern '^[a-zA-Z0-9_-]+$'."
            raise wrong(words, f"{at}.function.name", "invalid_value")
        if not isinstance(function.get("parameters", {}), dict):
            raise wrong(f"Invalid type for '{at}.function.parameters': expected an object.", f"{at}.function.parameters")
        if function.get("strict"):
            check_strict(function.get("parameters", {}), f"function '{function['name']}'")
        names.append(function["name"])
    if choice is None:
        return
    if not tools:
        raise wrong("Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")
    named = (choice.get("function") or {}).get("name") if isinstance(choice, dict) else None
    if named not in names if isinstance(choice, dict) else choice not in ("auto", "none", "required", "any"):
        raise wrong(f"Invalid value for 'tool_choice': {named or choice!r}.", "tool_choice")


def _check_format(body: Mapping[str, Any], dialect: Dialect, strict: bool) -> None:
    wanted = body.get("response_format")
    if wanted is None:
        return
    kind = wanted.get("type")
    known = ["text", *["json_object"] * dialect.json_object, *["json_schema"] * dialect.json_schema]
    if kind not in known:
        raise wrong(f"'response_format.type' must be one of {', '.join(known)}", "response_format.type")
    if kind == "json_object" and strict:
        said = " ".join([text for message in body["messages"] for text in texts_in(message.get("content"))])
        if "json" not in said.lower():
            words = "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
            raise wrong(words, "messages")
    if kind == "json_schema":
        given = wanted.get("json_schema")
        if not isinstance(given, dict) or not isinstance(given.get("schema"), dict):
            raise wrong("Missing required parameter: 'response_format.json_schema'.", "response_format.json_schema")
        if strict and (not isinstance(given.get("name"), str) or not NAME.fullmatch(given["name"])):
            raise wrong("Missing required parameter: 'response_format.json_schema.name'.", "response_format.json_schema.name")
        if strict and given.get("strict"):
            check_strict(given["schema"], f"response_format '{given['name']}'")


def check_strict(schema: Any, where: str, context: tuple[str, ...] = ()) -> None:
    """Refuse a schema that strict mode does not take: every object closed, every property required."""
    if not isinstance(schema, Mapping):
        return
    start = f"Invalid schema for {where}: In context={context}, "
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") is not False:
            raise wrong(f"{start}'additionalProperties' is required to be supplied and to be false.", code="invalid_schema")
        missing = [name for name in schema.get("properties", {}) if name not in schema.get("required", ())]
        if missing:
            raise wrong(f"{start}'required' is required to be supplied and to be an array including every key in properties. "
                        f"Missing '{missing[0]}'.", code="invalid_schema")  # fmt: skip
    for word in ("properties", "$defs", "definitions"):
        for name, inner in (schema.get(word) or {}).items():
            check_strict(inner, where, (*context, word, name))
    check_strict(schema.get("items"), where, (*context, "items"))
    for inner in schema.get("anyOf", ()):
        check_strict(inner, where, (*context, "anyOf"))


def _check_reasoning_model(body: Mapping[str, Any]) -> None:
    model = body.get("model", "")
    if not re.match(r"(o\d|gpt-5)", model) or model.startswith("gpt-5-chat"):
        return
    if body.get("max_tokens") is not None:
        words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        raise wrong(words, "max_tokens", "unsupported_parameter")
    if body.get("temperature") not in (None, 1):
        words = f"Unsupported value: 'temperature' does not support {body['temperature']} with this model. Only the default (1)"
        raise wrong(f"{words} value is supported.", "temperature", "unsupported_value")
