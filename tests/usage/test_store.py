"""Books on disk: several processes, killed ones, files that cannot be written, forks."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from llmkit import Budget, Client, ConfigError, Usage
from llmkit.observe import writer as writers
from llmkit.observe.ledger import Ledger
from llmkit.observe.rows import grouped, saving_at
from llmkit.observe.store import UsageStore
from llmkit.observe.writer import UsageWriter
from llmkit.policy.budgets import Spending
from tests.support.colours import Colour, answer, openai
from tests.usage.conftest import price_of

ROOT = Path(__file__).resolve().parents[2]
WORK = """
import sys, time
from llmkit.observe.ledger import Ledger
from llmkit.observe.writer import UsageWriter
from llmkit.values.usage import Usage

class Owner: pass

path, calls, number = sys.argv[1], int(sys.argv[2]), sys.argv[3]
books, owner = Ledger(), Owner()
books.open("a", "p", "m")
writer = UsageWriter(path, books, None, interval=0.02)
writer.start(owner)
for done in range(calls):
    books.answered("a", "a#" + number, None, (), Usage(1, 2, 3))
    if done % 50 == 0:
        time.sleep(0.005)
        print(done, flush=True)
"""


def process(path: Path, calls: int, number: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORK, str(path), str(calls), str(number)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def stored(path: Path) -> Any:
    return grouped(UsageStore(path).lines(), None)[0]


def opened() -> Ledger:
    books = Ledger(price_of)
    books.open("a", "p", "m")
    return books


def test_what_is_written_is_read(tmp_path: Path):
    """Every count, the tags and the money, also where a batch costs more than 63 bits of units."""
    books = opened()
    books.answered("a", "a#1", "t", ("x", "y,\"'"), Usage(10, 20, 30, 4, 5, 6, estimated=True))
    books.answered("a", "a#1", "t", (), Usage(10**12, 10**12, 10**12))
    books.interrupted("a", "a#1", "t", (), Usage(1, 2, 3, 4, 5, 6), None)
    books.cache_hit("a", None, ())
    writer = UsageWriter(str(tmp_path / "u.db"), books, None)
    writer.flush()
    writer.flush()
    lines = UsageStore(tmp_path / "u.db").lines()
    for by in ("instance", "key", "task", "tag", "model"):
        assert {repr(row) for row in grouped(lines, by, saving_at(price_of))} == {repr(row) for row in books.rows(by)}
    assert all(line.minute % 60 == 0 and time.time() - line.minute < 120 for line in lines)
    assert UsageStore(tmp_path / "u.db").lines(since=time.time() + 1) == []


def test_minutes_are_added_up_and_cut(tmp_path: Path):
    store = UsageStore(tmp_path / "u.db")
    books = opened()
    books.answered("a", "a#1", None, (), Usage(1, 1, 2))
    line = books.lines()[1]
    for minute in (0, 0, 60, 3600, 90000):
        store.add([line._replace(minute=minute)])
    assert [row.minute for row in store.lines()] == [0, 60, 3600, 90000]
    assert [(row.start, row.calls) for row in grouped(store.lines(), "hour")] == [(0, 3), (3600, 1), (90000, 1)]
    assert [(row.start, row.calls) for row in grouped(store.lines(), "day")] == [(0, 4), (86400, 1)]
    assert [row.minute for row in store.lines(60, 90000)] == [60, 3600]


def test_several_processes_lose_nothing(tmp_path: Path):
    path = tmp_path / "u.db"
    workers = [process(path, 2000, number) for number in range(4)]
    for worker in workers:
        assert worker.communicate(timeout=60)[0]
        assert worker.returncode == 0
    assert stored(path).calls == 8000
    assert [row.calls for row in grouped(UsageStore(path).lines(), "key")] == [2000] * 4


def test_a_killed_process_loses_at_most_a_batch(tmp_path: Path):
    """Killed with SIGKILL while it works: the file is whole, and what was booked an interval before is in it."""
    path = tmp_path / "u.db"
    worker = process(path, 10**9, 0)
    assert worker.stdout is not None
    seen: list[tuple[float, int]] = []
    until = time.monotonic() + 2
    while time.monotonic() < until:
        seen.append((time.monotonic(), int(worker.stdout.readline())))
    worker.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    worker.communicate(timeout=30)
    booked_long_ago = max(done for at, done in seen if at < killed - 1.0)
    assert stored(path).calls >= booked_long_ago > 0
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_a_file_that_cannot_be_written_warns_once_and_catches_up(tmp_path: Path):
    folder = tmp_path / "not there yet"
    books = opened()
    writer = UsageWriter(str(folder / "u.db"), books, None)
    for _ in range(3):
        books.answered("a", "a#1", None, (), Usage(1, 1, 2))
        if _ == 0:
            with pytest.warns(RuntimeWarning, match="usage cannot be written"):
                writer.flush()
        else:
            writer.flush()
    folder.mkdir()
    writer.flush()
    assert stored(folder / "u.db").calls == 3


@pytest.mark.parametrize("rubbish", [b"not a database at all" * 100, b""])
def test_rubbish_in_the_place_of_a_file(tmp_path: Path, rubbish: bytes):
    """An empty file is taken over; what is no database is left as it is, and costs nobody a call."""
    path = tmp_path / "u.db"
    path.write_bytes(rubbish)
    books = opened()
    books.answered("a", "a#1", None, (), Usage(1, 1, 2))
    writer = UsageWriter(str(path), books, None)
    if not rubbish:
        writer.flush()
        assert stored(path).calls == 1
        return
    with pytest.warns(RuntimeWarning, match="not a database"):
        writer.flush()
    assert path.read_bytes() == rubbish
    with pytest.raises(ConfigError, match="not a database"):
        UsageStore(path).lines()


def test_another_versions_file_is_left_alone(tmp_path: Path):
    path = tmp_path / "u.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(sqlite3.DatabaseError, match="another version"):
        UsageStore(path).add([], [])


def test_a_locked_file_slows_no_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Another process sits on the file: calls go on, and the books are written when it lets go."""
    monkeypatch.setattr("llmkit.observe.store.BUSY", 0.2)
    path = tmp_path / "u.db"
    UsageStore(path).add([], [])
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    books = opened()
    writer = UsageWriter(str(path), books, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flushing = threading.Thread(target=writer.flush)
        flushing.start()
        started = time.perf_counter()
        for _ in range(1000):
            books.answered("a", "a#1", None, (), Usage(1, 1, 2))
        assert time.perf_counter() - started < 0.15
        flushing.join()
        writer.flush()
    lock.execute("COMMIT")
    lock.close()
    writer.flush()
    assert stored(path).calls == 1000


def test_clients_write_and_closing_writes_the_rest(colour: Colour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing is written but by interval, on closing, and when a client is dropped."""
    monkeypatch.setattr(writers, "INTERVAL", 3600.0)
    path = tmp_path / "u.db"
    client = colour.scripted(answer("a b"), [openai()], usage_db=path)
    client.generate("q", tags=["x"])
    with client.stream("q") as stream:
        list(stream)
    assert not path.exists()
    client.close()
    total = stored(path)
    assert (total.calls, total.usage.total_tokens) == (2, 6)
    client.close()
    assert stored(path).calls == 2


def test_a_dropped_client_and_the_end_of_a_process_write_the_rest(tmp_path: Path):
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.support.colours import ScriptedClient, answer, openai
from llmkit.testing import ScriptedRuntime

def ask(name):
    client = ScriptedClient(ScriptedRuntime(answer()), [openai(name=name)], usage_db={str(tmp_path / "u.db")!r})
    client.generate("q")
    return client

ask("dropped")
kept = ask("kept")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=ROOT)
    rows = grouped(UsageStore(tmp_path / "u.db").lines(), "instance")
    assert {row.instance: row.calls for row in rows} == {"dropped": 1, "kept": 1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_forked_children_write_their_own_books(tmp_path: Path):
    code = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from tests.support.colours import ScriptedClient, answer, openai
from llmkit import Budget
from llmkit.testing import ScriptedRuntime

path = {str(tmp_path / "u.db")!r}
client = ScriptedClient(ScriptedRuntime(answer()), [openai()], usage_db=path, budget=Budget(tokens=1000, window=None))
client.generate("q")
children = []
for _ in range(3):
    child = os.fork()
    if not child:
        client.generate("q")
        assert client.usage()[0].calls == 1
        assert client.budgets()[0].used == 6, client.budgets()
        client.close()
        os._exit(0)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
client.close()
"""
    subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", code], check=True, timeout=60, cwd=ROOT)
    assert stored(tmp_path / "u.db").calls == 4
    assert UsageStore(tmp_path / "u.db").spent({"tokens/client/None": 0}) == [Spending("tokens/client/None", "", 0, 12)]


def test_usage_db_is_checked():
    for wrong in (5, "", ["u.db"]):
        with pytest.raises(ConfigError, match="usage_db: expected the path"):
            Client(usage_db=wrong, plugins=[])


def test_settings_in_a_file(tmp_path: Path):
    """``usage_db`` and budgets of every shape, and their mistakes with their places."""
    text = f"""
[settings]
usage_db = "{tmp_path / "u.db"}"

[[settings.budget]]
usd = 0.1
window = "month"

[[settings.budget]]
tokens = 5000
per = "tag"
window = "total"
mode = "warn"
only = "nightly"
"""
    with Client.from_config_str(text) as client:
        assert sorted(state.name for state in client.budgets()) == ["0.1 USD per client a month"]
        assert client._core.writer is not None
    with pytest.raises(ConfigError) as caught:
        Client.from_config_str('[settings]\nbudget = {usd = 5, tokens = 5, per = "moon"}')
    assert "settings.budget.per" in str(caught.value)
    with pytest.raises(ConfigError, match=r"settings\.budget: Budget: expected exactly one of usd and tokens"):
        Client.from_config_str("[settings]\nbudget = {usd = 5, tokens = 5}")
    with pytest.raises(ConfigError, match=r"settings\.budget\[0\]\.usd"):
        Client.from_config_str("[[settings.budget]]\nusd = -5")
    assert Budget(usd=0.1).limit == 10**11
