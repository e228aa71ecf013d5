"""Draws strategies.svg: which of three instances gets the calls under each strategy.

python docs/pictures/strategies.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from plot import Panel, write
from world import World, counted, failed, instance, said

from llmkit import ModelInfo
from llmkit.values.price import Price

SECONDS = 150.0
SLOWNESS = {"a": 9.0, "b": 3.0, "c": 1.2}


def steady(name, now):
    """Each takes its own time."""
    return SLOWNESS[name], said()


def turning(name, now):
    """After a minute, a is the fastest."""
    return (0.5 if name == "a" and now > 60 else SLOWNESS[name]), said()


def without(gone):
    """One is down for a while."""
    return lambda name, now: (0.3, failed() if name == gone and 50 < now < 100 else said())


MODELS = [
    ModelInfo("a", "openai", category="balanced", price=Price.of(input=1, output=4)),
    ModelInfo("b", "openai", category="fast", price=Price.of(input=2, output=8)),
    ModelInfo("c", "openai", category="quality", price=Price.of(input=3, output=12)),
]
"""Facts by which each strategy that goes by facts comes to another order."""
BY_MODEL = [{"model": "a"}, {"model": "b"}, {"model": "c"}]


RUNS = {
    "lru: who was given a call the longest ago": ("lru", steady, [{}, {}, {}]),
    "round_robin: each in turn, whatever they take": ("round_robin", steady, [{}, {}, {}]),
    "random: any": ("random", steady, [{}, {}, {}]),
    "weighted: weights 3, 2 and 1": ("weighted", steady, [{"weight": 3}, {"weight": 2}, {"weight": 1}]),
    "least_connections: a takes 9 s, b 3 s, c 1.2 s": ("least_connections", steady, [{}, {}, {}]),
    "lowest_latency: the same; a becomes the fastest after 60 s": ("lowest_latency", turning, [{}, {}, {}]),
    "usage: rpm 10, 20 and 40, under a call every 0.9 s": ("usage", steady, [{"rpm": 10}, {"rpm": 20}, {"rpm": 40}]),
    "cheapest: a, else b, else c; a is down from 50 to 100 s": ("cheapest", without("a"), BY_MODEL),
    "fastest: b, else a, else c; b is down from 50 to 100 s": ("fastest", without("b"), BY_MODEL),
    "quality: c, else a, else b; c is down from 50 to 100 s": ("quality", without("c"), BY_MODEL),
    "priority: a before b before c; a is down from 50 to 100 s": ("priority", without("a"), [{}, {"priority": 1}, {"priority": 2}]),
}


def main(path: Path) -> None:
    """Draw it."""
    panels = []
    for title, (strategy, server, settings) in RUNS.items():
        instances = [instance(name, **more) for name, more in zip("abc", settings, strict=True)]
        world = World(server, instances, strategy=strategy, models=MODELS)
        every = 0.9 if strategy == "usage" else 1.5
        world.ask([number * every for number in range(100)])
        panel = Panel(title, SECONDS, 100)
        for name in "abc":
            panel.steps(name, *counted(at for sent, at in world.sent if sent == name))
        panels.append(panel)
    write(panels, path)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".svg"))
