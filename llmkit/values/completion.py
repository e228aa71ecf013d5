"""What is heard: answers, and the story of how they were got."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from llmkit.errors import LLMError
from llmkit.values.base import Value
from llmkit.values.messages import Message, ToolCall
from llmkit.values.usage import Usage

if TYPE_CHECKING:
    from decimal import Decimal


class FinishReason(str, enum.Enum):
    """Why the model stopped. Equal to its own text: ``completion.finish_reason == "stop"``."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    ERROR = "error"
    UNKNOWN = "unknown"

    def __str__(self) -> str:
        return self.value


@attrs.frozen(slots=False, eq=False, repr=False)
class Attempt(Value):
    """One try of a call."""

    instance: str
    key: str
    """Label of the key that was used, never the key."""
    started: float
    """Seconds after the call began."""
    seconds: float
    """How long the try took."""
    error: LLMError | None = None
    """What went wrong, or None for the try that answered."""

    @property
    def ambiguous(self) -> bool:
        """True where the vendor may have done and billed the work although no whole answer came."""
        return self.error is not None and self.error.ambiguous


@attrs.frozen(slots=False, eq=False, repr=False)
class Timing(Value):
    """Where a call's time went, in seconds."""

    total: float = 0.0
    queued: float = 0.0
    """Waiting for room, for a key, and between tries."""
    first_event: float | None = None
    """From the start of the call to the first content of a stream; None for whole answers."""


@attrs.frozen(slots=False, eq=False, repr=False)
class Completion(Value):
    """A model's answer."""

    message: Message
    finish_reason: FinishReason = FinishReason.UNKNOWN
    raw_finish_reason: str | None = None
    """The vendor's own word."""
    usage: Usage | None = None
    """None where the vendor said nothing, or nothing believable."""
    model: str | None = None
    """The model that answered, as the vendor names it."""
    id: str | None = None
    """The vendor's id of the answer."""
    alternatives: tuple[Message, ...] = ()
    """Further answers, where more than one was asked for."""
    raw: Any = attrs.field(default=None, repr=False)
    """The vendor's JSON. For streams: the last event's."""
    provider: str | None = None
    instance: str | None = None
    request_id: str | None = None
    """The vendor's id of the HTTP request."""
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    """The answer's HTTP headers, names in lower case."""
    attempts: tuple[Attempt, ...] = attrs.field(default=(), repr=False)
    timing: Timing | None = attrs.field(default=None, repr=False)
    cost: Decimal | None = None
    """US dollars, or None where the price is not known; this version knows no prices."""
    cached: bool = False
    """True where llmkit answered from its own cache."""
    dropped: tuple[str, ...] = ()
    """What was asked for and left out, because the vendor has no such feature and ``on_unsupported`` allowed it."""
    parsed: Any = None
    """The answer as JSON, where a ``response_model`` asked for it."""

    @property
    def text(self) -> str:
        """The answer's text; empty where there is none."""
        return self.message.text

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls the client is asked to run."""
        return self.message.tool_calls

    @property
    def reasoning(self) -> str:
        """The model's thinking, as far as the vendor shows it."""
        return self.message.reasoning

    @property
    def refusal(self) -> str | None:
        """The model's refusal, or None."""
        return self.message.refusal


@attrs.frozen(slots=False, eq=False, repr=False)
class Embeddings(Value):
    """Vectors, in the order of the texts."""

    vectors: tuple[tuple[float, ...], ...] = attrs.field(repr=lambda vectors: f"<{len(vectors)} vectors>")
    model: str | None = None
    usage: Usage | None = None
    raw: Any = attrs.field(default=None, repr=False)
    provider: str | None = None
    instance: str | None = None
    request_id: str | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    attempts: tuple[Attempt, ...] = attrs.field(default=(), repr=False)
    timing: Timing | None = attrs.field(default=None, repr=False)
    cached: bool = False
    """True where llmkit answered from its own cache."""


@attrs.frozen(eq=False, repr=False)
class ModelInfo(Value):
    """A model that a vendor or a local server offers. What is not known is None."""

    id: str
    provider: str | None = None
    name: str | None = None
    """The name shown to people."""
    context_window: int | None = None
    """The most tokens it can read."""
    max_output_tokens: int | None = None
    """The most tokens it can write."""
    raw: Any = attrs.field(default=None, repr=False)


@attrs.frozen(eq=False, repr=False)
class ModelList(Value):
    """One page of a vendor's models."""

    models: tuple[ModelInfo, ...]
    next_page: str | None = None
    """What to ask for to get the next page, or None."""
