"""Asking for a model by what it can do, and putting the models that can in order.

Everything here is arithmetic over :class:`~llmkit.values.models.ModelInfo`; nothing is looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Optional, TypeVar, Union

import attrs

from llmkit.errors import InvalidRequestError, did_you_mean, shown
from llmkit.values.base import Value
from llmkit.values.calls import CATEGORIES, MODEL_WORDS
from llmkit.values.models import ModelInfo

T = TypeVar("T")
Score = tuple[float, ...]

CAPABILITIES: Mapping[str, str] = {
    "chat": "messages in, a message out",
    "completion": "text in, text out, by the older interface",
    "embeddings": "texts in, vectors out",
    "streaming": "answers in pieces",
    "tools": "tools that the client runs",
    "parallel_tools": "several tool calls in one answer",
    "vision": "pictures in messages",
    "audio": "sound in messages",
    "audio_output": "sound in answers",
    "video": "films in messages",
    "files": "documents in messages",
    "json_schema": "an answer of a given shape",
    "reasoning": "thinks before it answers",
    "prompt_caching": "the vendor keeps prompts, and charges less for reading them again",
    "web_search": "the vendor searches the web for the model",
    "computer_use": "made for working a computer's screen",
}
"""The vocabulary of :attr:`llmkit.ModelInfo.capabilities`."""

INPUT_SHARE, OUTPUT_SHARE = 3, 1
"""A model's price as one number: three parts input to one part output, as https://artificialanalysis.ai/methodology blends them."""
LONG_CONTEXT = 400_000
"""Tokens."""
UNKNOWN: Score = (float("inf"),)
_RANK = {"fast": 0, "balanced": 1, "quality": 2}


def blended(info: ModelInfo) -> float | None:
    """A price as one number, in units per token; None where input or output has no price."""
    price = info.price
    if price is None or price.input is None or price.output is None:
        return None
    return (INPUT_SHARE * price.input + OUTPUT_SHARE * price.output) / (INPUT_SHARE + OUTPUT_SHARE)


def _cheapest(info: ModelInfo) -> Score:
    """The blended price."""
    price = blended(info)
    return UNKNOWN if price is None else (price,)


def _fastest(info: ModelInfo) -> Score:
    """The category, then the price of output: within a category the model that costs less is the smaller one, and so the faster."""
    rank = _RANK.get(info.category or "")
    if rank is None:
        return UNKNOWN
    output = None if info.price is None else info.price.output
    return (rank, float("inf") if output is None else output)


def _quality(info: ModelInfo) -> Score:
    """The category, then a long context window, which tells a vendor's later models from its earlier ones, then the price of
    output: vendors charge more for the model that can do more."""
    rank = _RANK.get(info.category or "")
    if rank is None:
        return UNKNOWN
    output = None if info.price is None else info.price.output
    short = (info.context_window or 0) < LONG_CONTEXT
    return (-rank, short, float("inf") if output is None else -output)


SCORES: Mapping[str, Callable[[ModelInfo], Score]] = {"cheapest": _cheapest, "fastest": _fastest, "quality": _quality}
"""How models are put in order, the lowest score first; what is not known comes last. No measurement stands behind ``fastest`` and
``quality``: they follow from what vendors say by name and price. Measured order is what the ``lowest_latency`` strategy is for."""

ORDERS: Mapping[str, str] = {"fast": "cheapest", "balanced": "cheapest", "quality": "quality"}
"""In which order the models of a category come."""
NO_CHAT = frozenset(("embeddings", "completion"))

def one_of(name: str, value: object, valid: Sequence[str] | Mapping[str, object]) -> None:
    """Check that a value is one of the ``valid`` words, or None.

    :raises InvalidRequestError: if it is not; it names the nearest one.
    """
    if value is not None and (not isinstance(value, str) or value not in valid):
        near = did_you_mean(value, valid) if isinstance(value, str) else ""
        raise InvalidRequestError(f"{name}: expected one of {', '.join(valid)}; got {shown(value)}{near}")


def _words(words: Any) -> frozenset[str]:
    given = [words] if isinstance(words, str) else list(words) if isinstance(words, Iterable) else [words]
    for word in given:
        one_of("capabilities", "None" if word is None else word, CAPABILITIES)
    return frozenset(given)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ModelRequest(Value):
    """What is wanted of a model. It may stand wherever a model's name may: ``client.generate(..., model=ModelRequest(...))``.

    :raises InvalidRequestError: if a word is not one of those there are.
    """

    capabilities: frozenset[str] = attrs.field(default=(), converter=_words)
    """It must be known to have all of these; see :data:`CAPABILITIES`."""
    min_context: int | None = None
    """It must be known to read at least so many tokens."""
    min_output: int | None = None
    """It must be known to write at least so many tokens."""
    category: str | None = None
    """``fast``, ``balanced`` or ``quality``."""
    provider: str | None = None
    any_kind: bool = False
    """Accept models of other calls than chat too."""
    order: str | None = None
    """``cheapest``, ``fastest`` or ``quality``. Default: the category's order, else ``cheapest``."""

    def __attrs_post_init__(self) -> None:
        one_of("category", self.category, CATEGORIES)
        one_of("order", self.order, SCORES)
        for name in ("min_context", "min_output"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise InvalidRequestError(f"{name}: expected a whole number of tokens above 0, got {shown(value)}")

    def accepts(self, info: ModelInfo) -> bool:
        """Whether a model is known to have what is wanted. Chat is wanted where no other kind of call is named; a model of which
        nothing is known may have it."""
        chats = self.any_kind or info.capabilities is None or "chat" in info.capabilities or bool(self.capabilities & NO_CHAT)
        return (
            chats
            and (not self.capabilities or info.can(*self.capabilities))
            and (self.category is None or info.category == self.category)
            and (self.provider is None or info.provider == self.provider)
            and (self.min_context is None or (info.context_window or 0) >= self.min_context)
            and (self.min_output is None or (info.max_output_tokens or 0) >= self.min_output)
        )


Requested = Union[str, ModelRequest]
"""A model's name, a word of :data:`~llmkit.values.calls.MODEL_WORDS`, or a :class:`ModelRequest`."""


def is_request(requested: object) -> bool:
    """Whether ``requested`` stands for a kind of model, not for one by name."""
    return isinstance(requested, ModelRequest) or (isinstance(requested, str) and requested in MODEL_WORDS)


def as_request(requested: Requested) -> ModelRequest:
    """The request that a word stands for.

    :raises InvalidRequestError: if it is no request, and no word that stands for one.
    """
    if isinstance(requested, ModelRequest):
        return requested
    if requested in CATEGORIES:
        return ModelRequest(category=requested)
    if requested in MODEL_WORDS:
        return ModelRequest(order=requested)
    said = did_you_mean(requested, MODEL_WORDS) if isinstance(requested, str) else ""
    raise InvalidRequestError(f"model: expected a ModelRequest or one of {', '.join(MODEL_WORDS)}; got {shown(requested)}{said}")


def ranked(
    requested: Requested, candidates: Iterable[tuple[T, Optional[ModelInfo]]], order: str | None = None
) -> list[list[T]]:
    """The candidates that a request accepts, the most wanted first, those that are equally wanted together.

    :param requested: a :class:`ModelRequest`, or ``fast``, ``balanced``, ``quality``, ``cheapest``, ``fastest``.
    :param candidates: anything, each with what is known of its model; None where nothing is.
    :param order: ``cheapest``, ``fastest`` or ``quality``, over the request's own.
    :raises InvalidRequestError: if a word is not one of those there are.
    """
    wanted = as_request(requested)
    one_of("strategy", order, SCORES)
    score = SCORES[order or wanted.order or ORDERS.get(wanted.category or "", "cheapest")]
    nothing = ModelInfo("")
    groups: dict[Score, list[T]] = {}
    for candidate, info in candidates:
        info = info or nothing
        if wanted.accepts(info):
            groups.setdefault(score(info), []).append(candidate)
    return [groups[key] for key in sorted(groups)]


def resolve(
    requested: Requested, candidates: Iterable[tuple[T, Optional[ModelInfo]]], order: str | None = None
) -> list[T]:
    """As :func:`ranked`, in one list; those that are equally wanted stay in the order in which they came."""
    return [candidate for group in ranked(requested, candidates, order) for candidate in group]


def listed(wanted: ModelRequest, candidates: Iterable[tuple[T, Optional[ModelInfo]]], order: str | None = None) -> list[T]:
    """The candidates that a request accepts, in the order in which they came where no other is named."""
    pairs = list(candidates)
    if order is not None:
        return resolve(wanted, pairs, order)
    nothing = ModelInfo("")
    return [candidate for candidate, info in pairs if wanted.accepts(info or nothing)]


def in_words(wanted: ModelRequest) -> str:
    """A request as people say it."""
    said = [wanted.category or "", *sorted(wanted.capabilities)]
    if wanted.provider:
        said.append(f"of {wanted.provider}")
    if wanted.min_context:
        said.append(f"context of {wanted.min_context:,} tokens")
    if wanted.min_output:
        said.append(f"output of {wanted.min_output:,} tokens")
    return ", ".join(filter(None, said)) or wanted.order or "any model"
