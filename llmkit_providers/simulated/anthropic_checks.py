"""What Anthropic refuses: https://docs.anthropic.com/en/api/messages"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmkit.simulated import Refusal

FIELDS = frozenset((
    "model", "messages", "max_tokens", "cache_control", "container", "context_management", "inference_geo", "mcp_servers",
    "metadata", "output_config", "output_format", "service_tier", "speed", "stop_sequences", "stream", "system",
    "temperature", "thinking", "tool_choice", "tools", "top_k", "top_p",
))  # fmt: skip
COUNT_FIELDS = FIELDS - {"max_tokens", "stream", "temperature", "top_k", "top_p", "stop_sequences", "metadata", "service_tier"}
TYPES: Mapping[str, tuple[Any, str]] = {
    "max_tokens": (int, "integer"),
    "stream": (bool, "boolean"),
    "temperature": ((int, float), "number"),
    "top_p": ((int, float), "number"),
    "top_k": (int, "integer"),
    "stop_sequences": (list, "list"),
    "tools": (list, "list"),
    "tool_choice": (dict, "dictionary"),
    "thinking": (dict, "dictionary"),
    "output_config": (dict, "dictionary"),
    "metadata": (dict, "dictionary"),
    "system": ((str, list), "string"),
    "model": (str, "string"),
    "messages": (list, "list"),
}
USER_BLOCKS = frozenset(("text", "image", "document", "tool_result", "search_result", "container_upload"))
ASSISTANT_BLOCKS = frozenset(("text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "mcp_tool_use"))
NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


def wrong(message: str) -> Refusal:
    """The refusal of a request."""
    return Refusal("invalid", message)


def check_messages_request(body: Mapping[str, Any]) -> None:
    """Refuse what ``POST /v1/messages`` refuses.

    :raises Refusal: at the first fault.
    """
    _check_fields(body, FIELDS, ("max_tokens", "messages", "model"))
    if body["max_tokens"] < 0:
        raise wrong("max_tokens: Input should be greater than or equal to 0")
    for name in ("temperature", "top_p"):
        if body.get(name) is not None and not 0 <= body[name] <= 1:
            raise wrong(f"{name}: range: 0..1")
    _check_conversation(body)
    _check_thinking(body)


def check_count(body: Mapping[str, Any]) -> None:
    """Refuse what ``POST /v1/messages/count_tokens`` refuses."""
    _check_fields(body, COUNT_FIELDS, ("messages", "model"))
    _check_conversation(body)


def _check_fields(body: Mapping[str, Any], fields: frozenset[str], required: tuple[str, ...]) -> None:
    for name in required:
        if body.get(name) is None:
            raise wrong(f"{name}: Field required")
    for name in body:
        if name not in fields:
            raise wrong(f"{name}: Extra inputs are not permitted")
    for name, (types, word) in TYPES.items():
        value = body.get(name)
        if value is not None and (not isinstance(value, types) or (isinstance(value, bool) and types is not bool)):
            raise wrong(f"{name}: Input should be a valid {word}")


def _check_conversation(body: Mapping[str, Any]) -> None:
    messages = body["messages"]
    if not messages:
        raise wrong("messages: at least one message is required")
    for text in body.get("system") or () if isinstance(body.get("system"), list) else ():
        if not isinstance(text, dict) or text.get("type") != "text" or not text.get("text"):
            raise wrong("system: text content blocks must be non-empty")
    called: set[str] = set()
    for number, message in enumerate(messages):
        called = _check_message(message, f"messages.{number}", called, number == len(messages) - 1)
    if messages[0]["role"] != "user":
        raise wrong('messages: first message must use the "user" role')
    if called:
        raise _unanswered(len(messages) - 1, called)
    _check_tools(body)


def _check_message(message: Any, at: str, called: set[str], last: bool) -> set[str]:
    """Check one message; gives the ids of the tool calls the next one must answer."""
    if not isinstance(message, dict):
        raise wrong(f"{at}: Input should be a valid dictionary")
    role = message.get("role")
    if role == "system":
        raise wrong(
            'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not "system" as an '
            "input message role."
        )
    if role not in ("user", "assistant"):
        raise wrong(f"{at}.role: Input should be 'user' or 'assistant'")
    for name in message:
        if name not in ("role", "content"):
            raise wrong(f"{at}.{name}: Extra inputs are not permitted")
    content = message.get("content")
    if not isinstance(content, (str, list)):
        raise wrong(f"{at}.content: Input should be a valid list")
    if not content and not (last and role == "assistant"):
        raise wrong(f"{at}: all messages must have non-empty content except for the optional final assistant message")
    calls, results = set(), set()
    for number, block in enumerate(content if isinstance(content, list) else ()):
        _check_block(block, role, f"{at}.content.{number}")
        if block["type"] == "tool_use":
            calls.add(block["id"])
        elif block["type"] == "tool_result":
            if block["tool_use_id"] not in called:
                raise wrong(
                    f"{at}.content.{number}: unexpected `tool_use_id` found in `tool_result` blocks: {block['tool_use_id']}. "
                    "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
                )
            results.add(block["tool_use_id"])
    if called - results:
        raise _unanswered(int(at.partition(".")[2]) - 1, called - results)
    return calls


def _unanswered(number: int, ids: set[str]) -> Refusal:
    said = ", ".join(sorted(ids))
    return wrong(
        f"messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately after: {said}. "
        "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
    )


def _check_block(block: Any, role: str, at: str) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    known = USER_BLOCKS if role == "user" else ASSISTANT_BLOCKS
    if kind not in known and not (role == "assistant" and str(kind).endswith("_tool_result")):
        tags = ", ".join(sorted(known))
        raise wrong(f"{at}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}")
    required = {
        "text": ("text", str), "tool_use": ("input", dict), "tool_result": ("tool_use_id", str), "thinking": ("signature", str),
        "image": ("source", dict), "document": ("source", dict), "redacted_thinking": ("data", str),
    }  # fmt: skip
    if kind in required:
        name, types = required[kind]
        if not isinstance(block.get(name), types):
            raise wrong(f"{at}.{kind}.{name}: Field required")
    if kind == "text" and not block["text"]:
        raise wrong("messages: text content blocks must be non-empty")
    if kind == "tool_use" and not (isinstance(block.get("id"), str) and NAME.fullmatch(str(block.get("name")))):
        raise wrong(f"{at}.tool_use.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")


def _check_tools(body: Mapping[str, Any]) -> None:
    names = []
    for number, tool in enumerate(body.get("tools") or ()):
        at = f"tools.{number}"
        if not isinstance(tool, dict) or not NAME.fullmatch(str(tool.get("name", ""))):
            raise wrong(f"{at}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        if tool.get("type", "custom") == "custom":
            if not isinstance(tool.get("input_schema"), dict):
                raise wrong(f"{at}.custom.input_schema: Field required")
            if tool["input_schema"].get("type") != "object":
                raise wrong(f"{at}.custom.input_schema.type: Input should be 'object'")
        names.append(tool["name"])
    choice = body.get("tool_choice")
    if choice is None:
        return
    if choice.get("type") not in ("auto", "any", "tool", "none"):
        raise wrong("tool_choice: Input tag does not match any of the expected tags: 'auto', 'any', 'tool', 'none'")
    if not names and choice["type"] != "none":
        raise wrong("tool_choice: may only be specified while providing tools")
    if choice["type"] == "tool" and choice.get("name") not in names:
        raise wrong(f"Tool '{choice.get('name')}' not found in provided tools")


def _check_thinking(body: Mapping[str, Any]) -> None:
    thinking = body.get("thinking") or {}
    if thinking.get("type") not in (None, "enabled", "disabled", "adaptive"):
        raise wrong("thinking: Input tag does not match any of the expected tags: 'adaptive', 'disabled', 'enabled'")
    if thinking.get("type") != "enabled":
        return
    budget = thinking.get("budget_tokens")
    if type(budget) is not int:
        raise wrong("thinking.enabled.budget_tokens: Field required")
    if budget < 1024:
        raise wrong("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if budget >= body["max_tokens"]:
        raise wrong("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if body.get("temperature") not in (None, 1):
        raise wrong("`temperature` may only be set to 1 when thinking is enabled.")
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        raise wrong("Thinking may not be enabled when tool_choice forces tool use.")
