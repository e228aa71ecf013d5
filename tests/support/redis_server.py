"""A Redis of the test's own, to be killed, paused and filled; and a stand-in that answers whatever it is told to."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support.components import REDIS, where


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class RedisServer:
    """redis-server on a port of its own."""

    def __init__(self, folder: Path, program: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        command = [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError):
                assert self.say("PING") == b"+PONG\r\n"
                return
            assert time.monotonic() < until, "redis-server did not start"
            time.sleep(0.02)

    def say(self, *words: str | bytes) -> bytes:
        """Send one command; the head of the reply."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            encoded = [word.encode() if isinstance(word, str) else word for word in words]
            connection.sendall(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded))
            return connection.recv(65536)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """A Redis of one's own; skips the test, or fails it, where the program is missing."""
    program = shutil.which("redis-server")
    if program is None:
        where(REDIS._replace(variable="LLMKIT_REDIS_SERVER"))
        raise AssertionError("LLMKIT_REDIS_SERVER is set, and redis-server is not on the path")
    server = RedisServer(folder, program)
    try:
        yield server
    finally:
        server.kill()


class StandIn(socketserver.ThreadingTCPServer):
    """Answers each command with what ``reply`` makes of it: bytes, a number of seconds to wait first, or None to hang up."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, reply: Callable[[bytes], Any]) -> None:
        self.reply = reply
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"redis://127.0.0.1:{self.server_address[1]}/0"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while command := self.request.recv(1 << 16):
                answer = self.server.reply(command)  # type: ignore[attr-defined]
                if answer is None:
                    return
                for piece in answer if isinstance(answer, list) else [answer]:
                    if isinstance(piece, float):
                        time.sleep(piece)
                    else:
                        self.request.sendall(piece)


@contextlib.contextmanager
def stand_in(reply: Callable[[bytes], Any]) -> Iterator[StandIn]:
    """A stand-in for as long as the block lasts."""
    made = StandIn(reply)
    try:
        yield made
    finally:
        made.shutdown()
        made.server_close()
