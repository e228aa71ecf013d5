"""Nothing falls out of the recordings unseen, and the harness sees what it should."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from llmkit.errors import LLMError

from .cases import BY_ID, CASES, EVERY_CASE, IN_SCOPE, LEFT_OUT, OUT_OF_SCOPE, Case, needs_recordings
from .compare import differences
from .listed import LISTED, MOST, verdict
from .meaning import differing, meaning
from .replay import decode

needs_recordings()


def test_what_is_left_out_is_counted() -> None:
    """A new kind or dialect must be put in scope, or out of it with a reason."""
    assert dict(LEFT_OUT) == OUT_OF_SCOPE
    assert len(CASES) == IN_SCOPE == len(EVERY_CASE) - sum(OUT_OF_SCOPE.values())


def test_ids_tell_cases_apart() -> None:
    """The list of differences names cases by id."""
    assert len(BY_ID) == len(CASES)


def test_the_list_names_known_cases_and_reasons() -> None:
    """A mistyped id, or one without a reason, hides nothing."""
    assert set(LISTED) == {"decode", "meaning"}
    assert [case for section in LISTED.values() for case in section if case not in BY_ID] == []
    assert [case for section in LISTED.values() for case, reason in section.items() if len(reason) < 20] == []


def test_the_list_is_short() -> None:
    """At most two in a hundred cases may differ, whatever the reasons."""
    assert len({case for section in LISTED.values() for case in section}) <= MOST * len(CASES)


def test_a_listed_case_that_passes_again_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list cannot outlive its reasons, nor hide what it does not name."""
    case = CASES[0]
    monkeypatch.setitem(LISTED["decode"], case.id, "a reason to differ")
    assert "take it off the list" in (verdict(case, "decode", []) or "")
    assert verdict(case, "decode", ["text: ..."]) is None
    monkeypatch.delitem(LISTED["decode"], case.id)
    assert "text: ..." in (verdict(case, "decode", ["text: ..."]) or "")


def _other(value: Any) -> Any:
    """Something of the same kind that is not ``value``."""
    if isinstance(value, str):
        return f"{value}x"
    if isinstance(value, list):
        return [*value, "x"] if all(isinstance(item, str) for item in value) else value[:-1]
    if isinstance(value, dict):
        return {**value, "x": "x"}
    return value + 1


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "text": lambda expected: expected.update(text=_other(expected["text"]), text_accept=[]),
    "reasoning": lambda expected: expected.update(reasoning="something else", reasoning_accept=[]),
    "refusal": lambda expected: expected.update(refusal="no"),
    "model": lambda expected: expected.update(model="another"),
    "finish": lambda expected: expected.update(finish_accept=["content_filter"]),
    "raw finish": lambda expected: expected.update(finish_raw="enough"),
    "answers": lambda expected: expected.update(n_choices=7),
    "calls": lambda expected: expected.update(tool_calls=_other(expected["tool_calls"])),
    "call name": lambda expected: expected["tool_calls"][0].update(name="another"),
    "call id": lambda expected: expected["tool_calls"][0].update(id="another"),
    "call arguments": lambda expected: expected["tool_calls"][0].update(arguments={"another": 1}, valid=True),
    "prompt tokens": lambda expected: expected["usage_accept"].update(prompt_tokens=[987654]),
    "completion tokens": lambda expected: expected["usage_accept"].update(completion_tokens=[987654]),
    "cached tokens": lambda expected: expected["usage_accept"].update(cached_tokens=[987654]),
    "outcome": lambda expected: expected.update(outcome="error", error={"class": "server", "status": 500, "message": ""}),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_a_change_is_seen(changed: str) -> None:
    """Expectations that are changed are no longer met, so the comparison can tell."""
    called = [case for case in CASES if case.expected["tool_calls"] and case.expected["model"] and case.expected["usage"]]
    for case in called[::20]:
        assert differences(case, decode(case)) == []
        expected = copy.deepcopy(case.expected)
        CHANGES[changed](expected)
        assert differences(attrs.evolve(case, expected=expected), decode(case)) != []


def test_another_error_is_seen() -> None:
    """An error of another class, with another message, or none at all is not the expected one."""
    for case in [case for case in CASES if case.expected["outcome"] == "error" and case.status >= 400][::5]:
        assert differences(case, decode(case)) == []
        assert differences(case, LLMError("something else", status=case.status)) != []
        expected = {**case.expected, "error": {**case.expected["error"], "message": "another message"}}
        assert differences(attrs.evolve(case, expected=expected), decode(case)) != []


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict) and value:
        return [found for name, item in value.items() for found in _paths(item, (*path, name))]
    if isinstance(value, list) and value:
        return [found for at, item in enumerate(value) for found in _paths(item, (*path, at))]
    return [path]


SPELLINGS = ("stream_options", "encoding_format", "type", "index", "stop")
"""Fields whose value may be spelled otherwise, or is llmkit's own affair."""


@pytest.mark.parametrize("wire", ["openai", "anthropic", "gemini", "ollama", "cohere"])
def test_a_change_in_a_request_is_seen(wire: str) -> None:
    """Canonical forms do not swallow what matters: any text or number of a request that changes shows."""
    asked = [case for case in CASES if case.wire == wire and case.kind == "chat" and case.request]
    for case in asked[:: max(1, len(asked) // 40)]:
        chance = case.random("change")
        paths = [path for path in _paths(case.request) if not set(path) & set(SPELLINGS) and _matters(case, path)]
        for path in chance.sample(paths, min(5, len(paths))):
            assert _changed(case, path), f"{case.id}: a change of {path} is not seen"


def _at(request: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        request = request[step]
    return request


def _is_thought(value: Any) -> bool:
    return isinstance(value, dict) and value.get("thought") is True


def _matters(case: Case, path: tuple[Any, ...]) -> bool:
    value = _at(case.request, path)
    if path == ("model",) or path == ("systemInstruction", "role") or _is_thought(_at(case.request, path[:-1])):
        return False
    return type(value) in (str, int, float)


def _changed(case: Case, path: tuple[Any, ...]) -> bool:
    request = copy.deepcopy(case.request)
    _at(request, path[:-1])[path[-1]] = _other(_at(request, path))
    return bool(differing(meaning(case, case.path, request), meaning(case, case.path, case.request)))
