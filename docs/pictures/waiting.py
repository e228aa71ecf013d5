"""Draws waiting.svg: how long the line of those who wait may get, and who is in front.

python docs/pictures/waiting.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from plot import Panel, write
from world import World, counted, instance, said, summed

from llmkit import QueueFullError

SECONDS = 60.0
CAME = [number / 2 for number in range(80)]
"""Two calls a second, of which one can be served."""


def server(name, now):
    """A second for each."""
    return 1.0, said()


def main(path: Path) -> None:
    """Draw it."""
    world = World(server, [instance("a", max_concurrency=1)], max_pending=10)
    world.ask(CAME)
    runs = world.runs()
    line = Panel("Calls that wait and calls that are refused", SECONDS, 40)
    line.level("max_pending=10", 10)
    line.steps("waiting", *summed([(came, 1) for came, _, _ in runs] + [(start, -1) for _, start, _ in runs]))
    line.steps("QueueFullError", *counted(at for _, at, result in world.ended if isinstance(result, QueueFullError)))
    world = World(server, [instance("a", max_concurrency=1)])
    world.plan(CAME[::4], priority=1)
    world.ask([at for number, at in enumerate(CAME) if number % 4])
    front = Panel("Seconds that calls wait, by when they come", SECONDS, 60)
    urgent = set(CAME[::4])
    for name, wanted in (("priority=1", True), ("priority=0", False)):
        runs = [(came, start - came) for came, start, _ in world.runs() if (came in urgent) is wanted]
        front.steps(name, [came for came, _ in runs], [waited for _, waited in runs])
    write([line, front], path)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".svg"))
