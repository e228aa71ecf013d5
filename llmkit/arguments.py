"""What callers hand in, checked: one typed error that names the parameter, before anything is sent."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from llmkit.errors import ConfigError, InvalidRequestError, did_you_mean, shown
from llmkit.policy.retry import check_retries
from llmkit.values.calls import RESUME, Deadline, Resume
from llmkit.values.instances import Timeouts
from llmkit.values.options import CALL_SETTINGS, NO_OPTIONS, OPTION_NAMES, Options

if TYPE_CHECKING:
    from llmkit.values.breaker import BreakerSettings
    from llmkit.values.hedging import Hedge

T = TypeVar("T")

MOST_RACERS = 64
"""In one race: each is a request that is paid for, and in the sync client a thread."""

_CALL_NAMES = CALL_SETTINGS.union(OPTION_NAMES, ("response_model",))
"""The names in :class:`~llmkit.values.arguments.GenerateOptions`, which is for type checkers and documentation."""
_OPTION_NAMES = frozenset(OPTION_NAMES)


_ELSEWHERE = {
    "stream": "use stream() in place of generate()",
    "messages": "give the conversation as the prompt, the first argument",
    "prompt": "give it as the first argument",
    "api_key": "a key belongs to an Instance, or into the environment",
    "base_url": "an address belongs to an Instance, or into the environment",
    "api_base": "an address belongs to an Instance, as base_url, or into the environment",
    "max_retries": "it is named retries",
    "max_completion_tokens": "it is named max_tokens",
    "functions": "they are named tools",
}
"""What people who come from other libraries look for here."""


def check_call(given: Mapping[str, Any]) -> None:
    """Check the arguments of ``generate`` and ``stream`` that are no options.

    :raises InvalidRequestError: naming the first that is wrong.
    """
    if not given.keys() <= _CALL_NAMES:
        name = next(name for name in given if name not in _CALL_NAMES)
        if name in _ELSEWHERE:
            raise InvalidRequestError(f"{name}: no parameter of a call; {_ELSEWHERE[name]}")
        near = did_you_mean(name, _CALL_NAMES)
        raise InvalidRequestError(f"{name}: no such parameter{near}; fields of the vendor's own go into extra={{...}}")
    for name, value in given.items():
        if value is not None and (check := _CHECKS.get(name)) is not None:
            _check(check, name, value)


def check_embed(given: Mapping[str, Any]) -> None:
    """Check the arguments of ``embed``.

    :raises InvalidRequestError: naming the first that is wrong.
    """
    check_call({name: value for name, value in given.items() if name != "dimensions"})
    if given.get("dimensions") is not None:
        _check(whole, "dimensions", given["dimensions"])
    _check(of_type, "extra", given.get("extra") or {}, Mapping)


def check_race(
    models: Sequence[str] | None, instances: Sequence[str] | None, given: Mapping[str, Any]
) -> tuple[str, list[str]]:
    """What the racers are called, ``model`` or ``instance``, and their names.

    :raises InvalidRequestError: if there are none, too many, or they are named twice.
    """
    for name in ("model", "instance"):
        if given.get(name) is not None:
            raise InvalidRequestError(f"{name}: a race takes a list, {name}s=[...]")
    if (models is None) == (instances is None):
        raise InvalidRequestError("race: expected either models=[...] or instances=[...]")
    name, racers = ("model", models) if models is not None else ("instance", instances)
    _check(_texts, f"{name}s", racers)
    assert racers is not None
    if not 1 <= len(racers) <= MOST_RACERS:
        raise InvalidRequestError(f"{name}s: expected 1 to {MOST_RACERS} names, got {len(racers)}")
    return name, [*racers]


def _check(check: Any, name: str, *given: Any) -> None:
    try:
        check(name, *given)
        return
    except ConfigError as problem:
        said = problem.message
    raise InvalidRequestError(said)


def _text(name: str, value: Any) -> None:
    of_type(name, value, str)


def _integer(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{name}: expected a whole number, got {shown(value)}")


def _cache_use(name: str, value: Any) -> None:
    number = isinstance(value, (int, float)) and 0 < value <= sys.float_info.max
    if value != "refresh" and not isinstance(value, bool) and not number:
        raise ConfigError(f'{name}: expected False, True, "refresh" or a number of seconds above 0, got {shown(value)}')


def _texts(name: str, value: Any) -> None:
    if isinstance(value, Iterator):  # reading it here would leave nothing for the call
        raise ConfigError(f"{name}: expected a list, got {type(value).__name__}")
    listed(name, value, str)


def _model(name: str, value: Any) -> None:
    if not isinstance(value, str):
        from llmkit.values.model_requests import ModelRequest

        if not isinstance(value, ModelRequest):
            raise ConfigError(f"{name}: expected a model's name or a ModelRequest, got {type(value).__name__}")


_CHECKS = {
    "cache": _cache_use,
    "model": _model,
    "instance": _text,
    "task": _text,
    "fallbacks": _texts,
    "priority": _integer,
    "context_fallbacks": _texts,
    "refusal_fallbacks": _texts,
    "tags": _texts,
    "timeouts": lambda name, value: of_type(name, value, Timeouts),
    "retries": lambda name, value: check_retries(value),
    "hedge": lambda name, value: made_hedge(value),
    "resume": lambda name, value: make_resume(value),
    "on_unsupported": lambda name, value: one_of(name, value, ("error", "warn", "drop")),
}


def made_deadline(timeout: Any, usual: float, now: float) -> Deadline:
    """When a call that begins ``now`` must be over.

    :param timeout: seconds, as a caller wrote them; None for the client's ``usual``.
    :raises InvalidRequestError: if it is no number above 0.
    """
    if timeout is not None:
        _check(positive, "timeout", timeout)
    seconds = usual if timeout is None else cast(float, timeout)
    return Deadline(now + seconds, seconds)


def made_hedge(given: Any) -> Hedge | None:
    """As :func:`~llmkit.values.hedging.make_hedge`, which is loaded when a call is to be hedged: few are."""
    if given is None or given is False:
        return None
    from llmkit.values.hedging import make_hedge

    return make_hedge(given)


def call_options(given: Mapping[str, Any]) -> Options:
    """The options among the arguments of ``generate``.

    :raises InvalidRequestError: if one is wrong.
    """
    if _OPTION_NAMES.isdisjoint(given) and "response_model" not in given:
        return NO_OPTIONS
    chosen = {name: value for name, value in given.items() if name in _OPTION_NAMES and value is not None}
    shape = given.get("response_model")
    if shape is not None:
        from llmkit.values.tools import response_format  # few calls ask for one

        chosen["response_format"] = response_format(shape)
    return Options(**chosen)


def positive(name: str, seconds: Any) -> float:
    """``seconds`` if it is a number above 0.

    :raises ConfigError: if it is not.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= sys.float_info.max:
        raise ConfigError(f"{name}: expected a number of seconds above 0, got {shown(seconds)}")
    return seconds


def one_of(name: str, value: Any, words: tuple[str, ...]) -> Any:
    """``value`` if it is one of ``words``.

    :raises ConfigError: if it is not.
    """
    if value not in words:
        raise ConfigError(f"{name}: expected {' or '.join(map(repr, words))}, got {shown(value)}")
    return value


def make_resume(value: Any) -> Resume | None:
    """A ``resume`` as it was given; None for never.

    :raises ConfigError: if it is no such word.
    """
    return None if value is None or value is False else cast(Resume, one_of("resume", value, RESUME))


def share(name: str, number: Any) -> float:
    """``number`` if it is from 0 to 1.

    :raises ConfigError: if it is not.
    """
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number <= 1:
        raise ConfigError(f"{name}: expected a number from 0 to 1, got {shown(number)}")
    return number


def breaker_settings(given: Any) -> BreakerSettings | Literal[True] | None:
    """A client's ``breaker``: settings, True for the defaults, None where there is to be none.

    :raises ConfigError: if it is neither of these nor settings.
    """
    if given is None or given is False:
        return None
    if given is True:
        return True
    from llmkit.values.breaker import BreakerSettings

    if not isinstance(given, BreakerSettings):
        raise ConfigError(f"breaker: expected True, False or BreakerSettings, got {shown(given)}")
    return given


def whole(name: str, number: Any) -> int:
    """``number`` if it is a whole number of at least 1.

    :raises ConfigError: if it is not.
    """
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number < 2**63:
        raise ConfigError(f"{name}: expected a whole number of at least 1, got {shown(number)}")
    return number


def of_type(name: str, value: Any, kind: type[T]) -> T:
    """``value`` if it is a ``kind``.

    :raises ConfigError: if it is not; the value is not shown.
    """
    if not isinstance(value, kind):
        raise ConfigError(f"{name}: expected {_WORDS.get(kind, kind.__name__)}, got {type(value).__name__}")
    return value


def listed(name: str, values: Any, kind: type[T]) -> list[T]:
    """``values`` as a list, if each is a ``kind``.

    :raises ConfigError: if they are not; one text is not taken for a list of letters.
    """
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise ConfigError(f"{name}: expected a list, got {type(values).__name__}")
    return [of_type(f"{name}[{position}]", value, kind) for position, value in enumerate(values)]


_WORDS: Mapping[type, str] = {str: "text", Mapping: "a mapping"}


def check_queue(queue: Any) -> Any:
    """``queue`` if it is a path, a store of tickets, or None.

    :raises ConfigError: if it is something else.
    """
    methods = ("put", "claim", "finish", "fail", "give_back", "find", "get", "count", "cancel", "purge")
    if queue is None or (isinstance(queue, (str, os.PathLike)) and os.fspath(queue)) or all([hasattr(queue, n) for n in methods]):
        return queue
    raise ConfigError(f"queue: expected a path, or an object with the methods of a TicketStore, got {shown(queue)}")


def check_bundle(path: str) -> None:
    """Check that ``path`` is a CA bundle.

    :raises ConfigError: if it is none, or cannot be read.
    """
    import ssl

    try:
        ssl.create_default_context(cafile=path)
    except OSError as problem:  # ssl.SSLError is one
        said = problem.strerror or type(problem).__name__
    else:
        return
    raise ConfigError(f"verify: expected True, False or the path of a CA bundle in PEM form; {path!r}: {said}")
