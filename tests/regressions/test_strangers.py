"""Strategies and providers of somebody else's harm nobody, whatever they raise or return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from llmkit import Instance, InvalidRequestError, LLMError
from llmkit.plugins.registry import REGISTRY
from llmkit.policy.routes import Route
from llmkit.provider import Provider
from llmkit.simulator import Simulator
from llmkit.values.calls import ChatCall
from llmkit.values.secret import Secret
from llmkit.wire.http import HttpRequest
from tests.support.colours import Colour, chat


class Exiting:
    """A strategy that wants to leave."""

    def choose(self, routes: Sequence[Route], now: float) -> Route:
        raise SystemExit(1)


def test_a_strategy_that_exits_does_not_end_the_program(colour: Colour) -> None:
    instances = [Instance("openai", model, api_key="k1") for model in ("a", "b")]
    client = colour.scripted(lambda request: chat("hi"), instances, strategy=Exiting())
    with pytest.warns(RuntimeWarning, match="Exiting"):
        assert client.generate("Hi").text == "hi"


class Careless(Provider):
    """Makes requests that cannot be sent."""

    name = "careless"
    features = frozenset({"chat", "stream"})
    body: Any = b""
    url: Any = None

    def encode_chat(self, call: ChatCall, instance: Instance) -> HttpRequest:
        return HttpRequest("POST", self.url or str(instance.base_url), {}, self.body)

    def authorize(self, request: HttpRequest, key: Secret) -> HttpRequest:
        return request


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("given", [{"body": 5}, {"body": "text"}, {"body": (b"x" for _ in "ab")}, {"url": 5}, {"url": b"http://x"}])
def test_a_provider_that_makes_a_bad_request(
    colour: Colour, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], streamed: bool
) -> None:
    provider = Careless()
    for name, value in given.items():
        setattr(provider, name, value)
    monkeypatch.setattr(REGISTRY, "get", lambda name: provider)
    with Simulator() as simulator:
        client = colour.real([Instance("careless", "m", api_key="k1", base_url=simulator.url)], retries=0)
        with pytest.raises(LLMError) as caught:
            client.stream("Hi").text() if streamed else client.generate("Hi")
        assert isinstance(caught.value, InvalidRequestError)
        assert client.in_flight() == 0
