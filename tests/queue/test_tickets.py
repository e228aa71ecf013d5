"""The queue's file: each ticket once, each claim alone, and a typed error for whatever may be wrong with the file."""

from __future__ import annotations

import os
import resource
import sqlite3
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llmkit import Completion, FinishReason, InvalidRequestError, Message, RateLimitError, StorageError, Ticket, TicketStatus
from llmkit.transports.tickets import SqliteTickets, default_path
from llmkit.values.calls import ChatCall, Deadline
from tests.core.test_values import CALL, COMPLETION

ANSWER = Completion(Message.assistant("yes"), FinishReason.STOP)
ALL = tuple(TicketStatus)


def ticket(text: str = "Hi", **more: Any) -> Ticket:
    call = ChatCall(deadline=Deadline(0.0, 600.0), messages=(Message.user(text),))
    return Ticket(**{"id": "", "status": TicketStatus.QUEUED, "created": 100.0, "changed": 100.0, "call": call, **more})


def test_a_ticket_s_life(path: str):
    """Put, claimed, answered; and what is stored is what was put."""
    store = SqliteTickets(path)
    put = store.put(ticket(why="down", not_before=150.0, max_attempts=3))
    assert store.get(put.id) == put
    assert store.claim(149.0) is None
    running = store.claim(150.0)
    assert running is not None
    assert (running.id, running.status, running.attempts, running.maybe_sent_before) == (put.id, "running", 1, False)
    assert store.claim(151.0) is None
    done = store.finish(running, ANSWER, 160.0)
    assert done is not None
    assert (done.status, done.completion, done.changed, done.why) == ("done", ANSWER, 160.0, "")
    assert store.get(put.id) == done
    assert store.finish(running, ANSWER, 170.0) is None
    assert store.claim(1e9) is None


def test_a_failed_try_goes_back_and_then_fails(path: str):
    """With its error; and one that may have reached the vendor says so from then on."""
    store = SqliteTickets(path)
    put = store.put(ticket())
    first = store.claim(200.0)
    assert first is not None
    back = store.fail(first, RateLimitError("slow", status=429, ambiguous=True), 201.0, 300.0)
    assert back is not None
    assert (back.status, back.not_before, back.attempts, back.maybe_sent_before) == ("queued", 300.0, 1, True)
    assert isinstance(back.error, RateLimitError)
    assert "slow" in back.why
    assert store.claim(299.0) is None
    second = store.claim(300.0)
    assert second is not None
    failed = store.fail(second, RateLimitError("slow"), 301.0, None)
    assert failed is not None
    assert (failed.status, failed.attempts) == ("failed", 2)
    assert [(found.id, found.status) for found in store.find()] == [(put.id, "failed")]


def test_given_back_is_not_counted(path: str):
    """A try that was interrupted is none, but may have been sent."""
    store = SqliteTickets(path)
    store.put(ticket())
    claimed = store.claim(200.0)
    assert claimed is not None
    store.give_back(claimed, 201.0, True)
    (now,) = store.find()
    assert (now.status, now.attempts, now.maybe_sent_before) == ("queued", 0, True)


def test_one_key_is_one_ticket(path: str):
    """Put under the same key it is the same; another call under it is refused."""
    store = SqliteTickets(path)
    first = store.put(ticket(key="k"))
    assert store.put(ticket(key="k")) == first
    with pytest.raises(InvalidRequestError, match="key: ticket"):
        store.put(ticket("something else", key="k"))
    assert store.put(ticket()).id != store.put(ticket()).id
    assert store.count()[TicketStatus.QUEUED] == 3


def test_a_claim_runs_out(path: str):
    """The next claim takes the ticket over and says so; the first claimer's answer comes too late."""
    store, other = SqliteTickets(path, lease=30.0), SqliteTickets(path, lease=30.0)
    store.put(ticket())
    first = store.claim(1000.0)
    assert first is not None
    assert other.claim(1029.0) is None
    second = other.claim(1035.0)
    assert second is not None
    assert (second.id, second.attempts, second.maybe_sent_before) == (first.id, 2, True)
    assert store.finish(first, ANSWER, 1036.0) is None
    assert store.fail(first, RateLimitError("x"), 1036.0, None) is None
    store.give_back(first, 1036.0, True)
    assert store.get(first.id).status == "running"  # type: ignore[union-attr]
    assert other.finish(second, ANSWER, 1037.0) is not None


def test_a_ticket_that_kills_is_not_tried_for_ever(path: str):
    """After its attempts it has failed."""
    store = SqliteTickets(path, lease=1.0)
    store.put(ticket(max_attempts=2))
    assert store.claim(100.0) is not None
    assert store.claim(102.0) is not None
    assert store.claim(104.0) is None
    (failed,) = store.find()
    assert (failed.status, failed.attempts, failed.maybe_sent_before) == ("failed", 2, True)
    assert "ended before its answer" in failed.why


def test_a_living_claim_is_prolonged(path: str):
    """A call that takes longer than a lease stays its claimer's, and the thread that sees to it ends with the last claim."""
    store, other = SqliteTickets(path, lease=0.3), SqliteTickets(path, lease=0.3)
    store.put(ticket())
    mine = store.claim(time.time())
    assert mine is not None
    until = time.monotonic() + 1.2
    while time.monotonic() < until:
        assert other.claim(time.time()) is None
        time.sleep(0.02)
    assert store.finish(mine, ANSWER, time.time()) is not None
    until = time.monotonic() + 5
    while store._claims._thread is not None and time.monotonic() < until:
        time.sleep(0.01)
    assert store._claims._thread is None


def test_threads_share_a_store(path: str):
    """Nothing is lost and nothing claimed twice among threads."""
    store = SqliteTickets(path)
    with ThreadPoolExecutor(8) as pool:
        put = {done.id for done in pool.map(lambda n: store.put(ticket(str(n))), range(60))}
        claimed = [done for done in pool.map(lambda _: store.claim(1e9), range(80)) if done is not None]
    assert len(put) == 60
    assert sorted(done.id for done in claimed) == sorted(put)
    for done in claimed:
        store.finish(done, ANSWER, 1e9)
    assert store.count()[TicketStatus.DONE] == 60


def test_looking_cancelling_purging(path: str):
    """Newest first; what is queued can be cancelled, what is over deleted, what runs neither."""
    store = SqliteTickets(path)
    first, second, third = [store.put(ticket(text, created=float(at), changed=float(at))) for at, text in enumerate("abc", 1)]
    assert [found.id for found in store.find()] == [third.id, second.id, first.id]
    assert [found.id for found in store.find(limit=1)] == [third.id]
    running = store.claim(10.0)
    assert running is not None
    assert not store.cancel(running.id)
    assert store.cancel(second.id)
    assert not store.cancel(second.id)
    assert [found.id for found in store.find(TicketStatus.RUNNING)] == [first.id]
    assert store.purge(1e9, ALL) == 1
    assert [found.id for found in store.find()] == [first.id]
    store.finish(running, ANSWER, 20.0)
    assert store.purge(20.0, ALL) == 0
    assert store.purge(20.5, ALL) == 1


def test_nothing_is_made_by_looking(path: str):
    """A queue that nobody has put anything into has no file."""
    store = SqliteTickets(path)
    assert (store.find(), store.get("x"), store.claim(0.0), store.cancel("x"), store.purge(9.0, ALL)) == ([], None, None, False, 0)
    assert set(store.count().values()) == {0}
    assert not os.path.exists(path)


def test_the_file_is_the_users_alone(tmp_path: Path):
    """Prompts are nobody else's business."""
    path = tmp_path / "new" / "folder" / "queue.sqlite"
    before = os.umask(0)
    try:
        SqliteTickets(path).put(ticket())
        held = sqlite3.connect(path)
        held.execute("SELECT count(*) FROM tickets").fetchone()
        modes = {name.name: stat.S_IMODE(name.stat().st_mode) for name in path.parent.iterdir()}
        held.close()
    finally:
        os.umask(before)
    assert modes == {"queue.sqlite": 0o600, "queue.sqlite-wal": 0o600, "queue.sqlite-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_it_is_on_the_disk(path: str):
    """WAL, and a commit waits for the disk."""
    store = SqliteTickets(path)
    store.put(ticket())
    connection = store._connect(False)
    try:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    finally:
        connection.close()


def test_default_path(monkeypatch: pytest.MonkeyPatch):
    """As the XDG specification has it."""
    monkeypatch.setenv("HOME", "/home/me")
    assert default_path({"XDG_STATE_HOME": "/s"}) == Path("/s/llmkit/queue.sqlite")
    assert default_path({"XDG_STATE_HOME": "relative"}) == Path("/home/me/.local/state/llmkit/queue.sqlite")
    assert default_path({}) == Path("/home/me/.local/state/llmkit/queue.sqlite")


@settings(max_examples=25)
@given(CALL, COMPLETION)
def test_whatever_is_stored_comes_back(tmp_path_factory: pytest.TempPathFactory, call: ChatCall, completion: Completion):
    """Any call and any answer."""
    store = SqliteTickets(tmp_path_factory.mktemp("queue") / "queue.sqlite")
    put = store.put(ticket(call=call))
    assert store.get(put.id).call == call  # type: ignore[union-attr]
    running = store.claim(1e9)
    assert running is not None
    assert store.finish(running, completion, 1e9).completion == completion  # type: ignore[union-attr]


# ----------------------------------------------------------------------------------------------- hostile files


def every_operation(store: SqliteTickets) -> list[Any]:
    held = ticket(id="x", claim="c")
    return [
        lambda: store.put(ticket()),
        lambda: store.claim(1e9),
        lambda: store.finish(held, ANSWER, 1e9),
        lambda: store.fail(held, RateLimitError("x"), 1e9, None),
        lambda: store.find(),
        lambda: store.get("x"),
        lambda: store.count(),
        lambda: store.cancel("x"),
        lambda: store.purge(1e9, ALL),
    ]


def refused(store: SqliteTickets, words: str) -> None:
    """Every operation is a StorageError that names the file, and leaves it as it was."""
    before = Path(store.path).read_bytes() if os.path.isfile(store.path) else None
    for operation in every_operation(store):
        with pytest.raises(StorageError, match=words) as caught:
            operation()
        assert caught.value.path == store.path
        assert store.path in str(caught.value)
    assert before is None or Path(store.path).read_bytes() == before


@pytest.mark.parametrize("rubbish", [b"not a database, but a longer text" * 100, b"SQLite format 3\x00" + b"\xff" * 4000])
def test_a_file_that_is_no_database(path: str, rubbish: bytes):
    Path(path).write_bytes(rubbish)
    refused(SqliteTickets(path), "not a database|malformed")


def test_a_database_of_something_else(path: str):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE tickets (mine)")
    connection.close()
    refused(SqliteTickets(path), "database of something else")


def test_a_later_format(path: str):
    SqliteTickets(path).put(ticket())
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=2")
    connection.close()
    refused(SqliteTickets(path), "written by a later llmkit")


def test_a_folder(tmp_path: Path):
    refused(SqliteTickets(tmp_path), "unable to open")


def test_a_place_where_nothing_can_be_made():
    for path in ("/proc/llmkit/queue.sqlite", "/dev/null/queue.sqlite"):
        with pytest.raises(StorageError, match="cannot store a ticket"):
            SqliteTickets(path).put(ticket())


def test_a_file_that_can_only_be_read(path: str):
    """Looking works where SQLite can do it; nothing else does. A database opened read-only stands for a file without the right to
    write, which would not stop root."""
    SqliteTickets(path).put(ticket())

    class ReadOnly(SqliteTickets):
        def _connect(self, make: bool) -> sqlite3.Connection:
            connection = super()._connect(make)
            connection.execute("PRAGMA query_only=1")
            return connection

    store = ReadOnly(path)
    assert len(store.find()) == 1
    for operation in every_operation(store)[:2]:
        with pytest.raises(StorageError, match="readonly"):
            operation()


def test_a_file_that_another_process_holds(path: str):
    """Waited for, then an error that says for how long; once it is free all goes on."""
    store = SqliteTickets(path, busy=0.1)
    store.put(ticket())
    holder = sqlite3.connect(path, isolation_level=None)
    try:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageError, match=r"another process has held it for more than 0\.1 s"):
            store.put(ticket())
        patient = SqliteTickets(path, busy=20)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(patient.put, ticket())
            time.sleep(0.2)
            holder.execute("COMMIT")
            waiting.result()
    finally:
        holder.close()
    assert store.count()[TicketStatus.QUEUED] == 2


def test_a_row_that_cannot_be_read(path: str):
    """It is shown with what is wrong, and hides no other."""
    store = SqliteTickets(path)
    store.put(ticket())
    good = store.put(ticket())
    connection = sqlite3.connect(path)
    connection.execute("UPDATE tickets SET call = '{}' WHERE number = 1")
    connection.commit()
    connection.close()
    found = store.find()
    assert found[0] == good
    assert found[1].call is None
    assert "no ChatCall" in str(found[1].error)


FULL = """
import resource, sys
from llmkit import StorageError
from llmkit.transports.tickets import SqliteTickets
from tests.queue.test_tickets import ticket
store = SqliteTickets(sys.argv[1])
kept = [store.put(ticket("x" * 2000)).id for _ in range(3)]
resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000))
refused = 0
for _ in range(200):
    try:
        kept.append(store.put(ticket("x" * 2000)).id)
    except StorageError as error:
        refused += 1
        if refused == 1:
            print(error)
        if refused == 3:
            break
print(*kept)
"""


def test_a_full_disk(path: str):
    """A ticket is stored or refused; what was stored before stays."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True, timeout=60, env=environ)
    assert done.returncode == 0, done.stderr
    words, kept = done.stdout.splitlines()
    assert "cannot store a ticket: " in words
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 120_000
    assert sorted(found.id for found in SqliteTickets(path).find(limit=1000)) == sorted(kept.split())
    SqliteTickets(path).put(ticket())


# ----------------------------------------------------------------------------------------------- any order of things


class Life(RuleBasedStateMachine):
    """Two claimers over one file, in any order, against a model of what each ticket must be."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.stores = [SqliteTickets(f"{self.folder.name}/queue.sqlite", lease=1000.0) for _ in range(2)]
        self.now = 1000.0
        self.model: dict[str, dict[str, Any]] = {}
        self.claims: list[tuple[SqliteTickets, Ticket]] = []

    def teardown(self) -> None:
        for store in self.stores:
            for claim in list(store._claims._held):
                store._claims.drop(claim)
        self.folder.cleanup()

    @rule(which=st.integers(0, 1), key=st.none() | st.sampled_from("ab"))
    def put(self, which: int, key: str | None) -> None:
        put = self.stores[which].put(ticket(key=key, created=self.now, changed=self.now, max_attempts=3))
        known = [id for id, facts in self.model.items() if key is not None and facts["key"] == key]
        assert not known or known == [put.id]
        self.model.setdefault(put.id, {"key": key, "status": "queued", "again": 0.0, "attempts": 0, "sent": False, "until": 0.0})

    @rule(which=st.integers(0, 1))
    def claim(self, which: int) -> None:
        found = self.stores[which].claim(self.now)
        for facts in self.model.values():
            if facts["status"] == "running" and facts["until"] <= self.now and facts["attempts"] >= 3:
                facts.update(status="failed", sent=True)
        free = [facts for facts in self.model.values() if self._free(facts)]
        assert (found is None) == (not free)
        if found is not None:
            facts = self.model[found.id]
            assert self._free(facts)
            facts.update(
                sent=facts["sent"] or facts["status"] == "running",
                status="running",
                attempts=facts["attempts"] + 1,
                until=self.now + 1000,
                claim=found.claim,
            )
            self.claims.append((self.stores[which], found))

    def _free(self, facts: dict[str, Any]) -> bool:
        if facts["status"] == "running":
            return bool(facts["until"] <= self.now)
        return bool(facts["status"] == "queued" and facts["again"] <= self.now)

    @precondition(lambda self: self.claims)
    @rule(how=st.sampled_from(["finish", "fail", "again", "back"]), data=st.data())
    def settle(self, how: str, data: st.DataObject) -> None:
        store, held = self.claims.pop(data.draw(st.integers(0, len(self.claims) - 1)))
        facts = self.model.get(held.id, {})
        mine = facts.get("status") == "running" and facts.get("claim") == held.claim
        if how == "back":
            store.give_back(held, self.now, True)
            if mine:
                facts.update(status="queued", attempts=facts["attempts"] - 1, sent=True)
            return
        again = self.now + 5 if how == "again" else None
        after = store.finish(held, ANSWER, self.now) if how == "finish" else store.fail(held, RateLimitError("x"), self.now, again)
        assert (after is not None) == mine
        if mine:
            facts["status"] = {"finish": "done", "fail": "failed", "again": "queued"}[how]
            facts["again"] = again or self.now

    @rule(seconds=st.sampled_from([300.0, 650.0, 1100.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(which=st.integers(0, 1))
    def purge(self, which: int) -> None:
        gone = [id for id, facts in self.model.items() if facts["status"] in ("done", "failed")]
        assert self.stores[which].purge(self.now + 1, (TicketStatus.DONE, TicketStatus.FAILED)) == len(gone)
        for id in gone:
            del self.model[id]

    @invariant()
    def agrees(self) -> None:
        stored = {found.id: (str(found.status), found.attempts, found.maybe_sent_before) for found in self.stores[0].find()}
        assert stored == {id: (facts["status"], facts["attempts"], facts["sent"]) for id, facts in self.model.items()}


Life.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestLife = Life.TestCase


def test_a_ticket_of_another_shape_is_not_changed():
    """Values stay values."""
    one = ticket()
    assert attrs.evolve(one, why="x") != one
