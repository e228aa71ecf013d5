"""Answers of Gemini's generateContent, whole and streamed: https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Mapping
from typing import Any

from llmkit.errors import InvalidResponseError, LLMError
from llmkit.values.completion import Completion, FinishReason
from llmkit.values.events import (
    Event,
    PartDone,
    RawEvent,
    ReasoningDelta,
    StreamFinished,
    StreamStarted,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from llmkit.values.messages import Audio, File, Image, Message, Part, Reasoning, Text, ToolCall, VendorPart
from llmkit.values.usage import Usage, tokens
from llmkit.wire.errors import error_for
from llmkit.wire.json import dump_json, parse_object, tool_arguments
from llmkit.wire.retry_after import duration
from llmkit_providers._dialects.documents import JSONStreamDecoder
from llmkit_providers._dialects.gemini_contents import PROVIDER

_FINISH_WORDS: Mapping[FinishReason, str] = {
    FinishReason.STOP: "STOP",
    FinishReason.LENGTH: "MAX_TOKENS CONTINUATION",
    FinishReason.CONTENT_FILTER: "SAFETY RECITATION BLOCKLIST PROHIBITED_CONTENT SPII MODEL_ARMOR IMAGE_SAFETY"
    " IMAGE_PROHIBITED_CONTENT IMAGE_RECITATION IMAGE_OTHER",
    FinishReason.ERROR: "LANGUAGE MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS MISSING_THOUGHT_SIGNATURE"
    " MALFORMED_RESPONSE NO_IMAGE",
}
FINISH_REASONS = {word: reason for reason, words in _FINISH_WORDS.items() for word in words.split()}
"""https://ai.google.dev/api/generate-content#FinishReason; ``OTHER`` has no common word."""


def finish_reason(raw: Any, has_calls: bool) -> FinishReason:
    """The common word for a ``finishReason``; Gemini says ``STOP`` also where it wants tools run."""
    found = FINISH_REASONS.get(raw, FinishReason.UNKNOWN) if isinstance(raw, str) else FinishReason.UNKNOWN
    return FinishReason.TOOL_CALLS if has_calls and found is FinishReason.STOP else found


def usage(counts: Any) -> Usage | None:
    """Token counts; None where they are missing or not believable.

    The prompt's count includes cached tokens and leaves out the results of tools that the vendor ran; the candidates' count
    leaves out thoughts: https://ai.google.dev/api/generate-content#UsageMetadata
    """
    if not isinstance(counts, Mapping) or ("promptTokenCount" not in counts and "totalTokenCount" not in counts):
        return None
    try:
        prompt = tokens(counts.get("promptTokenCount")) + tokens(counts.get("toolUsePromptTokenCount"))
        thoughts = tokens(counts.get("thoughtsTokenCount"))
        completion = tokens(counts.get("candidatesTokenCount")) + thoughts
        cached = tokens(counts.get("cachedContentTokenCount"))
    except ValueError:
        return None
    return Usage(prompt, completion, prompt + completion, cached, 0, thoughts)


def error(
    document: Mapping[str, Any], status: int | None = None, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> LLMError:
    """The typed error for ``{"error": {"code", "message", "status", "details"}}``.

    An ``ErrorInfo`` among the details tells more than the status (a wrong key is a 400 with ``API_KEY_INVALID``), a
    ``RetryInfo`` how long to wait: https://google.aip.dev/193. A ``QuotaFailure`` names the limits that were exceeded; where
    one of them counts by the day, the error is what Google's newer API calls ``quota_exceeded``, and a limit by the minute
    stays ``RESOURCE_EXHAUSTED``: https://ai.google.dev/gemini-api/docs/api-errors
    """
    said = document.get("error")
    fields: Mapping[str, Any] = said if isinstance(said, Mapping) else {"message": said or "the vendor gave no error message"}
    code = fields.get("code")
    if status is None and isinstance(code, int) and 400 <= code < 600:
        status = code
    given = fields.get("details")
    details = [detail for detail in given if isinstance(detail, Mapping)] if isinstance(given, list) else []
    hint = next((detail["retryDelay"] for detail in details if isinstance(detail.get("retryDelay"), str)), None)
    reasons = [detail["reason"] for detail in details if isinstance(detail.get("reason"), str)]
    return error_for(
        status,
        str(fields.get("message") or ""),
        codes=("quota_exceeded" if _daily(details) else None, *reasons, fields.get("status")),
        provider=PROVIDER,
        headers=headers,
        body=body or dump_json(dict(document)),
        retry_hint=duration(hint),
    )


def _daily(details: list[Mapping[str, Any]]) -> bool:
    """Whether a day's quota is used up: ``quotaId`` is ``GenerateRequestsPerDayPerProjectPerModel-FreeTier`` or the like.

    Limits: https://ai.google.dev/gemini-api/docs/rate-limits; names: https://github.com/google-gemini/gemini-cli/issues/8437
    """
    listed = [detail["violations"] for detail in details if isinstance(detail.get("violations"), list)]
    violations = [violation for found in listed for violation in found if isinstance(violation, Mapping)]
    names = [str(violation.get(name)) for violation in violations for name in ("quotaId", "quotaMetric")]
    return any(re.search("per_?day", name, re.IGNORECASE) for name in names)


def completion(body: bytes) -> Completion:
    """The completion in a whole reply.

    :raises LLMError: if it is an error, or :class:`InvalidResponseError` if it holds neither an answer nor a block reason.
    """
    document = parse_object(body)
    if "error" in document:
        raise error(document)
    answers = [_answer(document, candidate) for candidate in _candidates(document)]
    blocked = _block_reason(document)
    if not answers and blocked is None:
        raise InvalidResponseError("google: the reply has no candidates and no block reason", provider=PROVIDER)
    message, raw = answers[0] if answers else (Message("assistant"), blocked)
    reason = finish_reason(raw, bool(message.tool_calls)) if answers else FinishReason.CONTENT_FILTER
    return Completion(
        message,
        reason,
        raw,
        usage(document.get("usageMetadata")),
        _text(document.get("modelVersion")),
        _text(document.get("responseId")),
        tuple([other for other, _ in answers[1:]]),
        raw=document,
        provider=PROVIDER,
    )


def _candidates(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    listed = document.get("candidates")
    return [candidate for candidate in listed if isinstance(candidate, dict)] if isinstance(listed, list) else []


def _parts(candidate: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parts; none where thinking used up the tokens, or where the answer was filtered."""
    content = candidate.get("content")
    listed = content.get("parts") if isinstance(content, Mapping) else None
    return [part for part in listed if isinstance(part, dict)] if isinstance(listed, list) else []


def _block_reason(document: Mapping[str, Any]) -> str | None:
    """https://ai.google.dev/api/generate-content#BlockReason"""
    feedback = document.get("promptFeedback")
    return _text(feedback.get("blockReason")) if isinstance(feedback, Mapping) else None


def _answer(document: Mapping[str, Any], candidate: dict[str, Any]) -> tuple[Message, str | None]:
    parts: list[Part] = []
    calls = 0
    for given in _parts(candidate):
        part = _part(given, document, calls)
        if part is not None:
            parts.append(part)
            calls += type(part) is ToolCall
    return Message("assistant", parts), _text(candidate.get("finishReason"))


def _part(given: dict[str, Any], document: Mapping[str, Any], calls: int) -> Part | None:
    """One part. What has no common form (code the vendor ran, its results) is kept as it is; None for empty text."""
    call, media, text = given.get("functionCall"), given.get("inlineData"), given.get("text")
    if isinstance(call, dict) and call.get("name"):
        arguments, valid = tool_arguments(call.get("args"))
        call_id = call.get("id") or _call_id(document, calls)
        return ToolCall(str(call_id), str(call["name"]), arguments, None, valid, _extra(given, "functionCall", "thought"))
    if isinstance(media, dict) and not given.get("thought") and (data := _bytes(media.get("data"))) is not None:
        kind = str(media.get("mimeType") or "application/octet-stream")
        found = Image if kind.startswith("image/") else Audio if kind.startswith("audio/") else File
        return found(data, media_type=kind, extra=_extra(given, "inlineData"))
    if isinstance(text, str):
        if given.get("thought"):
            return Reasoning(text, _text(given.get("thoughtSignature")), provider=PROVIDER)
        extra = _extra(given, "text", "thought")
        return Text(text, extra) if text or extra else None
    return VendorPart(PROVIDER, given) if given else None


def _call_id(document: Mapping[str, Any], calls: int) -> str:
    """An id for a call that has none. The answer's id is in it, for ids must differ over a whole conversation."""
    answer = _text(document.get("responseId"))
    return f"call_{answer}_{calls}" if answer else f"call_{calls}"


def _bytes(data: Any) -> bytes | None:
    try:
        return b64decode(data, validate=True) if isinstance(data, str) else None
    except binascii.Error:
        return None


def _extra(part: Mapping[str, Any], *common: str) -> dict[str, Any] | None:
    own = {name: value for name, value in part.items() if name not in common}
    return {PROVIDER: own} if own else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


class GeminiDecoder(JSONStreamDecoder):
    """The streamed form: every event is a whole reply that holds the next piece of each candidate."""

    def __init__(self) -> None:
        super().__init__()
        self._started = False
        self._calls: Counter[int] = Counter()

    def read(self, document: dict[str, Any], events: list[Event]) -> None:
        """Append the events of one piece."""
        if "error" in document:
            raise error(document)
        if not self._started:
            self._started = True
            events.append(StreamStarted(_text(document.get("modelVersion")), _text(document.get("responseId"))))
        ends: list[Event] = []
        for candidate in _candidates(document):
            index = candidate.get("index")
            choice = index if isinstance(index, int) else 0
            for given in _parts(candidate):
                self._piece(given, document, choice, events)
            if any(name.endswith("Metadata") for name in candidate):
                events.append(RawEvent(document))  # citations and search results have no common form
            if (raw := _text(candidate.get("finishReason"))) is not None:
                ends.append(StreamFinished(finish_reason(raw, self._calls[choice] > 0), raw, choice))
        if (blocked := _block_reason(document)) is not None:
            ends.append(StreamFinished(FinishReason.CONTENT_FILTER, blocked))
        if (counted := usage(document.get("usageMetadata"))) is not None:
            events.append(UsageReported(counted))
        events += ends
        self.complete = self.complete or bool(ends)

    def _piece(self, given: dict[str, Any], document: Mapping[str, Any], choice: int, events: list[Event]) -> None:
        part = _part(given, document, self._calls[choice])
        if isinstance(part, Text):
            if part.text:
                events.append(TextDelta(part.text, choice))
            if part.extra:
                events.append(PartDone(Text("", part.extra), choice))
        elif isinstance(part, Reasoning):
            if part.text or part.signature:
                events.append(ReasoningDelta(part.text, part.signature, choice=choice))
        elif isinstance(part, ToolCall):
            arguments = dump_json(part.arguments).decode()
            events.append(ToolCallDelta(self._calls[choice], part.id, part.name, arguments, choice, part.extra))
            self._calls[choice] += 1
        elif part is not None:
            events.append(PartDone(part, choice))
