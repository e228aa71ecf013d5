"""Folding a stream's events into the completion they add up to, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from llmkit.errors import LLMError
from llmkit.values.completion import Completion, FinishReason
from llmkit.values.events import (
    CONTENT_EVENTS,
    Event,
    PartDone,
    RawEvent,
    ReasoningDelta,
    RefusalDelta,
    StreamFinished,
    StreamResumed,
    StreamStarted,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from llmkit.values.messages import Message, Part, Reasoning, Refusal, Text, ToolCall
from llmkit.values.usage import Usage
from llmkit.wire.json import dump_json, tool_arguments


def fold(events: Iterable[Event], provider: str | None = None) -> Completion:
    """What ``events`` add up to, complete or not; the caller knows whether the stream had ended.

    :param provider: whose events they are; reasoning is bound to it.
    """
    choices: dict[int, _Choice] = {}
    model = id_ = usage = raw = None
    reason, raw_reason = FinishReason.UNKNOWN, None
    resumed = 0
    before: list[Usage | None] = []
    for event in events:
        kind = type(event)
        if kind in CONTENT_EVENTS:
            choice = choices.get(event.choice)  # type: ignore[union-attr]
            if choice is None:
                choice = choices[event.choice] = _Choice(provider)  # type: ignore[union-attr]
            choice.add(event)
        elif kind is UsageReported:
            usage = event.usage  # type: ignore[union-attr]
        elif kind is StreamStarted:
            model, id_ = event.model or model, event.id or id_  # type: ignore[union-attr]
        elif kind is RawEvent:
            raw = event.data  # type: ignore[union-attr]
        elif kind is StreamFinished:
            choices.setdefault(event.choice, _Choice(provider))  # type: ignore[union-attr]
            if event.choice == 0:  # type: ignore[union-attr]
                reason, raw_reason = event.finish_reason, event.raw_finish_reason  # type: ignore[union-attr]
        elif kind is StreamResumed:
            resumed += 1
            if event.how == "restart":  # type: ignore[union-attr]
                choices, before = {}, []
            else:
                before.append(usage)
                for choice in choices.values():
                    choice.leave(event.error)  # type: ignore[union-attr]
            model = id_ = usage = raw = None
            reason, raw_reason = FinishReason.UNKNOWN, None
    messages = [choices[number].message() for number in sorted(choices)] or [Message("assistant")]
    if before:
        usage = _sum([*before, usage])
    others = tuple(messages[1:])
    return Completion(messages[0], reason, raw_reason, usage, model, id_, others, raw, provider, resumed=resumed)


def _sum(parts: list[Usage | None]) -> Usage | None:
    """The tokens of an answer that came in several parts, marked as an estimate where one of them did not tell its own."""
    told = [usage for usage in parts if usage is not None]
    if not told:
        return None
    total = sum(told[1:], told[0])
    return total if len(told) == len(parts) else attrs.evolve(total, estimated=True)


def unfold(completion: Completion) -> list[Event]:
    """Events that add up to ``completion``: each text, thought and tool call in one piece."""
    events: list[Event] = [StreamStarted(completion.model, completion.id)]
    for number, message in enumerate((completion.message, *completion.alternatives)):
        position = 0
        for part in message.content:
            events += _events(part, position, number)
            position += type(part) is ToolCall
        events.append(StreamFinished(completion.finish_reason, completion.raw_finish_reason, number))
    if completion.usage is not None:
        events.append(UsageReported(completion.usage))
    return events


def _events(part: Part, position: int, choice: int) -> list[Event]:
    kind = type(part)
    if kind is Text and part.text:  # type: ignore[union-attr]
        said: list[Event] = [TextDelta(part.text, choice)]  # type: ignore[union-attr]
        extra = part.extra  # type: ignore[union-attr]
        return said if extra is None else [*said, PartDone(Text("", extra), choice)]
    if isinstance(part, Reasoning) and part.extra is None:
        return [ReasoningDelta(part.text, part.signature, part.redacted, choice)]
    if isinstance(part, Refusal) and part.extra is None:
        return [RefusalDelta(part.text, choice)]
    if isinstance(part, ToolCall):
        raw = part.raw if part.raw is not None else dump_json(part.arguments).decode()
        return [ToolCallDelta(position, part.id, part.name, raw, choice, part.extra)]
    return [PartDone(part, choice)]


class _Choice:
    """One answer under construction: its parts in the order in which they began."""

    __slots__ = ("calls", "pieces", "provider")

    def __init__(self, provider: str | None) -> None:
        self.provider = provider
        self.pieces: list[Any] = []
        """Whole parts, and lists of deltas of one kind that belong together."""
        self.calls: dict[int, list[ToolCallDelta]] = {}

    def add(self, event: Event) -> None:
        kind = type(event)
        if kind is ToolCallDelta:
            deltas = self.calls.get(event.position)  # type: ignore[union-attr]
            if deltas is None:
                deltas = self.calls[event.position] = []  # type: ignore[union-attr]
                self.pieces.append(deltas)
            deltas.append(event)  # type: ignore[arg-type]
        elif kind is PartDone:
            self.pieces.append(event.part)  # type: ignore[union-attr]
        else:
            last = self.pieces[-1] if self.pieces else None
            if type(last) is list and type(last[0]) is kind and not _ends_thought(last[-1]):
                last.append(event)
            else:
                self.pieces.append([event])

    def leave(self, error: LLMError | None) -> None:
        """Another answers from here on: what was thought so far stays bound to whoever thought it."""
        thinker, self.provider = self.provider, error.provider if error is not None else None
        self.pieces = [self._part(piece) if _is_thought(piece) else piece for piece in self.pieces]
        self.provider = thinker

    def message(self) -> Message:
        return Message("assistant", tuple([self._part(piece) for piece in self.pieces]))

    def _part(self, piece: Any) -> Part:
        if type(piece) is not list:
            return piece  # type: ignore[no-any-return]
        first = piece[0]
        if type(first) is TextDelta:
            return Text("".join([delta.text for delta in piece]))
        if type(first) is ReasoningDelta:
            last = piece[-1]
            return Reasoning("".join([delta.reasoning for delta in piece]), last.signature, last.redacted, self.provider)
        if type(first) is RefusalDelta:
            return Refusal("".join([delta.refusal for delta in piece]))
        return _tool_call(piece)


def _is_thought(piece: Any) -> bool:
    return type(piece) is list and type(piece[0]) is ReasoningDelta


def _ends_thought(event: Event) -> bool:
    return type(event) is ReasoningDelta and (event.signature is not None or event.redacted is not None)


def _tool_call(deltas: list[ToolCallDelta]) -> ToolCall:
    def first(name: str) -> Any:
        return next((value for delta in deltas if (value := getattr(delta, name))), None)

    raw = "".join([delta.arguments for delta in deltas])
    arguments, valid = tool_arguments(raw)
    return ToolCall(first("id") or f"call_{deltas[0].position}", first("name") or "", arguments, raw, valid, first("extra"))
