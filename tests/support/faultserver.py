"""A real server that misbehaves on request.

    with FaultServer() as server:
        server.on("/v1/chat", fin(), reply(b"{}"))      # the first request is hung up on, every later one is answered
        ...
        assert server.count("/v1/chat") == 2

A behaviour is a function that takes a :class:`Wire`; the ones a test needs most are made by the functions below.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple


class Seen(NamedTuple):
    """One request as it arrived. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """Which connection it came over, counted from 0."""


class Wire:
    """One connection, as a behaviour sees it."""

    def __init__(self, sock: socket.socket, number: int, stop: threading.Event) -> None:
        self.sock = sock
        self.number = number
        self.stop = stop
        self.open = True
        self.client_closed_at: float | None = None
        self.request: Seen | None = None

    def send(self, data: bytes) -> None:
        """Send; a client that has gone is noted and ends the behaviour."""
        try:
            self.sock.sendall(data)
        except OSError:
            self.gone()
            raise

    def gone(self) -> None:
        if self.client_closed_at is None:
            self.client_closed_at = time.monotonic()
        self.open = False

    def reset(self) -> None:
        """Close with RST."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.fin()

    def fin(self) -> None:
        """Close with FIN."""
        self.open = False
        with contextlib.suppress(OSError):
            self.sock.close()

    def hang(self, seconds: float = 60.0) -> None:
        """Say nothing until the client closes its end, the server stops, or the time is over."""
        deadline = time.monotonic() + seconds
        self.sock.settimeout(0.02)
        while self.open and not self.stop.is_set() and time.monotonic() < deadline:
            try:
                if not self.sock.recv(65536):
                    self.gone()
            except TimeoutError:
                continue
            except OSError:
                self.gone()
        if self.open:
            self.sock.settimeout(30)


Behaviour = Callable[[Wire], None]


def head(status: int = 200, headers: dict[str, str] | None = None) -> bytes:
    """A status line and headers, with the blank line."""
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def reply(body: bytes = b"{}", status: int = 200, headers: dict[str, str] | None = None) -> Behaviour:
    """A whole answer, after which the connection stays open."""
    data = head(status, {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}) + body

    def behave(wire: Wire) -> None:
        wire.send(data if wire.request is None or wire.request.method != "HEAD" else data[: len(data) - len(body)])

    return behave


def raw(data: bytes = b"", then: str = "fin") -> Behaviour:
    """These bytes, then ``fin``, ``reset``, ``hang`` or ``keep``."""

    def behave(wire: Wire) -> None:
        if data:
            wire.send(data)
        if then == "hang":
            wire.hang()
        elif then == "reset":
            time.sleep(0.03)  # let what was sent arrive before the RST overtakes it
            wire.reset()
        elif then == "fin":
            wire.fin()

    return behave


def reset() -> Behaviour:
    """RST instead of an answer."""
    return raw(then="reset")


def fin() -> Behaviour:
    """FIN instead of an answer."""
    return raw(then="fin")


def hang() -> Behaviour:
    """No answer."""
    return raw(then="hang")


def trickle(data: Iterable[bytes], every: float) -> Behaviour:
    """Piece by piece, ``every`` seconds, then nothing."""

    def behave(wire: Wire) -> None:
        for piece in data:
            wire.send(piece)
            if wire.stop.wait(every):
                return
        wire.hang()

    return behave


def delayed(seconds: float, behaviour: Behaviour) -> Behaviour:
    """Another behaviour, later."""

    def behave(wire: Wire) -> None:
        if not wire.stop.wait(seconds):
            behaviour(wire)

    return behave


def tunnel(port: int) -> Behaviour:
    """Answer CONNECT as a proxy does, and pass bytes to and from a local port, whatever host was asked for."""

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def behave(wire: Wire) -> None:
        with socket.create_connection(("127.0.0.1", port)) as far:
            wire.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=pump, args=(far, wire.sock), daemon=True)
            back.start()
            pump(wire.sock, far)
            back.join(5)
        wire.fin()

    return behave


class FaultServer:
    """Listens on 127.0.0.1; one thread per connection.

    :param certificate: files with certificate chain and key, for TLS.
    """

    def __init__(self, certificate: tuple[Path, Path] | None = None) -> None:
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*certificate)
        self._behaviours: dict[str, list[Behaviour]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.requests: list[Seen] = []
        self.wires: list[Wire] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._listener.settimeout(0.05)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        self._acceptor = threading.Thread(target=self._accept, name="faultserver", daemon=True)
        self._acceptor.start()

    def on(self, path: str, *behaviours: Behaviour) -> str:
        """What requests for ``path`` get, one after the other; the last one stays. Gives the whole URL."""
        self._behaviours[path] = list(behaviours)
        return self.url + path

    def count(self, path: str | None = None) -> int:
        """Requests seen, for one path or for all."""
        with self._lock:
            return sum(path in (None, seen.path) for seen in self.requests)

    @property
    def connections(self) -> int:
        """Connections accepted so far."""
        return len(self.wires)

    def closed_at(self, connection: int = -1, within: float = 2.0) -> float | None:
        """When the client closed a connection (``time.monotonic``); None if it has not ``within`` seconds."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if self.wires and self.wires[connection].client_closed_at is not None:
                return self.wires[connection].client_closed_at
            time.sleep(0.005)
        return None

    def close(self) -> None:
        """Stop at once."""
        self._stop.set()
        self._listener.close()
        for wire in list(self.wires):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(wire.sock, socket.SHUT_RDWR)
        self._acceptor.join(5)
        for thread in self._threads:
            thread.join(5)

    def __enter__(self) -> FaultServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                sock, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            sock.settimeout(30)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wire = Wire(sock, len(self.wires), self._stop)
            self.wires.append(wire)
            thread = threading.Thread(target=self._serve, args=(wire,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, wire: Wire) -> None:
        try:
            if self._context is not None:
                wire.sock = self._context.wrap_socket(wire.sock, server_side=True)
            with wire.sock.makefile("rb") as stream:
                while wire.open and not self._stop.is_set() and (seen := _read(stream, wire)):
                    with self._lock:
                        self.requests.append(seen)
                        known = self._behaviours.get(seen.path) or [reply(b"nothing here", 404)]
                        behave = known.pop(0) if len(known) > 1 else known[0]
                    wire.request = seen
                    behave(wire)
        except (OSError, ValueError):
            wire.gone()
        finally:
            if wire.open:
                wire.gone()
            with contextlib.suppress(OSError):
                wire.sock.close()


def _read(stream: Any, wire: Wire) -> Seen | None:
    line = stream.readline().decode("latin-1").split()
    if len(line) != 3:
        return None
    headers: dict[str, str] = {}
    while (text := stream.readline().decode("latin-1").strip()) != "":
        name, _, value = text.partition(":")
        name = name.lower()
        headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    body = stream.read(int(headers.get("content-length", "0")))
    return Seen(line[0], line[1], headers, body, wire.number)


class Certificate(NamedTuple):
    """A self-signed certificate; ``file`` is also the bundle that trusts it."""

    file: Path
    key: Path


def certificate(folder: Path, host: str = "127.0.0.1") -> Certificate | None:
    """A self-signed certificate for a host or an address, made with the openssl program; None where that is missing."""
    made = Certificate(folder / f"{host}.pem", folder / f"{host}.key")
    kind = "IP" if host.replace(".", "").isdigit() else "DNS"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={host}"]
    command += ["-addext", f"subjectAltName={kind}:{host}", "-keyout", str(made.key), "-out", str(made.file)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return made
