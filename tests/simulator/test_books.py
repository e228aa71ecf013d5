"""What the simulator counts, limits, scripts and repeats; its threads, its doors for other processes, its command line."""

from __future__ import annotations

import asyncio
import configparser
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import aiohttp
import pytest
import requests

from llmkit.errors import ConfigError
from llmkit.simulator import Answer, Fault, Refusal, SimulatedCall, Simulator
from tests.simulator.conftest import halves
from tests.simulator.wires import VENDORS, chat, events, headers, hear

ROOT = Path(__file__).parents[2]


def say(one, text="hi", vendor="openai", key="key-1", stream=False, **more) -> requests.Response:
    url, body = chat(one.base_url(vendor), vendor, text, stream, **more)
    session = requests.Session()
    session.trust_env = False
    with session:
        return session.post(url, json=body, headers=headers(vendor, key), timeout=20)


def wait_for(true, seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.01)
    assert true()


def test_books_of_all_vendors(make):
    """Every call is counted once, under its vendor, key and model, with the tokens that the answer told."""
    one = make()
    heard = []
    for number, vendor in enumerate(VENDORS):
        for stream in (False, True):
            key = f"key-{number % 3}"
            reply = say(one, f"w{number} and {'more ' * number}", vendor, key, stream, model="m")
            heard.append(hear(vendor, reply.content, stream))
    total = one.ledger.snapshot()["total"]
    assert (total["calls"], total["ok"], total["errors"], total["in_flight"]) == (32, 32, {}, 0)
    assert total["prompt_tokens"] == sum(one.prompt for one in heard)
    assert total["completion_tokens"] == sum(one.completion for one in heard)
    assert one.ledger.account("openai")["calls"] == 2
    assert sum(one.ledger.account(key=f"key-{n}")["ok"] for n in range(3)) == 32


def test_only_complete_answers_are_booked(make):
    one = make()
    for fault in ("cut:1", "garbage", "error_event", "500", "empty"):
        one.heal()
        one.fail(fault, times=1)
        say(one, "one two", stream=True)
    for fault in ("drop:1", "reset"):
        one.fail(fault, times=1)
        with pytest.raises(requests.RequestException):
            say(one, "one two", stream=True)
    say(one, "one two")
    books = one.ledger.account("openai")
    assert (books["calls"], books["ok"], books["prompt_tokens"], books["completion_tokens"]) == (8, 1, 2, 2)
    assert books["errors"] == dict.fromkeys(("cut", "garbage", "error_event", "server", "empty", "drop", "reset"), 1)


def test_a_client_that_leaves_is_not_served(make):
    """A call whose client has gone is closed soon, as ``gone``."""
    one = make()
    one.fail("stall:30", times=1)
    url, body = chat(one.base_url("openai"), "openai", "hi")
    with pytest.raises(requests.Timeout):
        requests.post(url, json=body, headers=headers("openai"), timeout=0.1)
    wait_for(lambda: one.ledger.account()["in_flight"] == 0)
    assert one.ledger.account()["errors"] == {"gone": 1}


def test_arrivals_and_texts(make):
    one = make()
    for text in ("a", "b", "a"):
        say(one, text)
    account = one.ledger.snapshot()["accounts"][0]
    assert account["asked"] == account["served"] == ["a", "b", "a"]
    assert account["arrivals"] == sorted(account["arrivals"])
    assert account["connections"] == 3
    one.ledger.clear()
    assert one.ledger.snapshot()["accounts"] == []


def test_concurrency_is_counted(make):
    """Sixteen calls at once over sixteen connections."""
    one = make(latency=0.3)

    async def all_at_once() -> list[int]:
        url, body = chat(one.base_url("anthropic"), "anthropic", "hi")
        async with aiohttp.ClientSession() as session:

            async def call() -> int:
                async with session.post(url, json=body, headers=headers("anthropic")) as reply:
                    await reply.read()
                    return reply.status

            return await asyncio.gather(*[call() for _ in range(16)])

    assert asyncio.run(all_at_once()) == [200] * 16
    account = one.ledger.account("anthropic")
    assert (account["max_in_flight"], account["connections"], account["in_flight"]) == (16, 16, 0)


def test_two_threads(make):
    one = make()
    failed = []

    def work(key: str) -> None:
        with requests.Session() as session:
            for number in range(50):
                url, body = chat(one.base_url("openai"), "openai", f"{key} {number}")
                if session.post(url, json=body, headers=headers("openai", key)).status_code != 200:
                    failed.append(number)

    threads = [threading.Thread(target=work, args=(key,)) for key in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert [one.ledger.account(key=key)["ok"] for key in ("a", "b")] == [50, 50]


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_rate_limit_per_key(make, vendor):
    """So many in a window per key, then the vendor's 429 that says when to come back; and then it works again."""
    one = make(rate_limits={"limited": (3, 1.0)})
    began = time.monotonic()
    assert [say(one, vendor=vendor, key="limited").status_code for _ in range(3)] == [200] * 3
    refused = say(one, vendor=vendor, key="limited")
    assert time.monotonic() - began < 1.0
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 2
    assert say(one, vendor=vendor, key="free").status_code == 200
    time.sleep(1.05)
    assert say(one, vendor=vendor, key="limited").status_code == 200
    assert one.ledger.account(vendor, "limited")["errors"] == {"rate_limit": 1}


def test_rate_limit_headers(make):
    one = make(rate_limits={"*": 2})
    seen = [say(one).headers for _ in range(3)]
    assert [head["x-ratelimit-remaining-requests"] for head in seen] == ["1", "0", "0"]
    assert seen[2]["x-ratelimit-reset-requests"].endswith("s")
    assert [say(one, vendor="anthropic").headers["anthropic-ratelimit-requests-remaining"] for _ in range(2)] == ["1", "0"]


def test_the_same_seed_says_the_same(make):
    """Byte for byte, and something else with another seed."""

    def bodies(seed: int) -> list[bytes]:
        one = make(seed=seed)
        return [say(one, "hello", vendor, stream=stream).content for vendor in VENDORS for stream in (False, True)]

    first = bodies(1)
    assert bodies(1) == first
    assert len(set(first)) == len(first)
    other = [raw for raw, again in zip(bodies(2), first, strict=True) if raw == again]
    assert len(other) <= 2  # Ollama's answers have no id


def test_latency_and_token_rate(make):
    one = make(latency=0.1, token_rate=50)
    began = time.monotonic()
    say(one, "one two three four five")
    assert 0.2 <= time.monotonic() - began < 5
    url, body = chat(one.base_url("openai"), "openai", "one two three four five", True)
    times = []
    with requests.post(url, json=body, headers=headers("openai"), stream=True) as reply:
        for line in reply.iter_lines(chunk_size=1):
            if b'"content":"' in line:
                times.append(time.monotonic())
    assert len(times) == 6
    assert times[-1] - times[0] >= 0.08


def test_script_of_a_function(make):
    one = make(script=lambda question: f"{question.vendor} {question.model} {question.key} {question.text}")
    assert say(one, "hi").json()["choices"][0]["message"]["content"] == "openai m key-1 hi"


def test_script_of_a_list(make):
    """In turn, then echoes: texts, answers, faults."""
    call = Answer(tool_calls=(SimulatedCall("f", {"a": 1}),))
    one = make()
    short = Answer(text="cut short", finish="length", completion_tokens=99)
    one.script(["first", call, Fault.parse("529"), Fault.parse("cut:1"), short])
    assert say(one).json()["choices"][0]["message"]["content"] == "first"
    assert say(one).json()["choices"][0]["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":1}'}
    assert say(one).status_code == 529
    assert b"[DONE]" not in say(one, stream=True).content
    last = say(one).json()
    assert (last["choices"][0]["finish_reason"], last["usage"]["completion_tokens"]) == ("length", 99)
    assert say(one, "echo").json()["choices"][0]["message"]["content"] == "echo"


def test_script_that_refuses_or_breaks(make):
    def refuse(question):
        raise Refusal("quota") if question.text == "pay" else ZeroDivisionError("oops")

    one = make(script=refuse)
    assert say(one, "pay").json()["error"]["code"] == "insufficient_quota"
    reply = say(one, "break")
    assert (reply.status_code, "ZeroDivisionError: oops" in reply.text) == (500, True)
    assert one.ledger.account()["in_flight"] == 0


def test_refusals_and_filters_of_the_model(make):
    """A refusal in the answer, where the vendor has a place for it."""
    one = make(script=lambda question: Answer(refusal="I will not.", finish="content_filter"))
    message = say(one).json()["choices"][0]
    assert (message["message"]["content"], message["message"]["refusal"], message["finish_reason"]) == (
        None, "I will not.", "content_filter",
    )  # fmt: skip
    choices = [choice for event in events(say(one, stream=True).content) for choice in event["choices"]]
    assert "".join(choice["delta"].get("refusal", "") for choice in choices) == "I will not."
    assert say(one, vendor="anthropic").json()["stop_reason"] == "refusal"
    assert say(one, vendor="google").json()["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"}


def test_other_processes_steer_it(make, http):
    """Rules and books over HTTP."""
    one = make()
    doors = f"{one.url}/_simulator"
    rules = [{"fault": "503;retry-after=1", "vendor": "openai", "times": 1}, {"fault": "cut:2", "key": "k"}]
    assert len(http.post(f"{doors}/faults", json=rules).json()) == 2
    assert say(one).status_code == 503
    assert say(one).status_code == 200
    assert http.get(f"{doors}/ledger").json() == one.ledger.snapshot()
    assert http.get(f"{doors}/faults").json()[0]["times"] == 0
    assert http.delete(f"{doors}/faults").json() == []
    http.delete(f"{doors}/ledger")
    assert one.ledger.snapshot()["total"]["calls"] == 0
    for wrong in ({"fault": "nonsense"}, {"vendor": "x"}, {"fault": "500", "vendr": "x"}, {"fault": "500", "rate": "1"}, 5):
        assert http.post(f"{doors}/faults", json=wrong).status_code == 400
    assert http.get(f"{doors}/nothing").status_code == 404


def test_its_life():
    """It starts when it is first needed, stops twice, and starts again."""
    others = set(threading.enumerate())
    one = Simulator(vendors=halves())
    assert set(threading.enumerate()) <= others
    assert say(one).status_code == 200
    one.stop()
    one.stop()
    with one:
        assert say(one).status_code == 200
    assert set(threading.enumerate()) <= others


def test_stopping_cuts_what_is_in_flight(make):
    one = make()
    one.fail("stall:60")
    broken = []

    def work() -> None:
        try:
            say(one)
        except requests.RequestException as problem:
            broken.append(problem)

    thread = threading.Thread(target=work)
    thread.start()
    wait_for(lambda: one.ledger.account()["in_flight"] == 1)
    began = time.monotonic()
    one.stop()
    thread.join(5)
    assert time.monotonic() - began < 2
    assert len(broken) == 1


def test_a_taken_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            Simulator(vendors=halves(), port=taken.getsockname()[1]).start()


def test_unknown_vendor():
    with pytest.raises(ConfigError, match="no vendor 'nobody'; it has anthropic, azure_openai"):
        Simulator(vendors=halves()).base_url("nobody")


@pytest.fixture
def as_installed(tmp_path):
    """An environment in which the halves can be found as those of an installed distribution, and one that is broken."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    folder = tmp_path / "halves-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: halves\nVersion: 1.0\n")
    points = setup["options.entry_points"]["llmkit.simulators"]
    (folder / "entry_points.txt").write_text(f"[llmkit.simulators]\nbroken = no_such_module:X{points}\n")
    return {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}


def test_command_line(as_installed):
    """It prints a line per vendor and serves until it is interrupted."""
    command = [sys.executable, "-m", "llmkit.simulator", "--port", "0", "--fault", "503", "--rate-limit", "*=5/1"]
    with subprocess.Popen(command, env=as_installed, stdout=subprocess.PIPE, text=True) as program:
        try:
            lines = dict([program.stdout.readline().split() for _ in VENDORS])
            assert set(lines) == set(VENDORS)
            url, body = chat(lines["openai"], "openai", "hi")
            assert requests.post(url, json=body, headers=headers("openai")).status_code == 503
        finally:
            program.terminate()


def test_command_line_with_wrong_settings(as_installed):
    command = [sys.executable, "-m", "llmkit.simulator", "--fault", "nonsense"]
    done = subprocess.run(command, env=as_installed, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, "unknown fault 'nonsense'" in done.stderr, done.stdout) == (2, True, "")


def test_fixture(as_installed, tmp_path):
    """The pytest plugin gives a simulator, and imports nothing of llmkit until a test asks for it."""
    (tmp_path / "test_mine.py").write_text(
        "import sys, requests\n"
        "def test_light():\n"
        "    assert not [name for name in sys.modules if name.startswith(('llmkit.simulat', 'aiohttp'))]\n"
        "def test_it(llmkit_simulator):\n"
        "    assert requests.get(llmkit_simulator.base_url('ollama') + '/api/tags').json()['models']\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "llmkit.testing.pytest_plugin", "-p", "no:cacheprovider", str(tmp_path)]
    environment = {**as_installed, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
