"""Answers of Anthropic's Messages API, whole and streamed.

https://platform.claude.com/docs/en/api/messages and https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from llmkit.errors import InvalidResponseError, LLMError
from llmkit.values.completion import Completion, FinishReason
from llmkit.values.events import (
    Event,
    PartDone,
    ReasoningDelta,
    StreamFinished,
    StreamStarted,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from llmkit.values.messages import Message, Part, Reasoning, Text, ToolCall, VendorPart
from llmkit.values.usage import Usage, tokens
from llmkit.wire.errors import error_for
from llmkit.wire.json import dump_json, tool_arguments
from llmkit_providers._dialects.anthropic_messages import PROVIDER
from llmkit_providers._dialects.documents import JSONStreamDecoder

FINISH_REASONS: Mapping[str, FinishReason] = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.CONTENT_FILTER,
}
"""https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons; ``pause_turn`` has no common word."""


def finish_reason(raw: Any, has_calls: bool) -> FinishReason:
    """The common word for a ``stop_reason``."""
    found = FINISH_REASONS.get(raw, FinishReason.UNKNOWN) if isinstance(raw, str) else FinishReason.UNKNOWN
    return FinishReason.TOOL_CALLS if has_calls and found is FinishReason.STOP else found


def usage(counts: Any) -> Usage | None:
    """Token counts; None where they are missing or not believable.

    ``input_tokens`` leaves out what was read from and written to the cache:
    https://platform.claude.com/docs/en/build-with-claude/prompt-caching#tracking-cache-performance
    """
    if not isinstance(counts, Mapping):
        return None
    details = counts.get("output_tokens_details")
    try:
        read, written = tokens(counts.get("cache_read_input_tokens")), tokens(counts.get("cache_creation_input_tokens"))
        prompt = tokens(counts.get("input_tokens")) + read + written
        completion = tokens(counts.get("output_tokens"))
        thinking = tokens(details.get("thinking_tokens")) if isinstance(details, Mapping) else 0
    except ValueError:
        return None
    return Usage(prompt, completion, prompt + completion, read, written, thinking)


def error(
    document: Mapping[str, Any], status: int | None = None, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> LLMError:
    """The typed error for ``{"type": "error", "error": {"type", "message"}, "request_id"}``.

    https://platform.claude.com/docs/en/api/errors
    """
    said = document.get("error")
    fields: Mapping[str, Any] = said if isinstance(said, Mapping) else {"message": said or document.get("message")}
    found = error_for(
        status,
        str(fields.get("message") or ""),
        codes=(fields.get("type"),),
        provider=PROVIDER,
        headers=headers,
        body=body or dump_json(dict(document)),
    )
    if found.request_id is None and isinstance(document.get("request_id"), str):
        found.request_id = document["request_id"]
    return found


def completion(document: dict[str, Any]) -> Completion:
    """The completion in a whole message.

    :raises LLMError: if the document is an error, or :class:`InvalidResponseError` if it is no message.
    """
    if document.get("type") == "error":
        raise error(document)
    blocks = document.get("content")
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise InvalidResponseError("anthropic: the answer is no message: it has no content", provider=PROVIDER)
    message = Message("assistant", [part for block in blocks if (part := _part(block)) is not None])
    raw = document.get("stop_reason")
    return Completion(
        message,
        finish_reason(raw, bool(message.tool_calls)),
        raw if isinstance(raw, str) else None,
        usage(document.get("usage")),
        _text(document.get("model")),
        _text(document.get("id")),
        raw=document,
        provider=PROVIDER,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _part(block: dict[str, Any]) -> Part | None:
    """One content block as a part. Blocks of tools that the vendor ran, and kinds not known here, are kept as they are."""
    kind = block.get("type")
    if kind == "text":
        text = str(block.get("text") or "")
        extra = _extra(block, "type", "text")
        return Text(text, extra) if text or extra else None
    if kind == "tool_use":
        arguments, valid = tool_arguments(block.get("input"))
        raw = None if isinstance(block.get("input"), dict) else str(block.get("input") or "")
        extra = _extra(block, "type", "id", "name", "input")
        return ToolCall(str(block.get("id") or ""), str(block.get("name") or ""), arguments, raw, valid, extra)
    if kind == "thinking":
        return Reasoning(str(block.get("thinking") or ""), _text(block.get("signature")), provider=PROVIDER)
    if kind == "redacted_thinking":
        return Reasoning(redacted=_text(block.get("data")), provider=PROVIDER)
    return VendorPart(PROVIDER, block)


def _extra(block: Mapping[str, Any], *common: str) -> dict[str, Any] | None:
    own = {name: value for name, value in block.items() if name not in common and value not in (None, [])}
    return {PROVIDER: own} if own else None


@attrs.define
class _Open:
    """A block of the stream that has not ended."""

    block: dict[str, Any]
    json: str = ""
    """The input, so far, of a tool that the vendor runs."""
    position: int = 0
    """Which of the client's calls this is."""
    has_json: bool = False


class AnthropicDecoder(JSONStreamDecoder):
    """The streamed form. Event names repeat the ``type`` in the data, so the data alone is read; kinds not known are passed
    over, as the documentation asks."""

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[Any, _Open] = {}
        self._counts: dict[str, Any] = {}
        self._calls = 0

    def read(self, document: dict[str, Any], events: list[Event]) -> None:
        """Append the events of one of the vendor's events."""
        kind = document.get("type")
        if kind == "content_block_delta":
            self._delta(document, events)
        elif kind == "content_block_start":
            self._start(document.get("index"), document.get("content_block"), events)
        elif kind == "content_block_stop":
            self._stop(document.get("index"), events)
        elif kind == "message_start":
            message = document.get("message")
            self._begin(message if isinstance(message, dict) else {}, events)
        elif kind == "message_delta":
            delta = document.get("delta")
            self._count(document.get("usage"), events)
            self._finish(delta.get("stop_reason") if isinstance(delta, dict) else None, events)
        elif kind == "message_stop":
            self.complete = True
        elif kind == "message":
            self._whole(document, events)
        elif kind == "error" or (kind is None and "error" in document):
            raise error(document)

    def _begin(self, message: dict[str, Any], events: list[Event]) -> None:
        events.append(StreamStarted(_text(message.get("model")), _text(message.get("id"))))
        self._count(message.get("usage"), events)

    def _count(self, counts: Any, events: list[Event]) -> None:
        """Counts are cumulative, and message_delta repeats only some: what is given last wins."""
        if not isinstance(counts, dict):
            return
        self._counts.update({name: count for name, count in counts.items() if count is not None})
        if (so_far := usage(self._counts)) is not None:
            events.append(UsageReported(so_far))

    def _finish(self, raw: Any, events: list[Event]) -> None:
        if isinstance(raw, str):
            events.append(StreamFinished(finish_reason(raw, self._calls > 0), raw))
            self.complete = True

    def _whole(self, message: dict[str, Any], events: list[Event]) -> None:
        """A gateway answered with the whole message instead of a stream."""
        self._begin(message, events)
        for index, block in enumerate(completion(message).raw["content"]):
            self._start(index, block, events)
            self._stop(index, events)
        self._finish(message.get("stop_reason"), events)

    def _start(self, index: Any, block: Any, events: list[Event]) -> None:
        if not isinstance(block, dict):
            return
        kind = block.get("type")
        found = self._open[index] = _Open(block)
        if kind == "text" and block.get("text"):
            events.append(TextDelta(str(block["text"])))
        elif kind == "thinking" and (block.get("thinking") or block.get("signature")):
            events.append(ReasoningDelta(str(block.get("thinking") or ""), _text(block.get("signature")) or None))
        elif kind == "redacted_thinking" and block.get("data"):
            events.append(ReasoningDelta(redacted=_text(block["data"])))
        elif kind == "tool_use":
            found.position = self._calls
            self._calls += 1
            extra = _extra(block, "type", "id", "name", "input")
            name, call = str(block.get("name") or ""), str(block.get("id") or "")
            events.append(ToolCallDelta(found.position, call, name, extra=extra))

    def _delta(self, document: dict[str, Any], events: list[Event]) -> None:
        delta, found = document.get("delta"), self._open.get(document.get("index"))
        if not isinstance(delta, dict) or found is None:
            return
        kind = delta.get("type")
        if kind == "text_delta":
            if text := delta.get("text"):
                events.append(TextDelta(str(text)))
        elif kind == "input_json_delta":
            self._json(found, str(delta.get("partial_json") or ""), events)
        elif kind == "thinking_delta":
            if thinking := delta.get("thinking"):
                events.append(ReasoningDelta(str(thinking)))
        elif kind == "signature_delta":
            if signature := delta.get("signature"):
                events.append(ReasoningDelta(signature=str(signature)))
        elif kind == "citations_delta":
            found.block["citations"] = [*(found.block.get("citations") or []), delta.get("citation")]
        elif found.block.get("type") not in ("text", "thinking", "tool_use"):
            found.block.update({name: value for name, value in delta.items() if name != "type"})

    def _json(self, found: _Open, fragment: str, events: list[Event]) -> None:
        if not fragment:
            return
        found.has_json = True
        if found.block.get("type") == "tool_use":
            events.append(ToolCallDelta(found.position, arguments=fragment))
        else:
            found.json += fragment

    def _stop(self, index: Any, events: list[Event]) -> None:
        found = self._open.pop(index, None)
        if found is None:
            return
        kind = found.block.get("type")
        if kind == "text":
            extra = _extra(found.block, "type", "text")
            if extra:
                events.append(PartDone(Text("", extra)))
        elif kind == "tool_use":
            given = found.block.get("input")
            if not found.has_json and given:
                events.append(ToolCallDelta(found.position, arguments=dump_json(given).decode()))
        elif kind not in ("thinking", "redacted_thinking"):
            if found.has_json:
                found.block["input"] = tool_arguments(found.json)[0]
            events.append(PartDone(VendorPart(PROVIDER, found.block)))
