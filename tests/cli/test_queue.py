"""``llmkit queue``."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from llmkit import CallQueued, Client, Instance, TicketStatus
from llmkit.simulator import Simulator
from llmkit.transports.tickets import SqliteTickets
from tests.cli.conftest import PROGRAM, Program, vendor_environment
from tests.cli.terminal import run


@pytest.fixture
def queue(tmp_path: Path) -> str:
    """Three calls that wait; the last of them is wrong."""
    path = str(tmp_path / "queue.sqlite")
    nobody = Instance("openai", "gpt-4o-mini", api_key="sk-x", base_url="http://127.0.0.1:9/v1")
    with Client([nobody], queue=path, retries=0, fallback="queue", plugins=[]) as client:
        client.queue("first question", model="openai/gpt-4o-mini", key="one")
        with pytest.raises(CallQueued):
            client.generate("second question", model="openai/gpt-4o-mini")
    return path


def test_list_drain_show_purge(program: Program, queue: str):
    """One after the other, as a person would."""
    listed = program("queue", "list", "-q", queue)
    rows = listed.stdout.splitlines()
    assert listed.returncode == 0
    assert rows[0].split()[:2] == ["ID", "STATUS"]
    assert [row.split()[1] for row in rows[1:]] == ["queued", "queued"]
    assert "openai/gpt-4o-mini" in rows[1]

    drained = program("queue", "drain", "-q", queue)
    assert (drained.returncode, drained.stderr) == (0, "")
    assert [row.split()[1] for row in drained.stdout.splitlines()[1:]] == ["done", "done"]
    first = drained.stdout.splitlines()[1].split()[0]

    shown = program("queue", "show", first, "-q", queue)
    assert shown.returncode == 0
    assert "status: done" in shown.stdout
    assert "prompt: first question" in shown.stdout
    assert "key: one" in shown.stdout
    assert "first question" in shown.stdout.split("\n\n")[1]

    assert program("queue", "drain", "-q", queue).stdout.splitlines()[1:] == []
    assert program("queue", "purge", "--older-than", "1", "-q", queue).stdout == "0 deleted\n"
    assert program("queue", "purge", "-q", queue).stdout == "2 deleted\n"
    assert program("queue", "list", "-q", queue).stdout.splitlines()[1:] == []


def test_json(program: Program, queue: str):
    """For programs: each field, and the answer as ``generate --json`` has it."""
    tickets = json.loads(program("queue", "list", "--json", "-q", queue).stdout)
    assert [ticket["status"] for ticket in tickets] == ["queued", "queued"]
    assert (tickets[1]["key"], tickets[1]["completion"], tickets[1]["maybe_sent_before"]) == ("one", None, False)
    assert "HTTP" not in tickets[1]["why"]
    done = json.loads(program("queue", "drain", "--json", "--limit", "1", "-q", queue).stdout)
    assert [ticket["id"] for ticket in done] == [tickets[1]["id"]]
    assert done[0]["completion"]["finish_reason"] == "stop"
    shown = json.loads(program("queue", "show", done[0]["id"], "--json", "-q", queue).stdout)
    assert shown == done[0]
    assert json.loads(program("queue", "purge", "--status", "done", "--json", "-q", queue).stdout) == {"deleted": 1}
    queued = json.loads(program("queue", "list", "--json", "--status", "queued", "-q", queue).stdout)
    assert len(queued) == 1


def test_exit_codes(program: Program, queue: str):
    """5 where a ticket went back, 1 where one has failed, 1 for a ticket that there is not, 1 for a file that is no queue."""
    env = {**vendor_environment(program.simulator), "OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "LLM_RETRY_MAX_ATTEMPTS": "0"}
    later = program("queue", "drain", "--limit", "1", "-q", queue, env=env)
    assert (later.returncode, later.stdout.splitlines()[1].split()[1]) == (5, "queued")
    program.simulator.fail("400;message=wrong", vendor="openai", times=1)
    failed = program("queue", "drain", "--limit", "1", "-q", queue)
    assert (failed.returncode, failed.stdout.splitlines()[1].split()[1]) == (1, "failed")
    missing = program("queue", "show", "nothing", "-q", queue)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr == "error: id: there is no ticket 'nothing'\n"
    Path(queue).write_bytes(b"rubbish" * 1000)
    broken = program("queue", "list", "--json", "-q", queue)
    assert broken.returncode == 1
    assert json.loads(broken.stderr)["error"]["code"] == "STORAGE_ERROR"


def test_the_configuration_names_the_queue(program: Program, queue: str, tmp_path: Path):
    """``-c FILE``, and ``-q`` over it; ``fallback`` in it keeps what ``generate`` cannot get."""
    base_url = program.simulator.base_url("openai")
    settings = f'[settings]\nqueue = "{queue}"\nfallback = "queue"\nretries = 0\n'
    instance = f'[[instances]]\nprovider = "openai"\nmodel = "gpt-4o-mini"\napi_key = "sk-test-0"\nbase_url = "{base_url}"\n'
    config = tmp_path / "llmkit.toml"
    config.write_text(settings + instance, encoding="utf-8")
    assert len(json.loads(program("queue", "list", "--json", "-c", str(config)).stdout)) == 2
    other = str(tmp_path / "other.sqlite")
    assert "other.sqlite" in program("queue", "list", "-c", str(config), "-q", other).stderr  # which is not there
    program.simulator.fail("503", vendor="openai", times=1)
    done = program("generate", "-c", str(config), "Hi")
    assert (done.returncode, done.stdout) == (5, "")
    assert "the call waits in the queue as ticket " in done.stderr
    assert len(json.loads(program("queue", "list", "--json", "-c", str(config)).stdout)) == 3
    checked = json.loads(program("config", "check", "--json", str(config)).stdout)
    assert (checked["settings"]["queue"], checked["settings"]["fallback"]) == (queue, ["queue"])


@pytest.mark.parametrize("concurrency", ["1", "4"])
def test_ctrl_c_gives_back(slow: Simulator, queue: str, concurrency: str):
    """What was being asked waits again when the program has ended, and says that it may have been sent."""
    store = SqliteTickets(queue)
    command = [*PROGRAM, "queue", "drain", "-q", queue, "--concurrency", concurrency]
    slow.fail("stall:60", vendor="openai", times=2)
    drain = subprocess.Popen(command, env=vendor_environment(slow), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + 30
    while not store.count()[TicketStatus.RUNNING] and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.3)
    drain.send_signal(signal.SIGINT)
    out, _ = drain.communicate(timeout=30)
    slow.heal()
    assert (drain.returncode, out) == (130, b"")
    tickets = store.find()
    assert {(str(ticket.status), ticket.attempts) for ticket in tickets} == {("queued", 0)}
    assert sum(ticket.maybe_sent_before for ticket in tickets) >= 1


def test_on_a_terminal_it_is_a_table(program: Program, queue: str):
    """It fits, with the ids whole: they are there to be copied."""
    tickets = json.loads(program("queue", "list", "--json", "-q", queue).stdout)
    code, terminal = run([*PROGRAM, "queue", "list", "-q", queue], vendor_environment(program.simulator))
    assert code == 0
    assert all(ticket["id"] in terminal.plain for ticket in tickets)
    assert "status" in terminal.plain
    assert "tries" in terminal.plain


@pytest.mark.parametrize("asked", [("list",), ("show", "2f6394e3fa7c574a"), ("purge",)], ids=" ".join)
def test_a_queue_that_is_not_there_is_not_an_empty_one(program: Program, tmp_path: Path, asked: tuple[str, ...]):
    """Whoever names a file in order to look at it has mistyped it; a drain may come before the first ticket."""
    missing = tmp_path / "quue.sqlite"
    done = program("queue", *asked, "-q", str(missing))
    assert (done.returncode, done.stdout) == (3, "")
    assert "there is no such file" in done.stderr
    assert not missing.exists()
    assert program("queue", "drain", "-q", str(missing)).returncode == 0
