"""llmkit's providers and their simulated halves agree: what one writes the other reads, and both count the same tokens."""

from __future__ import annotations

import configparser
import importlib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from llmkit.errors import (
    AuthenticationError,
    ContextLengthError,
    InvalidResponseError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
)
from llmkit.provider import Provider
from llmkit.values.calls import ChatCall, Deadline, EmbedCall, ModelsCall
from llmkit.values.events import StreamFinished, TextDelta, UsageReported
from llmkit.values.instances import Instance
from llmkit.values.messages import Message
from llmkit.values.options import Options
from llmkit.values.secret import Secret
from llmkit.values.tools import JsonSchema, Tool
from llmkit.wire.http import HttpReply
from tests.simulator.wires import VENDORS

DEADLINE = Deadline(1e9, 600)
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}


@cache
def provider(name: str) -> Provider:
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    listed = dict([line.split(" = ") for line in setup["options.entry_points"]["llmkit.providers"].strip().splitlines()])
    module, _, attribute = listed[name].partition(":")
    made = getattr(importlib.import_module(module), attribute)()
    assert isinstance(made, Provider)
    return made


def needs(name: str, *features: str) -> None:
    lacking = set(features) - provider(name).features
    if lacking:
        pytest.skip(f"{name} has no {', '.join(lacking)}")


def send(simulator, http, name: str, call: Any, **headers: str) -> HttpReply:
    instance = Instance(name, "m", base_url=simulator.base_url(name))
    request = provider(name).authorize(provider(name).encode(call, instance), Secret("agreement-key"))
    all_headers = {**request.headers, **headers}
    reply = http.request(request.method, request.url, data=request.body, headers=all_headers, allow_redirects=False)
    return HttpReply(reply.status_code, {key.lower(): value for key, value in reply.headers.items()}, reply.content)


def chat(*messages: Message, stream: bool = False, **options: Any) -> ChatCall:
    return ChatCall(deadline=DEADLINE, messages=messages, stream=stream, options=Options(**options))


def counted(simulator, name: str) -> tuple[int, int]:
    books = [account for account in simulator.ledger.snapshot()["accounts"] if account["vendor"] == name]
    books = [account for account in books if account["key"] == "agreement-key"]
    return sum(account["prompt_tokens"] for account in books), sum(account["completion_tokens"] for account in books)


@pytest.mark.parametrize("name", VENDORS)
def test_whole_answers(simulator, http, name):
    before = counted(simulator, name)
    call = chat(Message.system("Be brief."), Message.user("one two three"), max_tokens=2)
    reply = send(simulator, http, name, call)
    assert reply.status == 200, reply.body
    answer = provider(name).decode(call, reply)
    assert (answer.text, answer.finish_reason) == ("one two", "length")
    after = counted(simulator, name)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 2) == (after[0] - before[0], after[1] - before[1])


@pytest.mark.parametrize("name", VENDORS)
def test_streams(simulator, http, name):
    """Complete with their terminal event, and never without."""
    needs(name, "stream")
    before = counted(simulator, name)
    call = chat(Message.user("one two  three 五"), stream=True)
    reply = send(simulator, http, name, call)
    assert reply.status == 200, reply.body
    decoder = provider(name).decoder(call, reply.headers)
    events = [*decoder.feed(reply.body), *decoder.finish()]
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "one two  three 五"
    assert decoder.complete
    assert [event.finish_reason for event in events if isinstance(event, StreamFinished)][-1] == "stop"
    usage = [event.usage for event in events if isinstance(event, UsageReported)][-1]
    after = counted(simulator, name)
    assert (usage.prompt_tokens, usage.completion_tokens) == (4, 4) == (after[0] - before[0], after[1] - before[1])
    cut = send(simulator, http, name, call, **{"x-simulate-fault": "cut:2"})
    decoder = provider(name).decoder(call, cut.headers)
    events = [*decoder.feed(cut.body), *decoder.finish()]
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "one two"
    assert not decoder.complete


@pytest.mark.parametrize("name", VENDORS)
def test_tools_there_and_back(simulator, http, name):
    """Two calls, their results, and the answer to those: a conversation the strict vendor takes."""
    needs(name, "tools")
    tool = Tool("weather", "Weather in a city.", {**CITY})
    asked = Message.user('call:weather {"city": "Oslo"} call:weather {"city": "Rome"}')
    call = chat(asked, tools=[tool])
    answer = provider(name).decode(call, send(simulator, http, name, call))
    called = [(one.name, one.arguments) for one in answer.tool_calls]
    assert called == [("weather", {"city": "Oslo"}), ("weather", {"city": "Rome"})]
    assert answer.finish_reason == "tool_calls"
    results = [Message.tool(one, f"sunny {number}") for number, one in enumerate(answer.tool_calls)]
    call = chat(asked, answer.message, *results, tools=[tool])
    reply = send(simulator, http, name, call)
    assert reply.status == 200, reply.body
    assert provider(name).decode(call, reply).text == "sunny 0\nsunny 1"


@pytest.mark.parametrize("name", VENDORS)
def test_shapes(simulator, http, name):
    needs(name, "json_schema")
    call = chat(Message.user("Fill in."), response_format=JsonSchema(CITY))
    reply = send(simulator, http, name, call)
    assert reply.status == 200, reply.body
    assert provider(name).decode(call, reply).text == '{"city": ""}'


@pytest.mark.parametrize("name", VENDORS)
def test_vectors(simulator, http, name):
    needs(name, "embeddings")
    dimensions = 8 if "dimensions" in provider(name).features else None
    call = EmbedCall(deadline=DEADLINE, texts=("one two", "three"), dimensions=dimensions)
    reply = send(simulator, http, name, call)
    assert reply.status == 200, reply.body
    vectors = provider(name).decode(call, reply).vectors
    assert len(vectors) == 2
    assert sum(x * x for x in vectors[0]) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("name", VENDORS)
def test_lists(simulator, http, name):
    needs(name, "models")
    call = ModelsCall(deadline=DEADLINE)
    assert len(provider(name).decode(call, send(simulator, http, name, call)).models) >= 1


@pytest.mark.parametrize(("fault", "error"), [
    ("authentication", AuthenticationError), ("permission", PermissionDeniedError), ("model", ModelNotFoundError),
    ("rate_limit", RateLimitError), ("context_length", ContextLengthError), ("server", ServerError),
    ("overloaded", OverloadedError), ("502", ServerError), ("504", ServerError),
])  # fmt: skip
@pytest.mark.parametrize("name", VENDORS)
def test_errors(simulator, http, name, fault, error):
    """Every vendor's own error body is understood."""
    reply = send(simulator, http, name, chat(Message.user("hi")), **{"x-simulate-fault": f"{fault};retry-after=7"})
    understood = provider(name).error(reply)
    assert type(understood) is error, understood
    assert understood.retry_after == 7


@pytest.mark.parametrize("fault", ["garbage", "empty", "html", "wrong_shape", "error_in_200", "cut"])
@pytest.mark.parametrize("name", VENDORS)
def test_bodies_that_are_no_answer(simulator, http, name, fault):
    call = chat(Message.user("hi"))
    reply = send(simulator, http, name, call, **{"x-simulate-fault": fault})
    with pytest.raises(ServerError if fault == "error_in_200" else InvalidResponseError):
        provider(name).decode(call, reply)


@pytest.mark.parametrize("fault", ["error_event:1", "garbage"])
@pytest.mark.parametrize("name", VENDORS)
def test_errors_in_streams(simulator, http, name, fault):
    call = chat(Message.user("one two"), stream=True)
    reply = send(simulator, http, name, call, **{"x-simulate-fault": fault})
    decoder = provider(name).decoder(call, reply.headers)
    with pytest.raises((ServerError, InvalidResponseError)):
        [*decoder.feed(reply.body), *decoder.finish()]
