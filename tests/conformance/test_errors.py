"""What goes wrong at every vendor, in its own words: the same typed error everywhere, whole or streamed, in both colours."""

from __future__ import annotations

import pickle

import pytest

from llmkit import (
    AuthenticationError,
    ContentFilterError,
    ContextLengthError,
    InvalidRequestError,
    InvalidResponseError,
    LLMError,
    ModelNotFoundError,
    NetworkError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    RedirectError,
    ServerError,
    StreamInterrupted,
)
from tests.conformance.conftest import Vendor

REFUSALS: list[tuple[str, type[LLMError]]] = [
    ("invalid", InvalidRequestError),
    ("context_length", ContextLengthError),
    ("content_filter", ContentFilterError),
    ("authentication", AuthenticationError),
    ("quota", QuotaExceededError),
    ("permission", PermissionDeniedError),
    ("model", ModelNotFoundError),
    ("rate_limit", RateLimitError),
    ("server", ServerError),
    ("overloaded", OverloadedError),
    ("502", ServerError),
    ("503", OverloadedError),
    ("504", ServerError),
    ("529", OverloadedError),
]
SAID_OTHERWISE = {("google", "quota")}
"""What a vendor has no words of its own for: Google's day quota is a rate limit (https://ai.google.dev/gemini-api/docs/rate-limits)."""
NO_ANSWERS = ["garbage", "empty", "html", "wrong_shape", "cut"]


def attempted(vendor: Vendor, fault: str, streamed: bool = False) -> LLMError:
    """The error of a call that meets a fault, which must end it."""
    client = vendor.client(fault=fault)
    with pytest.raises(LLMError) as caught:
        client.stream("one two").completion() if streamed else client.generate("one two")
    error = caught.value
    assert (error.provider, error.instance) == (vendor.name, f"{vendor.name}/m")
    assert len(error.attempts) == 1
    assert vendor.key not in f"{error!r}{error}{error.body}{error.__dict__}"
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))
    return error


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("fault", "expected"), REFUSALS)
def test_refusals(vendor: Vendor, fault: str, expected: type[LLMError], streamed: bool):
    vendor.needs(*(["stream"] if streamed else []))
    error = attempted(vendor, fault, streamed)
    assert type(error) is expected or (vendor.name, fault) in SAID_OTHERWISE
    assert error.status is not None
    assert error.status >= 400
    assert error.message
    assert vendor.books()["calls"] == 1


def test_retry_after(vendor: Vendor):
    assert attempted(vendor, "rate_limit;retry-after=7").retry_after == 7
    assert attempted(vendor, "overloaded;retry-after-ms=1500").retry_after == 1.5


def test_rate_limits_pass(vendor: Vendor):
    """A short rest is waited for, not told."""
    vendor.fail("rate_limit;retry-after-ms=20")
    answer = vendor.client(retries=1).generate("Hi")
    assert (answer.text, len(answer.attempts)) == ("Hi", 2)
    assert isinstance(answer.attempts[0].error, RateLimitError)
    vendor.agrees(answer)


@pytest.mark.parametrize("fault", NO_ANSWERS)
def test_bodies_that_are_no_answer(vendor: Vendor, fault: str):
    error = attempted(vendor, fault)
    assert isinstance(error, (InvalidResponseError, NetworkError))
    assert error.ambiguous


def test_an_error_in_a_200(vendor: Vendor):
    assert isinstance(attempted(vendor, "error_in_200"), ServerError)


@pytest.mark.parametrize("streamed", [False, True])
def test_redirects_are_not_followed(vendor: Vendor, streamed: bool):
    vendor.needs(*(["stream"] if streamed else []))
    assert type(attempted(vendor, "redirect", streamed)) is RedirectError


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("fault", ["reset", "eof"])
def test_broken_connections(vendor: Vendor, fault: str, streamed: bool):
    vendor.needs(*(["stream"] if streamed else []))
    assert isinstance(attempted(vendor, fault, streamed), NetworkError)


@pytest.mark.parametrize("fault", ["cut:2", "drop:2", "error_event:2"])
def test_streams_that_break_after_their_first_content(vendor: Vendor, fault: str):
    """Never repeated, never taken for whole: an error that holds what had come."""
    vendor.needs("stream")
    vendor.fail(fault)
    client = vendor.client(retries=3)
    heard: list[str] = []
    with client.stream("one two three") as stream, pytest.raises(StreamInterrupted) as caught:
        heard.extend(event.text for event in stream)
    error = caught.value
    assert "".join(heard) == error.partial.text == "one two"
    assert error.ambiguous
    assert vendor.books()["calls"] == len(error.attempts) == 1
    row = client.usage()[0]
    assert (row.calls, row.interrupted, row.usage.total_tokens) == (0, 1, 0)
    assert client.generate("Hi").text == "Hi"


@pytest.mark.parametrize("fault", ["cut:0", "drop:0", "error_event:0", "garbage", "empty", "html", "reset"])
def test_streams_that_break_before_their_first_content(vendor: Vendor, fault: str):
    """Nobody has seen anything: tried again, and nobody notices."""
    vendor.needs("stream")
    vendor.fail(fault)
    with vendor.client(retries=1).stream("one two three") as stream:
        answer = stream.completion()
    assert (answer.text, len(answer.attempts)) == ("one two three", 2)
    assert isinstance(answer.attempts[0].error, LLMError)
    vendor.agrees(answer)
    assert vendor.books()["calls"] == 2
