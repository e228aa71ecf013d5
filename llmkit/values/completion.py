"""What is heard: answers, and the story of how they were got."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Optional, TypeVar

import attrs

from llmkit.errors import LLMError
from llmkit.values.base import Value, trusted
from llmkit.values.messages import Message, Text, ToolCall
from llmkit.values.usage import Usage

if TYPE_CHECKING:
    from decimal import Decimal

A = TypeVar("A", bound="Answer")
Pricer = Callable[[Any], "Optional[Decimal]"]
"""What finds an answer's cost when somebody asks for it."""


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


def settled(answer: Any) -> dict[str, Any]:
    """An answer's fields, those found that are found when they are read, for a copy that leaves the process."""
    return {field.name: getattr(answer, field.name) for field in answer.__attrs_attrs__}


class Answer(Value):
    """What completions and embeddings have in common: the story of how they were got is written on them."""

    __slots__ = ()

    usage: Usage | None

    def __getstate__(self) -> dict[str, Any]:
        return settled(self)


class Late:
    """A field that is made when it is first read, of what its answer was left with. Most are never read, and what is not made
    takes no time, no memory, and none of the garbage collector's.

    What an answer was given, or has made, lies in its ``__dict__``, which goes before this.
    """

    def __init__(self, name: str, make: Callable[[Any, dict[str, Any]], Any]) -> None:
        self._name = name
        self._make = make

    def __get__(self, answer: Any, kind: type[Any] | None = None) -> Any:
        if answer is None:
            raise AttributeError(self._name)
        facts = vars(answer)
        return facts.setdefault(self._name, self._make(answer, facts))  # another thread may have been here meanwhile


def _cost(answer: Any, facts: dict[str, Any]) -> Decimal | None:
    """Finding it loads the catalogue."""
    pricer: Pricer | None = facts.get("_pricer")
    return None if pricer is None else pricer(answer)


def _raw(answer: Any, facts: dict[str, Any]) -> Any:
    """Read anew from the reply's bytes, which are a fraction of the size."""
    from llmkit.wire.json import parse_json

    body = facts.get("_body")
    return None if body is None else parse_json(body)


def _message(answer: Any, facts: dict[str, Any]) -> Message:
    """Of an answer that is nothing but text."""
    text = facts.get("_text")
    content = (Text(text),) if text else ()
    return trusted(Message, {"role": "assistant", "content": content, "name": None, "extra": None})


def _attempts(answer: Any, facts: dict[str, Any]) -> tuple[Attempt, ...]:
    return tuple([Attempt(*fields) for fields in facts.get("_tries", ())])


def _timing(answer: Any, facts: dict[str, Any]) -> Timing | None:
    times = facts.get("_times")
    return None if times is None else Timing(*times)


LATE: Mapping[str, Callable[[Any, dict[str, Any]], Any]] = {
    "attempts": _attempts,
    "cost": _cost,
    "headers": lambda answer, facts: {},
    "message": _message,
    "raw": _raw,
    "timing": _timing,
}


def lazy(kind: type[A]) -> type[A]:
    """A kind of answer some of whose fields are made when they are first read, and which has no use for a field that holds its
    default: the class has that."""
    for field in kind.__attrs_attrs__:
        if field.name in LATE:
            setattr(kind, field.name, Late(field.name, LATE[field.name]))
        elif field.default is not attrs.NOTHING:
            setattr(kind, field.name, field.default)
    return kind


@lazy
@attrs.frozen(slots=False, eq=False, repr=False)
class Completion(Answer):
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
    """US dollars, exactly; None where the price or the usage is not known. Found when it is first read."""
    cached: bool = False
    """True where llmkit answered from its own cache."""
    dropped: tuple[str, ...] = ()
    """What was asked for and left out, because the vendor has no such feature and ``on_unsupported`` allowed it, or because a
    ``fallback`` asked for less."""
    parsed: Any = None
    """The answer as JSON, where a ``response_model`` asked for it."""
    fallback: str | None = None
    """Which step of ``fallback``, ``context_fallbacks`` or ``refusal_fallbacks`` this answer comes from, such as
    ``degrade: model openai/gpt-4o-mini, max_tokens 200, tools dropped``; None for the call's own models and ``fallbacks``."""
    resumed: int = 0
    """How often the stream broke and went on, where ``resume`` asked for it."""

    @property
    def text(self) -> str:
        """The answer's text; empty where there is none."""
        text: str | None = vars(self).get("_text")
        return self.message.text if text is None else text

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
