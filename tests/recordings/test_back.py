"""Recorded answers go back as the next turn: whole to their own vendor, to any other without what is not for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from llmkit.values.calls import ChatCall
from llmkit.values.completion import Completion
from llmkit.values.instances import Instance
from llmkit.values.messages import Message, Text

from .asked import DEADLINE, KEY
from .cases import CASES, Case, needs_recordings
from .replay import decode, provider

needs_recordings()

PROVIDERS = sorted({case.provider for case in CASES})
OPAQUE = ("signature", "thoughtSignature", "encrypted_content")
"""Fields of what only the vendor that wrote it can read."""


@pytest.fixture(scope="module")
def answers() -> list[tuple[Case, Completion, set[str]]]:
    """Every chat answer, with the opaque texts in its reply."""
    decoded = [(case, decode(case)) for case in CASES if case.kind == "chat"]
    return [(case, answer, set(_opaque(case))) for case, answer in decoded if isinstance(answer, Completion)]


def _opaque(case: Case) -> Iterator[str]:
    lines = [case.body] if not case.sse else [line.removeprefix(b"data:") for line in case.body.splitlines()]
    for line in lines:
        try:
            yield from _strings(orjson.loads(line))
        except orjson.JSONDecodeError:
            continue


def _strings(value: Any) -> Iterator[str]:
    for item in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
        yield from _strings(item)
    if isinstance(value, dict):
        redacted = ("data",) if value.get("type") in ("redacted_thinking", "reasoning.encrypted") else ()
        yield from [value[name] for name in (*OPAQUE, *redacted) if isinstance(value.get(name), str) and len(value[name]) > 8]


def _sent_back(answer: Completion, to: str, model: str) -> str:
    """The body of the next request."""
    next_turns = [Message.tool(call, '{"done": true}') for call in answer.tool_calls] or [Message.user("Go on.")]
    call = ChatCall(deadline=DEADLINE, messages=(Message.user("Hello"), answer.message, *next_turns))
    request = provider(to).encode(call, Instance(to, model, api_key=KEY, base_url="http://127.0.0.1:9/v1"))
    return orjson.dumps(orjson.loads(request.body or b"")).decode()  # texts spelled in one way


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


@pytest.mark.parametrize("name", [name for name in PROVIDERS if name != "openai_compatible"])
def test_to_its_own_vendor(name: str, answers: list[tuple[Case, Completion, set[str]]]) -> None:
    """Signatures and hidden thoughts go back as they came, or the vendor refuses the next request or forgets its thoughts."""
    for case, answer, opaque in answers:
        if case.provider == name:
            body = _sent_back(answer, name, case.model)
            assert [text for text in opaque if _quoted(text) not in body] == [], case.id
            assert [call.name for call in answer.tool_calls if _quoted(call.name) not in body] == [], case.id


@pytest.mark.parametrize("name", PROVIDERS)
def test_to_another_vendor(name: str, answers: list[tuple[Case, Completion, set[str]]]) -> None:
    """Calls and text go over, and nothing that only the first vendor can read."""
    for case, answer, opaque in answers:
        if case.provider != name:
            body = _sent_back(answer, name, "some-model")
            assert [text for text in opaque if _quoted(text) in body] == [], case.id
            assert [call.name for call in answer.tool_calls if _quoted(call.name) not in body] == [], case.id
            said = [part.text.strip()[:20] for part in answer.message.content if isinstance(part, Text)]
            assert [text for text in said if _quoted(text)[1:-1] not in body] == [], case.id


def test_there_is_something_to_carry(answers: list[tuple[Case, Completion, set[str]]]) -> None:
    """The recordings hold opaque texts of each vendor that has them."""
    carried = {case.provider for case, _, opaque in answers if opaque}
    assert {"anthropic", "google", "openrouter"} <= carried
