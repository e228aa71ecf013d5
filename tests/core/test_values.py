"""Values: every one survives JSON, whatever it holds; prompts in every form; options in layers; ledgers that add up."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit import (
    Completion,
    ConfigError,
    FinishReason,
    Instance,
    InvalidRequestError,
    InvalidResponseError,
    JsonSchema,
    Message,
    Options,
    RateLimitError,
    ServerError,
    Task,
    Timeouts,
    Tool,
    Usage,
)
from llmkit.observe.ledger import Ledger
from llmkit.values.calls import ChatCall, Deadline
from llmkit.values.completion import Attempt, Timing
from llmkit.values.conversation import conversation, from_openai
from llmkit.values.fallbacks import Degrade, FallbackPlan, Queue, Reject, Secondary
from llmkit.values.instances import DEFAULT_TIMEOUTS
from llmkit.values.messages import Audio, File, Image, Reasoning, Refusal, Text, ToolCall, ToolResult
from llmkit.values.options import NO_OPTIONS
from llmkit.wire.codec import from_json, to_json

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
NAME = TEXT.filter(bool)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
OPTIONS = st.builds(
    Options,
    max_tokens=st.none() | st.integers(0, 10**6),
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    stop=st.none() | st.lists(NAME, max_size=3),
    seed=st.none() | st.integers(-(2**31), 2**31),
    reasoning_effort=st.none() | NAME,
    tools=st.none()
    | st.lists(st.builds(Tool, NAME, TEXT, OBJECT, st.none() | st.booleans()), max_size=2, unique_by=lambda tool: tool.name),
    tool_choice=st.none() | NAME,
    response_format=st.none() | st.just("json") | st.builds(JsonSchema, OBJECT, NAME, st.none() | st.booleans(), st.none() | TEXT),
    extra=st.none() | OBJECT,
)
PART = st.one_of(
    st.builds(Text, TEXT),
    st.builds(Image, data=st.binary(max_size=9), media_type=st.just("image/png")),
    st.builds(Image, url=st.just("https://x.test/a.png")),
    st.builds(Audio, data=st.binary(max_size=9), media_type=st.just("audio/wav")),
    st.builds(File, data=st.binary(max_size=9), media_type=st.just("application/pdf"), name=st.none() | NAME),
    st.builds(Reasoning, TEXT, st.none() | TEXT),
    st.builds(Refusal, TEXT),
    st.builds(ToolCall, NAME, NAME, OBJECT),
    st.builds(ToolResult, NAME, TEXT, st.none() | NAME),
)
MESSAGE = st.builds(Message, st.sampled_from(["system", "user", "assistant", "tool"]), st.lists(PART, max_size=4), st.none() | NAME)
CALL = st.builds(
    ChatCall,
    deadline=st.builds(Deadline, st.floats(0, 1e6), st.floats(0, 1e6)),
    model=st.none() | NAME,
    task=st.none() | NAME,
    fallbacks=st.lists(NAME, max_size=2).map(tuple),
    tags=st.lists(NAME, max_size=2).map(tuple),
    retries=st.none() | st.integers(0, 9),
    messages=st.lists(MESSAGE, min_size=1, max_size=3).map(tuple),
    options=OPTIONS,
    stream=st.booleans(),
)
PLAN = FallbackPlan(
    steps=(
        *(Secondary(["a/b"]), Degrade("a/c", 5, ["tools"]), Queue(1.5, 3), Reject("no")),
        Reject(error=RateLimitError("x", retry_after=5)),
    ),
    context=("a/d",),
    refusal=("a/e",),
)
CALL_WITH_PLAN = ChatCall(deadline=Deadline(1.0, 2.0), messages=(Message.user("Hi"),), plan=PLAN)
ATTEMPT = st.builds(Attempt, NAME, NAME, st.floats(0, 9), st.floats(0, 9), st.none())
COMPLETION = st.builds(
    Completion,
    MESSAGE,
    st.sampled_from(FinishReason),
    st.none() | TEXT,
    st.none() | st.builds(Usage, *[st.integers(0, 10**9)] * 6, estimated=st.booleans()),
    st.none() | NAME,
    st.none() | NAME,
    raw=JSON,
    headers=st.dictionaries(NAME, TEXT, max_size=2),
    attempts=st.lists(ATTEMPT, max_size=2).map(tuple),
    timing=st.none() | st.builds(Timing, st.floats(0, 9), st.floats(0, 9), st.none() | st.floats(0, 9)),
    cost=st.none() | st.decimals(0, 100, places=6),
    dropped=st.lists(NAME, max_size=2).map(tuple),
    parsed=JSON,
    fallback=st.none() | TEXT,
)


@given(CALL)
def test_calls_survive_json(call: ChatCall):
    assert from_json(to_json(call), ChatCall) == call


def test_a_call_s_plan_survives_json():
    again = from_json(to_json(CALL_WITH_PLAN), ChatCall)
    assert again.plan is not None
    assert again.plan.steps[:-1] == PLAN.steps[:-1]
    assert isinstance(again.plan.steps[-1], Reject)
    assert isinstance(again.plan.steps[-1].error, RateLimitError)
    assert again.plan.steps[-1].error.retry_after == 5


@given(COMPLETION)
def test_completions_survive_json(completion: Completion):
    again = from_json(to_json(completion), Completion)
    assert again == completion
    assert type(again.cost) in (Decimal, type(None))


def test_errors_survive_json():
    attempt = Attempt("i", "i#1", 0.0, 1.0, RateLimitError("slow", status=429, retry_after=2.0, ambiguous=True))
    again = from_json(to_json(attempt), Attempt)
    assert (type(again.error), vars(again.error)) == (RateLimitError, vars(attempt.error))


@given(JSON)
def test_rubbish_is_no_value(document: Any):
    """Any JSON is a completion or a typed error."""
    from llmkit.wire.json import dump_json

    try:
        assert isinstance(from_json(dump_json(document), Completion), Completion)
    except InvalidResponseError:
        pass


@given(OPTIONS, OPTIONS)
def test_options_lie_over_each_other(upper: Options, lower: Options):
    """Every option comes from the upper where it is set, else from the lower; extra is merged."""
    over = upper.over(lower)
    for field in attrs.fields(Options):
        if field.name == "extra":
            continue
        value = getattr(upper, field.name)
        assert getattr(over, field.name) == (getattr(lower, field.name) if value is None else value)
    assert (over.extra or {}) == {**(lower.extra or {}), **(upper.extra or {})}
    assert Options(**upper.to_dict()) == upper
    assert upper.over(NO_OPTIONS) is upper
    assert NO_OPTIONS.over(lower) is lower or upper is NO_OPTIONS


def test_prompts_in_every_form():
    """Text, messages, lists, and OpenAI's own form with all its parts."""
    openai = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "name": "ann", "content": [
            {"type": "text", "text": "see"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAEC", "detail": "low"}},
            {"type": "image_url", "image_url": "https://x.test/a.png"},
            {"type": "input_audio", "input_audio": {"data": "AAEC", "format": "wav"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAEC", "filename": "a.pdf"}},
            {"type": "file", "file": {"file_id": "f1"}},
        ]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": '{"a": 1}'}}]},
        {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "42"}]},
        "and?",
        Message.user("now"),
    ]  # fmt: skip
    messages = conversation(openai, "first")
    assert [message.role for message in messages] == ["system", "system", "user", "assistant", "tool", "user", "user"]
    kinds = [part.type for part in messages[2].content]
    assert kinds == ["text", "image", "image", "audio", "file", "file"]
    assert messages[2].content[1].data == b"\0\1\2"
    assert messages[3].tool_calls[0].arguments == {"a": 1}
    assert messages[4].content[0].content == "42"
    assert conversation("q") == (Message("user", "q"),)
    assert conversation(Message.user("q")) == conversation(["q"])


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [5]},
        {"role": "user", "content": [{"type": "smell"}]},
        {"role": "user", "content": 5},
        {"role": "user", "content": [{"type": "text"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,???"}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": 5}]},
        {"role": ["user"], "content": "x"},
        {"role": "tool", "content": "x"},
        {"role": "tool", "tool_call_id": "1", "content": 5},
        {"role": "assistant", "tool_calls": [{"id": "1"}]},
        {"role": "assistant", "tool_calls": [5]},
        {"role": "assistant", "tool_calls": 5},
    ],
    ids=repr,
)
def test_wrong_messages_name_their_place(message: Any):
    with pytest.raises(InvalidRequestError, match=r"prompt\[1\]"):
        conversation(["q", message])


def test_from_openai_refuses_unknown_roles():
    with pytest.raises(ValueError, match="king"):
        from_openai({"role": "king"})


def test_tasks_and_timeouts():
    task = Task("t", seed=1).with_max_tokens(5).with_temperature(0.5).with_param("top_k", 3)
    assert task.defaults.to_dict() == {"seed": 1, "max_tokens": 5, "temperature": 0.5, "extra": {"top_k": 3}}
    assert repr(task).startswith("Task('t', max_tokens=5")
    assert (task == Task("t"), hash(task) == hash(Task("t"))) == (False, True)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        task.name = "x"
    with pytest.raises(ConfigError):
        Task(" ")
    assert Timeouts(idle=5).over(DEFAULT_TIMEOUTS) == Timeouts(5, 60, 5, 600)
    with pytest.raises(ConfigError, match="idle"):
        Timeouts(idle=-1)
    assert Instance("p", "m", api_keys="a-1, b-2").api_keys[1].reveal() == "b-2"
    assert Instance("p", "m", base_url="http://127.0.0.1:1/v1").base_url


def test_books_add_up_under_threads():
    """R14: many threads, one sum."""
    ledger = Ledger()
    ledger.open("i", "p", "m")
    place = ("i", "i#1", None, ())

    def work() -> None:
        for _ in range(500):
            ledger.answered(*place, Usage(1, 2, 3))
            ledger.failed(*place, ServerError("x"))
            ledger.interrupted(*place, Usage(1, 1, 2), None)
            ledger.interrupted(*place, None, ServerError("x"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row = ledger.rows()[0]
    assert (row.calls, row.errors, row.interrupted) == (4000, 8000, 8000)
    assert row.usage == Usage(4000, 8000, 12000)
    assert row.partial_usage.total_tokens == 8000
    assert (row.cost, row.unpriced, row.partial_unpriced) == (None, 4000, 8000)
    ledger.answered(*place, None)
    ledger.reset_lock()
    assert ledger.rows()[0].calls == 0
