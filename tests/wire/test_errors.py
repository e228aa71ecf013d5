"""Which typed error a vendor's words, codes and statuses are, row by row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from llmkit.provider import error_fields
from llmkit.wire.errors import CODES, classify, error_for, request_id

NEVER, RETRY, KEY, INSTANCE = Recovery.NEVER, Recovery.RETRY, Recovery.OTHER_KEY, Recovery.OTHER_INSTANCE


@pytest.mark.parametrize(
    ("status", "expected", "recovery"),
    [
        (301, RedirectError, NEVER),
        (307, RedirectError, NEVER),
        (400, InvalidRequestError, NEVER),
        (401, AuthenticationError, KEY),
        (402, QuotaExceededError, KEY),
        (403, PermissionDeniedError, KEY),
        (404, ModelNotFoundError, INSTANCE),
        (405, InvalidRequestError, NEVER),
        (408, ServerError, RETRY),
        (409, ServerError, RETRY),
        (413, InvalidRequestError, NEVER),
        (415, InvalidRequestError, NEVER),
        (418, InvalidRequestError, NEVER),
        (422, InvalidRequestError, NEVER),
        (425, ServerError, RETRY),
        (429, RateLimitError, RETRY),
        (498, InvalidRequestError, NEVER),
        (499, ServerError, RETRY),
        (500, ServerError, RETRY),
        (501, ServerError, INSTANCE),
        (502, ServerError, RETRY),
        (503, OverloadedError, RETRY),
        (504, ServerError, RETRY),
        (505, ServerError, INSTANCE),
        (520, ServerError, RETRY),
        (529, OverloadedError, RETRY),
        (None, ServerError, RETRY),
        (200, ServerError, RETRY),
    ],
)
def test_a_status_alone(status: int | None, expected: type[LLMError], recovery: Recovery) -> None:
    assert classify(status, (), "") == (expected, recovery)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "context_length_exceeded", ContextLengthError),
        (400, "exceed_context_size_error", ContextLengthError),
        (400, "content_filter", ContentFilterError),
        (400, "content_policy_violation", ContentFilterError),
        (400, "ResponsibleAIPolicyViolation", ContentFilterError),
        (400, "model_not_found", ModelNotFoundError),
        (400, "API_KEY_INVALID", AuthenticationError),
        (400, "invalid_model", ModelNotFoundError),
        (422, "insufficient_credits", QuotaExceededError),
        (429, "insufficient_quota", QuotaExceededError),
        (429, "billing_hard_limit_reached", QuotaExceededError),
        (429, "engine_overloaded", OverloadedError),
        (429, "RESOURCE_EXHAUSTED", RateLimitError),
        (429, "model_not_found", RateLimitError),
        (403, "insufficient_quota", QuotaExceededError),
        (403, "model_not_found", ModelNotFoundError),
        (404, "DeploymentNotFound", ModelNotFoundError),
        (404, "server_error", ModelNotFoundError),
        (401, "server_error", AuthenticationError),
        (500, "context_length_exceeded", ServerError),
        (400, "a_new_code", InvalidRequestError),
        (None, "overloaded_error", OverloadedError),
        (None, "rate_limit_error", RateLimitError),
        (None, "api_error", ServerError),
        (200, "content_filter", ContentFilterError),
        (None, "a_new_code", ServerError),
    ],
)
def test_a_vendors_code(status: int | None, code: str, expected: type[LLMError]) -> None:
    assert classify(status, (code,), "")[0] is expected


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (400, "This model's maximum context length is 8192 tokens.", ContextLengthError),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", ContextLengthError),
        (400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", ContextLengthError),
        (400, "too many tokens: total number of tokens in the prompt cannot exceed 4081", ContextLengthError),
        (400, "Please reduce the length of the messages or completion.", ContextLengthError),
        (413, "Request too large for model `llama3` in organization", ContextLengthError),
        (422, "Input is too long for requested model.", ContextLengthError),
        (400, "Your credit balance is too low to access the API.", QuotaExceededError),
        (400, "API key not valid. Please pass a valid API key.", AuthenticationError),
        (400, "Incorrect API key provided: [redacted]", AuthenticationError),
        (400, "The response was filtered due to Azure's content management policy.", ContentFilterError),
        (400, "Your request was rejected as a result of our safety system.", ContentFilterError),
        (400, "Invalid model: mistral-huge", ModelNotFoundError),
        (400, "The requested model 'gpt-9' does not exist.", ModelNotFoundError),
        (403, "You exceeded your current quota, please check your plan", QuotaExceededError),
        (403, "This model is not available in your region", PermissionDeniedError),
        (400, "messages: at least one message is required", InvalidRequestError),
        (500, "maximum context length", ServerError),
        (None, "prompt is too long", ContextLengthError),
    ],
)
def test_a_vendors_words(status: int | None, message: str, expected: type[LLMError]) -> None:
    assert classify(status, (), message)[0] is expected


def test_the_most_specific_code_that_is_known_wins() -> None:
    assert classify(400, ("unheard_of", "context_length_exceeded", "content_filter"), "")[0] is ContextLengthError


@given(st.integers(100, 999) | st.none(), st.lists(st.sampled_from(sorted(CODES)) | st.text(max_size=10)), st.text(max_size=60))
def test_everything_is_some_typed_error(status: int | None, codes: list[str], message: str) -> None:
    error = error_for(status, message, codes=tuple(codes), provider="x")
    assert type(error) is not LLMError
    assert error.message
    assert len(error.message) <= 500
    assert str(error).startswith("x: ")


def test_an_error_holds_its_facts() -> None:
    headers = {"x-request-id": "req_1", "retry-after": "7"}
    error = error_for(429, " Slow \n down ", codes=(None, "", "rate_limit_exceeded"), provider="x", headers=headers, body=b"{}")
    assert type(error) is RateLimitError
    assert (error.message, error.provider, error.status, error.request_id) == ("Slow down", "x", 429, "req_1")
    assert (error.retry_after, error.vendor_code, error.body, error.recovery) == (7.0, "rate_limit_exceeded", "{}", RETRY)


def test_headers_win_over_the_bodys_hint_about_waiting() -> None:
    assert error_for(429, "", headers={"retry-after": "7"}, retry_hint=3.0).retry_after == 7.0


def test_what_a_status_means_at_one_vendor_wins() -> None:
    own = {498: (OverloadedError, RETRY)}
    error = error_for(498, "full", own=own)
    assert (type(error), error.recovery) == (OverloadedError, RETRY)
    assert type(error_for(400, "full", own=own)) is InvalidRequestError
    assert type(error_for(None, "full", own=own)) is ServerError
    assert error_for(429, "", headers={}, retry_hint=3.0).retry_after == 3.0


@pytest.mark.parametrize(
    ("status", "said", "recovery"),
    [(400, "true", RETRY), (500, "false", NEVER), (401, "true", KEY), (401, "false", KEY), (500, "maybe", RETRY)],
)
def test_x_should_retry(status: int, said: str, recovery: Recovery) -> None:
    assert error_for(status, "", headers={"x-should-retry": said}).recovery is recovery


def test_no_key_gets_into_an_error() -> None:
    key = "sk-proj-abcdefghijklmnopqrstuvwxyz"
    error = error_for(401, f"Incorrect API key provided: {key}", body=f'{{"error": "{key}"}}'.encode())
    assert key not in f"{error} {error.message} {error.body} {error!r} {error.args}"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-request-id": "a", "cf-ray": "b"}, "a"),
        ({"request-id": "a"}, "a"),
        ({"cf-ray": "b"}, "b"),
        ({"apim-request-id": "c"}, "c"),
        ({}, None),
    ],
)
def test_request_ids(headers: dict[str, str], expected: str | None) -> None:
    assert request_id(headers) == expected


@pytest.mark.parametrize(
    ("body", "message", "codes"),
    [
        (b'{"error": {"message": "m", "type": "t", "code": "c"}}', "m", ("c", "t")),
        (b'{"error": {"message": "m", "status": "NOT_FOUND", "code": 404}}', "m", ("404", "NOT_FOUND")),
        (b'{"error": "m"}', "m", ()),
        (b'{"message": "m", "id": "1"}', "m", ()),
        (b'{"detail": "m"}', "m", ()),
        (b'[{"error": {"message": "m"}}]', "m", ()),
        (b'{"error": {"message": {"a": 1}}}', '{"a":1}', ()),
        (b"<html>bad gateway</html>", "<html>bad gateway</html>", ()),
        (b"", "", ()),
        (b"null", "", ()),
        (b"[]", "", ()),
        (b"\xff\xfe", "\ufffd\ufffd", ()),
    ],
)
def test_the_usual_shapes_of_error_bodies(body: bytes, message: str, codes: tuple[str, ...]) -> None:
    assert error_fields(body) == (message, codes)
