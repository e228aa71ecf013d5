"""What follows when nothing has served a call: the four kinds of step and the two lists, in both colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmkit import (
    AllInstancesFailed,
    CallQueued,
    ConfigError,
    ContentFilterError,
    ContextLengthError,
    Degrade,
    FinishReason,
    Instance,
    InvalidRequestError,
    LLMError,
    NetworkError,
    OverloadedError,
    Queue,
    RateLimitError,
    Reject,
    Request,
    RequestTimeout,
    Secondary,
    ServerError,
    StorageError,
    StreamInterrupted,
    Task,
    Tool,
)
from llmkit.plugins.specs import hookimpl
from llmkit.wire.http import HttpReply, HttpRequest
from llmkit.wire.json import parse_json
from tests.support.colours import Colour, chat, chunks, openai, refusal, reply_to, sent

DOWN = refusal(503, "down")
TOO_LONG = refusal(400, "This model's maximum context length is 10 tokens", "context_length_exceeded")
FILTERED = refusal(400, "refused", "content_filter")
_REFUSES = {"index": 0, "message": {"role": "assistant", "content": None, "refusal": "I will not"}, "finish_reason": "stop"}
REFUSED = chat(choices=[_REFUSES])


def model_of(request: HttpRequest) -> str:
    return parse_json(request.body or b"")["model"]


def by_model(**replies: Any) -> Callable[[HttpRequest], Any]:
    """A script that gives each model's reply; a model without one answers."""

    def script(request: HttpRequest) -> Any:
        model = model_of(request)
        found = replies.get(model)
        return reply_to(request, f"from {model}") if found is None else found

    return script


def three() -> list[Instance]:
    return [openai(model=name, name=name) for name in ("main", "second", "third")]


def ask(colour: Colour, client: Any, streamed: bool, **options: Any) -> Any:
    if not streamed:
        return client.generate("Hi", model="openai/main", **options)
    with client.stream("Hi", model="openai/main", **options) as stream:
        texts = "".join([event.text for event in stream])
        completion = stream.completion()
    assert completion.text == texts
    return completion


both_shapes = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])


@both_shapes
def test_secondary(colour: Colour, streamed: bool):
    """Other models are asked, in order; the answer says so, and tells every try."""
    client = colour.scripted(by_model(main=DOWN, second=DOWN), three(), retries=0, latency=1.0)
    plan = [Secondary(["openai/second", "openai/third"])]

    answer = ask(colour, client, streamed, fallback=plan)

    assert answer.text == "from third"
    assert answer.fallback == "secondary: model openai/third"
    assert [attempt.instance for attempt in answer.attempts] == ["main", "second", "third"]
    assert [attempt.started for attempt in answer.attempts] == [0.0, 1.0, 2.0]
    assert answer.timing.total == pytest.approx(3.0, abs=0.01)


@both_shapes
def test_degrade(colour: Colour, streamed: bool):
    """A smaller model, fewer tokens, features left out; all of it is said."""
    client = colour.scripted(by_model(main=DOWN), three(), retries=0)
    step = Degrade(model="openai/second", max_tokens=20, drop=("tools", "seed", "reasoning_effort"))

    answer = ask(
        colour, client, streamed, fallback=step, tools=[Tool("t")], tool_choice="auto", reasoning_effort="high", max_tokens=100
    )

    assert answer.fallback == "degrade: model openai/second, max_tokens 20, tools, reasoning_effort, tool_choice dropped"
    assert answer.dropped == ("tools", "reasoning_effort", "tool_choice")
    body = parse_json(sent(client)[-1].body or b"")
    assert not {"tools", "tool_choice", "reasoning_effort"} & body.keys()
    assert 20 in (body.get("max_tokens"), body.get("max_completion_tokens"))


def test_degrade_that_changes_nothing_is_passed_over(colour: Colour):
    """The same call is not sent again under another name."""
    client = colour.scripted(by_model(main=DOWN), three(), retries=0)
    with pytest.raises(OverloadedError):
        ask(colour, client, False, fallback=Degrade(max_tokens=100, drop=["tools"]), max_tokens=50)
    assert len(sent(client)) == 1


@both_shapes
def test_reject_with_a_text(colour: Colour, streamed: bool):
    """The text given, told from an answer by its finish reason and ``fallback``."""
    client = colour.scripted(by_model(main=DOWN), three(), retries=0)
    answer = ask(colour, client, streamed, fallback=Reject("We are closed."))
    assert (answer.text, answer.finish_reason, answer.fallback) == (
        "We are closed.",
        FinishReason.UNKNOWN,
        "reject: the text given",
    )
    assert (answer.usage, answer.instance, answer.model) == (None, None, None)
    assert [type(attempt.error) for attempt in answer.attempts] == [OverloadedError]


@both_shapes
def test_reject_with_an_error(colour: Colour, streamed: bool):
    """A copy of the error given is raised, with what had gone wrong as its cause."""
    mine = RateLimitError("come back tomorrow", retry_after=60)
    client = colour.scripted(by_model(main=DOWN), three(), retries=0)
    for _ in range(2):
        with pytest.raises(RateLimitError, match="come back tomorrow") as caught:
            ask(colour, client, streamed, fallback=Reject(error=mine))
        assert caught.value is not mine
        assert caught.value.retry_after == 60
        assert isinstance(caught.value.__cause__, OverloadedError)
        assert [attempt.instance for attempt in caught.value.attempts] == ["main"]
    assert mine.__cause__ is None
    with pytest.raises(OverloadedError):
        ask(colour, client, streamed, fallback=["reject", Reject("never reached")])


@both_shapes
def test_queue(colour: Colour, streamed: bool, path: str):
    """The call is kept, and the error says where."""
    client = colour.scripted(by_model(main=DOWN), three(), retries=0, queue=path, fallback="queue")
    with pytest.raises(CallQueued) as caught:
        ask(colour, client, streamed, max_tokens=7)
    ticket = caught.value.ticket
    assert ticket is not None
    assert ticket.id in str(caught.value)
    assert isinstance(caught.value.__cause__, OverloadedError)
    assert client.ticket(ticket.id) == ticket
    assert ticket.status == "queued"
    assert ticket.call.options.max_tokens == 7
    assert ticket.call.plan is None
    assert not ticket.call.stream
    assert not ticket.maybe_sent_before


def test_steps_come_in_order(colour: Colour, path: str):
    """Each step is taken once, from the call as it was made; the last one ends it."""
    client = colour.scripted(by_model(main=DOWN, second=DOWN), three(), retries=0, queue=path)
    steps = [Secondary(["openai/second"]), Degrade(max_tokens=5), Queue(delay=60, max_attempts=2)]
    with pytest.raises(CallQueued) as caught:
        ask(colour, client, False, fallback=steps, max_tokens=50)
    assert [model_of(request) for request in sent(client)] == ["main", "second", "main"]
    ticket = caught.value.ticket
    assert ticket.call.options.max_tokens == 50
    assert (ticket.not_before - ticket.created, ticket.max_attempts) == (60, 2)
    assert [attempt.instance for attempt in caught.value.attempts] == ["main", "second", "main"]


def test_everything_failed(colour: Colour):
    """The error holds the failures of every step."""
    client = colour.scripted(by_model(main=DOWN, second=refusal(500, "broken")), three(), retries=0)
    with pytest.raises(AllInstancesFailed) as caught:
        ask(colour, client, False, fallback=Secondary(["openai/second"]))
    assert [type(failure) for failure in caught.value.failures] == [OverloadedError, ServerError]
    assert [attempt.instance for attempt in caught.value.attempts] == ["main", "second"]


@pytest.mark.parametrize("reply", [refusal(400, "bad"), refusal(422, "bad")])
def test_a_mistake_of_the_callers_is_no_reason(colour: Colour, reply: HttpReply, path: str):
    """Nothing falls back, and nothing is queued, for a request that is wrong everywhere."""
    client = colour.scripted(by_model(main=reply), three(), retries=0, queue=path)
    with pytest.raises(InvalidRequestError):
        ask(colour, client, False, fallback=[Secondary(["openai/second"]), Queue(), Reject("no")])
    assert len(sent(client)) == 1
    assert client.tickets() == []


def test_what_does_not_pass_is_not_queued(colour: Colour, path: str):
    """An unknown model goes to another, not into the queue."""
    client = colour.scripted(by_model(main=refusal(404, "none", "model_not_found")), three(), retries=0, queue=path)
    assert ask(colour, client, False, fallback=["queue", Secondary(["openai/second"])]).text == "from second"
    assert client.tickets() == []


@both_shapes
def test_context_fallbacks(colour: Colour, streamed: bool):
    """A prompt that is too long goes to larger models, in order, and to nothing else."""
    client = colour.scripted(by_model(main=TOO_LONG, second=TOO_LONG), three(), retries=0)
    options: dict[str, Any] = {"context_fallbacks": ["openai/second", "openai/third"], "fallback": Reject("no")}
    answer = ask(colour, client, streamed, **options)
    assert (answer.text, answer.fallback) == ("from third", "context_fallbacks: model openai/third")
    with pytest.raises(ContextLengthError) as caught:
        ask(colour, client, streamed, context_fallbacks=["openai/second"], fallback=Reject("no"))
    assert [attempt.instance for attempt in caught.value.attempts] == ["main", "second"]


def test_a_larger_model_that_is_down_is_followed_by_the_next(colour: Colour):
    """Before the steps for failures, which come last."""
    client = colour.scripted(by_model(main=TOO_LONG, second=DOWN, third=DOWN), three(), retries=0)
    options: dict[str, Any] = {"context_fallbacks": ["openai/second", "openai/third"], "fallback": Reject("no")}
    assert ask(colour, client, False, **options).text == "no"
    assert [model_of(request) for request in sent(client)] == ["main", "second", "third"]


@both_shapes
def test_refusal_fallbacks(colour: Colour, streamed: bool):
    """A prompt that one vendor's policy refuses goes to other models."""
    client = colour.scripted(by_model(main=FILTERED), three(), retries=0)
    answer = ask(colour, client, streamed, refusal_fallbacks=["openai/second"])
    assert (answer.text, answer.fallback) == ("from second", "refusal_fallbacks: model openai/second")
    with pytest.raises(ContentFilterError):
        ask(colour, client, streamed, context_fallbacks=["openai/second"])


def test_a_whole_answer_that_refuses(colour: Colour):
    """It goes to other models too; where none answers, it is the answer."""
    client = colour.scripted(by_model(main=REFUSED), three(), retries=0)
    answer = ask(colour, client, False, refusal_fallbacks=["openai/second"])
    assert answer.text == "from second"
    assert [attempt.instance for attempt in answer.attempts] == ["main", "second"]
    client = colour.scripted(by_model(main=REFUSED, second=DOWN), three(), retries=0)
    answer = ask(colour, client, False, refusal_fallbacks=["openai/second"], fallback=Reject("no"))
    assert (answer.refusal, answer.fallback) == ("I will not", None)
    assert [attempt.instance for attempt in answer.attempts] == ["main", "second"]
    assert ask(colour, client, False).refusal == "I will not"


def test_a_stream_that_has_begun_does_not_fall_back(colour: Colour):
    """After the first content an interruption is one."""
    cut = chunks("Hel", NetworkError("gone"), end=())
    client = colour.scripted(by_model(main=cut), three(), retries=0, fallback=Reject("no"))
    with pytest.raises(StreamInterrupted):
        ask(colour, client, True)


def test_no_time_left(colour: Colour, path: str):
    """Once the call's time is over nothing more is asked; the queue takes it still, and says that it may have been sent."""
    client = colour.scripted(by_model(), three(), retries=0, latency=9.0, queue=path)
    with pytest.raises(CallQueued) as caught:
        ask(colour, client, False, fallback=[Secondary(["openai/second"]), Degrade(max_tokens=5), Queue()], timeout=3)
    assert isinstance(caught.value.__cause__, RequestTimeout)
    assert len(sent(client)) == 1
    assert caught.value.ticket.maybe_sent_before


def test_a_queue_that_cannot_be_written_is_a_failed_step(colour: Colour, tmp_path: Any):
    """The next step follows; with none, the error says that nothing was kept, and why the call was to be."""
    client = colour.scripted(by_model(main=DOWN), three(), retries=0, queue=tmp_path)
    assert ask(colour, client, False, fallback=["queue", Reject("later")]).text == "later"
    with pytest.raises(StorageError) as caught:
        ask(colour, client, False, fallback="queue")
    assert isinstance(caught.value.__cause__, OverloadedError)
    assert caught.value.path == str(tmp_path)


def test_the_call_goes_before_the_client(colour: Colour):
    """A call's own plan stands over the client's, part by part."""
    client = colour.scripted(
        by_model(main=DOWN), three(), retries=0, fallback=Reject("client"), context_fallbacks=["openai/second"]
    )
    assert ask(colour, client, False).text == "client"
    assert ask(colour, client, False, fallback=Reject("call")).text == "call"
    assert ask(colour, client, False, fallback=None).text == "client"
    with pytest.raises(OverloadedError):
        ask(colour, client, False, fallback=[])
    assert ask(colour, client, False, context_fallbacks=[]).text == "client"


def test_batches_fall_back_too(colour: Colour, path: str):
    """One request's place in the queue does not hurt the others."""
    client = colour.scripted(by_model(main=DOWN), three(), retries=0, queue=path, fallback="queue")
    results = client.batch([Request("a", model="openai/main"), Request("b", model="openai/second")])
    assert [type(result).__name__ for result in results] == ["CallQueued", "Completion"]


def test_tasks_keep_their_defaults_and_need_not_list_the_secondary(colour: Colour):
    """The task's defaults go with the call to models that do not list it."""
    instances = [openai(model="main", name="main", tasks=["t"]), openai(model="second", name="second")]
    client = colour.scripted(by_model(main=DOWN), instances, tasks=[Task("t", max_tokens=11)], retries=0)
    answer = client.generate("Hi", task="t", fallback=Secondary(["openai/second"]))
    assert answer.text == "from second"
    assert 11 in parse_json(sent(client)[-1].body or b"").values()


@pytest.mark.parametrize("fallback", ["queue", Reject("closed"), Reject(error="closed")], ids=str)
def test_a_refusal_that_nobody_answers_is_the_answer(colour: Colour, tmp_path: Any, fallback: Any):
    """No ticket is written beside it, and nothing is said in its place; what was tried elsewhere is told."""
    steps: list[str] = []
    script = by_model(main=REFUSED, second=DOWN, third=DOWN)
    client = colour.scripted(script, three(), retries=0, queue=tmp_path / "queue.sqlite", plugins=[steps_to(steps)])
    answer = ask(colour, client, False, refusal_fallbacks=["openai/second"], fallback=[Secondary(["openai/third"]), fallback])

    assert (answer.refusal, answer.fallback) == ("I will not", None)
    assert [attempt.instance for attempt in answer.attempts] == ["main", "second", "third"]
    assert client.tickets() == []
    assert steps == ["refusal_fallbacks: model openai/second", "secondary: model openai/third"]


def steps_to(told: list[str]) -> Any:
    """A plugin that writes down the steps that are taken."""

    class Plugin:
        @hookimpl
        def llmkit_fallback(self, step: str) -> None:
            told.append(step)

    return Plugin()


def test_hooks_hear_of_every_step(colour: Colour, tmp_path: Any):
    """Each step that is taken is told before it is, with the error before it, and the call as it was made."""
    told: list[tuple[str, Any, Any]] = []

    class Plugin:
        @hookimpl
        def llmkit_request(self, instance: str) -> None:
            told.append(("request", instance, None))

        @hookimpl
        def llmkit_fallback(self, call: Any, error: Any, step: str) -> None:
            told.append((step, type(error), call.model))

    def heard(**options: Any) -> list[tuple[str, Any, Any]]:
        told.clear()
        try:
            ask(colour, client, False, max_tokens=50, **options)
        except LLMError as error:
            told.append(("raised", type(error), None))
        return [one for one in told if one != ("request", "main", None)]

    replies = {"main": DOWN, "second": TOO_LONG}
    settings: dict[str, Any] = {"retries": 0, "queue": tmp_path / "queue.sqlite", "plugins": [Plugin()]}
    client = colour.scripted(lambda request: by_model(**replies)(request), three(), **settings)

    assert heard(fallback=[Degrade(max_tokens=60), Secondary(["openai/second"])], context_fallbacks=["openai/third"]) == [
        ("secondary: model openai/second", OverloadedError, "openai/main"),
        ("request", "second", None),
        ("context_fallbacks: model openai/third", ContextLengthError, "openai/main"),
        ("request", "third", None),
    ]
    assert heard(fallback=[Degrade(max_tokens=20), Reject("closed")]) == [
        ("degrade: max_tokens 20", OverloadedError, "openai/main"),
        ("reject: the text given", OverloadedError, "openai/main"),
    ]
    assert heard(fallback=Reject(error=RateLimitError("closed"))) == [
        ("reject: the error given", OverloadedError, "openai/main"),
        ("raised", RateLimitError, None),
    ]
    assert heard(fallback="reject") == [("raised", OverloadedError, None)]
    queued = heard(fallback="queue")
    assert queued == [(f"queue: ticket {client.tickets()[0].id}", OverloadedError, "openai/main"), ("raised", CallQueued, None)]
    assert heard() == [("raised", OverloadedError, None)]

    replies["main"] = FILTERED
    assert heard(refusal_fallbacks=["openai/third"])[0] == (
        "refusal_fallbacks: model openai/third",
        ContentFilterError,
        "openai/main",
    )


def test_a_queue_that_cannot_be_written_is_no_step(colour: Colour, tmp_path: Any):
    """Hooks hear of the step that follows it."""
    (tmp_path / "queue.sqlite").write_bytes(b"no database" * 100)
    steps: list[str] = []
    queue = tmp_path / "queue.sqlite"
    client = colour.scripted(by_model(main=DOWN), three(), retries=0, queue=queue, plugins=[steps_to(steps)])
    assert ask(colour, client, False, fallback=["queue", Reject("closed")]).text == "closed"
    assert steps == ["reject: the text given"]
    with pytest.raises(StorageError):
        ask(colour, client, False, fallback="queue")
    assert steps == ["reject: the text given"]


def test_hooks_hear_of_the_end_once(colour: Colour):
    """An error that a fallback makes good is not told as the end of the call."""
    told: list[Any] = []

    class Plugin:
        @hookimpl
        def llmkit_error(self, call: Any, error: Any) -> None:
            told.append(type(error))

        @hookimpl
        def llmkit_answer(self, call: Any, answer: Any) -> None:
            told.append(answer.fallback)

    client = colour.scripted(by_model(main=DOWN), three(), retries=0, plugins=[Plugin()])
    ask(colour, client, False, fallback=Secondary(["openai/second"]))
    assert told == ["secondary: model openai/second"]
    told.clear()
    with pytest.raises(LLMError):
        ask(colour, client, False, fallback=Reject(error="closed"))
    assert told == [LLMError]
    told.clear()
    with pytest.raises(OverloadedError):
        ask(colour, client, False)
    assert told == [OverloadedError]


@pytest.mark.parametrize(
    ("fallback", "words"),
    [
        ("qeue", "fallback: expected 'queue', 'reject', or a Secondary"),
        (5, "fallback: expected"),
        ([Queue(), 5], "fallback[1]: expected"),
        ({"type": "degrad", "max_tokens": 5}, "fallback.type: expected one of secondary, degrade, queue, reject, got 'degrad'"),
        ({"type": "queue", "dealy": 5}, "fallback.dealy: a queue step has no such field"),
        ({"type": "secondary"}, "fallback.models: expected at least one model"),
        ([{"type": "queue", "delay": -1}], "Queue.delay: expected a number of seconds of at least 0, got -1"),
        ({"type": "secondary", "models": "openai/m"}, "Secondary.models: expected a list"),
    ],
)
def test_a_wrong_fallback(colour: Colour, fallback: Any, words: str):
    """The message names the parameter and what was expected, before anything is sent."""
    client = colour.scripted(by_model(), three())
    with pytest.raises(InvalidRequestError) as caught:
        client.generate("Hi", fallback=fallback)
    assert words in str(caught.value)
    assert sent(client) == []
    with pytest.raises(ConfigError, match=r"expected|no such field"):
        colour.scripted(by_model(), three(), fallback=fallback)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Secondary([]),
        lambda: Secondary([5]),  # type: ignore[list-item]
        lambda: Degrade(),
        lambda: Degrade(max_tokens=0),
        lambda: Degrade(max_tokens=True),
        lambda: Degrade(model=""),
        lambda: Degrade(drop=["messages"]),
        lambda: Degrade(drop="tools"),
        lambda: Queue(delay=float("nan")),
        lambda: Queue(max_attempts=0),
        lambda: Reject("a", "b"),  # type: ignore[arg-type]
        lambda: Reject(5),  # type: ignore[arg-type]
        lambda: Reject(error=""),
        lambda: Reject(error=ValueError("x")),  # type: ignore[arg-type]
    ],
)
def test_steps_check_themselves(make: Callable[[], Any]):
    """A step that makes no sense is a typed error where it is made."""
    with pytest.raises(ConfigError, match="expected"):
        make()


@pytest.mark.parametrize("queue", [5, "", object()])
def test_a_wrong_queue(colour: Colour, queue: Any):
    """As above."""
    with pytest.raises(ConfigError, match="queue: expected a path"):
        colour.scripted(by_model(), three(), queue=queue)
