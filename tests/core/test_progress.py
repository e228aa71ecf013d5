"""The bar of a batch: on a terminal, or where it is asked for; never in a pipe unasked."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from llmkit import InvalidRequestError, Request
from llmkit.observe import progress
from tests.support.colours import Colour, answer, openai


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def asked(colour: Colour, monkeypatch: pytest.MonkeyPatch, out: io.StringIO, requests: Any, given: Any) -> str:
    monkeypatch.setattr(sys, "stderr", out)
    client = colour.scripted(answer(), [openai()])
    results = client.batch(requests, progress=given)
    assert len(results) == 3
    return out.getvalue()


THREE = ["one", Request("two", temperature=-1), "three"]


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """rich is not installed."""
    for name in [name for name in sys.modules if name.split(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "rich.console", None)


@pytest.mark.usefixtures("plain")
def test_a_plain_bar_on_a_terminal(colour: Colour, monkeypatch: pytest.MonkeyPatch):
    said = asked(colour, monkeypatch, Terminal(), THREE, True)
    assert said.endswith("\n")
    last = said.split("\r")[-1]
    assert last.startswith(f"[{'#' * progress.WIDTH}] 3/3, 1 failed")


@pytest.mark.usefixtures("plain")
def test_an_iterator_has_no_total(colour: Colour, monkeypatch: pytest.MonkeyPatch):
    assert asked(colour, monkeypatch, Terminal(), iter(THREE), True).split("\r")[-1].startswith("3, 1 failed")


def test_richs_bar_on_a_terminal(colour: Colour, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    said = asked(colour, monkeypatch, Terminal(), THREE, True)
    assert "3/3" in said
    assert "1 failed" in said


@pytest.mark.parametrize("given", [True, False, None])
def test_nothing_in_a_pipe(colour: Colour, monkeypatch: pytest.MonkeyPatch, given: Any):
    assert asked(colour, monkeypatch, io.StringIO(), THREE, given) == ""


@pytest.mark.usefixtures("plain")
def test_forced_into_a_pipe(colour: Colour, monkeypatch: pytest.MonkeyPatch):
    assert "3/3" in asked(colour, monkeypatch, io.StringIO(), THREE, "force")


def test_forced_into_a_pipe_by_rich(colour: Colour, monkeypatch: pytest.MonkeyPatch):
    assert "3/3" in asked(colour, monkeypatch, io.StringIO(), THREE, "force")


def test_without_standard_error(colour: Colour, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert len(colour.scripted(answer(), [openai()]).batch(THREE, progress=True)) == 3


@pytest.mark.usefixtures("plain")
def test_a_long_batch_draws_seldom(monkeypatch: pytest.MonkeyPatch):
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    with progress.shown_progress(True, range(10_000)) as tell:
        assert tell is not None
        for done in range(10_000):
            tell(done + 1, None)
    assert out.getvalue().count("\r") < 20
    assert "10000/10000" in out.getvalue().split("\r")[-1]


@pytest.mark.parametrize("given", ["yes", 1, [], 0.5])
def test_bad_input(colour: Colour, given: Any):
    with pytest.raises(InvalidRequestError, match="progress"):
        colour.scripted(answer(), [openai()]).batch(["a"], progress=given)


@pytest.mark.usefixtures("plain")
def test_the_bar_ends_where_the_batch_fails(colour: Colour, monkeypatch: pytest.MonkeyPatch):
    """The line is finished, and nothing is left half drawn."""
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    with pytest.raises(InvalidRequestError, match="concurrency"):
        colour.scripted(answer(), [openai()]).batch(["a"], progress=True, concurrency=0)
    assert out.getvalue().endswith("\n")
