"""``llmkit usage``: the books on disk, as a table, pictures, JSON, CSV and a page."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from llmkit import Client, Instance
from llmkit.errors import ServerError
from llmkit.observe.ledger import Ledger
from llmkit.observe.lines import Line
from llmkit.observe.store import UsageStore
from llmkit.values.usage import Usage
from tests.cli.conftest import PROGRAM, Program, clean_environment
from tests.cli.terminal import run

EVIL = '<script>alert("x")</script>'


class TenADollar:
    def units(self, usage: Usage) -> int:
        return usage.total_tokens * 10**11


@pytest.fixture
def books(tmp_path: Path) -> Path:
    """Two models over three days; the price of one is known."""
    ledger = Ledger(lambda provider, model: TenADollar() if model == "dear" else None)
    ledger.open("a", "openai", "dear")
    ledger.open("b", "ollama", "free")
    ledger.answered("a", "a#1", "summary", ("night",), Usage(10, 20, 30))
    ledger.answered("b", "b#none", None, (EVIL,), Usage(100, 200, 300))
    ledger.failed("a", "a#1", "summary", (), ServerError("x"))
    store = UsageStore(tmp_path / "usage.db")
    today = int(time.time() // 86400) * 86400
    for days in range(3):
        store.add([Line(*line[:7], minute=today - 86400 * days) for line in ledger.lines() if any(line.counts)])
    return store.path


def test_table(program: Program, books: Path):
    """What cost most comes first; what is not known is said."""
    done = program("usage", str(books))
    head, *rows = done.stdout.splitlines()
    assert done.returncode == 0
    assert head.split()[:4] == ["PROVIDER", "MODEL", "CALLS", "ERRORS"]
    assert rows[0].split() == ["openai", "dear", "3", "3", "0", "0", "30", "60", "90", "0", "0", "9.000000"]
    assert rows[1].split()[-1] == "unknown"
    assert len(rows) == 2
    assert "The price of 3 of the calls is not known" in done.stderr


@pytest.mark.parametrize("by", ["instance", "key", "model", "provider", "task", "tag", "hour", "day", "total"])
def test_every_grouping_as_json_and_csv(program: Program, books: Path, by: str):
    documents = json.loads(program("usage", str(books), "--by", by, "--json").stdout)
    rows = list(csv.DictReader(io.StringIO(program("usage", str(books), "--by", by, "--csv").stdout)))
    assert [int(row["total_tokens"]) for row in rows] == [document["total_tokens"] for document in documents]
    assert sum(document["total_tokens"] for document in documents) == 990
    assert program("usage", str(books), "--by", by).returncode == 0


def test_since(program: Program, books: Path):
    def calls(since: str) -> int:
        return sum(row["calls"] for row in json.loads(program("usage", str(books), "--since", since, "--json").stdout))

    yesterday = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86400))
    assert [calls(since) for since in ("4w", "2000-01-01", yesterday, "2999-01-01T12:00")] == [6, 6, 4, 0]
    wrong = program("usage", str(books), "--since", "yesterday")
    assert wrong.returncode == 2
    assert "--since" in wrong.stderr


def test_bars(program: Program, books: Path):
    """The longest bar is the largest; without block characters they are drawn with #."""
    lines = program("usage", str(books), "--plot", env={"PYTHONIOENCODING": "utf-8"}).stdout.splitlines()
    assert "cost (USD)" in lines
    assert any(re.match(r"dear +█{40} 9\.0+$", line) for line in lines)
    days = [line for line in lines if re.match(r"\d{4}-\d\d-\d\d +█", line)]
    assert len(days) == 3
    assert days == sorted(days)
    plain = program("usage", str(books), "--plot", env={"PYTHONIOENCODING": "ascii"}).stdout
    assert "#" * 40 in plain
    assert plain.isascii()


def test_on_a_terminal(books: Path):
    """A table that fits into eighty characters, and bars without being asked."""
    code, terminal = run([*PROGRAM, "usage", str(books)], clean_environment(PYTHONIOENCODING="utf-8"))
    assert code == 0
    assert re.search(r"openai +dear +3 +3 +30 +60 +90 +9\.000000", terminal.plain)
    assert "█" * 40 in terminal.plain


class Page(HTMLParser):
    """What a browser would load or run, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.said = ""
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        active = any(name in ("src", "href") or name.startswith("on") for name, _ in attrs)
        if active or tag in ("script", "link", "img", "iframe", "object"):
            self.loads.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said += data


def test_page(program: Program, books: Path, tmp_path: Path):
    """One file that loads and runs nothing, whatever stands in a tag."""
    target = tmp_path / "report.html"
    assert program("usage", str(books), "--html", str(target)).returncode == 0
    html = target.read_text(encoding="utf-8")
    page = Page(html)
    assert page.loads == []
    assert page.open == []
    assert "http" not in html
    assert EVIL in page.said
    for heading in ("Models", "Instances", "Keys", "Tasks", "Tags", "cost (USD) by day", "9.000000"):
        assert heading in page.said
    assert html.count("<rect ") == 3
    refused = program("usage", str(books), "--html", str(tmp_path / "no" / "where.html"))
    assert (refused.returncode, refused.stderr.startswith("error: ")) == (1, True)


def test_where_the_books_are(program: Program, books: Path, tmp_path: Path):
    """Named, or in a configuration; anything else is one line and an exit code."""
    config = tmp_path / "llmkit.toml"
    config.write_text(f'[settings]\nusage_db = "{books}"\n', encoding="utf-8")
    assert "dear" in program("usage", "-c", str(config)).stdout
    config.write_text("[settings]\n", encoding="utf-8")
    assert program("usage", "-c", str(config)).returncode == 2
    assert program("usage").returncode == 2
    missing = program("usage", str(tmp_path / "nothing.db"))
    assert (missing.returncode, "there is no such file" in missing.stderr) == (3, True)
    rubbish = tmp_path / "rubbish.db"
    rubbish.write_bytes(b"rubbish" * 1000)
    assert program("usage", str(rubbish)).returncode == 3


def test_empty_books(program: Program, tmp_path: Path):
    UsageStore(tmp_path / "usage.db").add([])
    for more in ([], ["--plot"], ["--json"], ["--csv"], ["--html", str(tmp_path / "r.html")]):
        assert program("usage", str(tmp_path / "usage.db"), *more).returncode == 0


def test_from_a_client_to_the_page(program: Program, tmp_path: Path):
    """A client's calls are in the program's table."""
    path = tmp_path / "usage.db"
    base_url = program.simulator.base_url("openai")
    with Client([Instance("openai", "gpt-4o-mini", api_key="sk-test-0123456789", base_url=base_url)], usage_db=path) as client:
        client.generate("Hello there")
    assert "gpt-4o-mini" in program("usage", str(path), "--by", "key").stdout
