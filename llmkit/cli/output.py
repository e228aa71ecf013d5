"""Printing: for a person who watches, or for a program that reads."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def watched() -> bool:
    """Whether a person sees what is written to standard output."""
    return sys.stdout.isatty()


@lru_cache
def _console(stream: Any, watched: bool) -> Console:
    from rich.console import Console

    from llmkit.cli.codes import ExitCode

    class Quiet(Console):
        """Says with its exit code that the reader has gone, as other programs do; rich says 1."""

        def on_broken_pipe(self) -> None:
            self.quiet = True
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (for the rest of the process)
            raise SystemExit(int(ExitCode.BROKEN_PIPE))

    return Quiet(file=stream, highlight=False, soft_wrap=not watched)


def console() -> Console:
    """Standard output, in colour where a person watches; ``NO_COLOR`` and ``TERM=dumb`` are respected."""
    return _console(sys.stdout, watched())


def error_console() -> Console:
    """Standard error, likewise."""
    return _console(sys.stderr, sys.stderr.isatty())


def safe(text: str) -> str:
    """``text`` without control characters other than tab and newline where a person watches: a model's answer must not
    command the terminal. Elsewhere it is left as it is."""
    return _CONTROL.sub("", text) if watched() else text


def write(text: str) -> None:
    """Write a piece of an answer at once."""
    sys.stdout.write(safe(text))
    sys.stdout.flush()


def line(text: str = "", style: str | None = None) -> None:
    """Print a line as it is: no markup, no wrapping."""
    console().print(safe(text), style=style, markup=False, soft_wrap=True)


def note(text: str) -> None:
    """A remark for a person, on standard error."""
    error_console().print(_CONTROL.sub("", text), style="dim", markup=False, soft_wrap=True)


def complain(text: str, kind: str = "error") -> None:
    """``error: ...`` or ``warning: ...`` on standard error; one line for each line of ``text``."""
    from rich.text import Text

    colour = "bold red" if kind == "error" else "yellow"
    for said in _CONTROL.sub(" ", text).splitlines() or [""]:
        error_console().print(Text.assemble((f"{kind}: ", colour), said), soft_wrap=True)


def say_resumed(event: Any) -> None:
    """Say that a stream was interrupted, where ``event`` does."""
    if event.type == "resumed":
        write("\n" if event.how == "restart" else "")
        went = "the answer begins anew" if event.how == "restart" else "the answer goes on"
        complain(f"{event.error}; {went} at {event.instance}", "warning")


def write_json(document: Any, *, indent: bool = True) -> None:
    """A JSON document on standard output, with indentation where a person watches."""
    from llmkit.wire.codec import converter
    from llmkit.wire.json import dump_json

    text = dump_json(converter().unstructure(document)).decode()
    if indent and watched():
        import json

        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], numbers: Sequence[str] = ()) -> None:
    """A table; plain aligned columns, nothing cut, where nobody watches.

    :param numbers: the columns that hold numbers.
    """
    cells = [["" if cell is None else safe(str(cell)) for cell in row] for row in rows]
    if watched():
        _rich_table(columns, cells, numbers)
        return
    widths = [max([len(title), *[len(row[at]) for row in cells]]) for at, title in enumerate(columns)]
    for row in [[title.upper() for title in columns], *cells]:
        aligned = [
            cell.rjust(width) if title in numbers else cell.ljust(width)
            for cell, width, title in zip(row, widths, columns, strict=True)
        ]
        sys.stdout.write("  ".join(aligned).rstrip() + "\n")


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for title in columns:
        shown.add_column(title, justify="right" if title in numbers else "left", overflow="fold")
    for row in rows:
        shown.add_row(*[Text(cell) for cell in row])
    console().print(shown)


def waiting(text: str) -> AbstractContextManager[Any]:
    """A sign on standard error that something is under way, while a person watches."""
    if not (sys.stderr.isatty() and watched()):
        return nullcontext()
    return error_console().status(text)


def drop_output() -> None:
    """Nobody reads any more: let the interpreter's last flush go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
