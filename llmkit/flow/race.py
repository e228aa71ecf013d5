"""One question to several at once: the first answer wins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from llmkit.errors import AllInstancesFailed, ClientClosedError, ConfigError, LLMError
from llmkit.flow.ask import ask
from llmkit.flow.kit import Kit
from llmkit.flow.retrying import Trail
from llmkit.values.calls import ChatCall
from llmkit.values.completion import Attempt, Completion


async def race(kit: Kit, calls: Sequence[ChatCall]) -> Completion:
    """Ask all calls at once and give the first answer. The others are called off; one that was answered in the meantime counts
    in the books like any other.

    :raises AllInstancesFailed: if none is answered.
    """
    group = kit.runtime.group()
    trails = [Trail(call, kit.runtime.now()) for call in calls]
    failures: dict[int, LLMError] = {}
    winner: Completion | None = None
    try:
        for position, trail in enumerate(trails):
            group.start(position, _run(kit, trail))
        while winner is None and (found := await group.next()) is not None:
            position, answer = found
            if isinstance(answer, LLMError):
                failures[position] = answer
            else:
                winner = answer
    finally:
        await group.aclose()
    if winner is not None:
        return attrs.evolve(winner, attempts=_attempts(trails))
    raise _none(trails, [failures[position] for position in sorted(failures)])


async def _run(kit: Kit, trail: Trail) -> Any:
    """A racer's answer, or its error."""
    try:
        return await ask(kit, trail.call, trail)
    except LLMError as error:
        return error


def _attempts(trails: Sequence[Trail]) -> tuple[Attempt, ...]:
    """Every racer's tries, in the order in which they began."""
    return tuple(sorted((attempt for trail in trails for attempt in trail.attempts), key=lambda attempt: attempt.started))


def _none(trails: Sequence[Trail], errors: list[LLMError]) -> LLMError:
    """The error for a race that nobody won. What is wrong with the client or its settings is told as such."""
    first = errors[0]
    if isinstance(first, (ConfigError, ClientClosedError)) and all(type(error) is type(first) for error in errors):
        return first
    failures: list[LLMError] = []
    for error in errors:
        failures += error.failures if isinstance(error, AllInstancesFailed) else [error]
    said = "; ".join(str(error) for error in errors)
    return AllInstancesFailed(
        f"none of {len(errors)} racers answered: {said}", failures=tuple(failures), attempts=_attempts(trails)
    )
