"""OpenAI's message rules, against the prompt tokens that OpenAI reported for every recorded chat of text alone."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from llmkit.tokens.count import count_tokens
from llmkit.tokens.families import family
from llmkit.values.calls import ChatCall
from tests.recordings.asked import call_for
from tests.recordings.cases import CASES, needs_recordings

needs_recordings()

EXCEPTIONS = {
    "openai-733a16519e7b": "the recorder's author pasted the reply of another prompt in (166 tokens for one line)",
}
"""Recorded chats whose count differs, and why."""


def text_only() -> list:
    """Chats of text with OpenAI's own models, at OpenAI, Azure and OpenRouter, whose reply tells the prompt's tokens."""
    found = []
    for case in CASES:
        usage = case.expected.get("usage") or {}
        if case.kind != "chat" or case.vendor not in ("openai", "azure", "openrouter") or usage.get("prompt_tokens") is None:
            continue
        call = call_for(case)
        assert isinstance(call, ChatCall)
        if call.options.tools or call.options.response_format or (call.options.extra or {}).keys() & {"functions", "plugins"}:
            continue
        if any(part.type != "text" for message in call.messages for part in message.content):
            continue
        model = case.expected.get("model") or case.model
        if not family(model).exact and family(case.model).exact:
            model = case.model
        if family(model).exact:
            found.append((case, call, model))
    return found


TEXTS = text_only()


def test_the_table_in_the_docs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """It is what ``scripts/token_errors.py`` prints."""
    root = Path(__file__).resolve().parents[2]
    monkeypatch.setattr(sys, "argv", ["token_errors.py"])
    runpy.run_path(str(root / "scripts" / "token_errors.py"), run_name="__main__")
    assert capsys.readouterr().out in (root / "docs" / "how-to" / "count-tokens.md").read_text(encoding="utf-8")


def test_there_are_enough():
    assert len(TEXTS) > 200
    assert set(EXCEPTIONS) <= {case.id for case, _, _ in TEXTS}


@pytest.mark.parametrize(("case", "call", "model"), TEXTS, ids=[case.id for case, _, _ in TEXTS])
def test_prompt_tokens(case, call: ChatCall, model: str):
    found = count_tokens(call, model)
    reported = case.expected["usage"]["prompt_tokens"]
    assert found.exact
    assert (found == reported) == (case.id not in EXCEPTIONS), (int(found), reported)
