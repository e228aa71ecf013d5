"""Draws hedge.svg: how long answers take with and without hedging, where one in twenty is late.

python docs/pictures/hedge.py
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from plot import Panel, write
from world import World, instance, said

CALLS = 600


def main(path: Path) -> None:
    """Draw it."""
    panel = Panel("Part of the calls that are answered within so many seconds, in percent", 8.0, 100)
    for title, hedge in (("without", None), ('hedge="p90"', "p90")):
        luck = random.Random(2)

        def server(name, now, luck=luck):
            """Half a second to one; one in twenty takes up to eight."""
            late = luck.random() < 0.05
            return (2 + 6 * luck.random() if late else 0.5 + 0.5 * luck.random()), said()

        world = World(server, [instance("a"), instance("b")], hedge=hedge)
        world.ask([number * 1.0 for number in range(CALLS)])
        took = sorted(ended - came for came, ended, _ in world.ended)
        kept = [number for number in range(CALLS) if number % 6 == 5]
        extra = len(world.sent) - CALLS
        panel.steps(f"{title} ({extra} more requests)", [took[n] for n in kept], [100 * (n + 1) / CALLS for n in kept])
    write([panel], path)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".svg"))
