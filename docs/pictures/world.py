"""A simulated client for pictures: real routing in virtual time, with vendors that a script makes up."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from llmkit import AsyncClient, Instance
from llmkit.wire.http import HttpReply, HttpRequest
from tests.support.simulation import Simulation

Server = Callable[[str, float], "tuple[float, HttpReply]"]
"""From an instance's name and the time to the seconds that an answer takes, and the answer."""


def said(text: str = "hello") -> HttpReply:
    """An answer."""
    message = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    counts = {"prompt_tokens": 50, "completion_tokens": 50, "total_tokens": 100}
    return HttpReply(200, {}, json.dumps({"id": "1", "model": "m", "choices": [message], "usage": counts}).encode())


def failed() -> HttpReply:
    """A fault."""
    return HttpReply(500, {}, b'{"error": {"message": "down"}}')


def instance(name: str, **more: Any) -> Instance:
    """An instance that the world's server knows by its name."""
    return Instance("openai", more.pop("model", "m"), name=name, api_key="k", base_url=f"https://{name}.test/v1", **more)


class World:
    """A client and its vendors.

    :param server: what each vendor answers, and when.
    :param settings: the client's.
    """

    def __init__(self, server: Server, instances: Iterable[Instance], **settings: Any) -> None:
        self.sent: list[tuple[str, float]] = []
        """Every request: to which instance, and when."""
        self.ended: list[tuple[float, float, Any]] = []
        """Every call: when it came, when it ended, and its completion or error."""
        self._answer = server
        self.simulation = simulation = Simulation(self._serve)

        class Client(AsyncClient):
            def _make_runtime(self, transport: Any) -> Any:
                return simulation

        self.client = Client(instances, plugins=[], environ={}, **settings)
        self.client._core._rng.seed(1)

    def _serve(self, request: HttpRequest) -> tuple[float, HttpReply]:
        name = request.url.split("//")[1].split(".")[0]
        self.sent.append((name, self.simulation.clock))
        return self._answer(name, self.simulation.clock)

    def ask(self, times: Iterable[float], **options: Any) -> None:
        """Let calls come at these times, and run until all have ended."""
        for at in times:
            self.simulation.at(at, lambda at=at: self._start(at, options))
        self.simulation.play()

    def _start(self, at: float, options: dict[str, Any]) -> None:
        flow = self.client.generate("Hi", **options)
        self.simulation.start(flow, lambda work: self.ended.append((at, self.simulation.clock, work.result)))


def counted(times: Iterable[float]) -> tuple[list[float], list[int]]:
    """Times in order, and how many there are up to each."""
    ordered = sorted(times)
    return ordered, list(range(1, len(ordered) + 1))
