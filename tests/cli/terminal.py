"""A pseudo-terminal with the program on it, and a person who types."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

TAKE = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
"""Makes the terminal the command's own, so that Ctrl-C reaches it as a signal."""
CTRL_C = b"\x03"
CTRL_D = b"\x04"


class Terminal:
    """Starts a command on a terminal of its own; Ctrl-C reaches it as a signal, as it does a person's."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self.seen = ""
        self.status: int | None = None
        self._known = 0
        self._fd, side = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", TAKE, *command], env=env, stdin=side, stdout=side, stderr=side, start_new_session=True
        )
        os.close(side)

    def until(self, text: str, seconds: float = 15) -> str:
        """Read until ``text`` has come; what came since the text that was waited for before."""
        start = self._known
        end = time.monotonic() + seconds
        while (found := self.seen.find(text, start)) < 0:
            if not self._read(end):
                raise AssertionError(f"{text!r} did not come; there came {self.seen[start:]!r}")
        self._known = found + len(text)
        return self.seen[start : self._known]

    def type(self, data: bytes | str) -> None:
        """Press keys."""
        os.write(self._fd, data.encode() if isinstance(data, str) else data)

    def finish(self, seconds: float = 15) -> int:
        """Read to the end; the exit code."""
        end = time.monotonic() + seconds
        while self._read(end):
            pass
        self.status = self._process.wait(seconds)
        return self.status

    @property
    def plain(self) -> str:
        """All that came, without colours."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.seen)

    def _read(self, end: float) -> bool:
        ready, _, _ = select.select([self._fd], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            raise AssertionError(f"nothing more came; there came {self.seen!r}")
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # Linux says so when the other side is closed
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.status is None:
            self._process.kill()
            self._process.wait()
        os.close(self._fd)


def run(command: Sequence[str], env: Mapping[str, str]) -> tuple[int, Terminal]:
    """Run a command on a terminal to its end."""
    with Terminal(command, env) as terminal:
        return terminal.finish(), terminal
