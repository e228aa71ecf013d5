"""A piece of a stream that says nothing is no event: content commits a stream, so an empty event would forbid a retry."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmkit.provider import Provider
from llmkit.values.calls import ChatCall, Deadline
from llmkit.values.events import CONTENT_EVENTS
from llmkit.values.messages import Message
from llmkit_providers.anthropic import Anthropic
from llmkit_providers.cohere import Cohere
from llmkit_providers.google import Google
from llmkit_providers.mistral import Mistral
from llmkit_providers.ollama import Ollama
from llmkit_providers.openai import OpenAI


def block(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": 0, "content_block": {"type": kind, **fields}}


def piece(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": kind, **fields}}


def choice(**delta: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def candidate(**part: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}], "responseId": "r"}


def cohere(kind: str, **message: Any) -> dict[str, Any]:
    return {"type": kind, "index": 0, "delta": {"message": message}}


EMPTY: list[tuple[Provider, list[dict[str, Any]]]] = [
    (Anthropic(), [block("text", text=""), piece("text_delta", text="")]),
    (Anthropic(), [block("thinking", thinking="", signature=""), piece("thinking_delta", thinking="")]),
    (Anthropic(), [block("thinking", thinking=""), piece("signature_delta", signature="")]),
    (Anthropic(), [block("redacted_thinking", data="")]),
    (Google(), [candidate(text=""), candidate(text="", thought=True)]),
    (OpenAI(), [choice(role="assistant", content=""), choice(content=None, refusal="", tool_calls=[])]),
    (OpenAI(), [choice(content=[{"type": "text", "text": ""}, {"type": "refusal", "refusal": ""}])]),
    (Mistral(), [choice(content=[{"type": "thinking", "thinking": [{"type": "text", "text": ""}]}])]),
    (Cohere(), [cohere("content-start", content={"type": "text", "text": ""}), cohere("tool-plan-delta", tool_plan="")]),
    (Cohere(), [cohere("content-delta", content={"thinking": ""})]),
    (Ollama(), [{"model": "m", "message": {"role": "assistant", "content": "", "thinking": ""}, "done": False}]),
]


@pytest.mark.parametrize(("provider", "pieces"), EMPTY, ids=[provider.name for provider, _ in EMPTY])
def test_what_says_nothing_commits_nothing(provider: Provider, pieces: list[dict[str, Any]]) -> None:
    assert content(provider, pieces) == []


@pytest.mark.parametrize(
    ("provider", "pieces"),
    [
        (
            OpenAI(),
            [
                choice(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]),
                choice(tool_calls=[{"index": 0, "function": {"arguments": ""}}]),
                choice(tool_calls=[{"index": 0}]),
            ],
        ),
        (
            Cohere(),
            [
                cohere("tool-call-start", tool_calls={"id": "a", "function": {"name": "f", "arguments": ""}}),
                cohere("tool-call-delta", tool_calls={"function": {"arguments": ""}}),
            ],
        ),
        (Anthropic(), [block("tool_use", id="a", name="f", input={}), piece("input_json_delta", partial_json="")]),
    ],
    ids=["openai", "cohere", "anthropic"],
)
def test_a_call_begins_once_and_goes_on_only_with_arguments(provider: Provider, pieces: list[dict[str, Any]]) -> None:
    (begun,) = content(provider, pieces)
    assert (begun.id, begun.name, begun.arguments) == ("a", "f", "")


def content(provider: Provider, pieces: list[dict[str, Any]]) -> list[Any]:
    """The content events of a stream's pieces."""
    call = ChatCall(deadline=Deadline(600.0, 600.0), messages=(Message.user("Hi"),), stream=True)
    decoder = provider.decoder(call, {"content-type": "text/event-stream"})
    framed = "%s\n" if isinstance(provider, Ollama) else "data: %s\n\n"
    events = decoder.feed("".join([framed % json.dumps(document) for document in pieces]).encode())
    return [event for event in events if isinstance(event, CONTENT_EVENTS)]
