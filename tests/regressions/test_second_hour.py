"""What people who met routing, budgets and counts for the first time ran into."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import attrs
import pytest

import llmkit
from llmkit import AsyncClient, Client, ConfigError, Instance, InvalidRequestError, ModelRequest, NoInstanceAvailable, Request, Task
from llmkit import UnsupportedParameterError as Unsupported
from llmkit.errors import NetworkError, StreamInterrupted
from llmkit.simulator import Simulator
from llmkit.values.arguments import GenerateOptions
from llmkit.values.options import OPTION_NAMES
from tests.support.colours import Colour, chat

MINI = Instance("openai", "gpt-4o-mini", api_key="k", name="mini")
CLAUDE = Instance("anthropic", "claude-opus-4-1", api_key="k", name="claude")


def answers(request: Any) -> Any:
    return chat()


def silent(request: Any) -> Any:
    raise AssertionError(f"{request.url} was asked")


@pytest.mark.parametrize("one", ["hello", b"hello", 5, Request("hello")], ids=lambda one: type(one).__name__)
def test_one_text_is_no_batch(colour: Colour, one: Any):
    """A text is an iterable of its letters, and nobody means those."""
    client = colour.scripted(silent, [MINI])
    for many in (client.batch, client.generate_sequentially):
        with pytest.raises(InvalidRequestError, match=r"requests: expected a list or another iterable.*, got"):
            many(one)


def test_a_strategy_is_an_object_and_no_class(colour: Colour):
    class Last:
        def choose(self, routes: Sequence[Any], now: float) -> Any:
            return routes[-1]

    client = colour.scripted(answers, [MINI, CLAUDE])
    with pytest.raises(ConfigError, match="strategy: expected a name or an object"):
        client.set_strategy(Last)
    client.set_strategy(Last())


def test_a_misspelt_model_says_what_was_meant(colour: Colour):
    """Where the environment has no key, the missing key is not what is wrong."""
    client = colour.scripted(silent, [MINI], environ={})
    for name in ("gpt-4o-mimi", "openai/gpt-4o-mimi"):
        with pytest.raises(ConfigError, match=r"no instance has the model 'gpt-4o-mimi'; did you mean 'gpt-4o-mini'.*OPENAI_API_"):
            client.generate("x", model=name)
    with pytest.raises(ConfigError, match=r"model 'mimi': whose is it.*; did you mean 'mini'"):
        client.generate("x", model="mimi")
    with pytest.raises(ConfigError, match=r"model 'opnai/gpt-4o': whose is it.*; did you mean 'openai'"):
        client.generate("x", model="opnai/gpt-4o")


def test_a_full_limit_is_named(colour: Colour):
    """It is no key that rests."""
    client = colour.scripted(answers, [attrs.evolve(MINI, rpm=1)])
    client.generate("x")
    with pytest.raises(NoInstanceAvailable, match="the limits of mini on requests or tokens leave no room"):
        client.generate("x", timeout=5)
    client = colour.scripted(answers, [MINI], rpm=1)
    client.generate("x")
    with pytest.raises(NoInstanceAvailable, match="the limits of the client on requests or tokens leave no room"):
        client.generate("x", timeout=5)


def test_a_kind_of_model_is_counted_as_the_instance_that_would_be_asked(colour: Colour):
    client = colour.scripted(silent, [CLAUDE, MINI])
    assert client.count_tokens("Hi", "fast").exact
    assert client.count_tokens("Hi", "mini").exact
    assert "Claude" in client.count_tokens("Hi", "quality").by
    assert client.count_tokens("Hi", ModelRequest(category="fast")).exact
    assert colour.scripted(silent, [CLAUDE, MINI], default_model="fast").count_tokens("Hi").exact


def test_a_vendor_that_does_not_count_leaves_the_estimate(colour: Colour):
    client = colour.scripted(silent, [Instance("mistral", "mistral-small-latest", api_key="k")])
    with pytest.raises(Unsupported, match=r"; the estimate is [1-9]"):
        client.count_tokens("Hi", exact=True)


def test_selection_names_the_instance_of_a_named_model(colour: Colour):
    client = colour.scripted(silent, [CLAUDE, MINI])
    for name in ("gpt-4o-mini", "openai/gpt-4o-mini", "mini"):
        chosen = client.select_models(name)
        assert (chosen.primary, "mini" in chosen.fallbacks) == ("mini", False)


def test_a_slip_of_the_pen_in_a_task_is_noticed():
    """As in a call and in a file; what is a vendor's own goes through."""
    with pytest.raises(InvalidRequestError, match="max_token: no such parameter; did you mean 'max_tokens'"):
        Task("t", max_token=5)
    with pytest.raises(InvalidRequestError, match="temprature: no such parameter"):
        Instance("openai", "m", api_key="k", options={"temprature": 1})
    assert Task("t", top_k=5, extra={"max_token": 5}).defaults.extra == {"top_k": 5, "max_token": 5}


def test_a_setting_of_calls_is_no_default_of_a_task():
    """It went to the vendor as a field of its own, and ``model`` took the place of the instance's."""
    for name in set(GenerateOptions.__annotations__) - {*OPTION_NAMES, "response_model", "fallbacks"}:
        with pytest.raises(InvalidRequestError, match=f"{name}: a setting of calls"):
            Task("t", **{name: "x"})
        with pytest.raises(InvalidRequestError, match=f"{name}: a setting of calls"):
            Task("t").with_param(name, "x")
        with pytest.raises(InvalidRequestError, match=f"{name}: a setting of calls"):
            Instance("openai", "m", api_key="k", options={name: "x"})
        with pytest.raises(ConfigError, match=f"tasks\\[0\\].{name}: unknown key"):
            Client.from_config_str(f'[[tasks]]\nname = "t"\n{name} = "x"')
        assert Task("t", extra={name: 1}).defaults.extra == {name: 1}


def test_a_clients_books_keep_no_days(colour: Colour):
    client = colour.scripted(answers, [MINI])
    client.generate("x")
    for by in ("day", "hour", ("model", "day")):
        with pytest.raises(InvalidRequestError, match="keep no hours and days"):
            client.usage(by)
    assert client.usage(("model", "task"))[0].calls == 1


def test_a_connection_that_was_cut_is_told_of_in_words(colour: Colour):
    """Not by the names of a library's exceptions."""
    with Simulator() as simulator:
        client = colour.real([attrs.evolve(MINI, base_url=simulator.base_url("openai"))], retries=0)
        simulator.fail("drop:2")
        with pytest.raises(StreamInterrupted, match="the answer did not come whole"), client.stream("one two three four") as stream:
            list(stream)
        with pytest.raises(NetworkError, match="the answer did not come whole"):
            client.generate("one two three four")


async def _shared_cache() -> list[object]:
    cache = await llmkit.get_cache()
    return [await llmkit.cache_result("k", 1), await cache.get("k"), await llmkit.clear_cache(), await cache.get("k")]


def test_the_shared_client_is_a_sync_one():
    """The functions of both colours come from it, so an async client hands its other face over."""
    asynchronous = AsyncClient([MINI], cache="memory", plugins=[])
    with pytest.raises(ConfigError, match=r"client: expected a Client, got AsyncClient; give its as_sync\(\)"):
        llmkit.set_client(asynchronous)  # type: ignore[arg-type]
    llmkit.set_client(asynchronous.as_sync())
    try:
        assert asyncio.run(_shared_cache()) == [True, 1, True, None]
    finally:
        llmkit.reset_client()
        asynchronous.close_now()
