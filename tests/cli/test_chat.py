"""``llmkit chat`` with its turns piped in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Program

MODEL = ("-m", "openai/gpt-4o-mini")


def test_lines_are_turns(program: Program):
    done = program("chat", *MODEL, said="one\n\ntwo words\n//slash\n")

    assert (done.returncode, done.stdout, done.stderr) == (0, "one\ntwo words\n/slash\n", "")


def test_the_conversation_is_sent_again(program: Program):
    """The second turn's prompt holds the first turn and its answer: three words, not one."""
    done = program("chat", *MODEL, said="one\ntwo\n/usage\n/reset\nthree\n/usage\n")

    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("openai/")]
    assert [row[3] for row in rows] == ["4", "5"]


def test_commands(program: Program, tmp_path: Path):
    """Model and instructions can be changed on the way; the conversation is saved as JSON or text."""
    saved, text = tmp_path / "chat.json", tmp_path / "chat.txt"
    said = f"/help\n/system Be brief.\n/model openai/gpt-4o\nHello\n/save {saved}\n/save {text}\n/save {tmp_path}\n/quit\nnever\n"
    done = program("chat", *MODEL, said=said)

    assert done.returncode == 0
    assert "/save FILE" in done.stdout
    assert "never" not in done.stdout
    assert "Is a directory" in done.stderr
    document = json.loads(saved.read_text())
    assert (document["model"], document["system"], len(document["messages"])) == ("openai/gpt-4o", "Be brief.", 2)
    assert text.read_text() == "system: Be brief.\n\nuser: Hello\n\nassistant: Hello\n\n"


def test_an_error_ends_a_script(program: Program):
    program.simulator.fail("401", key="sk-test-chat-401")

    done = program("chat", *MODEL, said="one\ntwo\n", key="sk-test-chat-401")

    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.count("error: ") == 1


@pytest.mark.parametrize(
    ("how", "shown", "said"),
    [("restart", "one\none two three\n", "the answer begins anew"), ("continue", "one", "the answer goes on")],
)
def test_a_stream_that_goes_on_says_so(program: Program, tmp_path: Path, how: str, shown: str, said: str):
    key = f"sk-test-chat-{how}-0123456789"
    program.simulator.fail("cut:1", key=key, times=1)
    config = tmp_path / "llmkit.toml"
    config.write_text(
        '[[instances]]\nprovider = "openai"\nmodel = "gpt-4o-mini"\n'
        f'[settings]\nresume = "{how}"\nretry_initial_delay = 0.01\n'
    )
    done = program("chat", "-c", str(config), said="one two three\n", key=key)

    assert done.stdout.startswith(shown)
    assert done.stderr.startswith("warning: openai/gpt-4o-mini: the stream stopped before its end")
    assert done.stderr.endswith(f"; {said} at openai/gpt-4o-mini\n")
