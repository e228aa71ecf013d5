"""State that is saved and taken up again: the same decisions, whatever was going on; damage is told."""

from __future__ import annotations

import asyncio
import copy
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit import ConfigError, Instance, LLMError, NetworkError
from llmkit.policy.saved import error_data
from llmkit.testing import ScriptedRuntime
from llmkit.wire.http import HttpReply, HttpRequest
from tests.support.colours import Colour, ScriptedAsyncClient, ScriptedClient, answer, chat, openai, refusal

REPLIES: tuple[Callable[[], Any], ...] = (
    chat,
    lambda: refusal(429, "slow down", retry_after="20"),
    lambda: refusal(429, "slow down"),
    lambda: refusal(401, "who are you"),
    lambda: refusal(402, "pay first"),
    lambda: refusal(500, "broken"),
    lambda: NetworkError("reset"),
)
STRATEGIES = ("lru", "least_connections", "priority")
"""Those that choose by what is saved alone. The places of round_robin and weighted in their round are not, nor the pace at which
a limit was used, nor dice."""


def instances() -> list[Instance]:
    """Three of them, with keys and limits."""
    return [
        openai("sk-a1", "sk-a2", "sk-a3", name="a", rpm=20, tpm_per_key=50_000),
        openai("sk-b1", name="b", rpd=40, priority=1),
        openai("sk-c1", "sk-c2", name="c"),
    ]


class World:
    """Replies in an order that is given; which instance and key were asked."""

    def __init__(self, replies: list[int]) -> None:
        self.replies = iter(replies)
        self.asked: list[str] = []
        self.runtime = ScriptedRuntime(self.answer)

    def answer(self, request: HttpRequest) -> Any:
        self.asked.append(request.headers["Authorization"])
        return REPLIES[next(self.replies, 0)]()


def drive(client: ScriptedClient, runtime: ScriptedRuntime, steps: list[float]) -> list[str]:
    """A call after each of these pauses; what came of it."""
    said = []
    for pause in steps:
        runtime.clock += pause
        try:
            client.generate("q")
            said.append("answered")
        except LLMError as error:
            said.append(f"{type(error).__name__} {error.retry_after if error.retry_after is None else round(error.retry_after, 6)}")
    return said


STEPS = st.lists(st.sampled_from([0.0, 0.3, 2.0, 20.0, 70.0]), min_size=1, max_size=25)
FAULTS = st.lists(st.integers(0, len(REPLIES) - 1), max_size=40)


@settings(max_examples=150, deadline=None)
@given(STEPS, FAULTS, STEPS, FAULTS, st.sampled_from(STRATEGIES), st.sampled_from([0.0, 15.0, 3000.0]), st.floats(0, 1e6))
def test_a_new_process_decides_as_the_old_one_would(
    before: list[float], faults: list[int], after: list[float], more: list[int], strategy: str, away: float, boot: float
):
    """The state goes through JSON to a client whose clock began at another time, and which wakes a while later."""
    how = {"strategy": strategy, "retries": 0, "unavailable": "fail", "rpm": 100}
    old = World(faults)
    first = ScriptedClient(old.runtime, instances(), **how)
    drive(first, old.runtime, before)
    state = json.loads(json.dumps(first.state()))

    new = World(more)
    new.runtime.clock = boot
    new.runtime.time = lambda: state["time"] + away + new.runtime.clock - boot  # type: ignore[method-assign]
    second = ScriptedClient(new.runtime, instances(), **{**how, "strategy": "lru"})
    assert second.restore(state) == ()
    old.replies = iter(more)
    old.asked.clear()
    old.runtime.clock += away
    first._core._rng.seed(1)
    second._core._rng.seed(1)

    assert drive(second, new.runtime, after) == drive(first, old.runtime, after)
    assert new.asked == old.asked


def test_what_a_state_says(colour: Colour):
    client = colour.scripted(lambda request: refusal(401, "no such key"), instances(), retries=0, unavailable="fail")
    with pytest.raises(LLMError):
        client.generate("q")
    client.disable("c")
    state = client.state()

    assert json.loads(json.dumps(state)) == state
    assert (state["version"], state["strategy"], state["time"]) == (1, "lru", client.runtime.time())
    assert list(state["instances"]) == ["a", "b", "c"]
    assert [state["instances"][name]["enabled"] for name in "abc"] == [True, True, False]
    keys = state["instances"]["a"]["keys"]
    assert list(keys) == ["a#1", "a#2", "a#3"]
    assert keys["a#1"]["reason"] == {
        "type": "AuthenticationError", "message": "no such key", "provider": "openai", "status": 401, "vendor_code": "t",
    }  # fmt: skip
    assert keys["a#1"]["rest"] == pytest.approx(3600)
    assert "sk-" not in json.dumps(state)


def test_rests_that_are_over_meanwhile_are_over(colour: Colour):
    old = colour.scripted(lambda request: refusal(429, retry_after="20"), [openai(name="a")], retries=0, unavailable="fail")
    with pytest.raises(LLMError):
        old.generate("q")
    state = old.state()
    for away, status in ((19.0, "cooling"), (21.0, "healthy"), (-1000.0, "cooling")):  # a clock may be set back
        new = colour.scripted(answer(), [openai(name="a")], unavailable="fail")
        new.restore({**state, "time": new.runtime.time() - away})
        (health,) = new.health()
        assert health.status == status
        assert health.seconds_left == pytest.approx(max(0.0, 20 - max(away, 0.0)))


def test_what_is_not_there_is_left_out(colour: Colour):
    old = colour.scripted(answer(), instances(), strategy="weighted")
    old.generate("q")
    state = old.state()
    state["strategy"] = "of_a_plugin"
    new = colour.scripted(answer(), [openai("sk-a1", name="a"), openai(name="d")])
    notes = new.restore(state)

    assert [note.split(":")[0] for note in notes] == ["strategy", "key 'a#2'", "key 'a#3'", "instance 'b'", "instance 'c'"]
    assert new.health()[0].keys[0].uses == 1
    assert new.generate("q").instance == "d"


def test_the_strategy_and_what_is_switched_off_are_restored(colour: Colour):
    old = colour.scripted(answer(), instances())
    old.set_strategy("round_robin")
    old.disable("a")
    new = colour.scripted(answer(), instances())
    new.restore(old.state())

    assert new.state()["strategy"] == "round_robin"
    assert [new.generate("q").instance for _ in range(4)] == ["b", "c", "b", "c"]


def test_calls_that_wait_go_on_by_what_is_restored():
    """A call that waits for a key to come back is served when a state says that the key is well."""
    clock = ScriptedRuntime(answer())
    well = ScriptedClient(clock, [openai(name="a")]).state()

    async def main() -> None:
        replies = iter([refusal(401)])
        client = ScriptedAsyncClient(_Real(lambda request: next(replies, chat())), [openai(name="a")], max_wait=1e6, timeout=1e6)
        waiting = asyncio.ensure_future(client.generate("q"))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        client.restore(well)
        assert (await asyncio.wait_for(waiting, 5)).text == "hello"
        await client.close()

    asyncio.run(main())


def _Real(script: Callable[[HttpRequest], HttpReply]) -> Any:
    from llmkit.transports.aio import Runtime

    class Scripted(Runtime):
        async def send(self, request: HttpRequest, connect: float, until: float) -> HttpReply:
            return script(request)

    return Scripted()


# ----------------------------------------------------------------------------------------------- damage


def rich_state() -> dict[str, Any]:
    """A state with something in every place."""
    world = World([5, 6, 5, 1, 3, 4, 0, 0])
    client = ScriptedClient(world.runtime, instances(), rpm=100, retries=0, unavailable="fail")
    drive(client, world.runtime, [0.1] * 12)
    state = client.state()
    state["instances"]["a"]["retries"] = {"left": 1.0, "age": 2.0, "since": 3}
    state["instances"]["a"]["unwell"] = error_data(NetworkError("reset"))
    state["instances"]["a"]["breaker"]["reason"] = None
    return state


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a document."""
    found = [path] if path else []
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inside:
        found += places(part, (*path, name))
    return found


RUBBISH = ("rubbish", -1, float("nan"), 1e300, 10**400, True, [], [[1]], {"a": 1}, {1: 2}, object())


def test_damage_anywhere_is_told_with_its_place_and_changes_nothing():
    state = rich_state()
    client = ScriptedClient(ScriptedRuntime(answer()), instances(), rpm=100)
    before = client.state()
    told = 0
    for place in places(state):
        for rubbish in RUBBISH:
            damaged = copy.deepcopy(state)
            part = damaged
            for name in place[:-1]:
                part = part[name]
            part[place[-1]] = rubbish
            try:
                client.restore(damaged)
            except ConfigError as error:
                told += 1
                assert str(error).startswith(("state.", "state:")), error
                assert client.state() == before
            else:
                client.generate("q", timeout=1e9) if client.health()[1].enabled else None
                client = ScriptedClient(ScriptedRuntime(answer()), instances(), rpm=100)
    assert told > 600


@pytest.mark.parametrize("state", [None, [], "state", 7, {}, {"version": 2}, {"version": True}])
def test_what_is_no_state(colour: Colour, state: Any):
    client = colour.scripted(answer(), [openai()])
    with pytest.raises(ConfigError, match=r"^state"):
        client.restore(state)


# ----------------------------------------------------------------------------------------------- one state


def test_both_faces_threads_and_loops_see_one_state():
    lock = threading.Lock()
    tries = [0]

    def script(request: HttpRequest) -> Any:
        with lock:
            tries[0] += 1
            return refusal(429, retry_after="500") if tries[0] == 1 else chat()

    sync = ScriptedClient(ScriptedRuntime(script), [openai("sk-a", "sk-b", name="a"), openai("sk-c", name="b")])
    problems: list[BaseException] = []

    def face() -> Any:
        made: Any = ScriptedAsyncClient.__new__(ScriptedAsyncClient)
        made.given = ScriptedRuntime(script)
        made._join(sync._core)
        return made

    async def many() -> None:
        other = face()
        await asyncio.gather(*(other.generate("q") for _ in range(30)))
        assert (await other.health())[0].keys[0].status == "cooling"

    def work(how: Callable[[], Any]) -> None:
        try:
            how()
        except BaseException as problem:
            problems.append(problem)

    sync.generate("q")
    jobs: list[Callable[[], Any]] = [lambda: asyncio.run(many()), lambda: asyncio.run(many())]
    jobs += [lambda: [sync.generate("q") for _ in range(30)]] * 4
    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert problems == []
    state = sync.state()
    assert state == face().state() | {"time": state["time"]}
    keys = [key for instance in state["instances"].values() for key in instance["keys"].values()]
    assert sum(key["uses"] for key in keys) == tries[0] == 182
    assert next(key["uses"] for key in keys) == 1
