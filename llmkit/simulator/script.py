"""What the simulated model says where nobody wrote it a script: an echo that can call tools and fill in forms.

* The answer is the last user message's text; after tool results it is their texts.
* ``call:NAME {json}`` in the text calls the offered tool ``NAME`` with these arguments, as often as it stands there. A tool
  that must be called is called with the least its schema allows.
* Where JSON is wanted, the answer is the least that the schema allows.
* ``max_tokens`` and stop texts cut the answer, as they do at a vendor.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from llmkit.simulated import Answer, Question, SimulatedCall, count_words, pieces
from llmkit.simulator.faults import Fault

Said = Answer | str | Fault
"""What a script may give: an answer, its text, or a fault."""
Script = Callable[[Question], Said]

_CALL = re.compile(r"call:([A-Za-z0-9_.-]+)[ \t]*")
_decode = json.JSONDecoder().raw_decode


def echo(question: Question) -> Answer:
    """The answer of a model that has nothing of its own to say."""
    if question.results:
        return cut(question, Answer(text="\n".join(question.results)))
    calls = _calls(question)
    if calls:
        return Answer(tool_calls=calls)
    if question.json:
        return Answer(text=json.dumps(_answer_of(question), ensure_ascii=False))
    return cut(question, Answer(text=question.text))


def cut(question: Question, answer: Answer) -> Answer:
    """The answer within the question's ``max_tokens`` and up to the first of its stop texts."""
    text, finish = answer.text, answer.finish
    ends = [found for stop in question.stop if stop and (found := text.find(stop)) >= 0]
    if ends:
        text, finish = text[: min(ends)], finish or "stop"
    if question.max_tokens is not None and count_words(text) > question.max_tokens:
        text, finish = "".join(pieces(text)[: question.max_tokens]), "length"
    return answer if text is answer.text else attrs.evolve(answer, text=text, finish=finish)


def from_list(answers: Iterable[Said]) -> Script:
    """A script that gives these answers in turn, and echoes when they are used up."""
    rest = iter(answers)

    def script(question: Question) -> Said:
        said = next(rest, None)
        return echo(question) if said is None else said

    return script


def _calls(question: Question) -> tuple[SimulatedCall, ...]:
    offered = {tool.name: tool for tool in question.tools}
    if not offered or question.tool_choice == "none":
        return ()
    calls = []
    for found in _CALL.finditer(question.text):
        if found[1] in offered:
            try:
                arguments, _ = _decode(question.text, found.end())
            except ValueError:
                arguments = {}
            calls.append(SimulatedCall(found[1], arguments if isinstance(arguments, dict) else {}))
    if not calls and question.tool_choice != "auto":
        tool = offered.get(question.tool_choice) or question.tools[0]
        arguments = least(tool.parameters)
        calls.append(SimulatedCall(tool.name, arguments if isinstance(arguments, dict) else {}))
    return tuple(calls)


def _answer_of(question: Question) -> Any:
    return {"text": question.text} if question.schema is None else least(question.schema)


def least(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
    """The smallest value of a JSON schema: required fields only, first choices, empty texts, least numbers."""
    root = schema if root is None else root
    if depth > 20:
        return None
    if "$ref" in schema:
        return least(_resolve(str(schema["$ref"]), root), root, depth + 1)
    for word in ("const", "default"):
        if word in schema:
            return schema[word]
    if schema.get("enum"):
        return schema["enum"][0]
    for word in ("anyOf", "oneOf"):
        if schema.get(word):
            return least(schema[word][0], root, depth + 1)
    if schema.get("allOf"):
        return least({name: value for part in schema["allOf"] for name, value in part.items()}, root, depth + 1)
    return _least_of_type(schema, root, depth)


def _least_of_type(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = str(kind[0] if isinstance(kind, list) and kind else kind).lower()  # Google writes types in capitals
    if kind == "object":
        fields = schema.get("properties", {})
        return {str(name): least(fields.get(name, {}), root, depth + 1) for name in schema.get("required", ())}
    if kind == "array":
        return [least(schema.get("items", {}), root, depth + 1) for _ in range(schema.get("minItems", 0))]
    if kind in ("integer", "number"):
        return schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    if kind == "boolean":
        return False
    return None if kind == "null" else "x" * schema.get("minLength", 0)


def _resolve(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(step, {}) if step and isinstance(found, Mapping) else found
    return found if isinstance(found, Mapping) else {}
