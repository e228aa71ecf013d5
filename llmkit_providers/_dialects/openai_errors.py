"""What is wrong, in the words of vendors that speak OpenAI's dialects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llmkit.errors import InvalidResponseError, LLMError
from llmkit.provider import error_fields
from llmkit.wire.errors import error_for
from llmkit.wire.http import HttpReply
from llmkit.wire.json import dump_json, parse_json

if TYPE_CHECKING:
    from llmkit_providers._dialects.openai_chat import OpenAIChat

REQUEST_FAULTS = frozenset({
    "invalid_request_error", "tool_use_failed", "json_validate_failed", "invalid_prompt", "invalid_request", "invalid_parameter",
})  # fmt: skip
"""Codes that mean a bad request wherever they stand. The second and the third are Groq's, https://console.groq.com/docs/errors; the
fourth is of OpenAI's Responses, https://platform.openai.com/docs/api-reference/responses/object; the last two are Perplexity's."""


def of_reply(vendor: OpenAIChat, reply: HttpReply) -> LLMError:
    """The typed error for a reply whose status is not 2xx."""
    try:
        document = parse_json(reply.body) if reply.body else None
    except InvalidResponseError:
        document = None
    message, codes = vendor.error_words(document) if document else error_fields(reply.body)
    return error_for(
        reply.status, message, codes=codes, provider=vendor.name, headers=reply.headers, body=reply.body, own=vendor.statuses
    )


def of_document(vendor: OpenAIChat, document: Mapping[str, Any], headers: Mapping[str, str]) -> LLMError:
    """The typed error for an error document under status 200, or in a stream. A numeric code in it is the HTTP status that the
    vendor would have sent (OpenRouter: https://openrouter.ai/docs/api-reference/errors, vLLM)."""
    message, codes = vendor.error_words(document)
    status = next((int(code) for code in codes if len(code) == 3 and code.isdigit() and code[0] in "45"), None)
    if status is None and any(code in REQUEST_FAULTS for code in codes):
        status = 400
    return error_for(
        status,
        message or "the vendor reported an error without a message",
        codes=codes,
        provider=vendor.name,
        headers=headers,
        body=dump_json(document),
    )


def words(document: Any) -> tuple[str, tuple[str, ...]]:
    """The message and the codes (most specific first) of a parsed error body.

    Beside the common shapes: ``{"detail": [{"loc", "msg", "type"}]}`` of servers built on FastAPI (Mistral, vLLM, Perplexity),
    also as the ``message`` of another shape.
    """
    message, codes = error_fields(document if isinstance(document, Mapping) else dump_json(document))
    if isinstance(document, Mapping):
        inner = document.get("message")
        detail = document.get("detail", inner.get("detail") if isinstance(inner, Mapping) else None)
        if isinstance(detail, list):
            message = "; ".join([_complaint(entry) for entry in detail]) or message
    return message, codes


def _complaint(entry: Any) -> str:
    """One entry of FastAPI's list of validation errors: https://fastapi.tiangolo.com/tutorial/handling-errors/"""
    if not isinstance(entry, Mapping):
        return str(entry)
    where = entry.get("loc")
    place = ".".join([str(step) for step in where]) if isinstance(where, list) else ""
    said = str(entry.get("msg") or entry.get("message") or "")
    return f"{place}: {said}" if place else said
