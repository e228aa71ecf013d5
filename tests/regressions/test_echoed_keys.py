"""A server that echoes the key where nobody expects it does not get it into an error."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from llmkit import Instance, StreamInterrupted
from llmkit.testing import Chunks
from tests.support.colours import Colour, chunks, delta

KEY = "sk-live-AbCdEf0123456789SecretXyZ99"


def test_a_request_id_that_is_the_key(colour: Colour) -> None:
    """A stream breaks after its first content; its head named the key as the request's id."""

    def cut(request: Any) -> Chunks:
        headers = {"content-type": "text/event-stream", "x-request-id": f"Bearer {KEY}"}
        return Chunks(chunks(delta("hi"), end=()).pieces, headers=headers)

    client = colour.scripted(cut, [Instance("openai", "m", api_key=KEY)])
    with pytest.raises(StreamInterrupted) as caught:
        client.stream("Hi").text()
    error = caught.value
    assert error.partial is not None
    for said in (str(error), repr(error), repr(error.partial), repr(pickle.dumps(error)), repr(error.attempts)):
        assert KEY[:12] not in said
