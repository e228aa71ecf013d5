"""Draws health.svg: what an outage costs with a breaker and a retry budget.

python docs/pictures/health.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from plot import Panel, write
from world import World, counted, failed, instance, said

SECONDS, DOWN, UP = 60.0, 10.0, 40.0


def server(name, now):
    """An instance that is down for thirty seconds."""
    return (0.05, failed()) if DOWN <= now < UP else (0.5, said())


def main(path: Path) -> None:
    """Draw it."""
    world = World(server, [instance("a")], unavailable="fail")
    breaker: list[tuple[float, int]] = []
    route = world.client._core.router.route("a")
    for tick in range(int(SECONDS * 4)):
        at = tick / 4
        world.simulation.at(at, lambda at=at: breaker.append((at, int(route.breaker.open))))
    world.ask([number / 5 for number in range(int(SECONDS * 5))])
    calls = Panel(f"Counted from the start; the vendor is down from {DOWN:g} to {UP:g} s", SECONDS, 300)
    calls.steps("calls", *counted(came for came, _, _ in world.ended))
    calls.steps("requests to the vendor", *counted(at for _, at in world.sent))
    calls.steps("answers", *counted(at for _, at, result in world.ended if not isinstance(result, Exception)))
    state = Panel("Breaker: 0 closed, 1 open", SECONDS, 2)
    state.steps("breaker", [at for at, _ in breaker], [value for _, value in breaker])
    write([calls, state], path)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".svg"))
