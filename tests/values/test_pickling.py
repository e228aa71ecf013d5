"""Values go through processes and caches: every one survives pickling, but a secret refuses."""

from __future__ import annotations

import copy
import inspect
import pickle
from decimal import Decimal
from types import ModuleType
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.values import calls, completion, events, fallbacks, instances, messages, options, tickets, tools, usage
from llmkit.values.calls import ChatCall, Deadline
from llmkit.values.completion import Attempt, Completion, FinishReason, Timing
from llmkit.values.embeddings import Embeddings
from llmkit.values.events import (
    PartDone,
    RawEvent,
    ReasoningDelta,
    RefusalDelta,
    StreamFinished,
    StreamResumed,
    StreamStarted,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from llmkit.values.fallbacks import Degrade, FallbackPlan, Queue, Reject, Secondary
from llmkit.values.instances import Instance, Task, Timeouts
from llmkit.values.messages import Audio, File, Image, Message, Reasoning, Refusal, Text, ToolCall, ToolResult, VendorPart
from llmkit.values.models import ModelInfo, ModelList
from llmkit.values.options import Options
from llmkit.values.other_calls import CountCall, EmbedCall, ModelsCall, RawCall
from llmkit.values.secret import Secret
from llmkit.values.tickets import Ticket, TicketStatus
from llmkit.values.tools import JsonSchema, Tool
from llmkit.values.usage import Usage

MODULES: list[ModuleType] = [calls, completion, events, fallbacks, instances, messages, options, tickets, tools, usage]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
DEADLINE = Deadline(12.5, 600)
OPTIONS = Options(
    max_tokens=5, stop="x", tools=[Tool("t", "d", SCHEMA, True)], response_format=JsonSchema(SCHEMA), extra={"k": 1}
)
MESSAGE = Message(
    "assistant",
    [
        Text("é 🌍", {"x": {"cache": True}}),
        Image(data=b"\x00\xff", media_type="image/png", detail="low"),
        Audio(url="https://a.b/c.wav"),
        File(file_id="f", name="a.pdf"),
        ToolCall("1", "t", {"a": [1, None]}, '{"a":[1,null]}', True, {"google": {"s": "x"}}),
        ToolResult("1", (Text("ok"),), "t", True),
        Reasoning("hm", "sig", "data", "anthropic"),
        Refusal("no"),
        VendorPart("cohere", {"type": "document"}),
    ],
    name="n",
)
PLAN = FallbackPlan(
    steps=(Secondary(["a/b"]), Degrade("a/c", 5, ["tools"]), Queue(1.5, 3), Reject("no")),
    context=("a/d",),
    said="x",
    dropped=("seed",),
)
CALL = ChatCall(deadline=DEADLINE, messages=(MESSAGE,), options=OPTIONS, stream=True, tags=("a",), plan=PLAN)
VALUES: list[Any] = [
    MESSAGE,
    *MESSAGE.content,
    OPTIONS,
    OPTIONS.tools[0] if OPTIONS.tools else None,
    OPTIONS.response_format,
    DEADLINE,
    CALL,
    EmbedCall(deadline=DEADLINE, texts=("a",), dimensions=3),
    ModelsCall(deadline=DEADLINE, page="2"),
    CountCall(deadline=DEADLINE, messages=(Message.user("Hi"),)),
    RawCall(deadline=DEADLINE, method="GET", path="/x", json={"a": 1}),
    calls.Call(deadline=DEADLINE, model="m"),
    PLAN,
    *PLAN.steps,
    Ticket(id="1", status=TicketStatus.DONE, created=1.0, changed=2.0, call=CALL, completion=Completion(MESSAGE), claim="c"),
    Attempt("i", "key 1", 0.0, 1.0),
    Timing(1.0, 0.5, 0.1),
    Usage(1, 2, 3, 4, 5, 6, True),
    Completion(
        MESSAGE, FinishReason.STOP, "stop", Usage(1, 2, 3), cost=Decimal("0.1"), timing=Timing(1), raw={"a": 1}, parsed=[1]
    ),
    Embeddings(((0.25, 1),), "m", Usage(1, 0, 1)),
    ModelInfo("m", "p", "M", 8192, 100, {"a": 1}),
    ModelList((ModelInfo("m"),), "2"),
    Timeouts(1, 2, 3, 4),
    Instance("openai", "m", base_url="https://a.b/v1", tasks=["t"], options={"seed": 1, "odd": 2}, settings={"v": "1"}),
    Task("t", max_tokens=5, odd=1),
    StreamStarted("m", "id"),
    TextDelta("x", 1),
    ReasoningDelta("x", "s", "r", 1),
    RefusalDelta("no"),
    ToolCallDelta(0, "1", "t", "{}", 1, {"a": 1}),
    PartDone(Text("x")),
    UsageReported(Usage()),
    StreamFinished(FinishReason.TOOL_CALLS, "stop", 1),
    RawEvent({"a": 1}),
    StreamResumed("continue", "i"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_survives_every_protocol_and_copying(value: Any) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(value, protocol)) == value
    assert copy.deepcopy(value) == value


def test_no_kind_of_value_is_left_out() -> None:
    kinds = {
        cls
        for module in MODULES
        for name, cls in inspect.getmembers(module, lambda member: inspect.isclass(member) and attrs.has(member))
        if cls.__module__ == module.__name__ and not name.startswith("_")
    }
    assert kinds - {type(value) for value in VALUES} == set()


TEXT_PARTS = st.builds(Text, st.text(), st.none() | st.dictionaries(st.text(), st.integers()))
CALLS = st.builds(ToolCall, st.text(), st.text(), st.dictionaries(st.text(), st.integers() | st.text()), st.none() | st.text())
PICTURES = st.builds(lambda data: Image(data=data), st.binary())
PARTS = TEXT_PARTS | CALLS | PICTURES | st.builds(Reasoning, st.text(), st.none() | st.text())
ANSWERS = st.builds(
    Completion,
    st.builds(Message, st.just("assistant"), st.lists(PARTS, max_size=4).map(tuple)),
    st.sampled_from(FinishReason),
    st.none() | st.text(),
    st.none() | st.builds(Usage, st.integers(), st.integers(), st.integers()),
)


@given(ANSWERS)
def test_any_answer_survives(answer: Completion) -> None:
    twin = pickle.loads(pickle.dumps(answer))
    assert twin == answer
    assert (twin.text, twin.tool_calls, twin.finish_reason) == (answer.text, answer.tool_calls, answer.finish_reason)


def test_a_finish_reason_stays_the_same_object() -> None:
    assert pickle.loads(pickle.dumps(FinishReason.STOP)) is FinishReason.STOP


def test_a_secret_and_what_holds_one_refuse() -> None:
    for value in (Secret("sk-abc"), Instance("openai", "m", api_key="sk-abc"), Instance("openai", "m", api_keys="sk-a,sk-b")):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(value)
        assert "sk-a" not in repr(value)
