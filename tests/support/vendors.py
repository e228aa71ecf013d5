"""Every provider and every simulated half there is: installed ones, and llmkit's own where it is run from its checkout.

A vendor that somebody adds is found here by its entry point, and so tested by what goes over ``VENDORS`` or ``SIMULATED``.
"""

from __future__ import annotations

import configparser
import importlib
from functools import cache
from pathlib import Path
from typing import Any

from llmkit.plugins.registry import PROVIDERS, REGISTRY, SIMULATORS, entry_points
from llmkit.provider import Provider
from llmkit.simulator import Simulator

ROOT = Path(__file__).parents[2]


def listed(group: str) -> dict[str, str]:
    """The entry points of a group in ``setup.cfg``: name and target."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options.entry_points"][group].strip().splitlines()
    return {name.strip(): target.strip() for name, _, target in [line.partition("=") for line in lines]}


def load(target: str) -> Any:
    """The object at ``module:attribute``."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _known() -> tuple[str, ...]:
    for name, target in listed(PROVIDERS).items():
        if name not in REGISTRY.names():
            REGISTRY.register(load(target)())
    return REGISTRY.names()


VENDORS = _known()
"""Every provider's name."""


def provider(name: str) -> Provider:
    """The provider of that name."""
    return REGISTRY.get(name)


def simulator(**settings: Any) -> Simulator:
    """A simulator that speaks for every vendor that has a simulated half."""
    points = entry_points(SIMULATORS)
    loaded = [point.load()() for point in points]
    there = {point.name for point in points}
    missing = [load(target)() for name, target in listed(SIMULATORS).items() if name not in there]
    return Simulator(vendors=[*loaded, *missing], **settings)


@cache
def simulated() -> tuple[str, ...]:
    """The providers that can be tested against the simulator."""
    return tuple([name for name in simulator().vendors if name in VENDORS])
