"""``llmkit generate``: answers on standard output, troubles on standard error, codes for scripts."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from llmkit.cli.app import run
from tests.cli.conftest import KEY, Program, clean_environment

MODEL = ("-m", "openai/gpt-4o-mini")
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==")


def test_piped_is_the_answer_alone(program: Program):
    done = program("generate", *MODEL, "Hello", "there")

    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello there\n", "")


def test_the_question_on_standard_input(program: Program):
    assert program("generate", *MODEL, said="from a pipe\n").stdout == "from a pipe\n"


def test_a_dash_stands_for_standard_input(program: Program):
    assert program("generate", *MODEL, "Say:", "-", said="what is piped\n").stdout == "Say: \nwhat is piped\n"


def test_standard_input_is_left_alone_where_there_is_a_question(program: Program):
    assert program("generate", *MODEL, "Hello", said="not this").stdout == "Hello\n"


def test_json_is_the_whole_story(program: Program):
    done = program("generate", *MODEL, "one two", "--json")

    answer = json.loads(done.stdout)
    assert answer["text"] == "one two"
    assert answer["finish_reason"] == "stop"
    assert answer["model"] == "gpt-4o-mini"
    assert answer["usage"]["total_tokens"] == 4
    assert answer["cost"] == "0.000001500000"  # 2 tokens at 0.15 and 2 at 0.60 dollars per million
    assert [(attempt["instance"], attempt["error"]) for attempt in answer["attempts"]] == [("openai/gpt-4o-mini", None)]


def test_a_stream_as_json_is_one_event_to_a_line(program: Program):
    done = program("generate", *MODEL, "one two three", "--json", "--stream")

    events = [json.loads(row) for row in done.stdout.splitlines()]
    assert "".join([event["text"] for event in events if event["type"] == "text"]) == "one two three"
    assert [event["type"] for event in events][0 :: len(events) - 1] == ["started", "completion"]
    assert events[-1]["text"] == "one two three"


def test_a_plain_stream_in_a_pipe(program: Program):
    assert program("generate", *MODEL, "one two", "--stream").stdout == "one two\n"


def test_options_reach_the_vendor(program: Program):
    """Named options are llmkit's own, others the vendor's; the simulated OpenAI refuses fields that it does not know."""
    done = program("generate", *MODEL, "a b c", "-o", "stop=b", "-o", "seed=7", "-o", 'metadata={"k":"v"}', "--temperature", "0.5")
    refused = program("generate", *MODEL, "a", "-o", "no_such_field=1")

    assert done.stdout == "a \n"
    assert refused.returncode == 1
    assert "no_such_field" in refused.stderr


def test_an_answer_that_is_cut_short_says_so(program: Program):
    done = program("generate", *MODEL, "one two three", "--max-tokens", "1")

    assert done.stdout.split() == ["one"]
    assert done.stderr == "warning: the answer ends at the limit of tokens\n"


def test_a_picture_and_a_document(program: Program, tmp_path: Path):
    picture, document = tmp_path / "a.png", tmp_path / "b.pdf"
    picture.write_bytes(PIXEL)
    document.write_bytes(b"%PDF-1.4\n%%EOF\n")

    assert program("generate", *MODEL, "what", "--image", str(picture), "--file", str(document)).stdout == "what\n"
    missing = program("generate", *MODEL, "what", "--image", str(tmp_path / "none.png"))
    assert missing.returncode == 2
    assert "none.png: No such file" in missing.stderr


def test_what_is_piped_must_be_text(program: Program):
    done = program("generate", *MODEL, said="\udc89PNG", errors="surrogateescape")

    assert done.returncode == 2
    assert "standard input is no text" in done.stderr


def test_an_unexpected_mistake_is_one_line_as_well(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Where llmkit itself is at fault: one line, nothing that looks like a key, the traceback on demand."""
    monkeypatch.setattr("llmkit.cli.generate.make_client", lambda *_: {}[f"Bearer {KEY}"])

    assert run(["generate", *MODEL, "Hi"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: unexpected KeyError")
    assert KEY not in said
    assert run(["--debug", "generate", *MODEL, "Hi"]) == 1
    traced = capsys.readouterr().err
    assert "Traceback" in traced
    assert KEY not in traced


def test_base_url(program: Program):
    env = clean_environment(OPENAI_API_KEY=KEY)
    done = program("generate", *MODEL, "Hi", "--base-url", program.simulator.base_url("openai"), env=env)

    assert (done.returncode, done.stdout) == (0, "Hi\n")


@pytest.mark.parametrize(
    ("fault", "code"),
    [("400", 1), ("404", 1), ("401", 4), ("403", 4), ("quota", 4), ("429", 5), ("500", 5), ("reset", 5), ("html", 1)],
)
def test_exit_codes(program: Program, fault: str, code: int):
    """Each kind of failure has its code, and one line on standard error that shows no key."""
    key = f"sk-test-{fault}-0123456789abcdef"
    program.simulator.fail(fault, key=key)

    done = program("generate", *MODEL, "Hi", "--retries", "0", key=key)

    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert key not in done.stderr


def test_errors_as_json(program: Program):
    program.simulator.fail("429;retry-after=7", key="sk-test-json-errors")

    done = program("generate", *MODEL, "Hi", "--retries", "0", "--json", key="sk-test-json-errors")

    error = json.loads(done.stderr)["error"]
    assert (error["code"], error["status"], error["retry_after"]) == ("LLM_RATE_LIMIT", 429, 7)
    assert done.stdout == ""


def test_debug_shows_the_traceback_and_no_key(program: Program):
    program.simulator.fail("401", key="sk-test-debug-0123456789")

    done = program("generate", *MODEL, "Hi", "--debug", key="sk-test-debug-0123456789")

    assert "Traceback" in done.stderr
    assert "sk-test-debug-0123456789" not in done.stderr


def test_a_missing_key_is_configuration(program: Program):
    done = program("generate", *MODEL, "Hi", env=clean_environment())

    assert done.returncode == 3
    assert "OPENAI_API_KEY" in done.stderr


@pytest.mark.parametrize(
    "arguments", [("Hi",), (*MODEL,), (*MODEL, "Hi", "-o", "nothing"), (*MODEL, "Hi", "-c", "x.toml", "--base-url", "http://x")]
)
def test_wrong_usage(program: Program, arguments: tuple[str, ...]):
    """No model, no question, an option that is none, two places for the vendor."""
    done = program("generate", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert "error: " in done.stderr
