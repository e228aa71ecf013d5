"""A simulated client for pictures: real routing in virtual time, with vendors that a script makes up."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from itertools import accumulate
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from llmkit import AsyncClient, Completion, Instance
from llmkit.wire.http import HttpReply, HttpRequest
from tests.support.simulation import Simulation, Work

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
    model, keys = more.pop("model", "m"), more.pop("api_keys", ["k"])
    return Instance("openai", model, name=name, api_keys=keys, base_url=f"https://{name}.test/v1", **more)


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
        self.calls: list[Work] = []
        """Every call as it runs, in the order in which they came."""
        self.request: HttpRequest | None = None
        """The one that the server is answering."""
        self._answer = server
        self.simulation = simulation = Simulation(self._serve)

        class Client(AsyncClient):
            def _make_runtime(self, transport: Any) -> Any:
                return simulation

        self.client = Client(instances, plugins=[], environ={}, **settings)
        self.client._core._rng.seed(1)

    def _serve(self, request: HttpRequest) -> tuple[float, HttpReply]:
        self.request = request
        name = request.url.split("//")[1].split(".")[0]
        self.sent.append((name, self.simulation.clock))
        return self._answer(name, self.simulation.clock)

    def ask(self, times: Iterable[float], prompt: str = "Hi", **options: Any) -> None:
        """Let calls come at these times, and run until all have ended."""
        self.plan(times, prompt, **options)
        self.simulation.play()

    def plan(self, times: Iterable[float], prompt: str = "Hi", **options: Any) -> None:
        """Let calls come at these times, once :meth:`ask` runs."""
        for at in times:
            self.simulation.at(at, lambda at=at: self._start(at, prompt, options))

    def _start(self, at: float, prompt: str, options: dict[str, Any]) -> None:
        flow = self.client.generate(prompt, **options)
        ended = self.ended
        self.calls.append(self.simulation.start(flow, lambda work: ended.append((at, self.simulation.clock, work.result))))

    def runs(self) -> list[tuple[float, float, Any]]:
        """Every call that was sent, in the order in which they came: when it came, when it was sent, and its completion."""
        answered = [(came, result) for came, _, result in self.ended if isinstance(result, Completion)]
        return [(came, came + result.attempts[0].started, result) for came, result in sorted(answered, key=lambda one: one[0])]


def summed(changes: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Times in order, and what the changes up to each come to."""
    at_once: dict[float, float] = {}
    for at, change in sorted(changes):
        at_once[at] = at_once.get(at, 0) + change
    return list(at_once), list(accumulate(at_once.values()))


def counted(times: Iterable[float]) -> tuple[list[float], list[int]]:
    """Times in order, and how many there are up to each."""
    ordered = sorted(times)
    return ordered, list(range(1, len(ordered) + 1))
