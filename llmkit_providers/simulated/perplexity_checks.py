"""What Perplexity's Agent API refuses: see :mod:`.perplexity` for the sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmkit.simulated import Refusal
from llmkit_providers.simulated.openai_checks import NAME, check_strict, wrong


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FIELDS = _words(
    "input instructions language_preference max_output_tokens max_steps max_tool_calls model models preset reasoning "
    "response_format tools tool_choice parallel_tool_calls stream stream_options temperature top_p previous_response_id background "
    "metadata store truncation"
)
ITEMS: Mapping[str, frozenset[str]] = {
    "message": _words("type role content"),
    "function_call": _words("type call_id name arguments thought_signature"),
    "function_call_output": _words("type call_id output name thought_signature"),
}
PARTS: Mapping[str, str] = {"input_text": "text", "input_image": "image_url"}
"""Parts of a message, and the field that each must have."""
TOOLS: Mapping[str, frozenset[str] | None] = {
    "function": _words("type name description parameters strict"),
    **dict.fromkeys(_words("web_search fetch_url people_search finance_search sandbox mcp")),
}
"""Tools and their fields; None for the vendor's own, whose fields are not looked at."""
RESERVED = _words("web_search search_web people_search search_people fetch_url finance_search sandbox")
EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")
TYPES: Mapping[str, tuple[Any, float, float]] = {
    "temperature": ((int, float), 0, 2),
    "top_p": ((int, float), 0, 1),
    "max_output_tokens": (int, 1, 10**9),
    "max_steps": (int, 1, 100),
}
"""Numbers, and their ranges."""


def check_agent(body: Mapping[str, Any]) -> None:
    """Refuse a request that the Agent API would refuse.

    :raises Refusal: at the first fault.
    """
    _known(body, FIELDS)
    _check_model(body)
    _check_values(body)
    _check_input(body.get("input"))
    _check_tools(body)
    _check_format(body.get("response_format"))


def _known(given: Mapping[str, Any], fields: frozenset[str]) -> None:
    for name in given:
        if name not in fields:
            raise Refusal("invalid", f'invalid request body: json: unknown field "{name}"', param=name)


def _object(value: Any, at: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise wrong(f"{at}: expected an object", at)
    return value


def _check_model(body: Mapping[str, Any]) -> None:
    model, preset = body.get("model"), body.get("preset")
    for name, value in (("model", model), ("preset", preset)):
        if value is not None and (not isinstance(value, str) or not value):
            raise wrong(f"{name}: expected a string", name)
    if not (model or preset or body.get("models")):
        raise wrong("one of model, models or preset is required", "model")
    if model and "/" not in model:
        raise Refusal("model", f"model {model!r} is not supported: expected provider/model", param="model")
    if str(model).startswith("anthropic/") and not body.get("max_output_tokens"):
        raise wrong("max_output_tokens is required when using Anthropic models", "max_output_tokens")


def _check_values(body: Mapping[str, Any]) -> None:
    for name, (types, low, high) in TYPES.items():
        value = body.get(name)
        if value is not None and (not isinstance(value, types) or isinstance(value, bool) or not low <= value <= high):
            raise wrong(f"{name}: expected a number from {low} to {high}", name)
    for name, kind in (("stream", bool), ("instructions", str), ("stream_options", dict)):
        if body.get(name) is not None and not isinstance(body[name], kind):
            raise wrong(f"{name}: wrong type", name)
    if body.get("reasoning") is not None:
        reasoning = _object(body["reasoning"], "reasoning")
        _known(reasoning, frozenset({"effort"}))
        if reasoning.get("effort") not in EFFORTS:
            raise wrong(f"reasoning.effort: expected one of {', '.join(EFFORTS)}", "reasoning.effort")


def _check_input(given: Any) -> None:
    if isinstance(given, str) and given:
        return
    if not isinstance(given, list) or not given:
        raise wrong("input: expected a string or an array of items that is not empty", "input")
    waiting: list[str] = []
    for number, item in enumerate(given):
        at = f"input[{number}]"
        kind = _object(item, at).get("type", "message")
        if kind not in ("message", "function_call", "function_call_output"):
            raise wrong(f"{at}.type: unknown item type {kind!r}", f"{at}.type")
        _known(item, ITEMS[kind])
        if kind == "message":
            _check_message(item, at)
            continue
        for name in ("call_id", "output") if kind == "function_call_output" else ("call_id", "name", "arguments"):
            if not isinstance(item.get(name), str):
                raise wrong(f"{at}.{name}: expected a string", f"{at}.{name}")
        if kind == "function_call":
            waiting.append(item["call_id"])
        elif item["call_id"] not in waiting:
            raise wrong(f"No tool call found for function call output with call_id {item['call_id']}.", at)
        else:
            waiting.remove(item["call_id"])
    if waiting:
        raise wrong(f"No tool output found for function call {waiting[0]}.", "input")


def _check_message(item: Mapping[str, Any], at: str) -> None:
    if item.get("role") not in ("user", "assistant", "system", "developer"):
        raise wrong(f"{at}.role: unknown role {item.get('role')!r}", f"{at}.role")
    content = item.get("content")
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise wrong(f"{at}.content: expected a string or an array", f"{at}.content")
    for number, part in enumerate(content):
        field = f"{at}.content[{number}]"
        kind = _object(part, field).get("type")
        if not isinstance(kind, str) or kind not in PARTS:
            raise wrong(f"{field}.type: unknown part type {kind!r}", f"{field}.type")
        _known(part, frozenset({"type", PARTS[kind]}))
        if not isinstance(part.get(PARTS[kind]), str):
            raise wrong(f"{field}.{PARTS[kind]}: expected a string", f"{field}.{PARTS[kind]}")


def _check_tools(body: Mapping[str, Any]) -> None:
    tools, choice = body.get("tools"), body.get("tool_choice")
    if tools is not None and not isinstance(tools, list):
        raise wrong("tools: expected an array", "tools")
    for number, tool in enumerate(tools or ()):
        at = f"tools[{number}]"
        kind = _object(tool, at).get("type")
        if not isinstance(kind, str) or kind not in TOOLS:
            raise wrong(f"{at}.type: unknown tool type {kind!r}", f"{at}.type")
        if kind == "function":
            _check_function(tool, at)
    names = [tool.get("name") for tool in tools or ()]
    kinds = [tool["type"] for tool in tools or ()]
    if isinstance(choice, dict):
        _known(choice, frozenset({"name", "type"}))
        if choice.get("name") not in names if "name" in choice else choice.get("type") not in ("required", *kinds):
            raise wrong("tool_choice: no such tool", "tool_choice")
    elif choice is not None and choice not in ("auto", "none", "required"):
        raise wrong(f"tool_choice: unknown choice {choice!r}", "tool_choice")


def _check_function(tool: Mapping[str, Any], at: str) -> None:
    _known(tool, TOOLS["function"] or frozenset())
    name = tool.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise wrong(f"{at}.name: expected 1 to 64 letters, digits, _ or -", f"{at}.name")
    if name in RESERVED:
        raise wrong(f"{at}.name: {name} is reserved for a built-in tool", f"{at}.name")
    if not isinstance(tool.get("parameters", {}), dict):
        raise wrong(f"{at}.parameters: expected an object", f"{at}.parameters")
    if tool.get("strict"):
        check_strict(tool.get("parameters", {}), f"function '{name}'")


def _check_format(wanted: Any) -> None:
    if wanted is None:
        return
    _known(_object(wanted, "response_format"), frozenset({"type", "json_schema"}))
    if wanted.get("type") != "json_schema":
        raise wrong("response_format.type: expected json_schema", "response_format.type")
    given = _object(wanted.get("json_schema"), "response_format.json_schema")
    _known(given, _words("name schema description strict"))
    name, at = given.get("name", "answer"), "response_format.json_schema"
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise wrong(f"{at}.name: expected 1 to 64 letters, digits, _ or -", f"{at}.name")
    schema = _object(given.get("schema"), f"{at}.schema")
    if given.get("strict"):
        check_strict(schema, f"response_format '{name}'")
