"""Which instances could serve a call at all: its own model's first, then each fallback's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llmkit.errors import ConfigError, LLMError, NoInstanceAvailable, did_you_mean, shown
from llmkit.policy.indexes import Facts
from llmkit.policy.routes import ANY_MODEL, Route
from llmkit.values.calls import MODEL_WORDS, Call
from llmkit.values.instances import Task

if TYPE_CHECKING:
    from llmkit.values.model_requests import ModelRequest


def find(
    named: Mapping[str, Route], tasks: Mapping[str, Task], call: Call[Any], facts: Facts = lambda provider, model: None
) -> list[list[Route]]:
    """The instances that could serve a call, most wanted first: its own, then each fallback model's.

    :raises ConfigError: if there is none, or no such task.
    :raises NoInstanceAvailable: if all are disabled.
    """
    routes = list(named.values())
    usable = [route for route in routes if not route.on_demand and route.instance.model != ANY_MODEL]
    if call.instance is not None:
        tiers = [[named[call.instance]]]
    elif call.model is not None:
        tiers = _fitting(call.model, routes, usable, facts)
    else:
        tiers = [usable]
    if call.task is not None:
        _check_task(call.task, routes, tasks)
        if call.instance is None:
            tiers = [[route for route in tier if call.task in route.instance.tasks or route.on_demand] for tier in tiers]
    for model in call.fallbacks:
        for group in _fitting(model, routes, usable, facts):
            taken = {route for tier in tiers for route in tier}
            tiers.append([route for route in group if route not in taken])
    enabled = [[route for route in tier if route.enabled] for tier in tiers]
    if not any(enabled):
        raise _nobody(call, [route for tier in tiers for route in tier], named)
    return [tier for tier in enabled if tier]


def _fitting(model: str | ModelRequest, routes: list[Route], usable: list[Route], facts: Facts) -> list[list[Route]]:
    """The instances of a model, or, where what is wanted of a model is given, those that have it, the most wanted first."""
    serving = [route for route in routes if route.serves(model)]
    if serving or (isinstance(model, str) and model not in MODEL_WORDS):
        return [serving]
    from llmkit.values.model_requests import ranked

    return ranked(model, [(route, facts(route.instance.provider, route.instance.model)) for route in usable])


def _check_task(task: str, routes: list[Route], tasks: Mapping[str, Task]) -> None:
    if task in tasks or any(task in route.instance.tasks for route in routes):
        return
    known = {*tasks, *(name for route in routes for name in route.instance.tasks)}
    names = ", ".join(sorted(known)) or "none"
    raise ConfigError(f"no task is named {shown(task)}; there are {names}{did_you_mean(task, known)}")


def _nobody(call: Call[Any], disabled: list[Route], named: Mapping[str, Route]) -> LLMError:
    if disabled:
        names = ", ".join(route.name for route in disabled)
        return NoInstanceAvailable(f"every instance that could serve the call is disabled: {names}")
    wanted = [_model(call.model) if call.model else "", f"task {shown(call.task)}" if call.task else ""]
    said = " and ".join(filter(None, wanted)) or "the call"
    return ConfigError(f"no instance serves {said}; there are {', '.join(named) or 'none'}")


def _model(model: str | ModelRequest) -> str:
    if isinstance(model, str):
        return f"model {shown(model)}"
    from llmkit.values.model_requests import in_words

    return f"a model that is known to be {in_words(model)}"
