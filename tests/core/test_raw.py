"""``answer.raw`` is read from the reply's bytes when somebody asks for it: nobody can tell, except by memory."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from typing import Any

import attrs
import pytest

from llmkit import Completion, FinishReason, Instance, Message
from llmkit.plugins.registry import REGISTRY
from llmkit.provider import Provider
from llmkit.values.messages import Text
from llmkit.wire.codec import from_json, to_json
from llmkit.wire.http import HttpReply, HttpRequest
from tests.support.colours import Colour, chat, openai

VECTORS = {"data": [{"index": 0, "embedding": [1.0, 2.0]}], "model": "m", "usage": {"prompt_tokens": 3}}


def answered(colour: Colour) -> tuple[Any, Any]:
    """An answer, and the JSON that was sent."""
    reply = chat("hello")
    return colour.scripted(lambda request: reply, [openai("a")]).generate("hi"), json.loads(reply.body)


def test_it_is_the_vendors_json(colour: Colour):
    answer, sent = answered(colour)
    assert answer.raw == sent
    assert answer.raw is answer.raw


def test_vectors_too(colour: Colour):
    reply = HttpReply(200, {}, json.dumps(VECTORS).encode())
    answer = colour.scripted(lambda request: reply, [openai("a")]).embed("hi")
    assert answer.raw == VECTORS
    assert answer.raw is answer.raw


def test_copies_have_it(colour: Colour):
    answer, sent = answered(colour)
    for made in (pickle.loads(pickle.dumps(answer)), copy.deepcopy(answer), copy.copy(answer), attrs.evolve(answer, model="x")):
        assert made.raw == sent
    assert from_json(to_json(answer), Completion).raw == sent
    assert "_body" not in repr(answer)


def test_answers_that_differ_in_nothing_else_are_equal_whoever_looked_first(colour: Colour):
    answer, sent = answered(colour)
    other = copy.copy(answer)
    assert other.raw == sent
    assert answer == other


def test_threads_that_ask_at_once_get_one_object(colour: Colour):
    for _ in range(50):
        answer, sent = answered(colour)
        barrier = threading.Barrier(4)
        found: list[Any] = []

        def ask(answer: Any = answer, barrier: threading.Barrier = barrier, found: list[Any] = found) -> None:
            barrier.wait()
            found.append(answer.raw)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({id(raw) for raw in found}) == 1
        assert found[0] == sent


def test_an_answer_from_the_cache_has_one_of_its_own(colour: Colour):
    client = colour.scripted(lambda request: chat("hello"), [openai("a")], cache=True)
    first, second, third = (client.generate("hi") for _ in range(3))
    assert second.cached
    second.raw["choices"].clear()
    assert third.raw == first.raw == client.generate("hi").raw


class Telegraph(Provider):
    """A provider of somebody's whose vendor does not speak JSON."""

    name = "telegraph"
    title = "Telegraph"
    base_url = "https://telegraph.test"
    needs_key = False

    def encode_chat(self, call: Any, instance: Any) -> HttpRequest:
        return HttpRequest("POST", self.base_url, {}, b"HELLO STOP")

    def decode_chat(self, call: Any, reply: HttpReply) -> Completion:
        return Completion(Message("assistant", (Text("HI"),)), FinishReason.STOP, raw={"wire": reply.body.decode()})


@pytest.mark.parametrize("cache", [None, True])
def test_what_another_provider_made_of_a_reply_that_is_no_json_stays(colour: Colour, cache: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(REGISTRY._made, "telegraph", Telegraph())
    client = colour.scripted(lambda request: HttpReply(200, {}, b"HI STOP"), [Instance("telegraph", "m")], cache=cache)
    for answer in (client.generate("hi"), client.generate("hi")):
        assert answer.raw == {"wire": "HI STOP"}
        assert pickle.loads(pickle.dumps(answer)).raw == answer.raw
