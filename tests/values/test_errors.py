"""Errors keep their facts, in words, copies and pickles."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit import errors
from llmkit.errors import (
    AllInstancesFailed,
    ErrorCode,
    InvalidRequestError,
    LLMError,
    NoInstanceAvailable,
    RateLimitError,
    Recovery,
    RequestTimeout,
    ServerError,
    StreamInterrupted,
    UnsupportedParameterError,
)
from llmkit.values.completion import Attempt, Completion, FinishReason
from llmkit.values.messages import Message
from llmkit.values.usage import Usage

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, LLMError)]

COPIES: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy] + [
    lambda value, protocol=protocol: pickle.loads(pickle.dumps(value, protocol))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
]

TEXTS = st.none() | st.text(max_size=20)
FACTS = st.fixed_dictionaries(
    {
        "provider": TEXTS,
        "instance": TEXTS,
        "status": st.none() | st.integers(100, 599),
        "request_id": TEXTS,
        "retry_after": st.none() | st.floats(0, 1e6),
        "vendor_code": TEXTS,
        "body": TEXTS,
        "recovery": st.sampled_from(Recovery),
        "ambiguous": st.booleans(),
        "more": st.integers(),
    }
)


@given(st.sampled_from(CLASSES), st.text(max_size=30), FACTS, st.sampled_from(COPIES))
def test_every_error_survives_copying_with_all_its_facts(
    cls: type[LLMError], message: str, facts: dict[str, Any], duplicate: Callable[[Any], Any]
) -> None:
    failed = Attempt("a", "key 1", 0.0, 0.5, RateLimitError("slow down", status=429, ambiguous=True))
    error = cls(message, attempts=[failed, Attempt("b", "key 2", 0.5, 1.0)], **facts)
    twin = duplicate(error)
    assert type(twin) is cls
    assert (str(twin), twin.args, twin.message, twin.code) == (str(error), error.args, message, cls.default_code)
    for name, value in facts.items():
        assert getattr(twin, name) == value
    assert [attempt.instance for attempt in twin.attempts] == ["a", "b"]
    assert (twin.attempts[0].error.status, twin.attempts[0].ambiguous, twin.attempts[1].ambiguous) == (429, True, False)


@pytest.mark.parametrize("duplicate", COPIES)
def test_facts_of_single_classes_survive(duplicate: Callable[[Any], Any]) -> None:
    partial = Completion(Message.assistant("Hel"), FinishReason.UNKNOWN, usage=Usage(1, 2, 3), raw={"a": [1]})
    assert duplicate(StreamInterrupted("cut", partial=partial)).partial == partial
    assert duplicate(RequestTimeout("late", phase="connect")).phase == "connect"
    assert duplicate(NoInstanceAvailable("none", retry_at=12.5)).retry_at == 12.5
    assert duplicate(UnsupportedParameterError("no", parameters=("seed",))).parameters == ("seed",)
    failures = duplicate(AllInstancesFailed("all", failures=(ServerError("a", status=500), RateLimitError("b")))).failures
    assert [(type(failure), str(failure)) for failure in failures] == [(ServerError, "a (HTTP 500)"), (RateLimitError, "b")]


def test_an_error_of_somebody_elses_survives_too() -> None:
    error = pickle.loads(pickle.dumps(OtherError("gone", shelf=4)))
    assert (type(error), error.shelf, str(error)) == (OtherError, 4, "gone")


class OtherError(LLMError):
    """A subclass whose constructor takes something else."""

    def __init__(self, message: str, shelf: int) -> None:
        super().__init__(message)
        self.shelf = shelf


def test_every_class_has_a_code_of_its_own_and_every_code_a_class() -> None:
    assert sorted(cls.default_code.value for cls in CLASSES) == sorted(code.value for code in ErrorCode)


def test_an_error_says_where_what_and_which() -> None:
    attempts = [Attempt("a", "key 1", 0, 1), Attempt("a", "key 2", 1, 1)]
    error = RateLimitError(
        "slow down",
        provider="openai",
        instance="mine",
        status=429,
        request_id="r",
        retry_after=1.5,
        vendor_code="c",
        attempts=attempts,
    )
    assert str(error) == "mine: slow down (HTTP 429, c, request id r, retry after 1.5 s, 2 attempts)"
    assert str(InvalidRequestError("no")) == "no"
    assert str(InvalidRequestError("no", provider="openai")) == "openai: no"
    assert str(LLMError()) == ""


def test_errors_are_caught_by_their_kind() -> None:
    assert issubclass(errors.ContextLengthError, InvalidRequestError)
    assert issubclass(errors.OverloadedError, ServerError)
    assert issubclass(RequestTimeout, errors.NetworkError)
    assert issubclass(StreamInterrupted, errors.InvalidResponseError)
    assert RateLimitError("x").recovery is Recovery.RETRY
    assert RateLimitError("x", recovery=Recovery.NEVER).recovery is Recovery.NEVER
