"""What faults, odd clocks and busy machines once broke: each of these hung, waited for nobody, or lost something."""

from __future__ import annotations

import pytest

from llmkit import NoInstanceAvailable
from llmkit.policy.limits import Limiter
from tests.support.colours import Colour, chat, one_after_another, openai, refusal


def test_a_limit_that_leaves_no_room_in_time_is_said_at_once_also_after_a_rest(colour: Colour):
    """A key that came back from a 429 let calls wait for the end of their time."""
    client = colour.scripted(one_after_another(refusal(429), chat("hello")), [openai("sk-key-1", rpm=2)])
    assert client.generate("Hi").text == "hello"
    began = client.runtime.now()
    with pytest.raises(NoInstanceAvailable, match="leave no room"):
        client.generate("Hi", timeout=20)
    assert client.runtime.now() == began


def test_a_booking_before_the_clocks_zero_can_be_given_back():
    limiter = Limiter(rpm=1)
    limiter.refund(limiter.take(-500.0, 0))
    assert limiter.ready_at(-500.0, 0) == -500.0
