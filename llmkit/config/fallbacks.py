"""``fallback`` in a file: words, or tables with a ``type``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmkit.config.positions import Path
from llmkit.config.problems import Problems, hidden
from llmkit.errors import ConfigError


def read_steps(problems: Problems, path: Path, given: Any) -> tuple[Any, ...]:
    """The steps of a fallback; each one's mistake is told at its own place."""
    from llmkit.values.fallbacks import parse_steps

    steps: list[Any] = []
    for number, step in enumerate(given if isinstance(given, list) else [given]):
        where: Path = (*path, number) if isinstance(given, list) else path
        try:
            steps += parse_steps("fallback", step)
        except ConfigError as problem:
            problems.add(where, hidden(problem.message.partition(": ")[2]))
    return tuple(steps)


def step_models(steps: Iterable[Any]) -> Iterable[str]:
    """The models that steps name."""
    for step in steps:
        yield from getattr(step, "models", ())
        if getattr(step, "model", None):
            yield step.model
