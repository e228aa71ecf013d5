"""Tests of user programs, as mypy --strict and pyright strict accept them."""

from __future__ import annotations

from typing_extensions import assert_type

from llmkit import Client, Completion, Instance, Message, ServerError
from llmkit.simulator import Simulator
from llmkit.testing import AsyncMockClient, MockClient
from llmkit.values.calls import ChatCall


def mocked() -> Client:
    """Responses in every form."""
    whole = Completion(Message.assistant("whole"))
    client = MockClient(["text", whole, ["a", " stream", ServerError("broken")], ServerError("no")])
    assert_type(client.generate("Hi"), Completion)
    return client


def answer(call: ChatCall) -> str:
    """A response that depends on the call."""
    return call.messages[-1].text


async def mocked_async() -> str:
    """A function gives the responses."""
    async with AsyncMockClient(answer) as client:
        return (await client.generate("Hi")).text


def simulated() -> str:
    """A server with a script."""
    with Simulator(script=["one", "two"], latency=0.1) as simulator:
        simulator.fail(vendor="openai", times=1, fault="500")
        with Client([Instance("openai", "gpt-4o-mini", api_key="k1", base_url=simulator.base_url("openai"))]) as client:
            return client.generate("Hi").text


def simulated_fixture(llmkit_simulator: Simulator) -> str:
    """The fixture's type."""
    return llmkit_simulator.base_url("openai")
