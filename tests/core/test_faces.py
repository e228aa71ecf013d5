"""The two faces are one: same methods, same parameters, same words; the package's own functions; forks and loops."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import threading
from typing import Any

import pytest

import llmkit
from llmkit import AsyncClient, Client, Instance
from llmkit.finish import drain, finish
from llmkit.streams import AsyncStream, Stream
from llmkit.testing import MockClient, ScriptedRuntime
from tests.support.colours import ScriptedClient, answer, openai

ONLY_SYNC = {"as_async", "__enter__", "__exit__"}
ONLY_ASYNC = {"as_sync", "close_now", "__aenter__", "__aexit__"}


def public(cls: type) -> dict[str, Any]:
    return {name: member for name, member in inspect.getmembers(cls, callable) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("one", "other", "only_one", "only_other"),
    [(Client, AsyncClient, {"as_async"}, {"as_sync", "close_now"}), (Stream, AsyncStream, set(), set())],
)
def test_parity(one: type, other: type, only_one: set[str], only_other: set[str]):
    """The async twin has the same public methods, parameters, defaults and docstrings."""
    mine, its = public(one), public(other)
    assert set(mine) - only_one == set(its) - only_other
    for name in set(mine) & set(its):
        first, second = inspect.signature(mine[name]), inspect.signature(its[name])
        assert [(p.name, p.kind, p.default) for p in first.parameters.values()] == [
            (p.name, p.kind, p.default) for p in second.parameters.values()
        ]
        assert (mine[name].__doc__ or "") == re.sub(r"``async with``", "``with``", its[name].__doc__ or "")
        assert mine[name].__doc__
        plain = re.sub(r"\b(Async|async |await )", "", str(second.return_annotation))
        assert plain.replace("AsyncIterator", "Iterator") == str(first.return_annotation), name


def test_parity_of_the_packages_functions():
    """generate and agenerate, stream and astream take the same."""
    for one, other in ((llmkit.generate, llmkit.agenerate), (llmkit.stream, llmkit.astream)):
        assert str(inspect.signature(one).parameters) == str(inspect.signature(other).parameters)


@pytest.fixture
def shared() -> Any:
    """A client that the package's functions use."""
    runtime = ScriptedRuntime(answer())

    class Shared(ScriptedClient):
        def as_async(self) -> Any:
            from tests.support.colours import ScriptedAsyncClient

            face: Any = ScriptedAsyncClient.__new__(ScriptedAsyncClient)
            face.given = ScriptedRuntime(answer())
            face._join(self._core)
            return face

    client = Shared(runtime, [openai()])
    llmkit.set_client(client)
    yield client
    llmkit.reset_client()


def test_functions_of_the_package(shared: Any):
    """generate, stream and their async twins; outside a loop, inside one, and from threads."""
    assert llmkit.get_client() is shared
    assert llmkit.generate("m", "q").text == "hello"
    assert "".join(event.text for event in llmkit.stream("m", "q")).strip() == "hello"

    async def inside() -> list[str]:
        async with llmkit.astream("m", "q") as stream:
            streamed = "".join([event.text async for event in stream])
        return [llmkit.generate("m", "q").text, (await llmkit.agenerate("m", "q")).text, streamed.strip()]

    for _ in range(3):
        assert asyncio.run(inside()) == ["hello"] * 3
    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append(llmkit.generate("m", "q").text)) for _ in range(8)]
    threads += [threading.Thread(target=lambda: texts.extend(asyncio.run(inside()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == ["hello"] * 20
    assert shared.usage()[0].calls == 2 + 9 + 20


def test_set_and_reset():
    """The client is made once, on first use; resetting closes it and both its faces."""
    llmkit.reset_client()
    first = llmkit.get_client()
    assert llmkit.get_client() is first
    llmkit.astream("openai/m", "q") if os.environ.get("OPENAI_API_KEY") else None
    llmkit.reset_client()
    assert llmkit.get_client() is not first
    from llmkit.default import _shared_async

    assert _shared_async()._core is llmkit.get_client()._core
    assert _shared_async() is _shared_async()
    llmkit.reset_client()


def in_child(work: Any) -> int:
    """The exit status of a forked child that did the work."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_fork(shared: Any):
    """R19: in the child nothing is in flight and no lock is held, whatever the parent was doing; its books begin at zero."""
    from llmkit import default
    from llmkit.plugins.registry import REGISTRY

    def work() -> None:
        assert shared.health()[0].in_flight == 0
        stream.close()
        assert llmkit.generate("m", "q").text == "hello"
        assert shared.usage()[0].calls == 1
        assert shared.health()[0].in_flight == 0

    with llmkit.stream("m", "q") as stream:
        next(stream)
        core = shared._core
        with core.router._lock, core._lock, core.ledger._lock, REGISTRY._lock, default._lock:
            assert in_child(work) == 0
        assert shared.health()[0].in_flight == 1
    assert shared.health()[0].in_flight == 0


def test_one_core_under_two_faces():
    """as_async and as_sync share instances, limits and books."""
    client = Client([Instance("openai", "m", api_key="k")], plugins=[])
    other = client.as_async()
    client.add_instance(Instance("openai", "n", api_key="k"))
    assert [instance.model for instance in other.instances] == ["m", "n"]
    assert other.as_sync()._core is client._core
    client.close()
    asyncio.run(other.close())
    other.close_now()


def test_finish_and_drain_refuse_to_wait():
    """A collaborator that suspends is a mistake, told at once."""

    async def waits() -> None:
        await asyncio.sleep(0)

    async def gives() -> Any:
        yield 1
        await asyncio.sleep(0)
        yield 2

    with pytest.raises(RuntimeError, match="needs sync collaborators"):
        finish(waits())
    items = drain(gives())
    assert next(items) == 1
    with pytest.raises(RuntimeError, match="needs sync collaborators"):
        next(items)


def test_drain_closes_what_is_left():
    closed: list[str] = []

    async def gives() -> Any:
        try:
            yield 1
            yield 2
        finally:
            closed.append("yes")

    items = drain(gives())
    next(items)
    items.close()  # type: ignore[attr-defined]
    assert closed == ["yes"]
    assert list(drain(gives())) == [1, 2]


def test_health_and_state():
    client = MockClient(["a"])
    client.generate("q")
    health = client.health()[0]
    assert (health.name, health.enabled, health.in_flight, health.latency) == ("mock", True, 0, 0.0)
    assert [(key.label, key.status, key.uses) for key in health.keys] == [("mock#none", "healthy", 1)]
