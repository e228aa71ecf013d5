"""The test kit: what mock clients answer, and how they end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import llmkit.testing
from llmkit import Completion, Image, InvalidRequestError, Message, NetworkError, RequestTimeout, ServerError, StreamInterrupted
from llmkit.testing import AsyncMockClient, Chunks, MockClient, ScriptedRuntime
from llmkit.values.completion import FinishReason
from llmkit.values.events import StreamFinished, TextDelta
from llmkit.values.messages import Reasoning, Refusal, Text, ToolCall
from llmkit.values.usage import Usage
from llmkit.wire.http import HttpReply, HttpRequest


def both(responses: Any, **settings: Any) -> Any:
    """Ask a client of each colour; the answers must agree."""

    async def later() -> list[Any]:
        client = AsyncMockClient(responses, **settings)
        return [(await client.generate("q")).message, (await client.stream("q").completion()).message]

    client = MockClient(responses, **settings)
    answers = [client.generate("q").message, client.stream("q").completion().message]
    assert asyncio.run(later()) == answers
    return answers


def test_responses_of_every_kind():
    message = Message(
        "assistant",
        [Reasoning("hm", signature="s"), Text("two words"), ToolCall("1", "f", {"a": 1}), Image(url="https://x.test/a.png")],
    )
    whole = Completion(message, FinishReason.TOOL_CALLS, "tool_calls", Usage(1, 2, 3), "m", "id")
    for response in ("text", whole, ["a ", "b"], [TextDelta("a"), StreamFinished(FinishReason.LENGTH)]):
        first, second = both(lambda call, response=response: response)
        assert first.text == second.text
        assert [(call.name, call.arguments) for call in first.tool_calls] == [
            (call.name, call.arguments) for call in second.tool_calls
        ]
    assert both(lambda call: Completion(Message("assistant", [Refusal("no")])))[1].refusal == "no"


def test_a_break_in_a_stream():
    client = MockClient(lambda call: ["a", NetworkError("gone")], retries=0)
    with pytest.raises(StreamInterrupted) as caught:
        client.stream("q").text()
    assert caught.value.partial is not None
    assert caught.value.partial.text == "a"
    with pytest.raises(NetworkError):
        client.generate("q")


def test_exceptions_are_raised_and_retried():
    client = MockClient([ServerError("x"), "ok"])
    assert client.generate("q").text == "ok"
    assert len(client.calls) == 2
    with pytest.raises(InvalidRequestError, match="answered 2 calls and has no response left"):
        client.generate("q")
    assert client.embed(["ab c"]).vectors == ((4.0, 2.0),)
    assert [model.id for model in client.list_models()] == ["mock"]
    with pytest.raises(AttributeError):
        _ = llmkit.testing.nothing


def test_the_scripted_world():
    """Time passes where something waits, and only there."""
    from llmkit.finish import finish

    request = HttpRequest("GET", "u", {})
    world = ScriptedRuntime(lambda request: Chunks(((1.0, b"a"), (0.0, b""), (2.0, b"b"))), latency=1.0)
    assert finish(world.send(request, 1, 99)).body == b"ab"
    assert (world.now(), world.time()) == (4.0, 1e9 + 4)
    with pytest.raises(RequestTimeout):
        finish(world.send(request, 1, 4.5))
    waiter = world.waiter()
    assert finish(world.wait(waiter, 2)) is False
    waiter.wake()
    assert finish(world.wait(waiter, 2)) is True
    assert world.now() == 6.5
    body = finish(ScriptedRuntime(lambda request: HttpReply(200, {}, b"x")).open(request, 1, 9))
    assert (finish(body.read(9)), finish(body.read(9))) == (b"x", b"")
    finish(body.aclose())
    assert body.closed
    assert 0 <= world.random() <= 1
    finish(world.warm_up(["u"]))
