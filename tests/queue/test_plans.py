"""The way down a plan, as arithmetic: it ends, never repeats itself, and never follows a mistake of the caller's."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmkit import (
    AllInstancesFailed,
    AuthenticationError,
    BudgetExceededError,
    CallCancelled,
    CallQueued,
    ClientClosedError,
    Completion,
    ConfigError,
    ContentFilterError,
    ContextLengthError,
    Degrade,
    InvalidRequestError,
    InvalidResponseError,
    LLMError,
    Message,
    ModelNotFoundError,
    NetworkError,
    NoInstanceAvailable,
    Options,
    OverloadedError,
    PermissionDeniedError,
    Queue,
    QueueFullError,
    QuotaExceededError,
    RateLimitError,
    RedirectError,
    Reject,
    RequestTimeout,
    ResponseTooLarge,
    Secondary,
    ServerError,
    StorageError,
    StreamInterrupted,
    TLSError,
    UnsupportedParameterError,
)
from llmkit.policy.fallbacks import Descent, apply, cause, passes
from llmkit.values.calls import ChatCall, Deadline
from llmkit.values.fallbacks import DROPPABLE, FallbackPlan, parse_steps

EVERY = {
    "failure, passing": [
        *(AuthenticationError, BudgetExceededError, InvalidResponseError, NetworkError, NoInstanceAvailable, OverloadedError),
        *(PermissionDeniedError, QueueFullError, QuotaExceededError, RateLimitError, RequestTimeout, ResponseTooLarge),
        *(ServerError, LLMError, AllInstancesFailed),
    ],
    "failure, lasting": [ModelNotFoundError, TLSError, RedirectError, UnsupportedParameterError],
    "context": [ContextLengthError],
    "refusal": [ContentFilterError],
    "none": [ConfigError, InvalidRequestError, ClientClosedError, StreamInterrupted, CallQueued, CallCancelled, StorageError],
}


def test_every_error_has_its_place():
    """No class is forgotten, and each leads where the table in the documentation says."""
    from llmkit import errors

    known = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LLMError)}
    assert {kind for kinds in EVERY.values() for kind in kinds} == known
    for words, kinds in EVERY.items():
        why, _, how = words.partition(", ")
        for kind in kinds:
            assert cause(kind("x")) == (None if why == "none" else why), kind
            assert passes(kind("x")) == (how == "passing"), kind


def test_several_failures():
    """One that may fall back is enough; one that passes is worth keeping."""

    def several(*kinds: Any) -> LLMError:
        return AllInstancesFailed("x", failures=tuple([kind("x") for kind in kinds]))

    assert cause(several(ContextLengthError, ServerError)) == "failure"
    assert cause(several(ModelNotFoundError, ContextLengthError)) == "failure"
    assert cause(several(InvalidRequestError, ContextLengthError)) == "context"
    assert cause(several(InvalidRequestError, ConfigError)) is None
    assert passes(several(ModelNotFoundError, ServerError))
    assert not passes(several(ModelNotFoundError, ModelNotFoundError))


NAMES = st.sampled_from(["a/1", "a/2", "b/1", "c"])
STEP = st.one_of(
    st.builds(Secondary, st.lists(NAMES, min_size=1, max_size=3)),
    st.builds(Degrade, NAMES, st.none() | st.integers(1, 500), st.lists(st.sampled_from(DROPPABLE), max_size=3)),
    st.builds(Queue, st.floats(0, 100), st.integers(1, 5)),
    st.builds(Reject, st.none() | st.text()),
)
PLAN = st.builds(
    FallbackPlan,
    steps=st.lists(STEP, max_size=4).map(tuple),
    context=st.lists(NAMES, max_size=3).map(tuple),
    refusal=st.lists(NAMES, max_size=3).map(tuple),
)
OPTIONS = st.builds(
    Options,
    max_tokens=st.none() | st.integers(1, 500),
    seed=st.none() | st.integers(0, 9),
    reasoning_effort=st.none() | st.just("high"),
    tools=st.none() | st.just(({"type": "search"},)),
)
CALL = st.builds(
    ChatCall,
    deadline=st.just(Deadline(0.0, 600.0)),
    messages=st.just((Message.user("Hi"),)),
    model=st.none() | NAMES,
    instance=st.none() | NAMES,
    fallbacks=st.lists(NAMES, max_size=2).map(tuple),
    options=OPTIONS,
    plan=PLAN,
)
ERROR = st.sampled_from([kind for kinds in EVERY.values() for kind in kinds]).map(lambda kind: kind("x"))


@given(CALL, st.lists(ERROR, min_size=40, max_size=40), st.booleans())
def test_every_way_ends(call: ChatCall, errors: list[LLMError], late: bool):
    """Whatever goes wrong in whatever order; the number of calls is bounded by the plan; what is asked is asked of another model,
    or for less; nothing is asked when it is too late."""
    descent = Descent(call)
    made = 0
    for error in errors:
        outcome = descent.next(error, late)
        if not isinstance(outcome, ChatCall):
            break
        made += 1
        assert not late
        assert (outcome.messages, outcome.deadline, outcome.tags) == (call.messages, call.deadline, call.tags)
        assert (outcome.model, outcome.options) != (call.model, call.options) or outcome.instance != call.instance
        assert outcome.plan is not None
        assert outcome.plan.said
    else:
        raise AssertionError("the way has no end")
    assert call.plan is not None
    most = sum(len(step.models) if isinstance(step, Secondary) else 1 for step in call.plan.steps)
    assert made <= most + len(call.plan.context) + len(call.plan.refusal)
    if outcome is error and not made and passes(error):
        kinds = [type(step) for step in call.plan.steps]
        assert Queue not in kinds or Reject in kinds[: kinds.index(Queue)]
    if isinstance(outcome, Queue):
        assert passes(error)


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(CALL, ERROR.filter(lambda error: cause(error) is None))
def test_a_mistake_of_the_callers_ends_it_at_once(call: ChatCall, error: LLMError):
    assert Descent(call).next(error) is error


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(CALL, STEP.filter(lambda step: isinstance(step, Degrade)))
def test_less_is_never_more(call: ChatCall, step: Degrade):
    """No option is added, none is raised, and what was dropped is named."""
    less = apply(step, call, ServerError("x"))
    if less is None:
        return
    assert isinstance(less, ChatCall)
    assert less.plan is not None
    before, after = call.options.to_dict(), less.options.to_dict()
    limit = after.pop("max_tokens", None)
    assert limit is None or limit == min(filter(None, (call.options.max_tokens, step.max_tokens or 10**9)))
    before.pop("max_tokens", None)
    assert after.items() <= before.items() if "tools" not in before else after.keys() <= before.keys()
    assert set(before) - set(after) == set(less.plan.dropped)


@given(STEP)
def test_a_step_as_a_mapping_is_the_step(step: Any):
    """As TOML has it."""
    fields = {name: value for name, value in attrs.asdict(step, recurse=False).items() if value is not None}
    assert parse_steps("fallback", [{"type": step.type, **fields}]) == (step,)


RUBBISH = st.none() | st.booleans() | st.integers() | st.text()


@given(st.recursive(RUBBISH, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_rubbish_is_a_typed_error(given: Any):
    try:
        steps = parse_steps("fallback", given)
    except ConfigError as error:
        assert "fallback" in error.message or "." in error.message
        return
    assert all(isinstance(step, (Secondary, Degrade, Queue, Reject)) for step in steps)


@pytest.mark.parametrize("step", [Reject("no"), Reject("")])
def test_a_given_answer_is_whole(step: Reject):
    call = ChatCall(deadline=Deadline(0.0, 1.0), messages=(Message.user("Hi"),))
    answer = apply(step, call, ServerError("x"))
    assert isinstance(answer, Completion)
    assert answer.text == step.text
