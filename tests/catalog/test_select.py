"""Models chosen by what is wanted of them: the order, the routes of a client, and what cannot be had."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit import ConfigError, Instance, ModelInfo, ModelRequest, Price, Selection, Task, select_models
from llmkit.errors import InvalidRequestError
from llmkit.testing import ScriptedRuntime
from llmkit.values.calls import CATEGORIES, MODEL_WORDS, ChatCall, Deadline
from llmkit.values.model_requests import CAPABILITIES, SCORES, is_request, ranked, resolve
from llmkit.wire.codec import from_json, to_json
from llmkit.wire.http import HttpReply
from tests.support.colours import ScriptedClient, chat, refusal


def model(
    name: str, category: str | None, input: Any, output: Any, can: str = "chat", context: int | None = None
) -> ModelInfo:
    price = None if input is None else Price.of(input=input, output=output)
    return ModelInfo(name, "acme", context_window=context, category=category, price=price, capabilities=frozenset(can.split()))


SMALL = model("small", "fast", "0.1", "0.4", "chat tools", 100_000)
TINY = model("tiny", "fast", "0.2", "0.3", "chat", 8000)
MIDDLE = model("middle", "balanced", 1, 4, "chat tools vision", 200_000)
LARGE = model("large", "quality", 5, 25, "chat tools vision reasoning json_schema", 1_000_000)
LARGER = model("larger", "quality", 10, 50, "chat tools reasoning", 200_000)
LARGEST = model("largest", "quality", 10, 50, context=500_000)
VECTORS = model("vectors", None, "0.02", 0, "embeddings", 8000)
SECRET = ModelInfo("secret", "acme")
ALL = [LARGE, VECTORS, SECRET, TINY, MIDDLE, SMALL, LARGER]


@pytest.mark.parametrize(
    ("requested", "names"),
    [
        ("cheapest", "small tiny middle large larger secret"),
        ("fastest", "tiny small middle large larger secret"),
        ("fast", "small tiny"),
        ("balanced", "middle"),
        ("quality", "large larger"),
        (ModelRequest(capabilities=["tools", "vision"]), "middle large"),
        (ModelRequest(capabilities=["tools"], order="quality"), "large larger middle small"),
        (ModelRequest(min_context=150_000), "middle large larger"),
        (ModelRequest(min_context=150_000, category="quality", order="cheapest"), "large larger"),
        (ModelRequest(capabilities="embeddings"), "vectors"),
        (ModelRequest(provider="acme", min_context=900_000), "large"),
        (ModelRequest(provider="other"), ""),
        (ModelRequest(min_output=1), ""),
    ],
)
def test_the_order(requested: str | ModelRequest, names: str):
    assert resolve(requested, [(info.id, info) for info in ALL]) == names.split()


def test_of_large_models_the_later_then_the_dearer_ones():
    assert resolve("quality", [(info.id, info) for info in (LARGER, LARGE, LARGEST)]) == ["largest", "large", "larger"]


def test_another_order_than_the_request_s():
    assert resolve("quality", [(info.id, info) for info in ALL], "cheapest") == ["large", "larger"]
    with pytest.raises(InvalidRequestError, match="strategy: expected one of cheapest, fastest, quality"):
        resolve("quality", [], "best")


def test_equals_stay_together_and_in_their_order():
    candidates = [("a", SMALL), ("b", MIDDLE), ("c", SMALL), ("d", None), ("e", SECRET)]

    assert ranked("cheapest", candidates) == [["a", "c"], ["b"], ["d", "e"]]


INFOS = st.builds(
    ModelInfo,
    id=st.text("abc", max_size=3),
    category=st.sampled_from([None, *CATEGORIES]),
    context_window=st.one_of(st.none(), st.integers(1, 10**6)),
    capabilities=st.one_of(st.none(), st.frozensets(st.sampled_from(sorted(CAPABILITIES)), max_size=4)),
    price=st.one_of(st.none(), st.builds(Price, input=st.one_of(st.none(), st.integers(0, 99)), output=st.integers(0, 99))),
)
REQUESTS = st.one_of(
    st.sampled_from(MODEL_WORDS),
    st.builds(
        ModelRequest,
        capabilities=st.frozensets(st.sampled_from(sorted(CAPABILITIES)), max_size=2),
        min_context=st.one_of(st.none(), st.integers(1, 10**6)),
        category=st.sampled_from([None, *CATEGORIES]),
        order=st.sampled_from([None, *SCORES]),
    ),
)


@given(REQUESTS, st.lists(st.one_of(st.none(), INFOS), max_size=8))
def test_whatever_is_chosen_has_what_was_asked_for(requested: str | ModelRequest, infos: Sequence[ModelInfo | None]):
    chosen = resolve(requested, list(enumerate(infos)))

    assert len(set(chosen)) == len(chosen)
    for number in chosen:
        info = infos[number] or ModelInfo("")
        if isinstance(requested, ModelRequest):
            assert not requested.capabilities or info.can(*requested.capabilities)
            assert requested.min_context is None or info.context_window >= requested.min_context
            assert requested.category in (None, info.category)
        elif requested in CATEGORIES:
            assert info.category == requested
    known = [number for number in chosen if (info := infos[number]) and info.price and info.price.input is not None]
    unknown = [number for number in chosen if number not in known]
    if requested == "cheapest":
        assert chosen == known + unknown


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"capabilities": ["tool"]}, "capabilities: expected one of .*did you mean 'tools'"),
        ({"capabilities": [5]}, "capabilities: expected one of"),
        ({"capabilities": 5}, "capabilities: expected one of"),
        ({"category": "slow"}, "category: expected one of fast, balanced, quality; got 'slow'"),
        ({"order": "random"}, "order: expected one of cheapest, fastest, quality"),
        ({"min_context": 0}, "min_context: expected a whole number of tokens above 0, got 0"),
        ({"min_context": True}, "min_context: expected"),
        ({"min_output": "5"}, "min_output: expected"),
    ],
)
def test_requests_that_make_no_sense(wrong: dict[str, Any], said: str):
    with pytest.raises(InvalidRequestError, match=said):
        ModelRequest(**wrong)


def test_words_and_names():
    assert all(is_request(word) for word in MODEL_WORDS)
    assert is_request(ModelRequest())
    assert not any(is_request(other) for other in ("gpt-4o", "Fast", None, 5))
    with pytest.raises(InvalidRequestError, match="did you mean 'cheapest'"):
        resolve("cheapst", [])


# ------------------------------------------------------------------------------------------------- over the catalogue


def test_a_selection_can_be_printed():
    chosen = select_models("cheapest", candidates=[(info.id, info) for info in ALL])

    assert isinstance(chosen, Selection)
    assert (chosen.primary, chosen.fallbacks) == ("small", ("tiny", "middle", "large", "larger", "secret"))
    assert str(chosen).splitlines()[:3] == [
        "cheapest (cheapest):",
        "1. small (fast; reads 100,000 tokens; $0.1 in, $0.4 out)",
        "2. tiny (fast; reads 8,000 tokens; $0.2 in, $0.3 out)",
    ]


def test_a_name_comes_first_then_what_can_stand_in_for_it():
    chosen = select_models("openai/gpt-4o")

    assert chosen.primary == "openai/gpt-4o"
    assert len(chosen.fallbacks) == 5
    assert all(info.can("tools", "vision", "json_schema") for info in chosen.models)
    assert select_models("gpt-4o").primary == "openai/gpt-4o"
    assert select_models("no-such-model", strategy="cheapest").primary == "no-such-model"


def test_a_task_s_needs():
    chosen = select_models("quality", {"capabilities": ["vision"], "min_context": 500_000}, fallbacks=3)

    assert len(chosen.fallbacks) == 3
    assert all(info.category == "quality" and info.can("vision") and info.context_window >= 500_000 for info in chosen.models)
    with pytest.raises(InvalidRequestError, match=r"task_context: expected one of .*did you mean 'min_context'"):
        select_models("fast", {"min_contxt": 5})
    with pytest.raises(InvalidRequestError, match=r"task_context: expected a mapping with capabilities, .*; got 'summary'"):
        select_models("fast", "summary")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match=r"no model is known to be fast, context of 1,000,000,000 tokens"):
        select_models("fast", {"min_context": 10**9})


# ------------------------------------------------------------------------------------------------- a client's instances

NANO, MINI, HAIKU = (
    Instance("openai", "gpt-4.1-nano", api_key="k1"),
    Instance("openai", "gpt-4o-mini", api_key="k2"),
    Instance("anthropic", "claude-haiku-4-5", api_key="k3"),
)
GPT4O = Instance("openai", "gpt-4o", api_key="k4", name="big")


def test_what_a_client_s_instances_can(colour: Any):
    made = colour.scripted(lambda request: chat(), [HAIKU, GPT4O, MINI, NANO])

    assert made.select_models("cheapest").primary == "openai/gpt-4.1-nano"
    assert made.select_models("balanced").primary == "big"
    assert made.select_models("big").primary == "big"
    assert made.list_available_models(["reasoning"]) == ["anthropic/claude-haiku-4-5"]
    assert made.list_available_models(order="cheapest")[:2] == ["openai/gpt-4.1-nano", "openai/gpt-4o-mini"]
    assert made.get_model_info("big").id == "gpt-4o"
    assert made.find_alternative_model("openai/gpt-4o", "cost").id in ("gpt-4o-mini", "gpt-4.1-nano")
    made.disable("openai/gpt-4.1-nano")
    assert made.select_models("cheapest").primary == "openai/gpt-4o-mini"
    with pytest.raises(InvalidRequestError, match="no model is known to be quality"):
        made.select_models("quality")


def test_calls_go_where_the_request_says(colour: Any):
    asked: list[str] = []

    def script(request: Any) -> Any:
        asked.append(json.loads(request.body)["model"])
        return refusal(500) if asked[-1] == "gpt-4.1-nano" else chat()

    made = colour.scripted(script, [GPT4O, MINI, NANO], retries=3, strategy="lru")

    assert made.generate("Hi", model="cheapest").instance == "openai/gpt-4o-mini"
    assert asked == ["gpt-4.1-nano", "gpt-4o-mini"]  # the next cheapest stands in for the one that failed
    assert made.generate("Hi", model="balanced").instance == "big"
    assert made.generate("Hi", model=ModelRequest(capabilities=["vision"], category="fast", min_context=100_000)).instance != "big"
    with made.stream("Hi", model="balanced") as stream:
        assert stream.instance == "big"
        stream.close()
    with pytest.raises(ConfigError, match="no instance serves model 'quality'"):
        made.generate("Hi", model="quality")
    with pytest.raises(InvalidRequestError, match="model: expected a model's name or a ModelRequest, got int"):
        made.generate("Hi", model=5)


def test_requests_as_default_model_fallback_and_within_a_task(colour: Any):
    made = colour.scripted(
        lambda request: refusal(404) if b"gpt-4o-mini" in request.body else chat(),
        [serving(MINI, "t"), serving(GPT4O, "t"), NANO],
        tasks=[Task("t")],
        default_model="cheapest",
        fallbacks=["balanced"],
    )

    assert made.generate("Hi").instance == "openai/gpt-4.1-nano"
    answer = made.generate("Hi", model="cheapest", task="t")
    assert [attempt.instance for attempt in answer.attempts] == ["openai/gpt-4o-mini", "big"]


def serving(instance: Instance, *tasks: str) -> Instance:
    return attrs.evolve(instance, tasks=tasks)


def test_an_instance_s_name_goes_before_a_word(colour: Any):
    named = Instance("openai", "gpt-4o", api_key="k", name="cheapest")
    made = colour.scripted(lambda request: chat(), [NANO, named])

    assert made.generate("Hi", model="cheapest").instance == "cheapest"


def test_vectors_are_asked_of_a_model_that_makes_them(colour: Any):
    asked: list[bytes] = []
    usage = {"prompt_tokens": 1000, "total_tokens": 1000}
    reply = {"model": "text-embedding-3-small", "data": [{"index": 0, "embedding": [0.5]}], "usage": usage}

    def script(request: Any) -> Any:
        asked.append(request.body)
        return HttpReply(200, {}, json.dumps(reply).encode())

    large, small = (Instance("openai", f"text-embedding-3-{size}", api_key="k") for size in ("large", "small"))
    made = colour.scripted(script, [NANO, large, small])

    vectors = made.embed("Hi", model="cheapest")
    assert b"text-embedding-3-small" in asked[0]
    assert str(vectors.cost) == "0.000020000000"


def test_requests_survive_json():
    call = ChatCall(deadline=Deadline(1.0, 1.0), messages=(), model=ModelRequest(capabilities=["tools"], min_context=5))

    assert from_json(to_json(call), ChatCall) == call


def test_an_instance_that_joins_later_is_chosen_too(colour: Any):
    made = colour.scripted(lambda request: chat(), [GPT4O])

    assert made.generate("Hi", model="cheapest").instance == "big"
    made.add_instance(NANO)
    assert made.generate("Hi", model="cheapest").instance == "openai/gpt-4.1-nano"
    made.remove_instance("openai/gpt-4.1-nano")
    assert made.generate("Hi", model="cheapest").instance == "big"


def test_threads_that_choose_while_instances_come_and_go():
    """The router asks the catalogue under its own lock, and the catalogue asks nobody: no two locks wait for each other."""
    made = ScriptedClient(ScriptedRuntime(lambda request: chat()), [GPT4O, MINI])

    def choose(number: int) -> str:
        if number % 10 == 0:
            name = made.add_instance(Instance("groq", "llama-3.1-8b-instant", api_key="k", name=f"more{number}"))
            made.remove_instance(name)
        return str(made.generate("Hi", model=["cheapest", "balanced", ModelRequest(capabilities=["vision"])][number % 3]).cost)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(choose, range(200), timeout=60))
    assert len(answers) == 200


def test_a_request_that_no_instance_meets_is_told_in_words(colour: Any):
    client = colour.scripted(lambda request: chat("q"), [Instance("openai", "gpt-4o-mini", api_key="sk-1")])
    with pytest.raises(ConfigError, match=r"no instance serves a model that is known to be vision, context of 1,000,000,000"):
        client.generate("q", model=ModelRequest(capabilities=["vision"], min_context=10**9))
