"""Failover, retries, and what a caller may say: one typed error for each mistake, before anything is sent."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import attrs
import pytest
import tenacity

import llmkit
from llmkit import (
    AllInstancesFailed,
    Client,
    ConfigError,
    Instance,
    InvalidRequestError,
    InvalidResponseError,
    LLMError,
    Message,
    ModelNotFoundError,
    NoInstanceAvailable,
    RateLimitError,
    Request,
    ServerError,
    StreamInterrupted,
    Task,
    Timeouts,
    UnsupportedParameterError,
)
from llmkit.policy.retry import Backoff, is_transient
from llmkit.wire.http import HttpReply, HttpRequest
from tests.support.colours import Colour, answer, chat, chunks, one_after_another, openai, refusal, sent


def by_host(**replies: Any) -> Any:
    """A script that answers by the first label of the host."""

    def script(request: HttpRequest) -> Any:
        reply = replies[request.url.split("//")[1].split(".")[0]]
        return reply(request) if callable(reply) else reply

    return script


def at(*names: str, **more: Any) -> list[Instance]:
    """Instances, each at a host of its name."""
    return [openai(f"sk-key-of-{name}-123", name=name, base_url=f"https://{name}.test/v1", **more) for name in names]


def body(request: HttpRequest) -> dict[str, Any]:
    return json.loads(request.body or b"{}")


# ----------------------------------------------------------------------------------------------- retries


@pytest.mark.parametrize(("of_client", "of_call"), list(itertools.product([0, 1, 3], [None, 0, 2])))
@pytest.mark.parametrize("streams", [False, True])
def test_retries_are_tries_after_the_first(colour: Colour, of_client: int, of_call: int | None, streams: bool):
    """N + 1 requests arrive, whichever layer says N."""
    client = colour.scripted(lambda request: refusal(500), [openai()], retries=of_client)

    with pytest.raises(ServerError) as caught:
        client.stream("q", retries=of_call).text() if streams else client.generate("q", retries=of_call)

    expected = 1 + (of_client if of_call is None else of_call)
    assert len(sent(client)) == expected == len(caught.value.attempts)
    assert client.usage()[0].errors == expected
    assert f"{expected} attempts" in str(caught.value) or expected == 1


@pytest.mark.parametrize(
    ("policy", "tries", "seconds"),
    [
        (tenacity.Retrying(stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_fixed(2)), 3, 4),
        (tenacity.Retrying(stop=tenacity.stop_after_delay(5) | tenacity.stop_after_attempt(9), wait=tenacity.wait_fixed(2)), 4, 6),
        (tenacity.Retrying(stop=tenacity.stop_before_delay(5), wait=tenacity.wait_fixed(1) + tenacity.wait_fixed(1)), 3, 4),
        (
            tenacity.Retrying(
                stop=tenacity.stop_after_attempt(3) & tenacity.stop_after_delay(3),
                wait=tenacity.wait_chain(tenacity.wait_fixed(1), tenacity.wait_fixed(10)),
            ),
            3,
            11,
        ),
        (tenacity.Retrying(retry=tenacity.retry_if_exception_type(RateLimitError)), 1, 0),
        (
            tenacity.AsyncRetrying(
                retry=tenacity.retry_if_exception_type(RateLimitError) | tenacity.retry_if_exception_type(ServerError),
                stop=tenacity.stop_after_attempt(2),
            ),
            2,
            0,
        ),
    ],
    ids=["fixed", "or", "before", "and", "not these", "retry or"],
)
def test_tenacity_policies(colour: Colour, policy: Any, tries: int, seconds: float):
    """A policy's stop, wait and retry decide, on the runtime's clock; one object serves many calls."""
    client = colour.scripted(lambda request: refusal(500), [openai()], retries=policy, breaker=False)
    for turn in (1, 2):
        begun = client.runtime.clock
        with pytest.raises(ServerError) as caught:
            client.generate("q")
        assert len(caught.value.attempts) == tries
        assert client.runtime.clock - begun == pytest.approx(seconds)
        assert len(sent(client)) == turn * tries


def test_a_refusal_that_lets_no_key_rest_is_counted(colour: Colour, monkeypatch: pytest.MonkeyPatch):
    """A vendor's error that asks for another key without a reason to rest this one does not make a call go round for ever."""
    from llmkit import Recovery
    from llmkit.provider import Provider

    monkeypatch.setattr(Provider, "error", lambda self, reply: ServerError("x", recovery=Recovery.OTHER_KEY))
    client = colour.scripted(lambda request: refusal(500), [openai()], retries=2)
    monkeypatch.setattr(type(client.core.router.routes()[0].provider), "error", Provider.error)
    with pytest.raises(ServerError):
        client.generate("q")
    assert len(sent(client)) <= 3


def test_deadline_is_stronger_than_the_policy(colour: Colour):
    """A pause that would pass the deadline is not begun."""
    policy = tenacity.Retrying(stop=tenacity.stop_never, wait=tenacity.wait_fixed(4))
    client = colour.scripted(lambda request: refusal(500), [openai()], retries=policy)

    with pytest.raises(ServerError) as caught:
        client.generate("q", timeout=10)

    assert len(caught.value.attempts) == 3
    assert client.runtime.clock == pytest.approx(8)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_bad_request_is_tried_once(colour: Colour, status: int):
    client = colour.scripted(lambda request: refusal(status), at("a", "b"))

    with pytest.raises(InvalidRequestError) as caught:
        client.generate("q")

    assert len(sent(client)) == 1 == len(caught.value.attempts)
    assert caught.value.status == status


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "3", object()])
def test_wrong_retries(colour: Colour, wrong: Any):
    with pytest.raises(ConfigError, match="retries"):
        colour.scripted(answer(), retries=wrong)
    client = colour.scripted(answer(), [openai()])
    with pytest.raises(InvalidRequestError, match="retries"):
        client.generate("q", retries=wrong)
    assert not sent(client)


def test_decorator_sync_and_async():
    """llmkit.retry gives any function the same retries; what may not pass is raised at once."""
    hits: list[str] = []

    def failing(error: Exception, times: int) -> Any:
        def work() -> str:
            hits.append("hit")
            if len(hits) <= times:
                raise error
            return "done"

        return work

    fast = {"initial_delay": 0.001, "max_delay": 0.001}
    assert llmkit.retry(3, **fast)(failing(ServerError("x"), 3))() == "done"
    assert len(hits) == 4
    for error, tries in (
        (ServerError("x"), 3),
        (ConnectionError(), 3),
        (TimeoutError(), 3),
        (ValueError(), 1),
        (ConfigError("x"), 1),
    ):
        hits.clear()
        with pytest.raises(type(error)):
            llmkit.retry(2, **fast)(failing(error, 99))()
        assert len(hits) == tries
    hits.clear()
    with pytest.raises(ValueError):  # noqa: PT011
        llmkit.retry(1, on=ValueError, **fast)(failing(ValueError(), 99))()
    assert len(hits) == 2

    hits.clear()

    @llmkit.retry(2, **fast)
    async def later() -> str:
        return failing(ServerError("x"), 2)()

    assert asyncio.run(later()) == "done"
    with pytest.raises(ConfigError, match="decorator itself"):
        llmkit.retry(tenacity.Retrying())  # type: ignore[arg-type]


def test_backoff_is_full_jitter_and_keeps_retry_after():
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    state.set_exception((ServerError, ServerError("x"), None))
    pauses = []
    for attempt in (1, 2, 3, 10, 5000):
        state.attempt_number = attempt
        pauses.append(Backoff(lambda: 1.0)(state))
    assert pauses == [0.5, 1, 2, 8, 8]
    state.set_exception((ServerError, ServerError("x", retry_after=30), None))
    assert Backoff(lambda: 0.0)(state) == 30
    assert not is_transient(llmkit.AuthenticationError("x"))


# ----------------------------------------------------------------------------------------------- failover


@pytest.mark.parametrize("streams", [False, True])
def test_failover_and_its_story(colour: Colour, streams: bool):
    """Another instance takes over at once, and the attempts list every try."""
    good = (lambda request: chunks("good")) if streams else chat("good")
    client = colour.scripted(
        by_host(a=refusal(500), b=refusal(404, "no such model"), c=good), at("a", "b", "c"), strategy="round_robin"
    )

    completion = client.stream("q").completion() if streams else client.generate("q")

    assert completion.text == "good"
    assert [attempt.instance for attempt in completion.attempts] == ["a", "b", "c"]
    assert [type(attempt.error) for attempt in completion.attempts] == [ServerError, ModelNotFoundError, type(None)]
    assert client.runtime.clock == 0
    assert (completion.instance, completion.provider) == ("c", "openai")


def test_all_failed(colour: Colour):
    """Where several instances failed, the error holds each one's, in order."""
    client = colour.scripted(by_host(a=refusal(500, "a is ill"), b=refusal(404, "b has it not")), at("a", "b"), retries=1)

    with pytest.raises(AllInstancesFailed) as caught:
        client.generate("q")

    assert [failure.instance for failure in caught.value.failures] == ["a", "b", "a"]
    assert "a: a is ill" in str(caught.value)
    assert "b: b has it not" in str(caught.value)
    assert len(caught.value.attempts) == 3


@pytest.mark.parametrize("streams", [False, True])
def test_what_failed_is_left_alone_while_another_only_rests(colour: Colour, streams: bool):
    """The call waits for that one, and has retries left when it comes back."""
    limited = iter([refusal(429, retry_after="10")])
    good = chunks("good") if streams else chat("good")
    client = colour.scripted(by_host(a=refusal(500), b=lambda request: next(limited, good)), at("a", "b"), strategy="round_robin")

    completion = client.stream("q").completion() if streams else client.generate("q")

    assert [attempt.instance for attempt in completion.attempts] == ["a", "b", "b"]
    assert client.runtime.clock == pytest.approx(10, abs=0.01)
    assert completion.timing.queued == pytest.approx(10, abs=0.01)


@pytest.mark.parametrize(
    ("settings", "limits"),
    [({"max_wait": 9.0}, {}), ({"unavailable": "fail"}, {}), ({}, {"timeout": 9.0})],
)
def test_what_failed_is_tried_again_where_the_other_rests_too_long(colour: Colour, settings: Any, limits: Any):
    ill = iter([refusal(500), refusal(503)])
    client = colour.scripted(
        by_host(a=lambda request: next(ill, chat("well again")), b=refusal(429, retry_after="10")),
        at("a", "b"),
        strategy="round_robin",
        **settings,
    )
    completion = client.generate("q", **limits)
    assert [attempt.instance for attempt in completion.attempts] == ["a", "b", "a", "a"]
    assert client.runtime.clock < 5


def test_a_fallback_that_rests_is_not_waited_for(colour: Colour):
    """The model that was asked for is tried again before that."""
    ill = iter([refusal(500), refusal(503)])
    script = by_host(main=lambda request: next(ill, chat("well again")), second=refusal(429, retry_after="10"))
    instances = [openai(name=name, model=name, base_url=f"https://{name}.test/v1") for name in ("main", "second")]
    client = colour.scripted(script, instances)
    completion = client.generate("q", model="main", fallbacks=["second"])
    assert [attempt.instance for attempt in completion.attempts] == ["main", "second", "main", "main"]
    assert client.runtime.clock < 5


def test_an_instance_without_the_model_ends_nothing(colour: Colour):
    """An instance that can never serve the call is not asked twice, and the retries of the others are not lost by it."""
    ill = iter([refusal(500), refusal(503)])
    client = colour.scripted(by_host(a=lambda request: next(ill, chat("well again")), b=refusal(404)), at("a", "b"), retries=2)

    completion = client.generate("q")

    assert completion.text == "well again"
    assert [attempt.instance for attempt in completion.attempts] == ["a", "b", "a", "a"]


def test_fallbacks_come_after_the_callers_own(colour: Colour):
    """Models of `fallbacks`, of the client or of the call, serve in their order when the call's own cannot."""
    instances = [openai(name=name, model=name, base_url=f"https://{name}.test/v1") for name in ("main", "second", "third")]
    script = by_host(main=refusal(404), second=refusal(404), third=chat("third"))
    client = colour.scripted(script, instances, fallbacks=["openai/second", "third"])

    completion = client.generate("q", model="openai/main")
    assert [attempt.instance for attempt in completion.attempts] == ["main", "second", "third"]
    completion = client.generate("q", model="openai/main", fallbacks=["third"])
    assert [attempt.instance for attempt in completion.attempts] == ["main", "third"]
    with pytest.raises(ModelNotFoundError):
        client.generate("q", instance="main", fallbacks=[])


def test_fallbacks_of_tasks_and_instances(colour: Colour):
    """What the call names wins over its task's, that over its instance's, that over the client's."""
    names = ("main", "of-call", "of-task", "of-instance", "of-client")
    instances = [openai(name=name, model=name, base_url=f"https://{name}.test/v1", tasks=["t"]) for name in names]
    instances[0] = attrs.evolve(instances[0], fallbacks=["of-instance"])

    def script(request: HttpRequest) -> Any:
        return refusal(404) if "://main." in request.url else chat("here")

    client = colour.scripted(script, instances, tasks=[Task("t", fallbacks="of-task"), Task("u")], fallbacks=["of-client"])

    def second(**given: Any) -> str:
        return client.generate("q", instance="main", **given).attempts[1].instance

    assert second(fallbacks=["of-call"], task="t") == "of-call"
    assert second(task="t") == "of-task"
    assert second(task="u") == "of-instance"
    assert second() == "of-instance"
    client.remove_instance("main")
    client.add_instance(attrs.evolve(instances[0], fallbacks=()))
    assert second() == "of-client"


def test_excluded_instances(colour: Colour):
    """Disabled instances get nothing until they are enabled; where all are, nothing is available."""
    client = colour.scripted(answer(), at("a", "b"))
    client.disable("a")
    assert {client.generate("q").instance for _ in range(4)} == {"b"}
    client.disable("b")
    with pytest.raises(NoInstanceAvailable, match="disabled: a, b"):
        client.generate("q")
    client.enable("a")
    assert client.generate("q").instance == "a"
    assert [instance.enabled for instance in client.instances] == [True, False]
    assert client.get_provider_count() == 2
    client.remove_instance("b")
    assert [row.instance for row in client.usage()] == ["a", "b"]
    client.set_strategy("round_robin")
    assert client.generate("q").instance == "a"


def test_tasks_choose_instances(colour: Colour):
    client = colour.scripted(
        answer(), [*at("a", tasks=["summary"]), *at("b", tasks="chat"), *at("c")], tasks=[Task("summary"), Task("idle")]
    )
    assert {client.generate("q", task="summary").instance for _ in range(3)} == {"a"}
    assert {client.generate("q").instance for _ in range(6)} == {"a", "b", "c"}
    with pytest.raises(ConfigError, match="no instance serves task 'idle'"):
        client.generate("q", task="idle")
    with pytest.raises(ConfigError, match="did you mean 'summary'"):
        client.generate("q", task="sumary")
    assert [task.name for task in client.tasks] == ["summary", "idle"]


def test_options_in_layers(colour: Colour):
    """The task's defaults under the instance's under the request's; `extra` is merged."""
    instance = openai(
        tasks=["t"], options={"temperature": 0.2, "max_tokens": 20, "top_k": 2, "both": "instance"}, headers={"X-Mine": "1"}
    )
    task = Task("t", temperature=0.1, max_tokens=10, seed=1, top_k=1, under="task")
    client = colour.scripted(answer(), [instance], tasks=[task])

    client.generate("q", task="t", max_tokens=30, extra={"both": "request"})

    request = sent(client)[0]
    said = body(request)
    assert said["temperature"] == 0.2
    assert 30 in (said.get("max_tokens"), said.get("max_completion_tokens"))
    assert said["seed"] == 1
    assert (said["top_k"], said["under"], said["both"]) == (2, "task", "request")
    assert request.headers["X-Mine"] == "1"
    client.generate("q")
    assert "seed" not in body(sent(client)[1])


# ----------------------------------------------------------------------------------------------- models on demand


def test_models_on_demand(colour: Colour):
    """A model that is not configured is served with the key in the environment, or by an instance of any model."""
    environ = {"OPENAI_API_KEY": "sk-from-the-environment", "ANTHROPIC_API_KEYS": "sk-ant-1111111,sk-ant-2222222"}
    client = colour.scripted(answer(), environ=environ, default_model="openai/gpt-4o-mini")
    assert client.generate("q").instance == "openai/gpt-4o-mini"
    assert client.generate("q", model="gpt-4o").instance == "openai/gpt-4o"
    assert client.generate("q", model="OpenAI/o3").instance == "openai/o3"
    client.core.ensure("claude-x")
    assert len(client.core.router.route("anthropic/claude-x").keys.keys) == 2
    with pytest.raises(ConfigError, match="COHERE_API_KEY"):
        client.generate("q", model="cohere/command-r")
    with pytest.raises(ConfigError, match="whose is it"):
        client.generate("q", model="nobodys")
    assert "sk-from" not in repr(vars(client.core))


def test_instances_of_any_model(colour: Colour):
    instances = [openai(name="router", model="*", provider="openrouter"), openai(name="own", model="*")]
    client = colour.scripted(answer(), instances, environ={})
    assert client.generate("q", model="openrouter/meta-llama/llama-3").instance == "router:meta-llama/llama-3"
    assert client.generate("q", model="gpt-4o").instance == "own:gpt-4o"
    assert client.generate("q", model="nobodys").instance == "router:nobodys"
    with pytest.raises(ConfigError, match="no instance serves the call"):
        client.generate("q")


def test_aliases_of_providers(colour: Colour):
    """A provider's alias in a model's name means the provider's own instances."""
    client = colour.scripted(answer(), [Instance("azure", "m", api_key="k", base_url="https://x.test", name="mine")], environ={})
    assert client.instances[0].provider == "azure_openai"
    assert client.generate("q", model="azure/m").instance == "mine"


# ----------------------------------------------------------------------------------------------- what callers get wrong


@pytest.mark.parametrize(
    "wrong",
    [
        {"temprature": 1},
        {"temperature": "hot"},
        {"temperature": float("nan")},
        {"top_p": 2},
        {"max_tokens": 1.5},
        {"max_tokens": True},
        {"seed": "x"},
        {"stop": 5},
        {"stop": [""]},
        {"tools": 5},
        {"tools": [5]},
        {"tools": "text"},
        {"tool_choice": 5},
        {"reasoning_effort": ""},
        {"response_model": 5},
        {"timeout": 0},
        {"timeout": "soon"},
        {"timeouts": 5},
        {"fallbacks": "openai/m"},
        {"fallbacks": 5},
        {"fallbacks": [5]},
        {"tags": "word"},
        {"tags": 5},
        {"model": 5},
        {"model": ["m"]},
        {"instance": 5},
        {"task": ["t"]},
        {"system": 5},
        {"extra": 5},
        {"on_unsupported": "ignore"},
    ],
    ids=lambda wrong: "-".join(f"{name}={value}" for name, value in wrong.items()),
)
@pytest.mark.parametrize("streams", [False, True])
def test_wrong_arguments(colour: Colour, wrong: dict[str, Any], streams: bool):
    """The error names the parameter, and nothing is sent."""
    client = colour.scripted(answer(), [openai()])

    with pytest.raises(InvalidRequestError) as caught:
        client.stream("q", **wrong).text() if streams else client.generate("q", **wrong)

    assert next(iter(wrong)) in str(caught.value)
    assert not sent(client)
    assert "did you mean 'temperature'" in str(caught.value) or wrong != {"temprature": 1}


@pytest.mark.parametrize(
    "prompt", [5, None, [], [5], [{"role": "king", "content": "x"}], [{"content": "x"}], b"bytes", {"role": "user"}]
)
def test_wrong_prompts(colour: Colour, prompt: Any):
    client = colour.scripted(answer(), [openai()])
    with pytest.raises(InvalidRequestError, match="prompt"):
        client.generate(prompt)
    assert not sent(client)


@pytest.mark.parametrize(
    "settings",
    [
        {"instances": 5},
        {"instances": [5]},
        {"instances": openai()},
        {"tasks": ["t"]},
        {"tasks": [Task("t"), Task("t", seed=1)]},
        {"strategy": "round_robbin"},
        {"strategy": 5},
        {"timeout": -1},
        {"timeouts": 5},
        {"max_wait": None},
        {"max_pending": 0},
        {"max_pending": "x"},
        {"unavailable": "hope"},
        {"on_unsupported": "hope"},
        {"fallbacks": "openai/m"},
        {"fallbacks": [5]},
        {"default_model": 5},
        {"environ": 5},
        {"plugins": 5},
        {"retry_initial_delay": 0},
        {"instances": [openai(name="a"), openai(name="a")]},
        {"instances": [Instance("opnai", "m", api_key="k")]},
        {"instances": [Instance("openai", "m")], "environ": {}},
        {"instances": [openai(settings={"nope": 1})]},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_wrong_settings(colour: Colour, settings: dict[str, Any]):
    """One ConfigError, and no client."""
    with pytest.raises(ConfigError) as caught:
        colour.scripted(answer(), **settings)
    if settings.get("strategy") == "round_robbin":
        assert "did you mean 'round_robin'" in str(caught.value)
    if "opnai" in str(caught.value):
        assert "did you mean 'openai'" in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"provider": "", "model": "m"},
        {"provider": "p", "model": 5},
        {"base_url": "ftp://x"},
        {"base_url": "http://x.test"},
        {"base_url": "https://u:p@x.test"},
        {"base_url": "https://169.254.169.254/"},
        {"base_url": "https://x.test/#a"},
        {"base_url": "https://[x"},
        {"api_key": 5},
        {"api_key": "a b"},
        {"api_keys": ["a", "a"]},
        {"api_keys": ["a", ""]},
        {"api_key": "a", "api_keys": ["b"]},
        {"headers": {"a b": "c"}},
        {"headers": {"a": "c\nd"}},
        {"weight": 0},
        {"max_concurrency": 0},
        {"timeout": "x"},
    ],
    ids=lambda wrong: "-".join(wrong),
)
def test_wrong_instances(wrong: dict[str, Any]):
    with pytest.raises(ConfigError):
        Instance(**{"provider": "p", "model": "m", **wrong})


def test_unknown_names(colour: Colour):
    client = colour.scripted(answer(), at("alpha"))
    for call in (
        lambda: client.generate("q", instance="alfa"),
        lambda: client.enable("alfa"),
        lambda: client.remove_instance("alfa"),
    ):
        with pytest.raises(ConfigError, match=r"no instance is named 'alfa'.*did you mean 'alpha'"):
            call()
    with pytest.raises(ConfigError, match="no provider is named"):
        client.list_models("nobody")
    with pytest.raises(InvalidRequestError, match="path"):
        client.request("alpha", "GET", "https://evil.test/")


# ----------------------------------------------------------------------------------------------- what vendors cannot do


@pytest.mark.parametrize("mode", ["error", "warn", "drop"])
@pytest.mark.parametrize("where", ["client", "call"])
def test_unsupported(colour: Colour, mode: Any, where: str):
    """error refuses before sending, warn and drop leave out; what was left out is listed."""
    anthropic = Instance("anthropic", "claude", api_key="k", name="a")
    reply = HttpReply(
        200,
        {},
        json.dumps(
            {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"}
        ).encode(),
    )
    client = colour.scripted(lambda request: reply, [anthropic], **({"on_unsupported": mode} if where == "client" else {}))
    options = {"seed": 3, "max_tokens": 5, **({"on_unsupported": mode} if where == "call" else {})}

    if mode == "error":
        with pytest.raises(UnsupportedParameterError, match="seed") as caught:
            client.generate("q", **options)
        assert caught.value.parameters == ("seed",)
        assert not sent(client)
        return
    if mode == "warn":
        with pytest.warns(UserWarning, match="does not support seed"):
            completion = client.generate("q", **options)
    else:
        completion = client.generate("q", **options)
    assert completion.dropped == ("seed",)
    assert "seed" not in body(sent(client)[0])


def test_unsupported_parts_and_shapes_are_left_out(colour: Colour):
    """Parts and shapes go the same way; the message stays."""
    deepseek = Instance("deepseek", "m", api_key="k")
    client = colour.scripted(answer(), [deepseek], on_unsupported="drop")
    prompt = [
        {
            "role": "user",
            "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}],
        }
    ]
    completion = client.generate(prompt, response_model={"type": "object"})
    assert set(completion.dropped) >= {"images", "json_schema"}
    assert b"a.png" not in (sent(client)[0].body or b"")


def test_unsupported_moves_on_to_who_can(colour: Colour):
    instances = [Instance("anthropic", "claude", api_key="k", name="a"), *at("b")]
    client = colour.scripted(answer(), instances, strategy="round_robin")
    completion = client.generate("q", seed=1)
    assert [attempt.instance for attempt in completion.attempts] == ["a", "b"]
    with pytest.raises(UnsupportedParameterError, match="embeddings"):
        client.embed("text", instance="a")


def test_response_model(colour: Colour):
    """The answer's JSON is in `parsed`, fenced or not, streamed or not; None where it is none."""
    replies = ['{"a": 1}', "```json\n[2]\n```", "no json", '{"a": 3}']
    client = colour.scripted(
        lambda request: chunks(replies.pop(0)) if b'"stream":true' in request.body else chat(replies.pop(0)), [openai()]
    )
    assert client.generate("q", response_model="json").parsed == {"a": 1}
    assert client.generate("q", response_model={"type": "array"}).parsed == [2]
    assert client.generate("q", response_model=llmkit.JsonSchema({"type": "object"})).parsed is None
    assert client.stream("q", response_model="json").completion().parsed == {"a": 3}


# ----------------------------------------------------------------------------------------------- the other operations


def test_batch_keeps_order_and_errors(colour: Colour):
    def script(request: HttpRequest) -> Any:
        asked = body(request)["messages"][0]["content"]
        return refusal(400, "bad") if asked == "bad" else chat(asked.upper())

    client = colour.scripted(script, [openai()])
    told: list[int] = []
    requests = [
        "a",
        Request("bad"),
        Request("b", max_tokens=5),
        Request("c", temprature=1),
        Message.user("d"),
        Request("e", fallbacks=5),
    ]
    results = client.batch(requests, progress=lambda number, result: told.append(number))
    assert [getattr(result, "text", type(result).__name__) for result in results] == [
        "A",
        "InvalidRequestError",
        "B",
        "InvalidRequestError",
        "D",
        "InvalidRequestError",
    ]
    assert told == [1, 2, 3, 4, 5, 6]
    assert [result.text for result in client.generate_sequentially(["x", "y"])] == ["X", "Y"]
    assert client.batch([]) == []
    with pytest.raises(InvalidRequestError, match="concurrency"):
        client.batch(["a"], concurrency=0)


def test_as_completed_takes_requests_as_it_goes(colour: Colour):
    """Answers come with their positions, from an endless iterable too."""
    client = colour.scripted(answer(), [openai()])
    found = client.client.as_completed(itertools.repeat("q"))
    if colour.sync:
        assert [next(found)[0] for _ in range(3)] == [0, 1, 2]
        found.close()
        return

    async def some() -> list[int]:
        positions = []
        async for position, _ in found:
            positions.append(position)
            if position == 2:
                break
        await found.aclose()
        return positions

    assert colour.run(some()) == [0, 1, 2]


def test_clients_from_settings(colour: Colour):
    """The ways to make a client give one of its own class; as a context manager it closes itself."""
    cls = llmkit.Client if colour.sync else llmkit.AsyncClient
    toml = '[[instances]]\nprovider = "openai"\nmodel = "m"\napi_key = "sk-from-toml-1"\n\n[settings]\nplugins = []\n'
    made = [cls.from_config_str(toml), cls.builder().add_instance("openai", "m", "sk-from-builder-1").build()]
    assert [[instance.model for instance in client.instances] for client in made] == [["m"], ["m"]]

    async def use(client: Any) -> None:
        async with client as same:
            assert same is client

    for client in made:
        assert type(client) is cls
        if colour.sync:
            with client as same:
                assert same is client
        else:
            colour.run(use(client))


def test_clients_from_files_and_the_environment(colour: Colour, tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    cls = llmkit.Client if colour.sync else llmkit.AsyncClient
    file = tmp_path / "llmkit.toml"
    file.write_text('[[instances]]\nprovider = "openai"\nmodel = "m"\napi_key = "sk-from-toml-1"\n')
    file.chmod(0o600)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-environment")
    for client in (cls.from_config(file), cls.from_env()):
        assert type(client) is cls
        colour.run(client.close())


def test_embed_models_and_raw_requests(colour: Colour):
    def script(request: HttpRequest) -> Any:
        if request.url.endswith("/embeddings"):
            document: Any = {
                "data": [{"index": 0, "embedding": [1.0, 2.0]}],
                "model": "m",
                "usage": {"prompt_tokens": 1, "total_tokens": 1},
            }
        else:
            document = {"object": "list", "data": [{"id": "m1"}, {"id": "m2"}]}
        return HttpReply(200, {}, json.dumps(document).encode())

    client = colour.scripted(script, at("a", "b"), default_model="openai/m")
    assert client.embed("text").vectors == ((1.0, 2.0),)
    assert client.embed(["text"], model="openai/m", dimensions=2).attempts[0].error is None
    assert [model.id for model in client.list_models("a")] == ["m1", "m2"]
    assert len(client.list_models()) == 4
    assert client.request("a", "get", "/models")["data"][0]["id"] == "m1"
    for wrong in (
        {"texts": 5},
        {"texts": []},
        {"texts": [5]},
        {"texts": "a", "dimensions": 0},
        {"texts": "a", "extra": 5},
        {"texts": "a", "model": 5},
    ):
        with pytest.raises(InvalidRequestError):
            client.embed(**wrong)
    client.warm_up()
    lines: list[str] = []
    client.print_token_usage(lines.append)
    assert "Token Usage" in lines[0]


def test_closed_clients_refuse(colour: Colour):
    client = colour.scripted(answer(), [openai()])
    client.close()
    with pytest.raises(llmkit.ClientClosedError):
        client.generate("q")


# ----------------------------------------------------------------------------------------------- streams as objects


def test_stream_faces(colour: Colour):
    """With a block, without one, event by event, text only, closed early, dropped."""
    client = colour.scripted(lambda request: chunks("a ", "b"), [openai()])
    assert "".join(event.text for event in client.stream("q")) == "a b"
    stream = client.stream("q")
    assert stream.partial is None
    assert stream.instance is None
    assert next(stream).type == "started"
    assert stream.instance == "openai/m"
    next(stream)
    assert stream.partial.text == "a "
    stream.close()
    stream.close()
    with pytest.raises(StreamInterrupted, match="not read to its end"):
        stream.completion()
    assert client.in_flight() == 0
    with client.stream("q") as stream:
        for event in stream:
            if event.text:
                break
    assert client.in_flight() == 0
    iter(client.stream("q"))  # dropped before its first event: nothing was opened
    assert client.in_flight() == 0
    for _ in client.stream("q"):
        break
    colour.run(asyncio.sleep(0)) if not colour.sync else None
    assert client.in_flight() == 0
    row = client.usage()[0]
    assert (row.calls, row.interrupted) == (1, 3)
    assert client.stream("q").completion().timing.first_event == 0


def test_a_whole_answer_where_a_stream_was_asked_for(colour: Colour):
    """JSON instead of events is one piece; an error reply is the vendor's error."""
    client = colour.scripted(
        one_after_another(HttpReply(200, {"content-type": "application/json"}, chat("all").body), refusal(400, "no")), [openai()]
    )
    completion = client.stream("q").completion()
    assert (completion.text, completion.timing.first_event) == ("all", 0)
    with pytest.raises(InvalidRequestError), client.stream("q"):
        pass


def test_first_event_and_idle_count_data_only(colour: Colour):
    """Pings do not count: before content the try is given up and another made, after it the stream is interrupted."""
    pings = [item for _ in range(99) for item in (5.0, b": ping\n\n")]
    replies = [chunks(*pings), chunks("a", *pings)]
    client = colour.scripted(lambda request: replies.pop(0), [openai()], timeouts=Timeouts(first_event=12, idle=20))
    with pytest.raises(StreamInterrupted) as caught, client.stream("q") as stream:
        assert client.runtime.clock == pytest.approx(12, abs=0.6)
        list(stream)
    assert caught.value.attempts[0].error.phase == "first_event"
    assert caught.value.__cause__.phase == "idle"
    assert client.runtime.clock == pytest.approx(32, abs=0.6)


def test_invalid_answers_are_retried_then_told(colour: Colour):
    client = colour.scripted(lambda request: HttpReply(200, {"x-request-id": "r7"}, b"[1]"), [openai()], retries=1)
    with pytest.raises(InvalidResponseError) as caught:
        client.generate("q")
    assert (len(caught.value.attempts), caught.value.request_id, caught.value.ambiguous) == (2, "r7", True)
    assert isinstance(caught.value, LLMError)


def test_the_base_is_no_client():
    from llmkit.face import Face

    with pytest.raises(TypeError, match="make a Client or an AsyncClient"):
        Face(plugins=[])
    assert Client(plugins=[]).as_async().as_sync()._core


@pytest.mark.parametrize(("given", "limit"), [({}, 5), ({"max_concurrency_per_key": 2}, 2)])
def test_a_pool_of_keys_from_the_environment_has_a_limit(colour: Colour, given: dict[str, int], limit: int):
    """Keys that come as a list from the environment take five calls each at once, unless the instance says otherwise; one key
    there, and keys given in code, have no limit."""
    environ = {"OPENAI_API_KEYS": "sk-first-key-1,sk-second-key-2", "MISTRAL_API_KEY": "sk-only-key-3"}
    instances = [Instance("openai", "m", **given), Instance("mistral", "m"), openai("sk-a-key-1", "sk-b-key-2", name="code")]
    client = colour.scripted(answer(), instances, environ=environ)

    assert [instance.max_concurrency_per_key for instance in client.instances] == [limit, None, None]
