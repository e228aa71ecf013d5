"""The other end of Perplexity's wires: its Agent API, and the chat completions that some gateways keep.

The Agent API is strict: a field it does not know, wherever it stands, is refused with the field's name. Which fields there are and
what else is refused: ``references/request-mapping.md`` and ``references/response-and-streaming.md`` in
https://github.com/perplexityai/api-platform-developers/tree/main/skills/migrate-sonar-to-agent-api, and the types of
https://github.com/perplexityai/perplexity-py/tree/main/src/perplexity/types. That ``max_output_tokens`` under 16 count as 16 is not
simulated, so that answers can be cut short.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmkit.simulated import (
    Answer,
    Frame,
    OfferedTool,
    Question,
    Refusal,
    SimulatedCall,
    SimulatedRequest,
    count_values,
    count_words,
    pieces,
    texts_in,
)
from llmkit.wire.json import dump_json
from llmkit_providers.simulated.openai import OpenAI
from llmkit_providers.simulated.openai_errors import error_body
from llmkit_providers.simulated.perplexity_checks import check_agent

STATUSES = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why an answer is incomplete, by how it ended; the second is in OpenAI's format alone:
https://platform.openai.com/docs/api-reference/responses/object"""


class Perplexity(OpenAI):
    """``/v1/agent`` and ``/v1/responses``, which are one; the rest as every vendor of the OpenAI dialect."""

    names = ("perplexity",)

    def read(self, vendor: str, request: SimulatedRequest, key: str) -> Question:
        """As the base, and the Agent API's questions."""
        if request.path not in ("/v1/agent", "/v1/responses"):
            return super().read(vendor, request, key)
        if request.method != "POST":
            raise Refusal("method", f"Not allowed to {request.method} on {request.path}.")
        body = request.document()
        check_agent(body)
        return _question(vendor, key, body)

    def answer(self, question: Question, answer: Answer) -> bytes:
        """A ``response``."""
        if "input" not in question.body:
            return super().answer(question, answer)
        return dump_json(_response(question, answer))

    def stream(self, question: Question, answer: Answer) -> list[Frame]:
        """The events from ``response.created`` to the terminal one."""
        return _Events(question, answer).frames if "input" in question.body else super().stream(question, answer)

    def error_event(self, vendor: str, refusal: Refusal) -> bytes:
        """An ``error`` event; events have no name line."""
        _, document = error_body("perplexity", vendor, refusal)
        return b"data: " + dump_json({"type": "error", "sequence_number": 9, **document}) + b"\n\n"


def _question(vendor: str, key: str, body: Mapping[str, Any]) -> Question:
    given = body["input"]
    items = [{"type": "message", "role": "user", "content": given}] if isinstance(given, str) else given
    users = [item for item in items if item.get("role") == "user"]
    results: list[str] = []
    for item in reversed(items):
        if item.get("type") != "function_call_output":
            break
        results.insert(0, item["output"])
    tools = body.get("tools") or ()
    choice = body.get("tool_choice") or "auto"
    wanted = body.get("response_format") or {}
    words = sum([_words(item) for item in items]) + count_words(body.get("instructions") or "")
    return Question(
        vendor=vendor,
        model=body.get("model") or body["preset"],
        key=key,
        text="\n".join(texts_in(users[-1]["content"])) if users else "",
        results=tuple(results),
        prompt_tokens=words + (count_values(tools) if tools else 0),
        tools=tuple([OfferedTool(tool["name"], tool.get("parameters") or {}) for tool in tools if tool["type"] == "function"]),
        tool_choice=choice if isinstance(choice, str) else str(choice.get("name") or "auto"),
        stream=bool(body.get("stream")),
        max_tokens=body.get("max_output_tokens"),
        json=bool(wanted),
        schema=(wanted.get("json_schema") or {}).get("schema"),
        body=body,
    )


def _words(item: Mapping[str, Any]) -> int:
    if item.get("type") == "function_call":
        return 1 + count_words(item["arguments"])
    return sum([count_words(text) for text in texts_in(item.get("content", item.get("output")))])


def _message(answer: Answer) -> dict[str, Any]:
    """The message of an answer: a part for its text, and one for a refusal, as OpenAI has them."""
    parts: list[dict[str, Any]] = []
    if answer.text or not answer.refusal:
        parts.append({"type": "output_text", "text": answer.text, "annotations": []})
    if answer.refusal:
        parts.append({"type": "refusal", "refusal": answer.refusal})
    return {"type": "message", "id": f"msg_{answer.id}", "role": "assistant", "status": "completed", "content": parts}


def _call(call: SimulatedCall) -> dict[str, Any]:
    arguments = dump_json(dict(call.arguments)).decode()
    return {"type": "function_call", "id": f"fc_{call.id}", "call_id": call.id, "name": call.name, "arguments": arguments,
            "status": "completed"}  # fmt: skip


def _output(answer: Answer) -> list[dict[str, Any]]:
    """The items of an answer. There is none for thinking."""
    said = [_message(answer)] if answer.text or answer.refusal or not answer.tool_calls else []
    return [*said, *[_call(call) for call in answer.tool_calls]]


def _response(question: Question, answer: Answer, status: str | None = None) -> dict[str, Any]:
    """The whole response; with a ``status`` the one that a stream begins with, in which nothing has been said."""
    reason = STATUSES.get(answer.finish)
    document = {
        "id": f"resp_{answer.id}", "object": "response", "created_at": answer.created, "model": question.model, "error": None,
        "status": status or ("incomplete" if reason else "completed"), "output": [] if status else _output(answer),
        "incomplete_details": {"reason": reason} if reason and not status else None, "usage": None,
    }  # fmt: skip
    if status is None:
        document["usage"] = {
            "input_tokens": answer.prompt,
            "output_tokens": answer.completion,
            "total_tokens": answer.prompt + answer.completion,
            "input_tokens_details": {"cached_tokens": answer.cached_tokens, "cache_read_input_tokens": answer.cached_tokens},
            "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens or 0},
        }
    return document


class _Events:
    """Writes the events of one stream, numbered."""

    def __init__(self, question: Question, answer: Answer) -> None:
        self.frames: list[Frame] = []
        begun = _response(question, answer, "in_progress")
        self._event("response.created", response=begun)
        self._event("response.in_progress", response=begun)
        if answer.reasoning:
            self._event("response.reasoning.started", thought="Thinking...")
            self._event("response.reasoning.stopped")
        for index, item in enumerate(_output(answer)):
            if item["type"] == "message":
                self._say(index, item)
            else:
                self._event("response.output_item.added", output_index=index, item=item)
                self._event("response.output_item.done", count_values(item["arguments"]) + 1, output_index=index, item=item)
        whole = _response(question, answer)
        self._event(f"response.{whole['status']}", response=whole)

    def _event(self, kind: str, tokens: int = 0, **fields: Any) -> None:
        document = {"type": kind, "sequence_number": len(self.frames), **fields}
        self.frames.append(Frame(b"data: " + dump_json(document) + b"\n\n", tokens))

    def _say(self, index: int, item: Mapping[str, Any]) -> None:
        self._event("response.output_item.added", output_index=index, item={**item, "content": None, "status": "in_progress"})
        for number, part in enumerate(item["content"]):
            field = "text" if part["type"] == "output_text" else "refusal"
            place = {"item_id": item["id"], "output_index": index, "content_index": number}
            for piece in pieces(part[field]):
                self._event(f"response.{part['type']}.delta", count_words(piece), **place, delta=piece)
            self._event(f"response.{part['type']}.done", **place, **{field: part[field]})
        self._event("response.output_item.done", output_index=index, item=item)
