"""Streams that go on after an interruption, and say so. One text for both colours."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from typing import Any

import pytest

import llmkit
from llmkit import (
    AllInstancesFailed,
    CallCancelled,
    ConfigError,
    InvalidRequestError,
    LLMError,
    Message,
    ModelInfo,
    NetworkError,
    RequestTimeout,
    StreamInterrupted,
)
from llmkit.plugins.registry import REGISTRY
from llmkit.provider import GO_ON
from llmkit.values import events
from llmkit.values.calls import ChatCall, Deadline
from llmkit.values.events import PartDone, ReasoningDelta, StreamResumed, TextDelta, UsageReported
from llmkit.values.instances import Instance
from llmkit.values.messages import Image, Reasoning
from llmkit.values.options import Options
from llmkit.values.price import Price
from llmkit.values.usage import Usage
from llmkit.wire.codec import converter
from llmkit.wire.fold import fold
from llmkit.wire.http import HttpRequest
from tests.support.colours import DONE, FINISH, USAGE, Colour, chunks, data, key_of, openai, refusal, sent

RESET = NetworkError("reset", ambiguous=True)
WORDS = ("one ", "two ", "three ", "four")
ENDS = {
    "cut": (),
    "reset": (RESET,),
    "garbage": (b"data: {bad\n\n",),
    "stall": (99.0,),
    "error event": (b'data: {"error": {"message": "broken", "code": "server_error"}}\n\n',),
}


def cut(*texts: Any, end: tuple[Any, ...] | None = None) -> Any:
    """A stream that breaks."""
    return chunks(*texts, end=(NetworkError("reset", ambiguous=True),) if end is None else end)


def each(**replies: list[Any]) -> Any:
    """A script that gives each model's replies once, one after the other."""

    def script(request: HttpRequest) -> Any:
        return replies[json.loads(request.body or b"")["model"]].pop(0)

    return script


def instances(*names: str, **more: Any) -> list[Any]:
    return [openai(model=name, name=name, **more) for name in names]


def bodies(client: Any) -> list[Any]:
    return [json.loads(request.body) for request in sent(client)]


def marks(seen: list[Any]) -> list[StreamResumed]:
    return [event for event in seen if event.type == "resumed"]


def tries(whole: Any) -> list[tuple[str, str]]:
    return [(attempt.instance, type(attempt.error).__name__) for attempt in whole.attempts]


def read(client: Any, **options: Any) -> tuple[list[Any], Any]:
    with client.stream("q", **options) as stream:
        seen = list(stream)
        return seen, stream.completion()


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("words", range(1, 5))
def test_restart(colour: Colour, words: int, end: tuple[Any, ...]):
    client = colour.scripted(each(a=[cut(*WORDS[:words], end=end)], b=[chunks("all ", "anew")]), instances("a", "b"))
    with client.stream("q", resume="restart") as stream:
        assert stream.instance == "a"
        seen = list(stream)
        assert stream.instance == "b"
        whole = stream.completion()

    (mark,) = marks(seen)
    assert (mark.how, mark.instance, mark.text, mark.error.instance) == ("restart", "b", "", "a")
    before, after = seen[: seen.index(mark)], seen[seen.index(mark) + 1 :]
    assert "".join(event.text for event in before) == "".join(WORDS[:words])
    assert "".join(event.text for event in after) == whole.text == "all anew"
    assert (whole.resumed, whole.instance, whole.finish_reason) == (1, "b", "stop")
    assert whole.usage == Usage(1, 2, 3)
    assert tries(whole) == [("a", type(mark.error).__name__), ("b", "NoneType")]
    assert bodies(client)[1]["messages"] == bodies(client)[0]["messages"]
    assert [(row.calls, row.interrupted) for row in client.usage()] == [(0, 1), (1, 0)]
    assert fold(seen, "openai").message == whole.message


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("words", range(1, 5))
def test_continue(colour: Colour, words: int, end: tuple[Any, ...]):
    rest = WORDS[words:] or ("!",)
    client = colour.scripted(each(a=[cut(*WORDS[:words], end=end)], b=[chunks(*rest)]), instances("a", "b"), resume="continue")
    seen, whole = read(client)

    (mark,) = marks(seen)
    assert (mark.how, mark.instance, mark.text) == ("continue", "b", "")
    text = "".join((*WORDS[:words], *rest))
    assert "".join(event.text for event in seen) == whole.text == text
    assert whole.message == Message.assistant(text) == fold(seen, "openai").message
    assert (whole.resumed, whole.instance) == (1, "b")
    assert whole.usage == Usage(1, 2, 3, estimated=True), "what the first part used is not known"
    assert bodies(client)[1]["messages"][1:] == [
        {"role": "assistant", "content": "".join(WORDS[:words])},
        {"role": "user", "content": GO_ON},
    ]


@pytest.mark.parametrize("how", ["restart", "continue"])
def test_before_the_first_content_nothing_is_said(colour: Colour, how: str):
    client = colour.scripted(each(a=[cut()], b=[chunks("fine")]), instances("a", "b"), resume=how)
    seen, whole = read(client)
    assert (marks(seen), whole.text, whole.resumed) == ([], "fine", 0)


@pytest.mark.parametrize("off", [{}, {"resume": None}, {"resume": False}])
def test_it_is_off_unless_asked_for(colour: Colour, off: dict[str, Any]):
    client = colour.scripted(each(a=[cut("one ")], b=[]), instances("a", "b"), resume="restart" if "resume" in off else None)
    if off == {"resume": None}:  # the client's
        client = colour.scripted(each(a=[cut("one ")], b=[]), instances("a", "b"))
    with pytest.raises(StreamInterrupted) as caught:
        read(client, **off)
    assert caught.value.partial.text == "one "
    assert len(sent(client)) == 1


def test_whole_answers_take_no_notice(colour: Colour):
    client = colour.scripted(lambda request: refusal(400), instances("a"), resume="restart")
    with pytest.raises(InvalidRequestError):
        client.generate("q", resume="continue")


def test_several_interruptions_are_continued(colour: Colour):
    script = each(a=[cut("one ", USAGE)], b=[cut("two ", USAGE)], c=[chunks("three")])
    seen, whole = read(colour.scripted(script, instances("a", "b", "c")), resume="continue")
    assert [mark.how for mark in marks(seen)] == ["continue", "continue"]
    assert [mark.instance for mark in marks(seen)] == ["b", "c"]
    assert "".join(event.text for event in seen) == whole.text == "one two three"
    assert (whole.resumed, whole.usage) == (2, Usage(3, 6, 9))
    assert tries(whole) == [("a", "NetworkError"), ("b", "NetworkError"), ("c", "NoneType")]


def test_several_interruptions_are_restarted(colour: Colour):
    script = each(a=[cut("one ", USAGE)], b=[cut("uno ", USAGE)], c=[chunks("eins")])
    client = colour.scripted(script, instances("a", "b", "c"))
    seen, whole = read(client, resume="restart")
    assert [mark.how for mark in marks(seen)] == ["restart", "restart"]
    assert (whole.text, whole.resumed, whole.usage) == ("eins", 2, Usage(1, 2, 3))
    assert [row.partial_usage.total_tokens for row in client.usage()] == [3, 3, 0]
    assert [row.usage.total_tokens for row in client.usage()] == [0, 0, 3]
    assert (fold(seen).text, fold(seen).resumed) == ("eins", 2)


def test_the_only_instance_serves_again_within_its_retries(colour: Colour):
    replies = [cut("one "), cut("two "), cut("three "), chunks("never")]
    client = colour.scripted(lambda request: replies.pop(0), instances("a"))
    with pytest.raises(StreamInterrupted) as caught:
        read(client, resume="continue", retries=2)
    assert caught.value.partial.text == "one two three "
    assert caught.value.partial.resumed == 2
    assert len(caught.value.attempts) == 3
    assert len(replies) == 1
    assert client.runtime.clock > 0, "it paused as before every retry"


@pytest.mark.parametrize("how", ["restart", "continue"])
def test_all_others_fail(colour: Colour, how: str):
    client = colour.scripted(each(a=[cut("one ", USAGE)], b=[refusal(500)], c=[refusal(401)]), instances("a", "b", "c"), retries=1)
    seen: list[Any] = []
    with pytest.raises(StreamInterrupted) as caught, client.stream("q", resume=how) as stream:
        for event in stream:
            seen.append(event)
    assert marks(seen) == [], "nothing went on"
    error = caught.value
    assert (error.partial.text, error.partial.usage) == ("one ", Usage(1, 2, 3))
    assert isinstance(error.__cause__, AllInstancesFailed)
    assert tries(error)[0] == ("a", "NetworkError")
    assert {name for name, _ in tries(error)} >= {"a", "b"}
    with pytest.raises(StreamInterrupted):
        stream.completion()
    assert [row.interrupted for row in client.usage()] == [1, 0, 0]


def test_an_interruption_after_a_restart_leaves_what_came_since(colour: Colour):
    client = colour.scripted(each(a=[cut("one ")], b=[cut("uno ")]), instances("a", "b"), retries=1)
    with pytest.raises(StreamInterrupted) as caught:
        read(client, resume="restart")
    assert (caught.value.partial.text, caught.value.partial.resumed) == ("uno ", 1)


def test_an_echoed_key_is_in_no_event(colour: Colour):
    keys = {"a": "sk-secret-of-the-first-0123456789", "b": "sk-secret-of-the-second-0123456789"}
    echoed = [f'data: {{"error": {{"message": "bad {key}", "code": "server_error"}}}}\n\n'.encode() for key in keys.values()]
    client = colour.scripted(
        each(a=[cut("one ", end=(echoed[0],))], b=[cut("two ", end=(echoed[1],))]),
        [openai(key, model=name, name=name) for name, key in keys.items()],
        retries=1,
    )
    seen: list[Any] = []
    with pytest.raises(StreamInterrupted) as caught, client.stream("q", resume="continue") as stream:
        seen.extend(stream)
    told = f"{seen}{caught.value}{caught.value.__dict__}{caught.value.__cause__}{caught.value.partial.attempts}"
    assert not any(key in told for key in keys.values())


def test_what_nothing_can_mend_is_not_resumed(colour: Colour):
    never = b'data: {"error": {"message": "no", "type": "invalid_request_error", "code": "content_policy_violation"}}\n\n'
    client = colour.scripted(each(a=[cut("one ", end=(never,))], b=[]), instances("a", "b"), resume="restart")
    with pytest.raises(StreamInterrupted) as caught:
        read(client)
    assert caught.value.partial.text == "one "


def test_the_deadline_holds(colour: Colour):
    client = colour.scripted(each(a=[chunks("one ", 99.0)], b=[]), instances("a", "b"), resume="restart")
    with pytest.raises(StreamInterrupted) as caught:
        read(client, timeout=5)
    assert isinstance(caught.value.__cause__, RequestTimeout)
    assert caught.value.__cause__.phase == "deadline"
    assert client.runtime.clock == 5


def test_the_deadline_holds_for_what_goes_on(colour: Colour):
    client = colour.scripted(each(a=[cut("one ")], b=[chunks(99.0, "late")]), instances("a", "b"), resume="continue")
    with pytest.raises(StreamInterrupted) as caught:
        read(client, timeout=5)
    assert caught.value.__cause__.phase == "deadline"
    assert caught.value.partial.text == "one "
    assert client.runtime.clock == 5


def test_a_refused_key_makes_way_for_another(colour: Colour):
    refused = b'data: {"error": {"message": "no", "type": "authentication_error", "code": "invalid_api_key"}}\n\n'
    replies = {"sk-key-number-1": cut("one ", end=(refused,)), "sk-key-number-2": chunks("two")}
    client = colour.scripted(lambda request: replies[key_of(request)], [openai(*replies)], retries=0)
    _, whole = read(client, resume="continue")
    assert whole.text == "one two"


def tool_piece(arguments: str, **more: Any) -> bytes:
    call = {"index": 0, "function": {"arguments": arguments, **more}, **({"id": "t1"} if more else {})}
    return data(choices=[{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}])


UNFIT = {
    "a tool call": (("Let me see. ", tool_piece('{"ci', name="weather")), {}),
    "thinking alone": ((data(choices=[{"index": 0, "delta": {"reasoning_content": "hm"}, "finish_reason": None}]),), {}),
    "a refusal": ((data(choices=[{"index": 0, "delta": {"refusal": "I can"}, "finish_reason": None}]),), {}),
    "several answers": (
        ("one ", data(choices=[{"index": 1, "delta": {"content": "uno "}, "finish_reason": None}])),
        {"extra": {"n": 2}},
    ),
    "the first of several answers": (("one ",), {"extra": {"n": 2}}),
    "a shape": (('{"a": ',), {"response_model": "json"}),
    "white space": (("\n\n",), {}),
}


@pytest.mark.parametrize(("pieces", "options"), UNFIT.values(), ids=UNFIT)
def test_what_cannot_be_continued_is_restarted(colour: Colour, pieces: tuple[Any, ...], options: dict[str, Any]):
    client = colour.scripted(each(a=[cut(*pieces)], b=[chunks('{"a": 1}')]), instances("a", "b"), resume="continue")
    seen, whole = read(client, **options)
    assert [mark.how for mark in marks(seen)] == ["restart"]
    assert whole.text == '{"a": 1}'
    assert not whole.tool_calls
    assert len(bodies(client)[1]["messages"]) == 1
    if "response_model" in options:
        assert whole.parsed == {"a": 1}


def test_an_answer_with_tools_at_hand_is_continued_into_a_call(colour: Colour):
    end = data(choices=[{"index": 0, "delta": {}, "finish_reason": "tool_calls"}])
    rest = chunks("see.", tool_piece('{"city"', name="weather"), tool_piece(': "Cardiff"}'), end=(end, DONE))
    client = colour.scripted(each(a=[cut("Let me ")], b=[rest]), instances("a", "b"), resume="continue")
    seen, whole = read(client)
    assert [mark.how for mark in marks(seen)] == ["continue"]
    assert (whole.text, whole.tool_calls[0].arguments) == ("Let me see.", {"city": "Cardiff"})
    assert whole.finish_reason == "tool_calls"


def test_the_rest_may_be_nothing(colour: Colour):
    client = colour.scripted(each(a=[cut("one")], b=[chunks()]), instances("a", "b"), resume="continue")
    _, whole = read(client)
    assert (whole.text, whole.resumed, whole.finish_reason) == ("one", 1, "stop")


def test_an_answer_that_was_whole_is_not_resumed(colour: Colour):
    client = colour.scripted(each(a=[cut("one", end=(FINISH, RESET))], b=[]), instances("a", "b"), resume="restart")
    seen, whole = read(client)
    assert (marks(seen), whole.text) == ([], "one")


def test_hooks_see_the_whole_story(colour: Colour):
    told: list[tuple[Any, ...]] = []

    class Plugin:
        @llmkit.hookimpl
        def llmkit_attempt(self, call: Any, attempt: Any) -> None:
            told.append(("attempt", attempt.instance, attempt.error is None))

        @llmkit.hookimpl
        def llmkit_failover(self, call: Any, error: Any, instance: str) -> None:
            told.append(("failover", error.instance, instance))

        @llmkit.hookimpl
        def llmkit_retry(self, call: Any, error: Any, pause: float) -> None:
            told.append(("retry", error.instance))

        @llmkit.hookimpl
        def llmkit_stream_event(self, call: Any, event: Any) -> None:
            if event.type in ("text", "resumed"):
                told.append((event.type, event.text))

        @llmkit.hookimpl
        def llmkit_answer(self, call: Any, answer: Any) -> None:
            told.append(("answer", answer.text, len(call.messages)))

        @llmkit.hookimpl
        def llmkit_error(self, call: Any, error: Any) -> None:
            told.append(("error", type(error).__name__))

    script = each(a=[cut("one ")], b=[cut("two ")], c=[chunks("three")])
    client = colour.scripted(script, instances("a", "b", "c"), plugins=[Plugin()])
    read(client, resume="continue", model="a", fallbacks=["b", "c"])
    assert told == [
        ("text", "one "),
        ("attempt", "a", False),
        ("failover", "a", "b"),
        ("resumed", ""),
        ("text", "two "),
        ("attempt", "b", False),
        ("failover", "b", "c"),
        ("resumed", ""),
        ("text", "three"),
        ("attempt", "c", True),
        ("answer", "one two three", 1),
    ]


def test_hooks_hear_of_the_end_once(colour: Colour):
    told: list[Any] = []

    class Plugin:
        @llmkit.hookimpl
        def llmkit_error(self, call: Any, error: Any) -> None:
            told.append(error)

        @llmkit.hookimpl
        def llmkit_retry(self, call: Any, error: Any, pause: float) -> None:
            told.append(pause)

    replies = [cut("one "), cut("two ")]
    client = colour.scripted(lambda request: replies.pop(0), instances("a"), plugins=[Plugin()], retries=1)
    with pytest.raises(StreamInterrupted) as caught:
        read(client, resume="restart")
    assert told[1:] == [caught.value]
    assert told[0] == client.runtime.clock > 0


def test_a_closed_stream_is_not_resumed(colour: Colour):
    client = colour.scripted(each(a=[cut("one ", "two ")], b=[]), instances("a", "b"), resume="restart")
    with client.stream("q") as stream:
        for event in stream:
            if event.text:
                break
    with pytest.raises(StreamInterrupted):
        stream.completion()
    assert len(sent(client)) == 1
    assert [row.interrupted for row in client.usage()] == [1, 0]


def test_closed_while_it_is_opened_again_nothing_more_is_sent(colour: Colour):
    """As when another thread or task closes it: here the hook that hears of the failed try does."""
    opened: list[Any] = []

    class Plugin:
        @llmkit.hookimpl
        def llmkit_attempt(self, call: Any, attempt: Any) -> None:
            opened[0]._opened.left = True

    client = colour.scripted(each(a=[cut("one ")], b=[]), instances("a", "b"), resume="restart", plugins=[Plugin()])
    stream = client.stream("q")
    opened.append(stream._stream)
    with pytest.raises(StreamInterrupted), stream:
        list(stream)
    assert len(sent(client)) == 1


def test_closed_before_the_next_try_begins(colour: Colour):
    opened: list[Any] = []

    class Plugin:
        @llmkit.hookimpl
        def llmkit_failover(self, call: Any, error: Any, instance: str) -> None:
            opened[0]._opened.left = True

    client = colour.scripted(each(a=[cut("one ")], b=[]), instances("a", "b"), resume="restart", plugins=[Plugin()])
    stream = client.stream("q")
    opened.append(stream._stream)
    with pytest.raises(StreamInterrupted) as caught, stream:
        list(stream)
    assert len(sent(client)) == 1
    assert type(caught.value.attempts[-1].error) is CallCancelled


def test_left_just_after_it_went_on(colour: Colour):
    client = colour.scripted(each(a=[cut("one ")], b=[chunks("two")]), instances("a", "b"), resume="continue")
    with client.stream("q") as stream:
        for event in stream:
            if event.type == "resumed":
                break
    assert [row.interrupted for row in client.usage()] == [1, 1]


def test_times_go_on(colour: Colour):
    script = each(a=[chunks(1.0, "one ", 1.0, RESET, end=())], b=[chunks(3.0, "two")])
    _, whole = read(colour.scripted(script, instances("a", "b")), resume="continue")
    assert (whole.timing.first_event, whole.timing.total) == (1.0, 5.0)
    script = each(a=[chunks(1.0, "one ", 1.0, RESET, end=())], b=[chunks(3.0, "two")])
    _, whole = read(colour.scripted(script, instances("a", "b")), resume="restart")
    assert (whole.timing.first_event, whole.timing.total) == (5.0, 5.0)


@pytest.mark.parametrize(("told", "cost"), [((USAGE,), Decimal("0.000014") + Decimal("0.00014")), ((), None)])
def test_each_part_costs_what_its_own_model_costs(colour: Colour, told: tuple[Any, ...], cost: Decimal | None):
    """1 token in and 2 out, for each part."""
    models = [
        ModelInfo("a", "openai", price=Price.of(input=4, output=5)),
        ModelInfo("b", "openai", price=Price.of(input=40, output=50)),
    ]
    client = colour.scripted(each(a=[cut("one ", *told)], b=[chunks("two")]), instances("a", "b"), models=models)
    _, whole = read(client, resume="continue")
    assert whole.cost == cost
    assert whole.cost == cost, "read twice"


def test_thinking_stays_bound_to_who_thought_it():
    """Of two vendors, the first thought before it broke."""
    seen = [
        ReasoningDelta("hm"),
        TextDelta("one "),
        StreamResumed("continue", "b", NetworkError("reset", provider="mistral")),
        ReasoningDelta("well"),
        TextDelta("two"),
    ]
    content = fold(seen, "openai").message.content
    thoughts = [(part.text, part.provider) for part in content if isinstance(part, Reasoning)]
    assert thoughts == [("hm", "mistral"), ("well", "openai")]
    assert fold(seen).text == "one two"


def test_fold_forgets_what_is_void():
    void = [TextDelta("x"), PartDone(Image(data=b"")), TextDelta("y", 1), UsageReported(Usage(5, 5, 10))]
    whole = fold([*void, StreamResumed("restart"), TextDelta("one ")])
    assert (whole.message, whole.alternatives, whole.usage, whole.resumed) == (Message.assistant("one "), (), None, 1)


def test_a_fallback_step_is_resumed_like_any_call(colour: Colour):
    client = colour.scripted(each(a=[refusal(404)], b=[cut("one "), chunks("two")]), instances("a", "b"))
    _, whole = read(client, model="a", fallback=[llmkit.Secondary(["b"])], resume="continue")
    assert (whole.text, whole.resumed) == ("one two", 1)
    assert tries(whole) == [("a", "ModelNotFoundError"), ("b", "NetworkError"), ("b", "NoneType")]
    assert whole.fallback is not None


def test_a_given_answer_reads_as_ever(colour: Colour):
    client = colour.scripted(lambda request: refusal(500), instances("a"), retries=0)
    seen, whole = read(client, fallback=[llmkit.Reject("Come back tomorrow.")], resume="restart")
    assert (whole.text, marks(seen)) == ("Come back tomorrow.", [])


@pytest.mark.parametrize("how", ["restart", "continue"])
def test_both_colours_send_the_same(how: str):
    logs = []
    for name in ("sync", "async"):
        colour = Colour(name)
        script = each(a=[cut("one "), chunks("four")], b=[cut("two ")], c=[refusal(503)])
        client = colour.scripted(script, instances("a", "b", "c"))
        client.core._rng.seed(7)
        read(client, resume=how)
        logs.append([(kind, getattr(what, "body", what)) for kind, what in client.runtime.log])
        colour.end()
    assert logs[0] == logs[1]


FAULTS = (None, "cut", "reset", "garbage", "stall", "error event", 500, 429)


@pytest.mark.parametrize("how", ["restart", "continue"])
def test_many_interruptions(colour: Colour, how: str):
    """Whatever breaks and how often: one outcome, the whole text or its beginning, what was shown is what is folded, and the books
    hold every try."""
    chance = random.Random(how)
    served: list[Any] = []

    def script(request: HttpRequest) -> Any:
        messages = json.loads(request.body or b"")["messages"]
        said = messages[1]["content"] if len(messages) > 1 else ""
        rest = [word for word in WORDS if word not in said]
        fault = chance.choice(FAULTS)
        served.append(fault)
        if isinstance(fault, int):
            return refusal(fault, retry_after="1") if fault == 429 else refusal(fault)
        if fault is None:
            return chunks(*rest)
        return chunks(*rest[: chance.randrange(len(rest) + 1)], end=ENDS[fault])

    client = colour.scripted(script, instances("a", "b", "c"), retries=5, retry_budget=None, breaker=False, resume=how)
    ended: list[str] = []
    for _ in range(300):
        served.clear()
        shown = ""
        try:
            with client.stream("q", timeout=3600) as stream:
                for event in stream:
                    if event.type == "resumed" and event.how == "restart":
                        shown = ""
                    shown += event.text
                whole = stream.completion()
            assert whole.text == shown == "".join(WORDS)
            assert served[-1] is None
            ended.append("whole")
        except StreamInterrupted as error:
            whole = error.partial
            assert whole.text == shown
            assert "".join(WORDS).startswith(shown)
            assert shown
            ended.append("cut")
        except LLMError as error:
            whole = error
            assert not shown
            ended.append("failed")
        assert len(whole.attempts) == len(served)
        assert client.in_flight() == 0
    assert ended.count("whole") > 140, "of tries at least one in eight is whole, and there are six"
    assert ended.count("cut") > 30
    rows = client.usage()
    assert sum(row.calls for row in rows) == ended.count("whole")
    assert sum(row.usage.total_tokens for row in rows) == 3 * ended.count("whole")


# ----------------------------------------------------------------------------------------------- settings and values


@pytest.mark.parametrize("wrong", ["again", True, 1, ["restart"], {}])
def test_wrong_words(colour: Colour, wrong: Any):
    client = colour.scripted(lambda request: chunks("x"), instances("a"))
    with pytest.raises(InvalidRequestError, match="resume: expected 'restart' or 'continue'"):
        client.stream("q", resume=wrong)
    with pytest.raises(ConfigError, match="resume: expected 'restart' or 'continue'"):
        colour.scripted(lambda request: chunks("x"), instances("a"), resume=wrong)


def test_in_a_file():
    text = '[[instances]]\nprovider = "openai"\nmodel = "m"\napi_key = "sk-1"\n\n[settings]\nplugins = []\n'
    for line, found in (("", None), ('resume = "restart"', "restart"), ('resume = "continue"', "continue")):
        with llmkit.Client.from_config_str(text + line) as client:
            assert client._core.resume == found
    with pytest.raises(ConfigError, match=r"settings\.resume: expected one of restart, continue"):
        llmkit.Client.from_config_str(text + 'resume = "agian"')


@pytest.mark.parametrize("error", [None, NetworkError("reset", instance="a", provider="openai")])
def test_the_event_survives_being_written_down(error: Any):
    event = StreamResumed("continue", "b", error)
    written = converter().unstructure(event, events.Event)
    assert (written["type"], written["how"], written["instance"]) == ("resumed", "continue", "b")
    json.dumps(written)
    back = converter().structure(written, events.Event)
    assert type(back) is StreamResumed
    assert (back.how, back.instance, str(back.error), type(back.error)) == ("continue", "b", str(error), type(error))


def test_a_call_and_an_answer_survive_being_written_down(colour: Colour):
    call = ChatCall(deadline=Deadline(1, 1), messages=(Message.user("q"),), resume="continue")
    assert converter().structure(converter().unstructure(call, ChatCall), ChatCall) == call
    client = colour.scripted(each(a=[cut("one ")], b=[chunks("two")]), instances("a", "b"))
    _, whole = read(client, resume="continue")
    assert converter().structure(converter().unstructure(whole), type(whole)).resumed == 1


# ----------------------------------------------------------------------------------------------- what vendors are sent

PREFILLED = [
    Instance("anthropic", "claude-sonnet-4-5"),
    Instance("anthropic", "claude-opus-4-1-20250805"),
    Instance("anthropic", "claude-3-5-haiku-latest"),
    Instance("deepseek", "deepseek-chat", base_url="https://api.deepseek.com/beta"),
    Instance("vllm", "any"),
]
ASKED = [
    Instance("anthropic", "claude-opus-4-6"),
    Instance("anthropic", "claude-sonnet-5"),
    Instance("anthropic", "claude-mythos-preview"),
    Instance("deepseek", "deepseek-chat"),
    *(Instance(name, "m") for name in ("openai", "google", "mistral", "cohere", "ollama", "openrouter", "groq", "xai")),
]


def request_for(instance: Instance, text: str, options: Options) -> Any:
    provider = REGISTRY.get(instance.provider)
    call = ChatCall(deadline=Deadline(1, 1), messages=(Message.user("q"),), stream=True, options=options)
    return json.loads(provider.encode(provider.continued(call, instance, text), instance).body or b"")


@pytest.mark.parametrize("instance", PREFILLED, ids=lambda instance: instance.model)
def test_vendors_that_continue_a_message(instance: Instance):
    body = request_for(instance, "one, two", Options(extra={"top_k": 5}))
    last = body["messages"][-1]
    assert (last["role"], last["content"], body["top_k"]) == ("assistant", "one, two", 5)
    assert last.get("prefix") == (True if instance.provider == "deepseek" else None)
    assert (body.get("continue_final_message"), body.get("add_generation_prompt")) == (
        (True, False) if instance.provider == "vllm" else (None, None)
    )


@pytest.mark.parametrize("instance", ASKED, ids=lambda instance: f"{instance.provider}/{instance.model}")
def test_vendors_that_are_asked_to_go_on(instance: Instance):
    body = request_for(instance, "one, two", Options())
    turns = body.get("messages") or body["contents"]
    assert [turn["role"] for turn in turns] == ["user", "model" if instance.provider == "google" else "assistant", "user"]
    assert "one, two" in json.dumps(turns[1])
    assert GO_ON in json.dumps(turns[2])


@pytest.mark.parametrize(
    ("text", "options"), [("one, ", Options()), ("one", Options(extra={"thinking": {"type": "enabled", "budget_tokens": 2000}}))]
)
def test_claude_is_asked_where_it_would_refuse(text: str, options: Options):
    body = request_for(Instance("anthropic", "claude-sonnet-4-5"), text, options)
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]


def test_a_provider_that_cannot_say_it_is_told_by_name(colour: Colour, monkeypatch: pytest.MonkeyPatch):
    def wrong(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(type(REGISTRY.get("openai")), "continued", wrong, raising=False)
    client = colour.scripted(each(a=[cut("one ")], b=[]), instances("a", "b"), resume="continue")
    with pytest.raises(StreamInterrupted, match="provider 'openai' cannot encode the call"):
        read(client)
