"""How far a batch has come, for people: one line on the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, Literal, Protocol, TextIO, Union

from llmkit.errors import InvalidRequestError, LLMError, shown

Progress = Union[Callable[[int, Any], object], bool, Literal["force"], None]
"""A function of the number done and the answer that just came; True for a bar where standard error is a terminal, ``"force"`` for
one in any case; None or False for nothing."""

EVERY = 0.1
"""Seconds between two pictures."""
WIDTH = 30
"""Characters of the bar that needs no rich."""


class _Picture(Protocol):
    """What draws."""

    def draw(self, done: int, failed: int) -> None: ...

    def end(self) -> None: ...


class _Plain:
    """A bar of plain characters."""

    def __init__(self, out: TextIO, total: int | None) -> None:
        self._out = out
        self._total = total
        self._began = time.monotonic()

    def draw(self, done: int, failed: int) -> None:
        seconds = time.monotonic() - self._began
        said = f"{done}"
        if self._total:
            filled = min(done * WIDTH // self._total, WIDTH)
            said = f"[{'#' * filled}{'.' * (WIDTH - filled)}] {done}/{self._total}"
        rate = f", {done / seconds:.1f}/s" if seconds > 0 and done else ""
        self._out.write(f"\r{said}{f', {failed} failed' if failed else ''}{rate}  ")
        self._out.flush()

    def end(self) -> None:
        self._out.write("\n")
        self._out.flush()


class _Rich:
    """rich's bar. It is drawn when there is news, and needs no thread."""

    def __init__(self, out: TextIO, total: int | None, force: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[failed]}"), TimeRemainingColumn())
        console = Console(file=out, force_terminal=True if force else None)
        self._progress = Progress(*columns, console=console, auto_refresh=False)
        self._progress.start()
        self._task = self._progress.add_task("", total=total, failed="")

    def draw(self, done: int, failed: int) -> None:
        self._progress.update(self._task, completed=done, failed=f"{failed} failed" if failed else "", refresh=True)

    def end(self) -> None:
        self._progress.stop()


class Bar:
    """Counts answers and draws them, at most ten times a second."""

    def __init__(self, picture: _Picture) -> None:
        self._picture = picture
        self._done = self._failed = 0
        self._drawn = -EVERY

    def __call__(self, done: int, answer: Any) -> None:
        """One more answer."""
        self._done = done
        self._failed += isinstance(answer, LLMError)
        now = time.monotonic()
        if now - self._drawn >= EVERY:
            self._drawn = now
            self._picture.draw(self._done, self._failed)

    def end(self) -> None:
        """Draw the last picture and go to the next line."""
        self._picture.draw(self._done, self._failed)
        self._picture.end()


@contextmanager
def shown_progress(progress: Progress, requests: Iterable[Any]) -> Iterator[Callable[[int, Any], object] | None]:
    """What to tell of each answer, for the length of a batch.

    :raises InvalidRequestError: if ``progress`` is none of what it may be.
    """
    if progress is None or progress is False or callable(progress):
        yield progress or None
        return
    if progress is not True and progress != "force":
        raise InvalidRequestError(f"progress: expected a function, True, False or 'force', got {shown(progress)}")
    out, force = sys.stderr, progress == "force"
    if out is None or not (force or out.isatty()):
        yield None
        return
    total = len(requests) if isinstance(requests, Sized) else None
    bar = Bar(_picture(out, total, force))
    try:
        yield bar
    finally:
        bar.end()


def _picture(out: TextIO, total: int | None, force: bool) -> _Picture:
    try:
        return _Rich(out, total, force)
    except ImportError:  # rich comes with the extra llmkit[cli]
        return _Plain(out, total)
