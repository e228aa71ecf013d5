"""What to do when nothing that could serve a call has served it: four kinds of step, as data.

A client or a call has them as ``fallback=[Secondary([...]), Degrade(...), Queue()]``, in the order in which they are taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Union

import attrs

from llmkit.errors import ConfigError, LLMError, did_you_mean, shown
from llmkit.values.base import Value

DROPPABLE = ("tools", "tool_choice", "reasoning_effort", "response_format", "temperature", "top_p", "stop", "seed", "extra")
"""Options that :class:`Degrade` can leave out."""


def models(name: str, given: Any) -> tuple[str, ...]:
    """``given`` as names of models, in order.

    :raises ConfigError: if it is no list of text.
    """
    found = _list(name, given)
    wrong = [model for model in found if not isinstance(model, str) or not model]
    if wrong:
        raise ConfigError(f"{name}: expected names of models such as 'provider/model', got {shown(wrong[0])}")
    return found


def _list(name: str, given: Any) -> tuple[Any, ...]:
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise ConfigError(f"{name}: expected a list, got {shown(given)}")
    return tuple(given)


def _secondary_models(given: Iterable[str]) -> tuple[str, ...]:
    return models("Secondary.models", given)


def _dropped(given: Iterable[str]) -> tuple[str, ...]:
    return _list("Degrade.drop", given)


def _error(given: LLMError | str | None) -> Any:
    return LLMError(given) if isinstance(given, str) and given else given


@attrs.frozen(eq=False, repr=False)
class Secondary(Value):
    """Ask other models, in order, within what is left of the call's time.

    :raises ConfigError: if no model is named.
    """

    type: ClassVar[Literal["secondary"]] = "secondary"
    models: tuple[str, ...] = attrs.field(converter=_secondary_models)

    def __attrs_post_init__(self) -> None:
        if not self.models:
            raise ConfigError("Secondary.models: expected at least one model")


@attrs.frozen(eq=False, repr=False)
class Degrade(Value):
    """Ask for less: a smaller model, fewer tokens, fewer features. A step that would change nothing about a call is passed over.

    :raises ConfigError: if it names nothing to change, or something that cannot be.
    """

    type: ClassVar[Literal["degrade"]] = "degrade"
    model: str | None = None
    """The model to ask; None stays with the call's own."""
    max_tokens: int | None = None
    """The most tokens of the answer. A call that asks for fewer keeps its own number."""
    drop: tuple[str, ...] = attrs.field(default=(), converter=_dropped)
    """Options of the call to leave out: names in :data:`DROPPABLE`. Defaults of tasks and instances are not touched."""

    def __attrs_post_init__(self) -> None:
        if self.model is not None:
            models("Degrade.model", (self.model,))
        if self.max_tokens is not None and not _whole(self.max_tokens):
            raise ConfigError(f"Degrade.max_tokens: expected a whole number of at least 1, got {shown(self.max_tokens)}")
        for name in self.drop:
            if name not in DROPPABLE:
                near = did_you_mean(name, DROPPABLE) if isinstance(name, str) else ""
                raise ConfigError(f"Degrade.drop: expected names among {', '.join(DROPPABLE)}, got {shown(name)}{near}")
        if self.model is None and self.max_tokens is None and not self.drop:
            raise ConfigError("Degrade: expected one of model, max_tokens and drop; without them it changes nothing")


@attrs.frozen(eq=False, repr=False)
class Queue(Value):
    """Keep the call in the client's queue and raise :class:`~llmkit.errors.CallQueued`, whose ``ticket`` finds it again;
    ``client.drain_queue()`` answers it later. Only for errors that pass with time: an unknown model is not queued.

    :raises ConfigError: if a number is out of range.
    """

    type: ClassVar[Literal["queue"]] = "queue"
    delay: float = 0.0
    """Seconds before which nobody takes the ticket."""
    max_attempts: int = 10
    """After so many tries the ticket has failed for good."""

    def __attrs_post_init__(self) -> None:
        if isinstance(self.delay, bool) or not isinstance(self.delay, (int, float)) or not 0 <= self.delay < 1e10:
            raise ConfigError(f"Queue.delay: expected a number of seconds of at least 0, got {shown(self.delay)}")
        if not _whole(self.max_attempts):
            raise ConfigError(f"Queue.max_attempts: expected a whole number of at least 1, got {shown(self.max_attempts)}")


@attrs.frozen(eq=False, repr=False)
class Reject(Value):
    """Answer with a text of your own, or raise an error of your own. With neither the call's own error is raised, and no later
    step is taken.

    :raises ConfigError: if both are given, or one has the wrong type.
    """

    type: ClassVar[Literal["reject"]] = "reject"
    text: str | None = None
    """The answer's text. Its ``finish_reason`` is ``unknown``: no model has finished anything."""
    error: LLMError | None = attrs.field(default=None, converter=_error)
    """An error, or the text of one. Each call raises a copy, with what had gone wrong as its ``__cause__``."""

    def __attrs_post_init__(self) -> None:
        if self.text is not None and not isinstance(self.text, str):
            raise ConfigError(f"Reject.text: expected text, got {shown(self.text)}")
        if self.error is not None and not isinstance(self.error, LLMError):
            raise ConfigError(f"Reject.error: expected an LLMError or text, got {shown(self.error)}")
        if self.text is not None and self.error is not None:
            raise ConfigError("Reject: expected one of text and error")


def _whole(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 1 <= number < 2**63


Step = Union[Secondary, Degrade, Queue, Reject]
KINDS: Mapping[str, Any] = {"secondary": Secondary, "degrade": Degrade, "queue": Queue, "reject": Reject}
WORDS = ("queue", "reject")
"""Steps that need nothing more than their name."""
FallbackLike = Union[str, Step, Mapping[str, Any], Iterable[Union[str, Step, Mapping[str, Any]]]]
"""What ``fallback=`` takes: a step, ``"queue"``, ``"reject"``, a mapping such as ``{"type": "degrade", "max_tokens": 200}`` (the
form of a TOML table), or a list of them."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class FallbackPlan(Value):
    """The steps of one call, by what makes them necessary."""

    steps: tuple[Step, ...] = ()
    """Where every way to an answer has failed."""
    context: tuple[str, ...] = ()
    """Models for a prompt that is too long for the call's own."""
    refusal: tuple[str, ...] = ()
    """Models for a prompt that the vendor's content policy refused."""
    said: str | None = None
    """The step that made this call of another one; ``completion.fallback``."""
    dropped: tuple[str, ...] = ()
    """Options that this step left out."""


def parse_steps(name: str, given: Any) -> tuple[Step, ...]:
    """The steps that ``given`` means.

    :param name: of the parameter, for messages.
    :raises ConfigError: naming what is wrong, and what was expected.
    """
    several = isinstance(given, Iterable) and not isinstance(given, (str, bytes, Mapping))
    listed = _list(name, given) if several else (given,)
    return tuple([_step(f"{name}[{position}]" if several else name, step) for position, step in enumerate(listed)])


def _step(name: str, given: Any) -> Step:
    if isinstance(given, (Secondary, Degrade, Queue, Reject)):
        return given
    if isinstance(given, str) and given in WORDS:
        return KINDS[given]()  # type: ignore[no-any-return]
    if isinstance(given, Mapping):
        return _from_mapping(name, given)
    hint = "; models go into Secondary([...]) or into fallbacks" if isinstance(given, str) else ""
    raise ConfigError(f"{name}: expected 'queue', 'reject', or a Secondary, Degrade, Queue or Reject, got {shown(given)}{hint}")


def _from_mapping(name: str, given: Mapping[str, Any]) -> Step:
    fields = dict(given)
    kind = fields.pop("type", None)
    if not isinstance(kind, str) or kind not in KINDS:
        near = did_you_mean(kind, KINDS) if isinstance(kind, str) else ""
        raise ConfigError(f"{name}.type: expected one of {', '.join(KINDS)}, got {shown(kind)}{near}")
    known = [field.name for field in attrs.fields(KINDS[kind])]
    for key in fields:
        if key not in known:
            raise ConfigError(f"{name}.{key}: a {kind} step has no such field; it has {', '.join(known)}{did_you_mean(key, known)}")
    if kind == "secondary" and "models" not in fields:
        raise ConfigError(f"{name}.models: expected at least one model")
    return KINDS[kind](**fields)  # type: ignore[no-any-return]
