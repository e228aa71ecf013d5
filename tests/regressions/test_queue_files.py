"""The queue over files, rows and answers that are not what they should be: a typed error, and the other tickets go on."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from llmkit import Completion, InvalidRequestError, Message, StorageError, Text
from llmkit.errors import InvalidResponseError, LLMError
from llmkit.flow import queued
from llmkit.transports.claims import Claims
from llmkit.transports.tickets import SqliteTickets
from tests.support.colours import Colour, answer, openai


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "queue.sqlite")


def test_a_damaged_file_gives_errors_of_llmkit_s_own(colour: Colour, path: str, tmp_path: Path):
    """Whichever bytes of it are wrong, and nothing is held afterwards."""
    client = colour.scripted(answer("hello"), [openai()], queue=path)
    for number in range(6):
        client.queue(f"question {number}", key=f"key {number}")
    client.drain_queue(limit=2)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    whole = Path(path).read_bytes()
    rng = random.Random(5)
    errors = 0
    for number in range(60):
        broken = bytearray(whole)
        for _ in range(rng.choice((1, 3, 20))):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        file = tmp_path / f"{number}.sqlite"
        file.write_bytes(broken)
        store = SqliteTickets(file, busy=0.2)
        for work in (store.find, store.count, lambda store=store: store.claim(2e9)):
            try:
                found: Any = work()
                if hasattr(found, "claim"):
                    store.give_back(found, 2e9, True)
            except StorageError:
                errors += 1
    assert errors


DAMAGE = {
    "status": ["weird", b"x"],
    "created": ["abc", b"x"],
    "attempts": [b"x"],
    "why": [b"x"],
    "key": [b"\xff"],
    "call": ["text", b"\xff", b"{}", 5, 1.5],
    "completion": ["x", 5],
    "error": [b"[1]", 5],
}


@pytest.mark.parametrize(("column", "value"), [(name, value) for name, values in DAMAGE.items() for value in values])
def test_a_damaged_row_hides_no_other(colour: Colour, path: str, column: str, value: Any):
    """It is listed with its error, the others are asked, and it holds no claim."""
    client = colour.scripted(answer("hello"), [openai()], queue=path)
    bad = client.queue("bad")
    good = client.queue("good")
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE tickets SET {column} = ? WHERE id = ?", (value, bad.id))
    connection.close()
    listed = {ticket.id: ticket for ticket in client.tickets()}
    assert type(listed[bad.id].error) is InvalidResponseError
    assert listed[good.id] == good
    client.core.tickets().count()
    client.drain_queue()
    assert client.ticket(good.id).status == "done"
    assert not client.core.tickets()._claims


def test_an_answer_without_a_json_form_ends_its_ticket(colour: Colour, path: str, monkeypatch: pytest.MonkeyPatch):
    """The answer is given, the ticket is not asked again, the next one is; only a plugin's provider can make such an answer."""
    client = colour.scripted(answer("hello"), [openai()], queue=path)
    first, second = client.queue("one"), client.queue("two")
    odd = Completion(Message("assistant", (Text("yes"),), extra={"odd": object()}))
    ask = queued.ask

    async def asked(kit: Any, call: Any) -> Any:
        return odd if call.messages[-1].text == "one" else await ask(kit, call)

    monkeypatch.setattr(queued, "ask", asked)
    one, two = client.drain_queue(concurrency=1)
    assert (one.id, one.status, type(one.error)) == (first.id, "failed", InvalidRequestError)
    assert one.completion is odd
    assert (two.id, two.status) == (second.id, "done")
    assert not client.core.tickets()._claims


@pytest.mark.parametrize("word", ["\ud800", "a\udfffb"])
def test_what_is_no_text_names_no_ticket(colour: Colour, path: str, word: str):
    client = colour.scripted(answer("hello"), [openai()], queue=path)
    client.queue("Hi")
    with pytest.raises(InvalidRequestError, match="key: expected a non-empty string"):
        client.queue("Hi", key=word)
    with pytest.raises(InvalidRequestError, match="there is no ticket"):
        client.ticket(word)
    with pytest.raises(LLMError):
        client.cancel_ticket(word)


def test_a_path_that_no_file_can_have(colour: Colour):
    client = colour.scripted(answer("hello"), [openai()], queue="queue\0.sqlite")
    with pytest.raises(StorageError):
        client.queue("Hi")


@pytest.mark.parametrize("wrong", [5, None, "done", [5]])
def test_statuses_are_a_list(colour: Colour, path: str, wrong: Any):
    client = colour.scripted(answer("hello"), [openai()], queue=path)
    with pytest.raises(InvalidRequestError, match="status"):
        client.purge_queue(statuses=wrong)


def test_progress_is_a_function(colour: Colour, path: str):
    """Told before anything is asked, not after the first answer."""
    client = colour.scripted(answer("hello"), [openai()], queue=path)
    client.queue("Hi")
    with pytest.raises(InvalidRequestError, match="progress: expected a function, got 5"):
        client.drain_queue(progress=5)
    assert client.tickets("queued")


def test_a_claim_without_a_thread_is_prolonged_by_the_next(monkeypatch: pytest.MonkeyPatch):
    """The process had no room for a thread when the first claim was made."""
    prolonged: list[Any] = []
    claims = Claims(0.03, lambda held, seconds: prolonged.append(set(held)), lambda held: None)
    start = threading.Thread.start

    def full(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", full)
    claims.hold("first")
    monkeypatch.setattr(threading.Thread, "start", start)
    claims.hold("second")
    done = threading.Event()
    for _ in range(200):
        if prolonged:
            break
        done.wait(0.01)
    claims.drop("first")
    claims.drop("second")
    assert prolonged[0] == {"first", "second"}
    assert os.getpid() == claims._process
