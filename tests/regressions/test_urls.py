"""Nothing that ends up in a URL or a header can begin a second one, lead elsewhere, or reach where no vendor is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from llmkit import ConfigError, Instance, InvalidRequestError, hookimpl
from llmkit.simulator import Simulator
from llmkit.wire.http import HttpRequest
from tests.support.colours import Colour

HOSTS = [
    "169.254.169.254.",
    "[::ffff:169.254.169.254]",
    "[fd00:0ec2:0::254]",
    "2852039166",
    "0xA9FEA9FE",
    "0251.0376.0251.0376",
    "metadata.google.internal.",
    "\uff11\uff16\uff19.254.169.254",
]


@pytest.mark.parametrize("host", HOSTS)
def test_metadata_addresses_in_every_spelling(host: str) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        Instance("openai", "m", base_url=f"https://{host}/v1")


@pytest.mark.parametrize("host", ["[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "api.openai.com.", "xn--nicode-2ya.example"])
def test_other_addresses_pass(host: str) -> None:
    assert Instance("openai", "m", base_url=f"https://{host}/v1").base_url


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Expect"])
def test_framing_headers_are_the_transports_own(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Instance("openai", "m", headers={name: "5"})


def _instance(simulator: Simulator, vendor: str = "openai", model: str = "m") -> Instance:
    return Instance(vendor, model, api_key="k1", base_url=simulator.base_url(vendor))


@pytest.mark.parametrize("model", ["../../x", "a/../../x", "./x", "x/./y"])
def test_a_model_cannot_lead_elsewhere_on_the_host(colour: Colour, model: str) -> None:
    with Simulator() as simulator:
        client = colour.real([_instance(simulator, "google", model)], retries=0)
        with pytest.raises(InvalidRequestError, match="URL|no model's name"):
            client.generate("Hi")
        assert simulator.ledger.snapshot()["total"]["calls"] == 0


class Altering:
    """A plugin that changes requests."""

    def __init__(self, change: Callable[[HttpRequest], HttpRequest]) -> None:
        self.change = change

    @hookimpl
    def llmkit_request(self, request: HttpRequest) -> HttpRequest:
        return self.change(request)


CHANGES: dict[str, Callable[[HttpRequest], Any]] = {
    "line break in the URL": lambda request: attrs.evolve(request, url=request.url + "\r\nX-Evil: 1"),
    "space in the URL": lambda request: attrs.evolve(request, url=request.url + "/a b"),
    "no URL": lambda request: attrs.evolve(request, url=None),
    "line break in a header": lambda request: request.with_headers({"X-A": "a\r\nX-Evil: 1"}),
    "line break in a name": lambda request: request.with_headers({"X-A\r\nX-Evil": "1"}),
    "lone surrogate": lambda request: request.with_headers({"X-A": "\ud800"}),
    "number in a header": lambda request: request.with_headers({"X-A": 5}),
    "no headers": lambda request: attrs.evolve(request, headers=None),
    "body that is a number": lambda request: attrs.evolve(request, body=5),
    "method with a line break": lambda request: attrs.evolve(request, method="GET / HTTP/1.1\r\nX: 1\r\n\r\nGET"),
    "no method": lambda request: attrs.evolve(request, method=None),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_hook_cannot_split_a_request(colour: Colour, name: str) -> None:
    """The same typed error in both colours, at once, and nothing on the wire."""
    with Simulator() as simulator:
        client = colour.real([_instance(simulator)], plugins=[Altering(CHANGES[name])])
        with pytest.raises(InvalidRequestError, match="hook") as caught:
            client.generate("Hi")
        assert len(caught.value.attempts) == 1
        assert simulator.ledger.snapshot()["total"]["calls"] == 0
        assert client.in_flight() == 0


def test_a_provider_that_makes_a_bad_header_is_not_tried_again(colour: Colour) -> None:
    """openai writes its organisation into a header as it was given."""
    with Simulator() as simulator:
        instance = attrs.evolve(_instance(simulator), settings={"organization": "a\r\nX-Evil: 1"})
        client = colour.real([instance])
        with pytest.raises(InvalidRequestError) as caught:
            client.generate("Hi")
        assert len(caught.value.attempts) == 1
