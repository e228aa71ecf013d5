"""Every hook: its moment and its promise. This page is the whole surface.

A plugin is a module or an object with functions of these names, each marked ``@llmkit.hookimpl``; a package offers it under the
entry-point group ``llmkit``, a program passes it to ``Client(plugins=[...])``.

Hooks are plain, quick functions for both colours: they do no I/O and do not wait, since they run in the middle of a call, on the
event loop where there is one. A hook takes only the arguments it names. No hook ever sees a key. One that raises is reported once,
by name and package, and the call goes on without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

from llmkit.errors import LLMError
from llmkit.values.calls import Call
from llmkit.values.completion import Attempt
from llmkit.values.events import Event
from llmkit.values.models import ModelInfo
from llmkit.wire.http import HttpRequest

if TYPE_CHECKING:
    from llmkit.cache.store import Cache
    from llmkit.policy.strategies import Strategy

hookspec = pluggy.HookspecMarker("llmkit")
hookimpl = pluggy.HookimplMarker("llmkit")


@hookspec
def llmkit_request(call: Call[Any], instance: str, request: HttpRequest) -> HttpRequest | None:
    """See or replace a request before its key is added and it is sent. What is returned goes to the next hook; None leaves it as
    it is. The host cannot be changed."""


@hookspec
def llmkit_attempt(call: Call[Any], attempt: Attempt) -> None:
    """One try is over; ``attempt.error`` is None where it worked."""


@hookspec
def llmkit_retry(call: Call[Any], error: LLMError, pause: float) -> None:
    """A call is tried again on the same instance, after ``pause`` seconds."""


@hookspec
def llmkit_failover(call: Call[Any], error: LLMError, instance: str) -> None:
    """A call goes on to another instance, after ``error`` on the one before."""


@hookspec
def llmkit_fallback(call: Call[Any], error: LLMError, step: str) -> None:
    """A step of a call's fallback plan is taken, after ``error`` and before what it asks is sent. ``call`` is the call as it was
    made. ``step`` is what the answer's ``fallback`` says; for steps that lead to no answer it is ``queue: ticket <id>`` and
    ``reject: the error given``. Not told are steps that are passed over, and a bare ``reject``, which only ends the plan."""


@hookspec
def llmkit_hedge(call: Call[Any], instance: str, delay: float) -> None:
    """A try is late, after ``delay`` seconds, and a second request goes to ``instance`` beside it."""


@hookspec
def llmkit_answer(call: Call[Any], answer: Any) -> None:
    """A call is answered: a :class:`~llmkit.Completion`, :class:`~llmkit.Embeddings`, or model list. Streams too, at their end."""


@hookspec
def llmkit_stream_event(call: Call[Any], event: Event) -> None:
    """A stream has brought an event. Called for each one: be very quick."""


@hookspec
def llmkit_error(call: Call[Any], error: LLMError) -> None:
    """A call has failed for good."""


@hookspec
def llmkit_register_models() -> Sequence[ModelInfo]:  # type: ignore[empty-body]
    """Models to add to the client's catalogue, each with its ``provider``: new ones, or facts, such as a price, over those of a
    model that it knows. Asked once, when a client is made; what the user's own configuration says goes before."""


@hookspec
def llmkit_register_tokenizers() -> Mapping[str, Callable[[str], int]]:  # type: ignore[empty-body]
    """Functions that count the tokens of a text, by model name (bare, or ``provider/model``). ``client.count_tokens`` uses them
    before what llmkit knows. Asked once, when a client is made."""


@hookspec
def llmkit_register_strategies() -> Mapping[str, Callable[[], Strategy]]:  # type: ignore[empty-body]
    """Makers of strategies, by the name that ``Client(strategy=...)`` takes. Asked once, when a client is made."""


@hookspec
def llmkit_register_caches() -> Mapping[str, Callable[[], Cache]]:  # type: ignore[empty-body]
    """Makers of second levels of the cache, by the name that ``Client(cache=...)`` takes. Asked once, when a client is made."""


@hookspec
def llmkit_register_secret_sources() -> Sequence[Callable[[str], str | None]]:  # type: ignore[empty-body]
    """Functions that look a provider's key up (``source("openai")`` gives the key or None), asked in order for an instance that
    has no key of its own and none in the environment, when a client is made."""


@hookspec
def llmkit_register_commands(group: Any) -> None:
    """Add commands to the ``llmkit`` program; ``group`` is its :class:`click.Group`."""
