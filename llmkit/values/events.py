"""What a stream brings, piece by piece. Every event has ``text`` (empty where it carries none) and ``type``."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Union

import attrs

from llmkit.errors import LLMError
from llmkit.values.base import Value
from llmkit.values.completion import FinishReason
from llmkit.values.messages import Extra, Part
from llmkit.values.usage import Usage


@attrs.frozen(eq=False, repr=False)
class StreamStarted(Value):
    """The vendor has begun to answer."""

    type: ClassVar[Literal["started"]] = "started"
    text: ClassVar[str] = ""
    model: str | None = None
    id: str | None = None


@attrs.frozen(eq=False, repr=False)
class TextDelta(Value):
    """More text. ``choice`` tells answers apart where more than one was asked for."""

    type: ClassVar[Literal["text"]] = "text"
    text: str
    choice: int = 0


@attrs.frozen(eq=False, repr=False)
class ReasoningDelta(Value):
    """More thinking, in ``reasoning``; ``text`` stays empty, so that printing ``event.text`` prints the answer alone. A
    ``signature`` or ``redacted`` data ends one thought: what follows is another."""

    type: ClassVar[Literal["reasoning"]] = "reasoning"
    text: ClassVar[str] = ""
    reasoning: str = ""
    signature: str | None = None
    redacted: str | None = None
    choice: int = 0


@attrs.frozen(eq=False, repr=False)
class RefusalDelta(Value):
    """More of the model's refusal, in ``refusal``."""

    type: ClassVar[Literal["refusal"]] = "refusal"
    text: ClassVar[str] = ""
    refusal: str
    choice: int = 0


@attrs.frozen(eq=False, repr=False)
class ToolCallDelta(Value):
    """A tool call begins or goes on. ``position`` numbers the calls of this answer from 0; ``id`` and ``name`` are set when a
    call begins, ``arguments`` is the next fragment of its JSON."""

    type: ClassVar[Literal["tool_call"]] = "tool_call"
    text: ClassVar[str] = ""
    position: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    choice: int = 0
    extra: Extra = None


@attrs.frozen(eq=False, repr=False)
class PartDone(Value):
    """A part that comes whole: a picture, a part of the vendor's own, an empty text that carries a vendor's ``extra``."""

    type: ClassVar[Literal["part"]] = "part"
    text: ClassVar[str] = ""
    part: Part
    choice: int = 0


@attrs.frozen(eq=False, repr=False)
class UsageReported(Value):
    """Tokens used so far; the last one counts."""

    type: ClassVar[Literal["usage"]] = "usage"
    text: ClassVar[str] = ""
    usage: Usage


@attrs.frozen(eq=False, repr=False)
class StreamFinished(Value):
    """The model stopped."""

    type: ClassVar[Literal["finished"]] = "finished"
    text: ClassVar[str] = ""
    finish_reason: FinishReason
    raw_finish_reason: str | None = None
    choice: int = 0


@attrs.frozen(eq=False, repr=False)
class RawEvent(Value):
    """Something the vendor sent that has no common form; ``data`` is its JSON."""

    type: ClassVar[Literal["raw"]] = "raw"
    text: ClassVar[str] = ""
    data: Any


@attrs.frozen(eq=False, repr=False)
class StreamResumed(Value):
    """The stream broke after it had begun, and goes on: only where the call asked for it with ``resume``."""

    type: ClassVar[Literal["resumed"]] = "resumed"
    text: ClassVar[str] = ""
    how: Literal["restart", "continue"]
    """``restart``: the answer begins anew, and everything before this event is void. ``continue``: what follows goes on where the
    answer stopped."""
    instance: str | None = None
    """Name of the instance that answers from here on."""
    error: LLMError | None = None
    """What broke the stream; it names the instance that answered before."""


Event = Union[
    StreamStarted,
    TextDelta,
    ReasoningDelta,
    RefusalDelta,
    ToolCallDelta,
    PartDone,
    UsageReported,
    StreamFinished,
    RawEvent,
    StreamResumed,
]

CONTENT_EVENTS = (TextDelta, ReasoningDelta, RefusalDelta, ToolCallDelta, PartDone)
"""What commits a stream: from the first of these on, nothing is retried silently."""
