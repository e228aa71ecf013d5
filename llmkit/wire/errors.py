"""Which typed error an error reply is: one table for every vendor.

Statuses and their recovery follow the vendors' error pages; what a status alone cannot tell (an unknown model as 400, a used-up
quota as 429) is told by the vendor's own code first, and by its words last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

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
    Recovery,
    RedirectError,
    ServerError,
)
from llmkit.wire.redact import excerpt, redact
from llmkit.wire.retry_after import retry_after

STATUSES: Mapping[int, tuple[type[LLMError], Recovery]] = {
    400: (InvalidRequestError, Recovery.NEVER),
    401: (AuthenticationError, Recovery.OTHER_KEY),
    402: (QuotaExceededError, Recovery.OTHER_KEY),
    403: (PermissionDeniedError, Recovery.OTHER_KEY),
    404: (ModelNotFoundError, Recovery.OTHER_INSTANCE),
    408: (ServerError, Recovery.RETRY),
    409: (ServerError, Recovery.RETRY),
    413: (InvalidRequestError, Recovery.NEVER),
    415: (InvalidRequestError, Recovery.NEVER),
    422: (InvalidRequestError, Recovery.NEVER),
    425: (ServerError, Recovery.RETRY),
    429: (RateLimitError, Recovery.RETRY),
    # Cancelled, "try the request again": https://docs.cohere.com/reference/errors
    499: (ServerError, Recovery.RETRY),
    501: (ServerError, Recovery.OTHER_INSTANCE),
    503: (OverloadedError, Recovery.RETRY),
    505: (ServerError, Recovery.OTHER_INSTANCE),
    529: (OverloadedError, Recovery.RETRY),
}

CODES: Mapping[str, tuple[type[LLMError], Recovery]] = {
    "context_length_exceeded": (ContextLengthError, Recovery.NEVER),
    "exceed_context_size_error": (ContextLengthError, Recovery.NEVER),
    "content_filter": (ContentFilterError, Recovery.NEVER),
    "content_policy_violation": (ContentFilterError, Recovery.NEVER),
    "responsibleaipolicyviolation": (ContentFilterError, Recovery.NEVER),
    "insufficient_quota": (QuotaExceededError, Recovery.OTHER_KEY),
    "billing_hard_limit_reached": (QuotaExceededError, Recovery.OTHER_KEY),
    "billing_not_active": (QuotaExceededError, Recovery.OTHER_KEY),
    "billing_error": (QuotaExceededError, Recovery.OTHER_KEY),
    "quota_exceeded": (QuotaExceededError, Recovery.OTHER_KEY),
    "insufficient_credits": (QuotaExceededError, Recovery.OTHER_KEY),
    "invalid_api_key": (AuthenticationError, Recovery.OTHER_KEY),
    "api_key_invalid": (AuthenticationError, Recovery.OTHER_KEY),
    "authentication_error": (AuthenticationError, Recovery.OTHER_KEY),
    "unauthenticated": (AuthenticationError, Recovery.OTHER_KEY),
    "permission_error": (PermissionDeniedError, Recovery.OTHER_KEY),
    "permission_denied": (PermissionDeniedError, Recovery.OTHER_KEY),
    "model_not_found": (ModelNotFoundError, Recovery.OTHER_INSTANCE),
    "invalid_model": (ModelNotFoundError, Recovery.OTHER_INSTANCE),
    "deploymentnotfound": (ModelNotFoundError, Recovery.OTHER_INSTANCE),
    "not_found_error": (ModelNotFoundError, Recovery.OTHER_INSTANCE),
    "rate_limit_exceeded": (RateLimitError, Recovery.RETRY),
    "rate_limit_error": (RateLimitError, Recovery.RETRY),
    "resource_exhausted": (RateLimitError, Recovery.RETRY),
    "overloaded_error": (OverloadedError, Recovery.RETRY),
    "engine_overloaded": (OverloadedError, Recovery.RETRY),
    "unavailable": (OverloadedError, Recovery.RETRY),
    "api_error": (ServerError, Recovery.RETRY),
    "server_error": (ServerError, Recovery.RETRY),
    "internal_error": (ServerError, Recovery.RETRY),
    "internal_server_error": (ServerError, Recovery.RETRY),
    "timeout_error": (ServerError, Recovery.RETRY),
}
"""Vendors' codes and types, in lower case."""

WORDS: tuple[tuple[str, type[LLMError], Recovery], ...] = (
    (
        (
            r"maximum context length|context (length|window|size)|context limit|prompt is too long|too many (input )?tokens"
            r"|input tokens exceed|exceeds the (maximum number of tokens|model's max)|longer than the model's"
            r"|input is too long|too large for model|length of all messages is too long|reduce the length of the messages"
            r"|exceeds? the maximum (number of )?(input )?tokens|max_new_tokens. must be"
        ),
        ContextLengthError,
        Recovery.NEVER,
    ),
    (
        (
            r"credit balance|insufficient[ _](balance|credit|quota|funds)|exceeded your current quota|usage limits?\b"
        ),
        QuotaExceededError,
        Recovery.OTHER_KEY,
    ),
    (
        (
            r"api[ _-]?key[^.]{0,20} (not valid|invalid|expired|incorrect)|(invalid|incorrect|missing) api[ _-]?key"
        ),
        AuthenticationError,
        Recovery.OTHER_KEY,
    ),
    (
        r"content (management )?policy|content filter|safety system|flagged as|blocked (input|output)",
        ContentFilterError,
        Recovery.NEVER,
    ),
    (
        r"(invalid|unknown|no such) model|model[^.]{0,80}(does not exist|not found|is not available)",
        ModelNotFoundError,
        Recovery.OTHER_INSTANCE,
    ),
)
"""What only a 400-ish reply's words tell, whatever their case, tried in order; compiled when the first error comes."""


def classify(status: int | None, codes: tuple[str, ...], message: str) -> tuple[type[LLMError], Recovery]:
    """The error class for a status, the vendor's codes (most specific first) and its words, and what may help."""
    known = [found for code in codes if (found := CODES.get(code.lower()))]
    by_status = STATUSES.get(status or 0)
    if by_status is None and status is not None:
        if 300 <= status < 400:
            return RedirectError, Recovery.NEVER
        by_status = (ServerError, Recovery.RETRY) if status >= 500 else (InvalidRequestError, Recovery.NEVER)
    if status is None or status < 400:  # an error inside a 200: nothing but code and words to go by
        by_words = _by_words(message)
        return (known[0] if known else by_words) or (ServerError, Recovery.RETRY)
    if status in (400, 413, 422, 429, 403, 404):
        specific = [found for found in known if found[0] not in (InvalidRequestError,)]
        if status == 429:
            specific = [found for found in specific if found[0] in (QuotaExceededError, RateLimitError, OverloadedError)]
        if status == 404:
            specific = []
        if specific:
            return specific[0]
        if status in (400, 413, 422):
            return _by_words(message) or by_status or (InvalidRequestError, Recovery.NEVER)
        if status == 403 and (found := _by_words(message)) and found[0] in (QuotaExceededError, ContentFilterError):
            return found
    return by_status or (InvalidRequestError, Recovery.NEVER)


def _by_words(message: str) -> tuple[type[LLMError], Recovery] | None:
    return next(((error, recovery) for words, error, recovery in WORDS if re.search(words, message, re.IGNORECASE)), None)


def error_for(
    status: int | None,
    message: str,
    *,
    codes: tuple[str | None, ...] = (),
    provider: str | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    retry_hint: float | None = None,
    own: Mapping[int, tuple[type[LLMError], Recovery]] | None = None,
) -> LLMError:
    """The typed error for what a vendor said.

    :param status: the reply's status; None for an error inside a stream.
    :param message: the vendor's sentence.
    :param codes: the vendor's error code, type and status words, most specific first.
    :param headers: the reply's headers, for the request id, Retry-After and ``x-should-retry``.
    :param retry_hint: seconds to wait that the vendor put in the body; the headers win.
    :param own: statuses that mean at this vendor what they mean nowhere else.
    """
    headers = headers or {}
    given = tuple(str(code) for code in codes if code not in (None, ""))
    cls, recovery = (own.get(status or 0) if own else None) or classify(status, given, message)
    should_retry = headers.get("x-should-retry")
    if should_retry == "true" and recovery is Recovery.NEVER:
        recovery = Recovery.RETRY
    elif should_retry == "false" and recovery is Recovery.RETRY:
        recovery = Recovery.NEVER
    seconds = retry_after(headers)
    return cls(
        redact(" ".join(message[:8000].split()))[:500] or f"the vendor answered with HTTP {status} and no message",
        provider=provider,
        status=status,
        request_id=request_id(headers),
        retry_after=retry_hint if seconds is None else seconds,
        vendor_code=given[0] if given else None,
        body=excerpt(body) if body else None,
        recovery=recovery,
    )


REQUEST_IDS = (
    "x-request-id",
    "request-id",
    "apim-request-id",
    "x-generation-id",
    "x-amzn-requestid",
    "x-goog-request-id",
    "cf-ray",
)
"""Headers that hold the vendor's id of a request, first found wins."""


def request_id(headers: Mapping[str, str]) -> str | None:
    """The vendor's id of the request, or None."""
    for name in REQUEST_IDS:
        found = headers.get(name)
        if found is not None:
            return found
    return None
