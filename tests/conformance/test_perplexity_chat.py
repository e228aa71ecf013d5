"""Perplexity set to its former chat completions, which gateways keep, against the strict vendor in that format."""

from __future__ import annotations

from typing import Any

import pytest

from llmkit import File, FinishReason, Image, Instance, LLMError, Message, StreamInterrupted, UnsupportedParameterError
from llmkit.simulator import Simulator
from tests.conformance.test_errors import REFUSALS
from tests.conformance.test_options import CITY, PDF, PNG
from tests.support.colours import Both, Colour

NUMBER = iter(range(10**6))


def client(colour: Colour, vendors: Simulator, fault: str | None = None, **settings: Any) -> tuple[Both, Any]:
    """A client, and the books of its key."""
    key = f"key-{next(NUMBER)}-of-a-gateway"
    headers = {"x-simulate-fault": fault} if fault else {}
    instance = Instance(
        "perplexity", "sonar", api_key=key, base_url=vendors.base_url("perplexity"), settings={"api": "chat"}, headers=headers
    )
    made = colour.real([instance], retries=0, environ={}, **settings)
    return made, lambda: vendors.ledger.account(vendor="perplexity", key=key)


def test_whole_and_streamed(colour: Colour, vendors: Simulator):
    asking, books = client(colour, vendors)
    said = [Message.system("Be brief."), Message.user("one two"), Message.assistant("three"), Message.user("four five")]
    whole, streamed = asking.generate(said), asking.stream(said).completion()
    for answer in (whole, streamed):
        assert (answer.text, answer.finish_reason, answer.raw_finish_reason) == ("four five", FinishReason.STOP, "stop")
        assert answer.usage.prompt_tokens == 7
    assert (whole.message, whole.usage) == (streamed.message, streamed.usage)
    assert (books()["prompt_tokens"], books()["completion_tokens"]) == (14, 4)
    assert asking.generate("think: it is so").usage.completion_tokens == 7


@pytest.mark.parametrize("options", [
    {"max_tokens": 5}, {"temperature": 0.5}, {"top_p": 0.5}, {"stop": ["END"]}, {"reasoning_effort": "high"},
    {"response_model": CITY},
])  # fmt: skip
def test_options(colour: Colour, vendors: Simulator, options: dict[str, Any]):
    asking, _ = client(colour, vendors)
    assert asking.generate("Look", **options).text == asking.stream("Look", **options).completion().text


def test_parts(colour: Colour, vendors: Simulator):
    asking, _ = client(colour, vendors)
    file = File(PDF, media_type="application/pdf", name="one.pdf")
    for part in (Image(PNG, media_type="image/png"), Image(url="https://pictures.example/one.png"), file):
        assert asking.generate([Message.user("Look", part)]).text == "Look"


@pytest.mark.parametrize(("feature", "options"), [("seed", {"seed": 1}), ("json", {"response_model": "json"})])
def test_what_it_never_took(colour: Colour, vendors: Simulator, feature: str, options: dict[str, Any]):
    asking, books = client(colour, vendors)
    with pytest.raises(UnsupportedParameterError) as caught:
        asking.generate("Hi", **options)
    assert caught.value.parameters == (feature,)
    assert books()["calls"] == 0


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("fault", "expected"), REFUSALS)
def test_refusals(colour: Colour, vendors: Simulator, fault: str, expected: type[LLMError], streamed: bool):
    asking, _ = client(colour, vendors, fault)
    with pytest.raises(expected):
        asking.stream("one two").completion() if streamed else asking.generate("one two")


@pytest.mark.parametrize("fault", ["cut:2", "drop:2", "error_event:2"])
def test_streams_that_break(colour: Colour, vendors: Simulator, fault: str):
    asking, _ = client(colour, vendors, fault)
    with pytest.raises(StreamInterrupted) as caught:
        asking.stream("one two three").completion()
    assert caught.value.partial.text == "one two"
