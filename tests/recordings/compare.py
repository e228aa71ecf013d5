"""What came back against what was expected: a list of differences in words, empty where there are none."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from llmkit.errors import (
    AuthenticationError,
    ContentFilterError,
    ContextLengthError,
    InvalidRequestError,
    LLMError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterrupted,
    UnsupportedParameterError,
)
from llmkit.values.completion import Completion, FinishReason
from llmkit.values.embeddings import Embeddings
from llmkit.values.messages import ToolCall
from llmkit.values.models import ModelList
from llmkit.values.usage import Usage
from llmkit.wire.redact import redact

from .cases import Case

Result = Completion | Embeddings | ModelList | LLMError

ERRORS: dict[str, tuple[type[LLMError], ...]] = {
    "authentication": (AuthenticationError,),
    "permission": (PermissionDeniedError,),
    "not_found": (ModelNotFoundError,),
    "rate_limit": (RateLimitError, QuotaExceededError),
    "invalid_request": (InvalidRequestError, UnsupportedParameterError),
    "context_length": (ContextLengthError,),
    "content_filter": (ContentFilterError,),
    "server": (ServerError, OverloadedError),
    "timeout": (ServerError,),
    "other": (LLMError, ServerError),
}
"""The recordings' error classes, and exactly which of llmkit's each may become."""

USAGE = {
    "prompt_tokens": "prompt_tokens",
    "completion_tokens": "completion_tokens",
    "total_tokens": "total_tokens",
    "reasoning_tokens": "reasoning_tokens",
    "cached_tokens": "cache_read_tokens",
}


def differences(case: Case, result: Result) -> list[str]:
    """What of ``result`` is not as ``case`` expects."""
    expected = case.expected
    if isinstance(result, LLMError):
        return _error(case, result)
    if expected["outcome"] != "ok":
        return [f"expected an error ({expected['error']['class']}), got {type(result).__name__}"]
    if isinstance(result, ModelList):
        found = [model.id.removeprefix("models/") for model in result.models]
        return _differs("models", found, [[name.removeprefix("models/") for name in expected["models"]]])
    if isinstance(result, Embeddings):
        return [*_embeddings(expected["embeddings"], result), *_model(case, result.model), *_usage(case, result.usage)]
    return [*_completion(expected, result), *_model(case, result.model), *_usage(case, result.usage)]


def _differs(what: str, found: Any, accepted: Iterable[Any]) -> list[str]:
    accepted = list(accepted)
    if found in accepted:
        return []
    return [f"{what}: expected {' or '.join([repr(one)[:300] for one in accepted])}, got {found!r:.300}"]


def _completion(expected: dict[str, Any], got: Completion) -> list[str]:
    reasoning = {expected["reasoning"] or "", *[text or "" for text in expected.get("reasoning_accept") or ()]}
    choices = max(1, expected["n_choices"])
    found = [
        *_differs("text", got.text, [expected["text"], *expected["text_accept"]]),
        *_differs("reasoning", got.reasoning, sorted(reasoning)),
        *_differs("refusal", got.refusal, [expected["refusal"]]),
        *_differs("number of answers", 1 + len(got.alternatives), [choices]),
        *_finish(expected, got),
        *_differs("number of tool calls", len(got.tool_calls), [len(expected["tool_calls"])]),
    ]
    for position, (call, wanted) in enumerate(zip(got.tool_calls, expected["tool_calls"], strict=False)):
        found += [f"tool call {position}: {difference}" for difference in _tool_call(wanted, call)]
    return found


def _finish(expected: dict[str, Any], got: Completion) -> list[str]:
    accepted: set[FinishReason] = set()
    for word in expected["finish_accept"]:
        if word == "other":
            accepted |= {FinishReason.UNKNOWN, FinishReason.ERROR}
        else:
            accepted.add(FinishReason(word) if word else FinishReason.UNKNOWN)
    if got.tool_calls and FinishReason.TOOL_CALLS in accepted:  # llmkit's own rule, where vendors differ
        accepted = {FinishReason.TOOL_CALLS}
    found = _differs("finish reason", str(got.finish_reason), sorted(map(str, accepted)))
    if expected["finish_raw"] is not None:
        found += _differs("raw finish reason", got.raw_finish_reason, [expected["finish_raw"]])
    return found


def _tool_call(wanted: dict[str, Any], got: ToolCall) -> list[str]:
    found = _differs("name", got.name, [wanted["name"]])
    if wanted["id"] is not None:
        found += _differs("id", got.id, [wanted["id"]])
    elif not got.id:
        found.append("no id was made up where the vendor gives none")
    if wanted["valid"]:
        found += _differs("arguments", (got.valid, dict(got.arguments)), [(True, wanted["arguments"] or {})])
    else:
        found += _differs("cut-off arguments", (got.valid, got.raw), [(False, wanted["raw"])])
    return found


def _model(case: Case, got: str | None) -> list[str]:
    if case.expected["model"] is not None:
        return _differs("model", got, [case.expected["model"]])
    return _differs("model", got, [None, "", case.model])


def _usage(case: Case, got: Usage | None) -> list[str]:
    """The vendor's numbers by the recording's accepted values, then llmkit's own convention."""
    accept = case.expected["usage_accept"]
    if not accept or case.expected["usage"] is None:
        return [] if got is None or got == Usage() else [f"usage: expected None, got {got}"]
    if got is None:
        return [] if all(None in values or 0 in values for values in accept.values()) else ["usage: got None"]
    found = []
    for name, ours in USAGE.items():
        accepted = {value or 0 for value in accept[name]}
        if name == "total_tokens" and None in accept[name]:
            accepted.add(got.prompt_tokens + got.completion_tokens)
        found += _differs(f"usage.{ours}", getattr(got, ours), sorted(accepted))
    said = case.expected["usage"]  # some vendors' own numbers do not add up
    if got.cache_read_tokens + got.cache_write_tokens > max(got.prompt_tokens, said["cached_tokens"] or 0):
        found.append(f"usage: more tokens from and to the cache than in the prompt: {got}")
    if got.reasoning_tokens > got.completion_tokens:
        found.append(f"usage: more reasoning than completion tokens: {got}")
    if got.estimated:
        found.append("usage: marked as estimated although the vendor counted")
    return found


def _embeddings(expected: dict[str, Any], got: Embeddings) -> list[str]:
    if len(got.vectors) != expected["count"]:
        return [f"embeddings: expected {expected['count']} vectors, got {len(got.vectors)}"]
    first, last = got.vectors[0], got.vectors[-1]
    found = [wrong for vector in got.vectors for wrong in _differs("dimensions", len(vector), [expected["dims"]])]
    for what, ours, theirs in (
        ("first numbers", first[: len(expected["head"])], expected["head"]),
        ("last numbers", last[-len(expected["tail"]) :], expected["tail"]),
    ):
        if not all(math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-9) for a, b in zip(ours, theirs, strict=True)):
            found.append(f"{what}: expected {theirs}, got {ours}")
    return found


def _error(case: Case, got: LLMError) -> list[str]:
    expected = case.expected
    classes = [*expected["accept_error"], *(expected["error"] or {}).get("accept", ())]
    if expected["error"]:
        classes.append(expected["error"]["class"])
    if not classes:
        return [f"expected an answer, got {type(got).__name__}: {got}"]
    found = []
    accepted = {error for name in classes for error in ERRORS[name]}
    if case.streamed:
        accepted.add(StreamInterrupted)  # what a client makes of any error after content; it tells the vendor's words too
    if type(got) not in accepted:
        found.append(f"error: expected {' or '.join(sorted(set(classes)))}, got {type(got).__name__}: {got}")
    if expected["error"] is None:
        return found
    named = re.findall(rb'":\s*([45]\d\d)\b', case.body)  # an error within a 200 may tell its own status
    told = {None, 200, *[int(status) for status in named]}
    found += _differs("status", got.status, told if case.status == 200 else {case.status})
    message = redact(" ".join((expected["error"]["message"] or "").split()))[:500]
    if message not in got.message:
        found.append(f"error message: expected {message!r}, got {got.message!r}")
    if case.streamed:  # what had come before the error is not lost
        partial: Completion | None = getattr(got, "partial", None)
        found += _differs("text before the error", partial and partial.text, [expected["text"], *expected["text_accept"]])
    return found
