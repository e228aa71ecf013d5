"""The parameters of a call that shape its answer: the same value for tasks, instances and requests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from llmkit.errors import InvalidRequestError, shown
from llmkit.values.base import Value

if TYPE_CHECKING:
    from llmkit.values.tools import ResponseFormat, ToolLike

def _stop(stop: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if stop is None:
        return None
    return (stop,) if isinstance(stop, str) else _listed("stop", stop)


def _tools(tools: Sequence[ToolLike] | None) -> tuple[ToolLike, ...] | None:
    return None if tools is None else _listed("tools", tools)


def _listed(name: str, values: Any) -> tuple[Any, ...]:
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise InvalidRequestError(f"{name}: expected a list, got {type(values).__name__}")
    return tuple(values)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Options(Value):
    """Parameters of a call, each None where it is not set; an unset one is never sent.

    A reusable value: ``options = Options(temperature=0.2, max_tokens=500)``, then ``client.generate(prompt,
    **options.to_dict())`` or ``Task("summary", **options.to_dict())``.

    :raises InvalidRequestError: if a value has the wrong type or is out of range; the message names the parameter.
    """

    max_tokens: int | None = None
    """The most tokens the model may write."""
    temperature: float | None = None
    """Sampling temperature, 0 or more."""
    top_p: float | None = None
    """Nucleus sampling, 0 to 1."""
    stop: tuple[str, ...] | None = attrs.field(default=None, converter=_stop)
    """Texts at which the model stops; one text or several."""
    seed: int | None = None
    """Asks for the same sampling again, where the vendor has it."""
    reasoning_effort: str | None = None
    """How much the model may think: a word the vendor knows, commonly ``none``, ``low``, ``medium``, ``high``."""
    tools: tuple[ToolLike, ...] | None = attrs.field(default=None, converter=_tools)
    """Tools the model may call."""
    tool_choice: str | None = None
    """``auto``, ``none``, ``required``, or the name of the one tool to call."""
    response_format: ResponseFormat | None = None
    """``"json"`` for any JSON object, or a :class:`~llmkit.JsonSchema`."""
    cache_prompt: bool | None = None
    """True asks the vendor to keep the prompt for calls that begin alike. Vendors that do so by themselves need not be told, and
    those that never do take no notice: the answer is the same, only its price differs."""
    extra: Mapping[str, Any] | None = None
    """More fields for the vendor's request body, merged into it last, as they are."""

    def __attrs_post_init__(self) -> None:
        if self.max_tokens is not None:
            _check("max_tokens", self.max_tokens, int, 0, None)
        if self.temperature is not None:
            _check("temperature", self.temperature, (int, float), 0, None)
        if self.top_p is not None:
            _check("top_p", self.top_p, (int, float), 0, 1)
        if self.seed is not None:
            _check("seed", self.seed, int, None, None)
        if self.stop is not None and not all(isinstance(text, str) and text for text in self.stop):
            raise InvalidRequestError(f"stop: expected non-empty text, or a list of it, got {shown(self.stop)}")
        for name in ("reasoning_effort", "tool_choice"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value):
                raise InvalidRequestError(f"{name}: expected a non-empty string, got {shown(value)}")
        if self.tools is not None:
            from llmkit.values.tools import check_tools  # few calls have any

            check_tools(self.tools)
        if self.response_format not in (None, "json"):
            from llmkit.values.tools import check_shape

            check_shape("response_format", self.response_format)
        if self.cache_prompt is not None and not isinstance(self.cache_prompt, bool):
            raise InvalidRequestError(f"cache_prompt: expected True or False, got {shown(self.cache_prompt)}")
        if self.extra is not None and not isinstance(self.extra, Mapping):
            raise InvalidRequestError(f"extra: expected a mapping, got {type(self.extra).__name__}")

    def over(self, defaults: Options) -> Options:
        """These options, with ``defaults`` where they say nothing; ``extra`` is merged key by key."""
        if defaults is NO_OPTIONS:
            return self
        if self is NO_OPTIONS:
            return defaults
        merged = {**defaults.to_dict(), **self.to_dict()}
        if self.extra is not None and defaults.extra:
            merged["extra"] = {**defaults.extra, **self.extra}
        return Options(**merged)

    def to_dict(self) -> dict[str, Any]:
        """The options that are set, by name."""
        return {name: value for name in OPTION_NAMES if (value := getattr(self, name)) is not None}


def _check(name: str, value: Any, kind: Any, low: float | None, high: float | None) -> None:
    bounds = [f"at least {low:g}" if low is not None else "", f"at most {high:g}" if high is not None else ""]
    expected = " ".join(["a whole number" if kind is int else "a number", *filter(None, bounds)])
    if isinstance(value, bool) or not isinstance(value, kind) or (isinstance(value, float) and not math.isfinite(value)):
        raise InvalidRequestError(f"{name}: expected {expected}, got {shown(value)}")
    if (low is not None and value < low) or (high is not None and value > high):
        raise InvalidRequestError(f"{name}: expected {expected}, got {shown(value)}")



OPTION_NAMES = tuple(field.name for field in attrs.fields(Options))


CALL_SETTINGS = frozenset(
    (
        "task",
        "model",
        "instance",
        "system",
        "timeout",
        "timeouts",
        "retries",
        "fallbacks",
        "priority",
        "fallback",
        "context_fallbacks",
        "refusal_fallbacks",
        "on_unsupported",
        "tags",
        "hedge",
        "resume",
        "cache",
    )
)
"""The parameters of ``generate`` that are no options: as defaults they would reach nobody but the vendor, who knows none."""


def slip(name: str) -> str | None:
    """The option that was meant where ``name`` looks like a slip of the pen; None where it may well be a vendor's own field."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, OPTION_NAMES, 1, 0.9)), None)


NO_OPTIONS = Options()
