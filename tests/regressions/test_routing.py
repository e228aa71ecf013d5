"""Routing under callers that mean no harm and do some: each of these once hung, leaked, went astray or grew without end."""

from __future__ import annotations

import threading
import time
import warnings
from typing import Any

import pytest

from llmkit import ConfigError, InvalidRequestError, NoInstanceAvailable, RateLimitError, hookimpl
from llmkit.errors import LLMError
from llmkit.policy.routes import Parked, Tried
from llmkit.transports import threads
from llmkit.wire.rate_limits import rate_limits
from tests.support.colours import Colour, answer, chat, key_of, one_after_another, openai, refusal, sent


class Chooser:
    """A strategy of somebody's own."""

    def __init__(self, choose: Any) -> None:
        self._choose = choose

    def choose(self, routes: list[Any], now: float) -> Any:
        return self._choose(routes)


def two(**more: Any) -> list[Any]:
    return [openai("sk-key-a", name="a", **more), openai("sk-key-b", name="b", **more)]


METHODS = ("instances", "state", "health", "enable", "disable", "add_instance", "generate", "set_strategy")


@pytest.mark.parametrize("method", METHODS)
def test_a_strategy_that_calls_its_client_is_told_so(colour: Colour, method: str):
    """It runs under the router's lock, and would wait for itself for ever."""
    given = {"enable": ["a"], "disable": ["a"], "add_instance": [openai("k", name="c")], "set_strategy": ["lru"]}
    client: Any = None

    def ask_back(routes: list[Any]) -> Any:
        found = getattr(client.client, method)
        if callable(found):
            found = found(*given.get(method, ["Hi"] if method == "generate" else []))
        if hasattr(found, "send"):
            found.send(None)
        return routes[1]

    client = colour.scripted(answer("hello"), two(), strategy=Chooser(ask_back))
    with pytest.warns(RuntimeWarning, match="strategy Chooser raised RuntimeError: called its client"):
        assert client.generate("Hi").instance == "a"
    assert client.generate("Hi").text == "hello"


def test_other_threads_wait_while_a_strategy_chooses(colour: Colour):
    """Only the strategy's own thread is turned away."""
    seen: list[int] = []
    client: Any = None
    inside = threading.Event()

    def slowly(routes: list[Any]) -> Any:
        inside.set()
        time.sleep(0.05)
        return routes[0]

    client = colour.scripted(answer("hello"), two(), strategy=Chooser(slowly))

    def look() -> None:
        inside.wait(5)
        seen.append(len(client.client.instances))

    thread = threading.Thread(target=look)
    thread.start()
    assert client.generate("Hi").text == "hello"
    thread.join(5)
    assert seen == [2]


def test_what_a_strategy_does_to_its_list_is_its_own_affair(colour: Colour):
    """It may sort it, take from it, empty it."""

    def greedy(routes: list[Any]) -> Any:
        chosen = routes.pop()
        routes.clear()
        return chosen

    client = colour.scripted(answer("hello"), two(), strategy=Chooser(greedy))
    assert [client.generate("Hi").instance for _ in range(3)] == ["b", "b", "b"]


def test_a_strategy_s_choice_is_never_compared(colour: Colour):
    """An array, say, compares in ways of its own."""

    class Odd:
        def __eq__(self, other: object) -> bool:
            raise ValueError("cannot be compared")

        __hash__ = None  # type: ignore[assignment]

    client = colour.scripted(answer("hello"), two(), strategy=Chooser(lambda routes: Odd()))
    with pytest.warns(RuntimeWarning, match="which it was not offered"):
        assert client.generate("Hi").instance == "a"


def test_a_light_instance_serves_beside_one_of_enormous_weight(colour: Colour):
    """The sum of their weights loses the light one."""

    def script(request: Any) -> Any:
        return refusal(429, retry_after="100") if key_of(request) == "sk-key-a" else chat("b")

    instances = [openai("sk-key-a", name="a", weight=1e20), openai("sk-key-b", name="b", weight=1e-3)]
    client = colour.scripted(script, instances, strategy="weighted")
    assert [client.generate("Hi").instance for _ in range(3)] == ["b", "b", "b"]


def test_a_key_that_rests_does_not_hide_the_next_instance(colour: Colour):
    """The first instance has one key that was just tried, and one that was not and rests: the call belongs to the second instance,
    at once."""
    keys: list[str] = []

    def script(request: Any) -> Any:
        keys.append(key_of(request))
        waits = {"sk-a1": "0", "sk-a2": "3000"}
        return refusal(429, retry_after=waits[keys[-1]]) if keys[-1] in waits else chat("b")

    instances = [openai("sk-a1", "sk-a2", name="a", priority=0), openai("sk-b1", name="b", priority=1)]
    client = colour.scripted(script, instances, strategy="priority")
    assert [client.generate("Hi").instance for _ in range(3)] == ["b", "b", "b"]
    assert keys == ["sk-a1", "sk-a2", "sk-b1", "sk-a1", "sk-b1", "sk-a1", "sk-b1"]


def test_calls_that_give_up_leave_nothing_in_the_books(colour: Colour):
    """An instance whose day is used up: each call that waited for it in vain noted anew when it comes back."""
    client = colour.scripted(answer("hello"), [openai(name="a", rpd=1)])
    client.generate("Hi")
    for _ in range(200):
        with pytest.raises(NoInstanceAvailable) as caught:
            client.generate("Hi", timeout=1)
    assert caught.value.retry_after is not None
    assert 80_000 < caught.value.retry_after < 90_000
    (plan,) = client.core.router._plans.values()
    assert len(plan.groups[0].later) <= 24


def test_a_thousand_calls_for_which_an_instance_is_dead_wait_cheaply(colour: Colour):
    """Each that joins them once asked the router for all of them: 8 ms with a thousand in line."""
    client = colour.scripted(answer("hello"), two())
    router = client.core.router
    dead, resting = router.routes()
    resting.keys.keys[0].rest_until = 1e9
    resting.refresh(0.0)
    asked: list[Any] = []
    lease = router.lines._lease
    router.lines._lease = lambda *given: asked.append(given) or lease(*given)
    call = client.client._chat_call("Hi", {})

    class Quiet:
        def wake(self) -> None:
            pass

    parked = [router.admit(call, Tried(dead=[dead]), 1.0, Quiet) for _ in range(1000)]
    assert all(type(one) is Parked for one in parked)
    assert len(asked) <= 2000
    resting.keys.keys[0].rest_until = 0.0
    router.enable("b", True, 2.0)
    first = router.look(parked[0], 2.0, Quiet)
    assert first is not None
    router.release(first, 2.0)
    for one in parked[1:]:
        router.leave(one, 2.0)
    assert client.in_flight() == 0


@pytest.mark.parametrize("names", [("a", "b"), ("a",)], ids=["failover", "retry"])
def test_a_hook_that_stops_the_call_between_two_tries_costs_no_lease(colour: Colour, names: tuple[str, ...]):
    """Where warnings are errors a faulty hook ends the call, as an interrupt in it does; what it was given goes back."""

    class Faulty:
        @hookimpl
        def llmkit_failover(self, call: Any, error: LLMError, instance: str) -> None:
            raise ValueError("oh")

        @hookimpl
        def llmkit_retry(self, call: Any, error: LLMError, pause: float) -> None:
            raise KeyboardInterrupt

    instances = [openai(f"sk-key-{name}", name=name, max_concurrency=1) for name in names]
    client = colour.scripted(one_after_another(refusal(500), chat("hello")), instances, plugins=[Faulty()])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((RuntimeWarning, KeyboardInterrupt)):
            client.generate("Hi")
    assert client.in_flight() == 0
    assert client.generate("Hi", timeout=5).text == "hello"


def test_an_instance_s_own_keys_are_still_tried_before_its_neighbour_s(colour: Colour):
    """A key that could be used is not passed over."""
    client = colour.scripted(
        lambda request: refusal(429, retry_after="9") if key_of(request) == "sk-a1" else chat(key_of(request)),
        [openai("sk-a1", "sk-a2", name="a", priority=0), openai("sk-b1", name="b", priority=1)],
        strategy="priority",
    )
    found = client.generate("Hi")
    assert found.text == "sk-a2"
    assert type(found.attempts[0].error) is RateLimitError


def test_a_double_that_is_called_off_before_it_begins_gives_its_place_back(monkeypatch: pytest.MonkeyPatch):
    """Its thread gets the processor when the first try has answered already."""
    gate = threading.Event()
    labour = threads._labour
    taken: list[Any] = []

    class Slow:
        """Gives out one job; whoever wants another waits."""

        def __init__(self, jobs: Any) -> None:
            self.jobs = jobs

        def get(self) -> Any:
            if taken:
                gate.wait(5)
            taken.append(None)
            return self.jobs.get()

    def script(request: Any) -> Any:
        time.sleep(0.1)
        return chat("first")

    monkeypatch.setattr(threads, "_labour", lambda jobs, done: labour(Slow(jobs), done))
    colour = Colour("sync")
    client = colour.scripted(script, two(), hedge=0.02)
    monkeypatch.setattr(client.runtime, "group", threads.Group)
    assert client.generate("Hi").text == "first"
    assert len(taken) == 1
    gate.set()
    colour.end()


@pytest.mark.parametrize("wrong", ["hello", b"hello", 5, None, {"prompt": "Hi"}])
def test_a_batch_is_of_several_requests(colour: Colour, wrong: Any):
    """A text is one: each of its letters was asked, and billed."""
    client = colour.scripted(answer("hello"), two())
    with pytest.raises(InvalidRequestError, match="requests: expected a list"):
        client.batch(wrong)
    with pytest.raises(InvalidRequestError, match="requests: expected a list"):
        client.generate_sequentially(wrong)
    assert sent(client) == []


@pytest.mark.parametrize("name", ["rpm", "tpm", "rpd", "tpd", "max_pending"])
def test_a_limit_beyond_every_number(colour: Colour, name: str):
    with pytest.raises(ConfigError, match=f"{name}: expected a whole number"):
        colour.scripted(answer("hello"), two(), **{name: 10**400})
    if name != "max_pending":
        with pytest.raises(ConfigError, match=f"{name}: expected a whole number"):
            openai(**{name: 10**400})


def test_a_vendor_s_limit_of_next_to_nothing_is_rubbish():
    """Its pace could be 0, and nothing can be divided by that."""
    headers = {"x-ratelimit-limit-requests": "5e-324", "x-ratelimit-remaining-requests": "0"}
    assert rate_limits(headers) is None


def test_a_model_of_nobody_is_not_selected(colour: Colour):
    client = colour.scripted(lambda request: chat(), [openai("k")])
    with pytest.raises(ConfigError, match=r"model 'nope': whose is it\?"):
        client.client.select_models("nope")
    assert client.client.select_models("gpt-4o").primary == "gpt-4o"
