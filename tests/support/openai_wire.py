"""Bodies of the OpenAI chat-completions dialect, and ways to read them cut anywhere:
https://platform.openai.com/docs/api-reference/chat"""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmkit.errors import LLMError
from llmkit.values.calls import ChatCall, Deadline
from llmkit.values.completion import Completion
from llmkit.values.events import Event, RawEvent
from llmkit.values.instances import Instance
from llmkit.values.messages import Message
from llmkit.values.options import Options
from llmkit.values.other_calls import EmbedCall
from llmkit.wire.http import HttpReply
from llmkit_providers.openai import OpenAI

VENDOR = OpenAI()
INSTANCE = Instance("openai", "gpt-4o-mini")
DEADLINE = Deadline(600.0, 600.0)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


def chat(*messages: Message, stream: bool = False, **options: Any) -> ChatCall:
    return ChatCall(deadline=DEADLINE, messages=messages or (Message.user("Hi"),), options=Options(**options), stream=stream)


def sent(call: ChatCall, vendor: Any = VENDOR, instance: Instance = INSTANCE) -> dict[str, Any]:
    body = vendor.encode(call, instance).body
    assert body is not None
    return json.loads(body)


def message(*messages: Message, vendor: Any = VENDOR) -> list[dict[str, Any]]:
    return sent(chat(*messages), vendor)["messages"]


def reply(document: Any, status: int = 200, **headers: str) -> HttpReply:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return HttpReply(status, headers, body)


def answer(content: Any = "Hello!", finish: Any = "stop", usage: Any = None, **more: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": content, **more}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": finish}],
        "usage": usage,
    }


def decoded(document: Any, vendor: Any = VENDOR) -> Completion:
    return vendor.decode(chat(), reply(document))


def chunk(delta: Any = None, finish: Any = None, index: int = 0, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta or {}, "logprobs": None, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o-mini", "choices": [choice], **more}


def sse(*chunks: Any, done: bool = True) -> bytes:
    events = [item if isinstance(item, bytes) else b"data: " + json.dumps(item).encode() for item in chunks]
    return b"".join([event + b"\n\n" for event in [*events, *([b"data: [DONE]"] if done else [])]])


def streamed(body: bytes, vendor: Any = VENDOR) -> tuple[list[Event], bool]:
    """The events of a stream but for the raw ones; they must not depend on where its bytes are cut."""
    seen = []
    for step in (len(body) or 1, 1, 7):
        decoder = vendor.decoder(chat(stream=True), {"content-type": "text/event-stream"})
        events: list[Event] = []
        for start in range(0, len(body), step):
            events += decoder.feed(body[start : start + step])
        seen.append((events + decoder.finish(), decoder.complete))
    assert seen[0] == seen[1] == seen[2]
    events, complete = seen[0]
    return [event for event in events if type(event) is not RawEvent], complete


def raw(body: bytes, vendor: Any = VENDOR) -> list[Any]:
    """What the raw events of a stream hold."""
    decoder = vendor.decoder(chat(stream=True), {})
    events = decoder.feed(body) + decoder.finish()
    return [event.data for event in events if type(event) is RawEvent]


def _read(decoder: Any, body: bytes, step: int, events: list[Event]) -> None:
    for start in range(0, len(body), step):
        events += decoder.feed(body[start : start + step])
    events += decoder.finish()


def broken(body: bytes, vendor: Any = VENDOR) -> tuple[list[Event], LLMError]:
    """The events and the error of a stream that fails, however its bytes are cut."""
    seen = []
    for step in (len(body), 1, 7):
        decoder = vendor.decoder(chat(stream=True), {})
        events: list[Event] = []
        with pytest.raises(LLMError) as caught:
            _read(decoder, body, step, events)
        seen.append((events, type(caught.value), str(caught.value)))
        assert not decoder.complete
    assert seen[0] == seen[1] == seen[2]
    return seen[0][0], caught.value


def embed(**more: Any) -> EmbedCall:
    return EmbedCall(deadline=DEADLINE, texts=("a", "b"), **more)
