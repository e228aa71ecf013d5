"""Every vendor in both colours against one simulator."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from llmkit import Instance
from llmkit.provider import Provider
from llmkit.simulated import Answer, Question
from llmkit.simulator import Simulator
from llmkit.simulator.script import Said, echo
from tests.support.colours import Both, Colour, colour
from tests.support.vendors import provider, simulated, simulator

__all__ = ["colour"]

_numbers = itertools.count(1)


def say(question: Question) -> Said:
    """An echo that can also be filtered, and think."""
    word, _, rest = question.text.partition(": ")
    if word == "filtered":
        return Answer(text=rest, finish="content_filter")
    if word == "think":
        return Answer(text=rest, reasoning="so it must be")
    return echo(question)


@pytest.fixture(scope="package")
def vendors() -> Iterator[Simulator]:
    """The simulator, whose model may be filtered."""
    with simulator(script=say) as made:
        yield made


class Vendor:
    """One vendor, simulated, and the clients of one test."""

    def __init__(self, name: str, colour: Colour, simulator: Simulator) -> None:
        self.name = name
        self.provider: Provider = provider(name)
        self.features = self.provider.features
        self.key = f"key-{next(_numbers)}-of-{name}"
        self.simulator = simulator
        self.root = simulator.base_url(name)
        self._colour = colour

    def client(self, *, fault: str | None = None, base_url: str | None = None, retries: int = 0, **settings: Any) -> Both:
        """A client of this vendor, whose every call meets ``fault``."""
        headers = {"x-simulate-fault": fault} if fault else {}
        instance = Instance(self.name, "m", api_key=self.key, base_url=base_url or self.root, headers=headers)
        return self._colour.real([instance], retries=retries, retry_initial_delay=0.001, environ={}, **settings)

    def fail(self, fault: str, times: int = 1) -> None:
        """Let this test's next calls fail."""
        self.simulator.fail(fault, key=self.key, times=times)

    def books(self) -> dict[str, Any]:
        """What the vendor has counted for this test."""
        return self.simulator.ledger.account(vendor=self.name, key=self.key)

    def agrees(self, *answers: Any) -> None:
        """Whether the usage of these answers is what the vendor counted."""
        books = self.books()
        told = [(answer.usage.prompt_tokens, answer.usage.completion_tokens) for answer in answers]
        counted = (books["prompt_tokens"], books["completion_tokens"])
        assert (sum([prompt for prompt, _ in told]), sum([completion for _, completion in told])) == counted
        assert all(answer.usage.total_tokens == sum(pair) for answer, pair in zip(answers, told, strict=True))
        assert not any(answer.usage.estimated for answer in answers)

    def needs(self, *features: str) -> None:
        """Skip the test where the vendor lacks a feature; that it is refused then is tested elsewhere."""
        lacking = [feature for feature in features if feature not in self.features]
        if lacking:
            pytest.skip(f"{self.name} has no {', '.join(lacking)}")


@pytest.fixture(params=simulated())
def vendor(request: pytest.FixtureRequest, colour: Colour, vendors: Simulator) -> Iterator[Vendor]:
    """One vendor in one colour."""
    yield Vendor(request.param, colour, vendors)
    vendors.heal()
