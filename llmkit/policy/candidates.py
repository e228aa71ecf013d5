"""Which instances could serve a call at all: its own model's first, then each fallback's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmkit.errors import ConfigError, LLMError, NoInstanceAvailable, did_you_mean, shown
from llmkit.policy.routes import ANY_MODEL, Route
from llmkit.values.calls import Call
from llmkit.values.instances import Task


def find(named: Mapping[str, Route], tasks: Mapping[str, Task], call: Call[Any]) -> list[list[Route]]:
    """The instances that could serve a call, most wanted first: its own, then each fallback model's.

    :raises ConfigError: if there is none, or no such task.
    :raises NoInstanceAvailable: if all are disabled.
    """
    routes = list(named.values())
    if call.instance is not None:
        own = [named[call.instance]]
    elif call.model is not None:
        own = [route for route in routes if route.serves(call.model)]
    else:
        own = [route for route in routes if not route.on_demand and route.instance.model != ANY_MODEL]
    if call.task is not None:
        _check_task(call.task, routes, tasks)
        if call.instance is None:
            own = [route for route in own if call.task in route.instance.tasks or route.on_demand]
    tiers = [own]
    for model in call.fallbacks:
        taken = {route for tier in tiers for route in tier}
        tiers.append([route for route in routes if route.serves(model) and route not in taken])
    enabled = [[route for route in tier if route.enabled] for tier in tiers]
    if not any(enabled):
        raise _nobody(call, [route for tier in tiers for route in tier], named)
    return [tier for tier in enabled if tier]


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
    wanted = [f"model {shown(call.model)}" if call.model else "", f"task {shown(call.task)}" if call.task else ""]
    said = " and ".join(filter(None, wanted)) or "the call"
    return ConfigError(f"no instance serves {said}; there are {', '.join(named) or 'none'}")
