"""An error that comes in the same bytes as events takes none of them away, and waits for nothing: the next call raises it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from llmkit import Instance, OverloadedError, ServerError, StreamInterrupted, Timeouts
from llmkit.errors import LLMError
from llmkit.provider import Provider
from llmkit.testing import Chunks
from llmkit.values.calls import ChatCall, Deadline
from llmkit.values.events import TextDelta
from llmkit.values.messages import Message
from llmkit_providers.anthropic import Anthropic
from llmkit_providers.cohere import Cohere
from llmkit_providers.google import Google
from llmkit_providers.ollama import Ollama
from llmkit_providers.openai import OpenAI
from tests.support.colours import Colour

ANTHROPIC = [
    {"type": "message_start", "message": {"id": "m", "model": "c"}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
]
OPENAI = [
    {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]},
    {"error": {"message": "Overloaded", "type": "server_error"}},
]
GOOGLE = [
    {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "index": 0}]},
    {"error": {"code": 503, "message": "Overloaded", "status": "UNAVAILABLE"}},
]
COHERE = [
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hi"}}}},
    {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "Overloaded"}},
]
OLLAMA = [{"model": "m", "message": {"role": "assistant", "content": "Hi"}, "done": False}, {"error": "Overloaded"}]

VENDORS: list[tuple[Provider, list[dict[str, Any]]]] = [
    (Anthropic(), ANTHROPIC),
    (OpenAI(), OPENAI),
    (Google(), GOOGLE),
    (Cohere(), COHERE),
    (Ollama(), OLLAMA),
]
EACH = pytest.mark.parametrize(("provider", "documents"), VENDORS, ids=[provider.name for provider, _ in VENDORS])


def framed(provider: Provider, documents: list[dict[str, Any]]) -> bytes:
    before, after = (b"", b"\n") if isinstance(provider, Ollama) else (b"data: ", b"\n\n")
    return b"".join([before + orjson.dumps(document) + after for document in documents])


@EACH
@pytest.mark.parametrize("ends", [False, True])
def test_the_next_call_raises_it(provider: Provider, documents: list[dict[str, Any]], ends: bool) -> None:
    """Whether that is more bytes, none, or the end."""
    call = ChatCall(deadline=Deadline(600.0, 600.0), messages=(Message.user("Hi"),), stream=True)
    decoder = provider.decoder(call, {"content-type": "text/event-stream"})
    assert decoder.feed(b"") == []
    assert TextDelta("Hi") in decoder.feed(framed(provider, documents))
    with pytest.raises(LLMError, match="Overloaded") as caught:
        decoder.finish() if ends else decoder.feed(b"")
    assert isinstance(caught.value, ServerError)


@EACH
def test_it_is_not_waited_for(colour: Colour, provider: Provider, documents: list[dict[str, Any]]) -> None:
    """A server that keeps its connection open after its error does not cost the idle timeout."""
    body = Chunks(((1.0, framed(provider, documents)), (500.0, b"")))
    client = colour.scripted(lambda request: body, [Instance(provider.name, "m", api_key="k")], timeouts=Timeouts(idle=60))
    with pytest.raises(StreamInterrupted, match="Overloaded") as caught, client.stream("q") as stream:
        list(stream)
    assert caught.value.partial.text == "Hi"
    assert client.runtime.clock == pytest.approx(1.0)


END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}


def test_before_any_content_it_is_retried_at_once(colour: Colour) -> None:
    """A beginning without content, then the error: nobody waited for the first event's timeout."""
    broken = Chunks(((1.0, framed(Anthropic(), [ANTHROPIC[0], ANTHROPIC[-1]])), (500.0, b"")))
    good = Chunks(((1.0, framed(Anthropic(), [*ANTHROPIC[:3], END])),))
    replies = [broken, good]
    client = colour.scripted(lambda request: replies.pop(0), [Instance("anthropic", "m", api_key="k")], retry_initial_delay=0.1)
    completion = client.stream("q").completion()
    assert completion.text == "Hi"
    assert type(completion.attempts[0].error) is OverloadedError
    assert client.runtime.clock < 5
