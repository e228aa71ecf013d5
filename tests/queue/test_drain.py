"""Into the queue and out of it again, in both colours."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from llmkit import (
    AsyncClient,
    CallQueued,
    ClientClosedError,
    ContextLengthError,
    InvalidRequestError,
    LLMError,
    Message,
    NetworkError,
    OverloadedError,
    StorageError,
    Task,
    Ticket,
    TicketStatus,
    Timeouts,
    Tool,
)
from llmkit.simulator import Simulator
from llmkit.transports.tickets import SqliteTickets
from llmkit.wire.json import parse_json
from tests.support.colours import Colour, answer, chat, one_after_another, openai, refusal, sent

DOWN = refusal(503, "down")


def test_queued_and_answered(colour: Colour, path: str):
    """What is asked later is what was to be asked."""
    client = colour.scripted(answer("yes"), [openai()], queue=path, tasks=[Task("t", temperature=0.5)])
    put = client.queue(
        [Message.user("Hi"), Message.assistant("Hello"), Message.user("Who?")],
        model="openai/m",
        system="Be brief.",
        max_tokens=5,
        tools=[Tool("t", "d")],
        timeout=7,
        timeouts=Timeouts(attempt=3),
        retries=1,
        tags=["nightly"],
    )
    assert (put.status, put.attempts, put.why, put.maybe_sent_before) == ("queued", 0, "", False)
    assert put.call.deadline.seconds == 7
    assert sent(client) == []

    seen: list[tuple[int, Ticket]] = []
    (done,) = client.drain_queue(progress=lambda number, ticket: seen.append((number, ticket)))

    assert (done.id, done.status, done.completion.text, done.attempts) == (put.id, "done", "yes", 1)
    assert seen == [(1, done)]
    assert client.ticket(put.id) == done
    body = parse_json(sent(client)[0].body or b"")
    assert [message["content"] for message in body["messages"]] == ["Be brief.", "Hi", "Hello", "Who?"]
    assert 5 in body.values()
    assert body["tools"][0]["function"]["name"] == "t"
    assert client.drain_queue() == []


def test_no_key_is_in_the_file(colour: Colour, path: str, tmp_path: Any):
    """Neither of the client, nor one that the vendor echoes in its error."""
    key = "sk-secret-0123456789abcdef"
    client = colour.scripted(lambda request: refusal(401, f"wrong key {key}"), [openai(key)], queue=path, fallback="queue")
    with pytest.raises(CallQueued):
        client.generate("Hi")
    client.drain_queue()
    written = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert b"wrong key" in written
    assert key.encode() not in written
    assert b"secret" not in written


def test_a_passing_failure_goes_back_and_waits(colour: Colour, path: str):
    """Each pause is longer; when the tries are used up it has failed; nothing in between is lost."""
    client = colour.scripted(one_after_another(DOWN), [openai()], queue=path, retries=0)
    put = client.queue("Hi")
    pauses = []
    for attempt in range(1, 11):
        (back,) = client.drain_queue()
        assert (back.id, back.attempts) == (put.id, attempt)
        assert isinstance(back.error, OverloadedError)
        if back.status == "queued":
            assert client.drain_queue() == []
            pauses.append(back.not_before - client.runtime.time())
            client.runtime.clock = back.not_before - 1e9
    assert back.status == "failed"
    assert pauses == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert client.drain_queue() == []


def test_the_vendors_pause_is_kept(colour: Colour, path: str):
    client = colour.scripted(one_after_another(refusal(429, "slow", retry_after="900")), [openai()], queue=path, retries=0)
    client.queue("Hi", timeout=5)
    (back,) = client.drain_queue()
    assert back.status == "queued"
    assert back.not_before - client.runtime.time() == pytest.approx(900, abs=5)


def test_a_lasting_failure_has_failed(colour: Colour, path: str):
    """A wrong request is not tried again."""
    script = one_after_another(refusal(400, "too long: maximum context length", "context_length_exceeded"), chat("yes"))
    client = colour.scripted(script, [openai()], queue=path)
    client.queue("first")
    client.queue("second")
    first, second = client.drain_queue(concurrency=1)
    assert (first.status, second.status) == ("failed", "done")
    assert isinstance(first.error, ContextLengthError)
    assert "too long" in first.why
    assert [ticket.id for ticket in client.tickets("failed")] == [first.id]


def test_an_ambiguous_failure_says_that_it_may_have_been_sent(colour: Colour, path: str):
    script = one_after_another(NetworkError("gone", ambiguous=True), chat("yes"))
    client = colour.scripted(script, [openai()], queue=path, retries=0, fallback="queue")
    with pytest.raises(CallQueued) as caught:
        client.generate("Hi")
    assert caught.value.ticket.maybe_sent_before
    (done,) = client.drain_queue()
    assert (done.status, done.maybe_sent_before) == ("done", True)


def test_oldest_first_and_no_more_than_asked_for(colour: Colour, path: str):
    client = colour.scripted(answer("yes"), [openai()], queue=path)
    put = [client.queue(str(number)) for number in range(5)]
    assert [ticket.id for ticket in client.drain_queue(limit=2, concurrency=1)] == [ticket.id for ticket in put[:2]]
    assert [ticket.id for ticket in client.tickets("queued")] == [ticket.id for ticket in reversed(put[2:])]
    assert len(client.drain_queue()) == 3


def test_a_delay_is_kept(colour: Colour, path: str):
    client = colour.scripted(answer("yes"), [openai()], queue=path)
    client.queue("Hi", delay=60)
    assert client.drain_queue() == []
    client.runtime.clock += 60
    assert len(client.drain_queue()) == 1


def test_a_key_stores_once(colour: Colour, path: str):
    client = colour.scripted(answer("yes"), [openai()], queue=path)
    first = client.queue("Hi", key="order 5", timeout=5)
    client.runtime.clock += 9
    assert client.queue("Hi", key="order 5", timeout=5) == first
    with pytest.raises(InvalidRequestError, match="key: "):
        client.queue("Bye", key="order 5", timeout=5)
    client.drain_queue()
    assert client.queue("Hi", key="order 5", timeout=5).status == "done"
    assert len(sent(client)) == 1


def test_a_drained_call_falls_back_to_models_only(colour: Colour, path: str):
    """Its ``fallbacks`` are kept; the plan that brought it into the queue does not bring it there again."""
    instances = [openai(model="main", name="main"), openai(model="second", name="second")]
    client = colour.scripted(one_after_another(DOWN, DOWN, DOWN, chat("yes")), instances, queue=path, retries=1, fallback="queue")
    with pytest.raises(CallQueued):
        client.generate("Hi", model="openai/main", fallbacks=["openai/second"])
    (done,) = client.drain_queue()
    assert (done.status, done.completion.instance) == ("done", "second")
    assert len(client.tickets()) == 1


def test_another_client_drains(colour: Colour, path: str):
    """A model that this client has no instance for waits for one that has."""
    colour.scripted(answer("yes"), [openai(model="m")], queue=path).queue("Hi", model="openai/m")
    other = colour.scripted(answer("yes"), [openai(provider="mistral", model="x")], queue=path)
    (back,) = other.drain_queue()
    assert back.status == "queued"
    assert "no key" in back.why
    third = colour.scripted(answer("yes"), [openai(model="m")], queue=path)
    third.runtime.clock += 60
    (done,) = third.drain_queue()
    assert done.status == "done"


def test_a_closed_client_gives_back(colour: Colour, path: str):
    """What was being asked is in the queue again at once."""
    client = colour.scripted(lambda request: ClientClosedError("closed"), [openai()], queue=path)
    client.queue("Hi")
    with pytest.raises(ClientClosedError):
        client.drain_queue()
    (back,) = client.tickets()
    assert (back.status, back.attempts, back.maybe_sent_before) == ("queued", 0, True)


def test_an_interruption_gives_back(colour: Colour, path: str):
    """So it does at Ctrl-C."""
    client = colour.scripted(lambda request: KeyboardInterrupt(), [openai()], queue=path)
    client.queue("Hi")
    with pytest.raises(KeyboardInterrupt):
        client.drain_queue()
    assert [ticket.status for ticket in client.tickets()] == ["queued"]


def test_a_cancelled_task_gives_back(path: str):
    """Without waiting for the answer; and the claims' thread ends."""
    store = SqliteTickets(path)

    async def main() -> None:
        with Simulator(latency=30) as slow:
            instance = openai(model="gpt-4o-mini", base_url=slow.base_url("openai"))
            async with AsyncClient([instance], queue=store, plugins=[]) as client:
                for number in range(3):
                    await client.queue(str(number))
                draining = asyncio.create_task(client.drain_queue(concurrency=2))
                while (await asyncio.to_thread(store.count))[TicketStatus.RUNNING] < 2:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.05)
                draining.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await draining

    asyncio.run(main())
    tickets = store.find()
    assert {(str(ticket.status), ticket.attempts) for ticket in tickets} == {("queued", 0)}
    assert [ticket.maybe_sent_before for ticket in tickets] == [False, True, True]
    assert not store._claims


@pytest.mark.parametrize("held", ["before", "after"])
def test_cancelled_while_it_claims(path: str, held: str):
    """The claim is made in a thread, which a cancelled task does not wait for: it gives back what nobody takes."""
    begun, go_on = threading.Event(), threading.Event()

    class Slow(SqliteTickets):
        def claim(self, now: float) -> Ticket | None:
            if held == "before":
                begun.set()
                go_on.wait(10)
            claimed = super().claim(now)
            if held == "after":
                begun.set()
                go_on.wait(10)
            return claimed

    store = Slow(path)

    async def main() -> None:
        async with AsyncClient([openai()], queue=store, plugins=[]) as client:
            await client.queue("Hi")
            draining = asyncio.create_task(client.drain_queue(concurrency=1))
            await asyncio.to_thread(begun.wait, 10)
            draining.cancel()
            with pytest.raises(asyncio.CancelledError):
                await draining
            go_on.set()

    asyncio.run(main())
    (ticket,) = store.find()
    assert (ticket.status, ticket.attempts, ticket.maybe_sent_before) == ("queued", 0, False)
    assert not store._claims


def test_an_answer_that_cannot_be_stored_is_given_back(colour: Colour, path: str):
    """It was paid for; and the ticket, still running for others, is taken over later."""

    class Full(SqliteTickets):
        def finish(self, *given: Any) -> Ticket | None:
            raise StorageError("the disk is full", path=self.path)

    client = colour.scripted(answer("yes"), [openai()], queue=Full(path))
    client.queue("first")
    client.queue("second")
    (ticket,) = client.drain_queue(concurrency=1)
    assert ticket.completion.text == "yes"
    assert isinstance(ticket.error, StorageError)
    assert [found.status for found in client.tickets()] == ["queued", "running"]


def test_an_answer_whose_claim_is_lost_says_so(colour: Colour, path: str):
    """Another process took it over, which can send it twice; neither answer is thrown away."""
    store = SqliteTickets(path, lease=10.0)
    taken: list[Ticket | None] = []

    def script(request: Any) -> Any:
        taken.append(SqliteTickets(path).claim(2e9))
        return chat("yes")

    client = colour.scripted(script, [openai()], queue=store)
    client.queue("Hi")
    (ticket,) = client.drain_queue()
    assert taken[0] is not None
    assert taken[0].maybe_sent_before
    assert ticket.completion.text == "yes"
    assert "taken the ticket over" in str(ticket.error)
    SqliteTickets(path).give_back(taken[0], 2e9, True)


def test_a_row_that_cannot_be_read_fails(colour: Colour, path: str):
    """It does not come up again and again."""
    import sqlite3

    client = colour.scripted(answer("yes"), [openai()], queue=path)
    client.queue("first")
    client.queue("second")
    connection = sqlite3.connect(path)
    connection.execute("UPDATE tickets SET call = 'rubbish' WHERE number = 1")
    connection.commit()
    connection.close()
    first, second = client.drain_queue(concurrency=1)
    assert (first.status, second.status) == ("failed", "done")


def test_cancel_and_purge(colour: Colour, path: str):
    client = colour.scripted(answer("yes"), [openai()], queue=path)
    first, second = client.queue("first"), client.queue("second")
    assert client.cancel_ticket(second.id) is True
    assert client.cancel_ticket(second.id) is False
    client.drain_queue()
    client.runtime.clock += 100
    assert client.purge_queue(older_than=200) == 0
    assert client.purge_queue() == 1
    with pytest.raises(InvalidRequestError, match="there is no ticket"):
        client.ticket(first.id)


@pytest.mark.parametrize(
    ("method", "given", "words"),
    [
        ("drain_queue", {"concurrency": 0}, "concurrency: expected"),
        ("drain_queue", {"limit": True}, "limit: expected"),
        ("tickets", {"status": "dnoe"}, "status: expected one of queued, running, done, failed"),
        ("tickets", {"limit": 0}, "limit: expected"),
        ("purge_queue", {"older_than": -1}, "older_than: expected"),
        ("purge_queue", {"statuses": "done"}, "statuses: expected a list"),
        ("purge_queue", {"statuses": ["x"]}, "status: expected"),
        ("queue", {"prompt": "Hi", "key": 5}, "key: expected"),
        ("queue", {"prompt": "Hi", "delay": -5}, "Queue.delay: expected"),
        ("queue", {"prompt": "Hi", "extra": {"x": object()}}, "cannot be written as JSON"),
        ("ticket", {"id": 5}, "there is no ticket"),
    ],
)
def test_wrong_arguments(colour: Colour, path: str, method: str, given: dict[str, Any], words: str):
    client = colour.scripted(answer("yes"), [openai()], queue=path)
    with pytest.raises(LLMError) as caught:
        getattr(client, method)(**given)
    assert words in str(caught.value)


def test_the_default_place(colour: Colour, tmp_path: Any):
    """``XDG_STATE_HOME`` of the client's environment."""
    environ = {"XDG_STATE_HOME": str(tmp_path / "there")}
    client = colour.scripted(answer("yes"), [openai()], environ=environ)
    client.queue("Hi")
    assert (tmp_path / "there" / "llmkit" / "queue.sqlite").exists()


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(latency=0.02) as running:
        yield running


def test_many_at_once_over_real_sockets(colour: Colour, path: str, simulator: Simulator):
    """Concurrency is kept, results are in the order of the queue, and each call is sent once."""
    simulator.ledger.clear()
    instance = attrs.evolve(openai(model="gpt-4o-mini"), base_url=simulator.base_url("openai"), allow_http=True)
    client = colour.real([instance], queue=path)
    put = [client.queue(f"number {number}") for number in range(30)]
    threads = threading.active_count()
    done = client.drain_queue(concurrency=8)
    assert [ticket.id for ticket in done] == [ticket.id for ticket in put]
    assert {str(ticket.status) for ticket in done} == {"done"}
    assert [f"number {number}" in ticket.completion.text for number, ticket in enumerate(done)] == [True] * 30
    assert not any(ticket.maybe_sent_before for ticket in done)
    assert threads <= threading.active_count() + 20
    assert simulator.ledger.account("openai")["ok"] == 30
