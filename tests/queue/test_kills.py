"""``kill -9`` of real processes, at any moment: nothing is lost, nothing stored twice, and what may be sent twice says so.

A process without threads forks each victim, so that one is ready in a millisecond and 60 are killed in seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from llmkit import Client, TicketStatus
from llmkit.transports.tickets import SqliteTickets
from tests.support.colours import Colour, chat, openai

KILLS = 40
LEASE = 1.5
SEED = 5
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks and kills")

ZYGOTE = """
import os, random, signal, sys, time, traceback
what, path, kills, seed, url = sys.argv[1:]
from tests.queue import test_kills
test_kills.warm_up(f"{path}.{os.getpid()}.warm")
chance = random.Random(int(seed))
fatal = 0
for round in range(int(kills)):
    victim = os.fork()
    if not victim:
        try:
            getattr(test_kills, what)(path, url, round)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    time.sleep(chance.uniform(0.0, test_kills.LONGEST[what]))
    os.kill(victim, signal.SIGKILL)
    fatal += os.WIFSIGNALED(os.waitpid(victim, 0)[1])
print(fatal)
"""
LONGEST = {"put_for_ever": 0.12, "drain_slowly": 0.15}
"""Seconds that a victim lives at most."""


def warm_up(path: str) -> None:
    """Import everything, so that the victims need not."""
    import tenacity  # noqa: F401

    import llmkit.transports.aio
    import llmkit.transports.watchdog  # noqa: F401

    with Client([openai(model="m")], queue=path, plugins=[]) as client:
        client.queue("x")
        client.tickets()


def put_for_ever(path: str, url: str, round: int) -> None:
    """Store tickets under names of this round's own, and tell each that is stored; as a caller who starts again would, first those
    of the round before."""
    said = os.open(f"{path}.told", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    client = client_for("-", path, round)
    for name in [f"{round - 1}-{number}" for number in range(5)] + [f"{round}-{number}" for number in range(10_000)]:
        ticket = client.queue(f"prompt {name}", key=name)
        os.write(said, f"{name} {ticket.id}\n".encode())


def store_for(path: str) -> SqliteTickets:
    return SqliteTickets(path, lease=LEASE)


def drain_slowly(path: str, url: str, round: int) -> None:
    """Drain, several at once and one after the other by turns, until killed."""
    client = client_for(url, store_for(path), round)
    while True:
        client.drain_queue(concurrency=1 + 3 * (round // 2 % 2))
        time.sleep(0.01)


def client_for(url: str, queue: Any, round: int) -> Any:
    """Sync and async by turns."""
    instance = openai(model="m") if url == "-" else client_of(url)
    return Colour("async" if round % 2 else "sync").real([instance], queue=queue, retries=0)


def client_of(url: str) -> Any:
    return openai(model="m", base_url=url)


def kill(what: str, path: str, url: str = "-", seed: int = SEED) -> subprocess.Popen[str]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", ZYGOTE, what, path, str(KILLS), str(seed), url]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def killed(process: subprocess.Popen[str]) -> int:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return int(out)


def test_killed_while_putting(path: str):
    """Every ticket that was told is there, under its id; no name is there twice; at most one more for each kill."""
    assert killed(kill("put_for_ever", path)) == KILLS

    with open(f"{path}.told", encoding="ascii") as lines:
        told = [line.split() for line in lines.read().splitlines()]
    stored = SqliteTickets(path).find(limit=1_000_000)
    ids = {ticket.key: ticket.id for ticket in stored}

    assert len(told) > KILLS / 3
    assert all(ids[name] == id for name, id in told)
    assert len({ticket.id for ticket in stored}) == len(ids) == len(stored)
    assert len(stored) - len({name for name, _ in told}) <= KILLS
    assert {ticket.status for ticket in stored} == {TicketStatus.QUEUED}
    assert all(ticket.call.messages[0].text == f"prompt {ticket.key}" for ticket in stored if ticket.call)
    assert all(ticket.call is not None for ticket in stored)


class Counting(ThreadingHTTPServer):
    """A vendor that takes its time, and remembers what it was asked, and what it was asked twice at once."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.asked: Counter[str] = Counter()
        self.now: Counter[str] = Counter()
        self.at_once: list[str] = []
        self.lock = threading.Lock()

    def handle_error(self, request: Any, address: Any) -> None:
        """Whoever asked was killed."""


class Asked(BaseHTTPRequestHandler):
    """One question."""

    server: Counting

    def do_POST(self) -> None:
        text = json.loads(self.rfile.read(int(self.headers["content-length"])))["messages"][-1]["content"]
        with self.server.lock:
            self.server.asked[text] += 1
            self.server.now[text] += 1
            if self.server.now[text] > 1:
                self.server.at_once.append(text)
        time.sleep(0.03)
        body = chat(f"to {text}").body
        with self.server.lock:
            self.server.now[text] -= 1
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *said: Any) -> None:
        """Nothing."""


@pytest.fixture
def vendor() -> Iterator[Counting]:
    with Counting() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_killed_while_draining(path: str, vendor: Counting):
    """Two rows of drainers, all killed, at the same queue: each ticket is answered in the end; none was asked twice at once; and
    one that was asked more than once says that it may have been."""
    url = f"http://127.0.0.1:{vendor.server_address[1]}/v1"
    store = store_for(path)
    with Client([client_of(url)], queue=store, plugins=[], retries=0) as client:
        put = {client.queue(f"question {number}").id: f"question {number}" for number in range(400)}
        both = [kill("drain_slowly", path, url, seed) for seed in (SEED, SEED + 1)]
        deaths = sum(killed(process) for process in both)
        left = store.count()
        time.sleep(LEASE)
        until = time.monotonic() + 90
        while store.count()[TicketStatus.QUEUED] + store.count()[TicketStatus.RUNNING] and time.monotonic() < until:
            client.drain_queue(concurrency=20)
            time.sleep(0.2)  # on a busy machine a call may fail, and its ticket goes back for a while
        tickets = {ticket.id: ticket for ticket in client.tickets(limit=1000)}

    assert deaths == 2 * KILLS
    assert left[TicketStatus.DONE] > 0
    assert tickets.keys() == put.keys()
    assert {ticket.status for ticket in tickets.values()} == {TicketStatus.DONE}
    assert all(ticket.completion.text == f"to {put[id]}" for id, ticket in tickets.items() if ticket.completion)
    assert vendor.at_once == []
    twice = {text for text, times in vendor.asked.items() if times > 1}
    marked = {put[id] for id, ticket in tickets.items() if ticket.maybe_sent_before}
    assert twice
    assert twice <= marked
    assert set(vendor.asked) == set(put.values())


def test_two_living_drainers_share_the_work(path: str, vendor: Counting):
    """Two processes at one queue: each ticket is asked once."""
    url = f"http://127.0.0.1:{vendor.server_address[1]}/v1"
    with Client([client_of(url)], queue=path, plugins=[], retries=0) as client:
        put = {client.queue(f"question {number}").id for number in range(100)}
        code = "import sys\nfrom tests.queue.test_kills import *\n"
        code += "with Client([client_of(sys.argv[2])], queue=sys.argv[1], plugins=[], retries=0) as client:\n"
        code += "    print(*[ticket.id for ticket in client.drain_queue(concurrency=5)])\n"
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", code, path, url]
        both = [subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        drained = [set(process.communicate(timeout=60)[0].split()) for process in both]
    assert drained[0] | drained[1] == put
    assert not drained[0] & drained[1]
    assert set(vendor.asked.values()) == {1}
    assert not any(ticket.maybe_sent_before for ticket in SqliteTickets(path).find(limit=1000))
