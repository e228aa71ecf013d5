"""Reading whole answers of the OpenAI chat-completions dialect: messages, tool calls, finish reasons, tokens.

The format: https://platform.openai.com/docs/api-reference/chat/object. Nothing a server sends is trusted to have it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from llmkit.values.completion import FinishReason
from llmkit.values.messages import Image, Part, Reasoning, Refusal, Text, ToolCall, VendorPart
from llmkit.values.usage import Usage, are_tokens, tokens
from llmkit.wire.json import dump_json, tool_arguments

FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "max_output_tokens": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "tool_use": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
    "error": FinishReason.ERROR,
    "insufficient_system_resource": FinishReason.ERROR,
}
"""Vendors' words, in lower case: OpenAI's own; ``eos`` Together; ``model_length`` and ``error`` Mistral;
``insufficient_system_resource`` DeepSeek; the others come through gateways in front of other vendors."""


def finish_reason(word: Any, has_calls: bool) -> FinishReason:
    """The common word for a vendor's finish reason. With tool calls for the client, ``stop`` and words without a meaning are
    ``tool_calls``; ``length``, ``content_filter`` and ``error`` stay, because they tell that a call may be cut off."""
    found = FINISH_REASONS.get(word.lower(), FinishReason.UNKNOWN) if isinstance(word, str) else FinishReason.UNKNOWN
    if has_calls and found in (FinishReason.STOP, FinishReason.UNKNOWN):
        return FinishReason.TOOL_CALLS
    return found


def tool_call(call_id: str, name: str, arguments: Any, extra: Mapping[str, Any] | None = None) -> ToolCall:
    """A tool call from whatever a server put into ``arguments``: JSON text, no text, null, or the object itself."""
    raw = arguments if isinstance(arguments, str) else "" if arguments is None else dump_json(arguments).decode()
    parsed, valid = tool_arguments(raw)
    return ToolCall(call_id, name, parsed, raw, valid, extra)


def tool_calls(message: Mapping[str, Any], provider: str) -> list[ToolCall]:
    """The calls of a whole message, in order; missing ids become ``call_<position>``."""
    listed = message.get("tool_calls")
    calls = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    old = message.get("function_call")
    if not calls and isinstance(old, dict) and old.get("name"):
        calls = [{"function": old}]
    return [_tool_call(entry, position, provider) for position, entry in enumerate(calls)]


def _tool_call(entry: Mapping[str, Any], position: int, provider: str) -> ToolCall:
    function = entry.get("function")
    if not isinstance(function, dict):
        custom = entry.get("custom")
        function = entry
        if isinstance(custom, dict):
            function = {"name": custom.get("name"), "arguments": {"input": custom.get("input") or ""}}
    return tool_call(
        word(entry.get("id")) or f"call_{position}",
        word(function.get("name")) or "",
        function.get("arguments"),
        call_extra(entry, provider),
    )


def call_extra(entry: Mapping[str, Any], provider: str) -> Mapping[str, Any] | None:
    """What a server attached to a call and wants back: ``extra_content``, which holds Gemini's thought signatures on its
    OpenAI-compatible endpoint (https://ai.google.dev/gemini-api/docs/thought-signatures), and that the call is of OpenAI's
    custom kind, whose input is any text (https://platform.openai.com/docs/guides/function-calling#custom-tools): it becomes the
    argument ``input``."""
    if entry.get("type") == "custom":
        return {provider: {"type": "custom"}}
    attached = entry.get("extra_content")
    return {provider: {"extra_content": attached}} if attached else None


def word(value: Any) -> str | None:
    """``value`` where it is a text that is not empty, numbers as text, else None."""
    if isinstance(value, str):
        return value or None
    return str(value) if type(value) is int else None


def content_parts(content: Any, provider: str) -> list[Part]:
    """A message's content, text or a list of chunks, as parts."""
    if isinstance(content, str):
        return [Text(content)] if content else []
    if not isinstance(content, list):
        return []
    parts: list[Part] = []
    for chunk in content:
        part = content_part(chunk, provider)
        if part is not None:
            parts.append(part)
    return parts


def content_part(chunk: Any, provider: str) -> Part | None:
    """One chunk of a content list; None for an empty one."""
    if isinstance(chunk, str):
        return Text(chunk) if chunk else None
    if not isinstance(chunk, dict):
        return None
    kind = chunk.get("type")
    if kind == "thinking":
        text = thinking_text(chunk.get("thinking"))
        signature = chunk.get("signature")
        signature = signature if isinstance(signature, str) and signature else None
        return Reasoning(text, signature, provider=provider) if text or signature else None
    if kind == "refusal" and isinstance(chunk.get("refusal"), str):
        return Refusal(chunk["refusal"]) if chunk["refusal"] else None
    if isinstance(chunk.get("text"), str):
        return Text(chunk["text"]) if chunk["text"] else None
    if kind == "image_url":
        return image(chunk) or VendorPart(provider, chunk)
    return VendorPart(provider, chunk)


def thinking_text(thinking: Any) -> str:
    """The text of a Mistral thinking chunk, which is a text or a list of text chunks."""
    if isinstance(thinking, str):
        return thinking
    chunks = thinking if isinstance(thinking, list) else []
    return "".join([c["text"] for c in chunks if isinstance(c, dict) and isinstance(c.get("text"), str)])


def image(entry: Any) -> Image | None:
    """A picture in an answer: ``{"image_url": {"url": "data:..."}}``, as OpenRouter sends them
    (https://openrouter.ai/docs/features/multimodal/image-generation)."""
    holder = entry.get("image_url") if isinstance(entry, dict) else None
    url = holder.get("url") if isinstance(holder, dict) else holder
    if not isinstance(url, str) or not url:
        return None
    if not url.startswith("data:"):
        return Image(url=url)
    head, _, data = url.partition(",")
    try:
        return Image(data=base64.b64decode(data, validate=False), media_type=head[5:].split(";")[0] or None)
    except (binascii.Error, ValueError):
        return None


def images(message: Mapping[str, Any]) -> list[Image]:
    """The pictures beside a message's content."""
    listed = message.get("images")
    return [found for entry in listed if (found := image(entry))] if isinstance(listed, list) else []


def read_usage(usage: Any) -> Usage | None:
    """Tokens of an answer; None where there are none, or none believable.

    ``prompt_tokens`` includes ``prompt_tokens_details.cached_tokens`` and ``completion_tokens`` includes
    ``completion_tokens_details.reasoning_tokens``: https://platform.openai.com/docs/api-reference/chat/object#chat-object-usage.
    DeepSeek says ``prompt_cache_hit_tokens`` (https://api-docs.deepseek.com/guides/kv_cache), Perplexity has
    ``reasoning_tokens`` beside the counts, OpenRouter ``cache_write_tokens`` among the details, Mistral ``num_cached_tokens``,
    Together ``cached_tokens`` beside the counts.
    """
    if type(usage) is not dict:
        return None
    get = usage.get
    prompt, completion, total = get("prompt_tokens"), get("completion_tokens"), get("total_tokens")
    if prompt is None and completion is None and total is None:
        return None
    read, written = get("prompt_tokens_details"), get("completion_tokens_details")
    cached = kept = reasoning = 0
    if type(read) is dict:
        cached, kept = read.get("cached_tokens", 0), read.get("cache_write_tokens", 0)
    if type(written) is dict:
        reasoning = written.get("reasoning_tokens", 0)
    counts: Any = (prompt, completion, total, cached, kept, reasoning or get("reasoning_tokens", 0))
    if not are_tokens(counts):
        try:
            counts = [tokens(count) for count in counts]
        except ValueError:
            return None
    prompt, completion, total, cached, kept, reasoning = counts
    if not CACHED.isdisjoint(usage):
        try:
            cached = max([cached, *[tokens(get(name)) for name in CACHED]])
        except ValueError:
            return None
    return Usage(prompt, completion, total or prompt + completion, cached, kept, reasoning)


CACHED = frozenset({"cached_tokens", "prompt_cache_hit_tokens", "num_cached_tokens"})
"""Where vendors put cached tokens beside the counts."""
