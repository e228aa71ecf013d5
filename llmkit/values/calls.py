"""One question to one of the configured instances. ``Call[R]`` names the type of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, Union

import attrs

from llmkit.errors import RequestTimeout
from llmkit.values.base import Value
from llmkit.values.completion import Completion
from llmkit.values.instances import DEFAULT_TIMEOUTS, Timeouts
from llmkit.values.messages import Message
from llmkit.values.options import NO_OPTIONS, Options

if TYPE_CHECKING:
    from llmkit.values.fallbacks import FallbackPlan
    from llmkit.values.hedging import Hedge
    from llmkit.values.model_requests import ModelRequest

R = TypeVar("R")
OnUnsupported = Literal["error", "warn", "drop"]
"""What to do with a parameter that the vendor does not have."""
Resume = Literal["restart", "continue"]
"""How a stream that broke after it had begun goes on: see :class:`~llmkit.values.events.StreamResumed`."""
RESUME = ("restart", "continue")
CATEGORIES = ("fast", "balanced", "quality")
"""The vocabulary of :attr:`llmkit.ModelInfo.category`: the small, the middle and the large models of each family."""
MODEL_WORDS = (*CATEGORIES, "cheapest", "fastest")
"""What may stand for a kind of model in the place of a model's name."""
CacheUse = Union[bool, Literal["refresh"], float, None]


@attrs.frozen(eq=False, repr=False)
class Deadline(Value):
    """When a call must be over, on the runtime's clock."""

    at: float
    seconds: float
    """How long the call was given, for messages."""

    def left(self, now: float) -> float:
        """Seconds left, 0 where none are."""
        return max(0.0, self.at - now)

    def over(self, now: float) -> bool:
        """Whether no time is left in which anything could be done: a millisecond is none."""
        return self.at - now <= 0.001

    def affords(self, pause: float, now: float) -> bool:
        """Whether a pause still leaves time for something after it."""
        return now + pause < self.at

    def passed(self) -> RequestTimeout:
        """The error for a call that ran out of time."""
        return RequestTimeout(f"the call was not over within its {self.seconds:g} s", phase="deadline")


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Call(Value, Generic[R]):
    """What every call has."""

    deadline: Deadline
    model: str | ModelRequest | None = None
    """``provider/model``, a bare model name, or what is wanted of a model; None leaves it to the instances."""
    instance: str | None = None
    """Name of the one instance to use."""
    task: str | None = None
    fallbacks: tuple[str, ...] = ()
    """Models to turn to, in order, when the call's own cannot serve it."""
    tags: tuple[str, ...] = ()
    timeouts: Timeouts = DEFAULT_TIMEOUTS
    retries: Any = None
    """A number or a tenacity policy for this call alone; None means the client's."""
    hedge: Hedge | None = None
    """When a late try is doubled; None for never."""
    cache: CacheUse = None
    """None or True: as the client does; False: not at all; ``refresh``: a new answer, which is kept; a number: an answer of at
    most so many seconds, kept for so long. Raw requests and model lists are never kept."""
    priority: int = 0
    """Of calls that wait, those of higher priority go first."""
    kind: ClassVar[str]
    """Which of a provider's methods it is for: ``chat`` for ``encode_chat`` and ``decode_chat``."""
    answer: ClassVar[type] = object
    """The type of its answer."""

    @property
    def streamed(self) -> bool:
        """Whether the answer is to come in pieces."""
        return False


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class ChatCall(Call[Completion]):
    """Messages in, a message out."""

    kind: ClassVar[str] = "chat"
    answer: ClassVar[type] = Completion
    messages: tuple[Message, ...]
    options: Options = NO_OPTIONS
    stream: bool = False
    on_unsupported: OnUnsupported = "error"
    plan: FallbackPlan | None = None
    """What to do when nothing that could serve the call has served it; None for nothing."""
    resume: Resume | None = None
    """Whether and how its stream goes on after an interruption."""

    @property
    def streamed(self) -> bool:
        """Whether the answer is to come in pieces."""
        return self.stream
