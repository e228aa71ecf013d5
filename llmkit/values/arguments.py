"""What ``generate`` and ``stream`` take, for type checkers and documentation; not imported at run time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from llmkit.values.calls import CacheUse, OnUnsupported, Resume
from llmkit.values.fallbacks import FallbackLike
from llmkit.values.hedging import HedgeLike
from llmkit.values.instances import Timeouts
from llmkit.values.model_requests import ModelRequest
from llmkit.values.tools import JsonSchema, ToolLike


class GenerateOptions(TypedDict, total=False):
    """Keyword arguments of ``generate`` and ``stream``. None, or leaving one out, means not set."""

    task: str | None
    """Route to the instances that list this task, with its defaults."""
    model: str | ModelRequest | None
    """``provider/model``, a bare model name, an instance's name, or what is wanted of a model: ``fast``, ``balanced``, ``quality``,
    ``cheapest``, ``fastest``, or a :class:`~llmkit.ModelRequest`."""
    instance: str | None
    """Name of the one instance to use."""
    system: str | None
    """Instructions put before the messages."""
    tools: Sequence[ToolLike] | None
    """Tools the model may call."""
    tool_choice: str | None
    """``auto``, ``none``, ``required``, or a tool's name."""
    response_model: Literal["json"] | Mapping[str, Any] | JsonSchema | None
    """``"json"``, a JSON schema or a :class:`JsonSchema`: the answer's shape; ``completion.parsed`` has the value."""
    response_format: Literal["json"] | JsonSchema | None
    """The same by the name it has in :class:`~llmkit.Options`, for ``**options.to_dict()``."""
    max_tokens: int | None
    """The most tokens the model may write."""
    temperature: float | None
    """Sampling temperature, 0 or more."""
    top_p: float | None
    """Nucleus sampling, 0 to 1."""
    stop: str | Sequence[str] | None
    """Texts at which the model stops."""
    seed: int | None
    """Asks for the same sampling again."""
    reasoning_effort: str | None
    """How much the model may think."""
    cache_prompt: bool | None
    """True asks the vendor to keep the prompt for calls that begin alike, which makes their prompts cheaper."""
    timeout: float | None
    """Seconds for the whole call: queueing, tries, streaming. Default 600."""
    timeouts: Timeouts | None
    """The parts of a try's time."""
    retries: Any
    """Tries after the first, or a tenacity policy."""
    fallbacks: Sequence[str] | None
    """Models to turn to, in order."""
    priority: int | None
    """Of calls that wait, those of higher priority go first. Default 0."""
    fallback: FallbackLike | None
    """What to do when those cannot serve the call either: ``"queue"``, ``"reject"``, or steps such as ``Degrade(max_tokens=200)``;
    ``[]`` for nothing."""
    context_fallbacks: Sequence[str] | None
    """Models for a prompt that is too long for the call's own."""
    refusal_fallbacks: Sequence[str] | None
    """Models for a prompt that a vendor's content policy refuses."""
    on_unsupported: OnUnsupported | None
    """What to do with a parameter the vendor does not have: ``error`` (default), ``warn`` or ``drop``."""
    hedge: HedgeLike | None
    """When a late try is doubled: seconds, a percentile such as ``"p95"``, a :class:`~llmkit.Hedge`, or False for never."""
    cache: CacheUse
    """None or True: as the client does; False: not at all; ``refresh``: a new answer, which is kept; a number: an answer of at most
    so many seconds, kept for so long. Means nothing where the client has no cache."""
    resume: Resume | Literal[False] | None
    """Whether a stream that breaks after it has begun goes on: ``"restart"`` begins the answer anew, ``"continue"`` goes on where
    it stopped; False for never. Default: the client's. Whole answers need no such thing."""
    tags: Sequence[str]
    """Words of your own, for hooks and books."""
    extra: Mapping[str, Any] | None
    """More fields for the vendor's request body, as they are."""
