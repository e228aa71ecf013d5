"""Draws fallbacks.svg: who answers while first one instance and then the other of a model is down.

python docs/pictures/fallbacks.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from plot import Panel, write
from world import World, counted, failed, instance, said

SECONDS = 80.0


def server(name, now):
    """first is down from 15 to 60 s, second from 30 to 45."""
    down = {"first": 15 <= now < 60, "second": 30 <= now < 45, "reserve": False}[name]
    return (0.05, failed()) if down else (0.5, said())


def main(path: Path) -> None:
    """Draw it."""
    large = [instance("first", model="large"), instance("second", model="large", priority=1)]
    world = World(server, [*large, instance("reserve", model="small")], strategy="priority")
    world.ask([number / 2 for number in range(160)], model="openai/large", fallbacks=["openai/small"])
    calls = Panel("Answers; first is down from 15 to 60 s, second from 30 to 45 s", SECONDS, 100)
    for name in ("first", "second", "reserve"):
        calls.steps(name, *counted(at for _, at, result in world.ended if getattr(result, "instance", None) == name))
    tries = Panel("Requests that failed", SECONDS, 20)
    tries.steps("failed", *counted(at for name, at in world.sent if server(name, at)[1].status == 500))
    write([calls, tries], path)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".svg"))
