"""One text for both colours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmkit.finish import finish
from llmkit.transports import aio, blocking
from llmkit.wire.http import HttpReply, HttpRequest
from tests.support.faultserver import Certificate, FaultServer, certificate

SECRET = "sk-planted-0123456789abcdef"


class Colour:
    """A runtime and the way to run its coroutines."""

    def __init__(self, name: str, **settings: Any) -> None:
        self.name = name
        self.runtime: Any = (blocking if name == "sync" else aio).Runtime(**settings)
        self._runner = None if name == "sync" else asyncio.new_event_loop()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run to the end; the async colour keeps one loop for the whole test, so that connections are kept, too."""
        return finish(coroutine) if self._runner is None else self._runner.run_until_complete(coroutine)

    def another(self, **settings: Any) -> Colour:
        return Colour(self.name, **settings)

    def send(
        self, url: str, *, connect: float = 2.0, seconds: float = 5.0, body: bytes = b"{}", method: str = "POST"
    ) -> HttpReply:
        """Send a request that holds two keys."""
        return self.run(self.runtime.send(request(url, body, method), connect, self.runtime.now() + seconds))

    def open(self, url: str, *, seconds: float = 5.0) -> Any:
        return self.run(self.runtime.open(request(url), 2.0, self.runtime.now() + seconds))

    def read(self, body: Any, seconds: float = 5.0) -> bytes:
        return self.run(body.read(self.runtime.now() + seconds))

    def settle(self) -> None:
        """Give the event loop a moment to close what was dropped."""
        if self._runner is not None:
            self._runner.run_until_complete(asyncio.sleep(0.02))

    def close(self) -> None:
        self.run(self.runtime.aclose())
        if self._runner is not None:
            self._runner.run_until_complete(self._runner.shutdown_asyncgens())
            self._runner.run_until_complete(asyncio.sleep(0.01))
            self._runner.close()


def request(url: str, body: bytes | None = b"{}", method: str = "POST") -> HttpRequest:
    keys = {"Authorization": f"Bearer {SECRET}", "x-api-key": SECRET}
    return HttpRequest(method, url, {**keys, "Content-Type": "application/json"}, body)


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> Iterator[Colour]:
    made = Colour(request.param)
    yield made
    made.close()


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as made:
        yield made


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Certificate]:
    """A certificate for 127.0.0.1 and one for another host."""
    folder = tmp_path_factory.mktemp("tls")
    made = {"right": certificate(Path(folder)), "wrong": certificate(Path(folder), "elsewhere.example")}
    if None in made.values():
        pytest.skip("the openssl program is missing")
    return {name: found for name, found in made.items() if found}


def took(began: float) -> float:
    return time.monotonic() - began
