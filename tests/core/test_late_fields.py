"""What of an answer is made when it is read: the same for whoever reads it, and for every kind of copy."""

from __future__ import annotations

import copy
import gc
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest

from llmkit import Completion, Message
from llmkit.wire.codec import from_json, to_json
from tests.support.colours import Colour, chat, openai

COPIES: dict[str, Any] = {
    "pickle": lambda answer: pickle.loads(pickle.dumps(answer)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "evolve": attrs.evolve,
    "json": lambda answer: from_json(to_json(answer), Completion),
}


def fresh(colour: Colour) -> Any:
    """An answer that nobody has read anything of."""
    return colour.scripted(lambda request: chat("Paris."), [openai("sk-key-1")]).generate("The capital of France?")


@pytest.mark.parametrize("kind", COPIES)
def test_copies_of_an_answer_that_nobody_has_read_are_whole(colour: Colour, kind: str):
    answer = fresh(colour)
    other = COPIES[kind](answer)
    assert other == answer
    assert (other.text, other.message, other.raw) == ("Paris.", Message.assistant("Paris."), answer.raw)
    assert [attempt.key for attempt in other.attempts] == ["openai/m#1"]
    assert other.timing is not None
    assert repr(other) == repr(answer)


@pytest.mark.parametrize("name", ["attempts", "message", "raw", "timing"])
def test_all_who_read_get_the_same(colour: Colour, name: str):
    for _ in range(20):
        answer = fresh(colour)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _, answer=answer: getattr(answer, name), range(64)))  # type: ignore[misc]
        assert all(one is found[0] for one in found)


def test_a_copy_with_another_message_says_that(colour: Colour):
    answer = attrs.evolve(fresh(colour), message=Message.assistant("Rome."))
    assert (answer.text, answer.message.text) == ("Rome.", "Rome.")


def test_what_is_kept_of_an_answer_is_little(colour: Colour):
    """A batch keeps thousands, and each object of theirs is walked over whenever Python's collector runs."""
    answer = fresh(colour)
    gc.collect()
    gc.collect()  # one round frees tuples of plain values, the next the tuples of those
    walked = {name for name, value in vars(answer).items() if gc.is_tracked(value)}
    shared = {"_pricer", "finish_reason"}
    assert walked - shared <= {"usage", "headers", "_bill"}


def test_defaults_are_the_classes(colour: Colour):
    answer = fresh(colour)
    assert (answer.cached, answer.dropped, answer.parsed, answer.resumed, answer.alternatives) == (False, (), None, 0, ())
    assert "cached" not in vars(answer)
    assert Completion(Message.assistant("x")) == Completion(Message.assistant("x"))
