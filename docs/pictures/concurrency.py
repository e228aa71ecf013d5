"""Draws concurrency.svg: calls in flight under limits on them, and in which order those that wait get their turn.

python docs/pictures/concurrency.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from plot import Panel, write
from world import World, counted, instance, said, summed

SECONDS = 60.0
CAME = [number / 3 for number in range(60)]
"""Three calls a second, for twenty seconds."""


def flights(**limits):
    """The times at which requests begin and end, by key."""
    found: dict[str, list[tuple[float, float]]] = {}

    def server(name, now):
        took = 3.0 + 4.0 * (len(world.sent) % 3 == 0)
        flights = found.setdefault(world.request.headers["Authorization"].removeprefix("Bearer "), [])
        flights += [(now, 1), (now + took, -1)]
        return took, said()

    world = World(server, [instance("a", api_keys=["k1", "k2"], **limits)])
    world.ask(CAME)
    return found, world


def turns():
    """A run of one call at a time, in which every fourth that waits is cancelled after 12 seconds."""
    world = World(lambda name, now: (1.0, said()), [instance("a", max_concurrency=1)])
    for number in range(3, 60, 4):
        at = CAME[number] + 12
        world.simulation.at(at, lambda number=number: world.simulation.cancel(world.calls[number]))
    world.ask(CAME)
    return world


def main(path: Path) -> None:
    """Draw it."""
    found, world = flights(max_concurrency=5)
    together = Panel("Calls in flight and calls that wait", SECONDS, 50)
    together.level("max_concurrency=5", 5)
    together.steps("in flight", *summed(change for changes in found.values() for change in changes))
    together.steps("waiting", *summed([(came, 1) for came, _, _ in world.runs()] + [(start, -1) for _, start, _ in world.runs()]))
    by_key = Panel("Calls in flight with each of two keys", SECONDS, 4)
    by_key.level("max_concurrency_per_key=2", 2)
    found, _ = flights(max_concurrency_per_key=2)
    for key in sorted(found):
        by_key.steps(key, *summed(found[key]))
    world = turns()
    order = Panel("Number of the call, one at a time; every fourth leaves after 12 s", SECONDS, 60)
    order.steps("came", *counted(CAME))
    order.steps("started", [start for _, start, _ in world.runs()], [CAME.index(came) + 1 for came, _, _ in world.runs()])
    write([together, by_key, order], path)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".svg"))
