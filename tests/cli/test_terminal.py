"""The program on a terminal: colour, answers as they come, Ctrl-C."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from llmkit.simulator import Simulator
from tests.cli.conftest import PROGRAM, vendor_environment
from tests.cli.terminal import CTRL_C, CTRL_D, Terminal, run

MODEL = ("-m", "openai/gpt-4o-mini")
LONG = " ".join([f"word{number}" for number in range(60)])


def test_an_answer_is_printed_as_it_arrives_and_ctrl_c_ends_it(slow: Simulator):
    """The first words are there long before the last; Ctrl-C gives exit code 130 and no traceback."""
    with Terminal([*PROGRAM, "generate", *MODEL, LONG], vendor_environment(slow)) as terminal:
        assert "word59" not in terminal.until("word2")
        terminal.type(CTRL_C)

        assert terminal.finish() == 130
        assert "Traceback" not in terminal.seen
        assert "word59" not in terminal.seen


def test_a_person_is_told_who_answered(simulator: Simulator):
    code, terminal = run([*PROGRAM, "generate", *MODEL, "Hello there"], vendor_environment(simulator))

    assert code == 0
    assert terminal.plain.splitlines()[0] == "Hello there"
    assert "openai/gpt-4o-mini  4 tokens" in terminal.plain


def test_an_answer_cannot_command_the_terminal(simulator: Simulator):
    """Escape sequences of a model are not passed on to a terminal."""
    _, terminal = run([*PROGRAM, "generate", *MODEL, "--no-stream", "red\x1b[31m\x07 text"], vendor_environment(simulator))

    assert "red[31m text" in terminal.plain
    assert "\x07" not in terminal.seen


@pytest.mark.parametrize(("variable", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour(simulator: Simulator, variable: dict[str, str], coloured: bool):
    code, terminal = run([*PROGRAM, "generate", "x", "-c", "no.toml"], {**vendor_environment(simulator), **variable})

    assert code == 3
    assert ("\x1b[1;31merror" in terminal.seen) is coloured
    assert "error: no.toml: cannot be read" in terminal.plain


def test_json_is_indented_for_a_person(simulator: Simulator):
    _, terminal = run([*PROGRAM, "generate", *MODEL, "Hi", "--json"], vendor_environment(simulator))

    assert '\r\n  "text": "Hi"' in terminal.plain
    assert json.loads(terminal.plain[terminal.plain.index("{") :])["text"] == "Hi"


def test_chat_goes_on_after_ctrl_c(slow: Simulator, tmp_path: Path):
    """Ctrl-C stops an answer and not the program; what had come is remembered; Ctrl-D ends the program with code 0."""
    saved = tmp_path / "chat.json"
    with Terminal([*PROGRAM, "chat", *MODEL], vendor_environment(slow)) as terminal:
        terminal.until("> ")
        terminal.type(f"{LONG}\r")
        terminal.until("word59")  # the echo of the keys
        terminal.until("word2")
        terminal.type(CTRL_C)
        terminal.until("stopped")
        terminal.until("> ")
        terminal.type("Hello\r")
        terminal.until("\nHello")
        terminal.until("> ")
        time.sleep(0.3)  # a signal in the instant before readline waits for keys is seen at the next key only
        terminal.type(CTRL_C)
        terminal.until("Ctrl-D ends")
        terminal.until("> ")
        terminal.type(f"/save {saved}\r")
        terminal.until("4 messages")
        terminal.until("> ")
        terminal.type(CTRL_D)

        assert terminal.finish() == 0

    messages = json.loads(saved.read_text())["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant"]
    assert messages[1]["content"][0]["text"].startswith("word0 word1")


def test_chat_goes_on_after_ctrl_c_before_the_first_word(simulator: Simulator):
    """A turn that got no answer is forgotten."""
    simulator.fail("stall:20", key="sk-test-chat-stall", times=1)
    with Terminal([*PROGRAM, "chat", *MODEL], vendor_environment(simulator, "sk-test-chat-stall")) as terminal:
        terminal.until("> ")
        terminal.type("one\r")
        terminal.until("one")
        time.sleep(0.5)  # the request is on its way, nothing comes
        terminal.type(CTRL_C)
        terminal.until("stopped")
        terminal.until("> ")
        terminal.type("two\r")
        terminal.until("\ntwo")
        terminal.until("> ")
        terminal.type("/usage\r")
        terminal.until("> ")
        terminal.type(CTRL_D)

        assert terminal.finish() == 0
        assert re.search(r"openai/gpt-4o-mini +1 +0 +1 +1 +2", terminal.plain)


def test_chat_survives_an_error(simulator: Simulator):
    simulator.fail("400", key="sk-test-chat-errors", times=1)
    with Terminal([*PROGRAM, "chat", *MODEL], vendor_environment(simulator, "sk-test-chat-errors")) as terminal:
        terminal.until("> ")
        terminal.type("one\r")
        terminal.until("error")
        terminal.until("> ")
        terminal.type("/nonsense\r")
        terminal.until("there is no /nonsense")
        terminal.type("two\r")
        terminal.until("\ntwo")
        terminal.type("/quit\r")

        assert terminal.finish() == 0
