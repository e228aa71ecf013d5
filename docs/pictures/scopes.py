"""Draws scopes.svg: a limit of 60 requests a minute on an instance, on each key, and on the client.

python docs/pictures/scopes.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from plot import Panel, write
from world import World, counted, instance, said

SECONDS = 150.0
KEYS = ("k1", "k2")
RUNS = {
    "rpm=60 on instance a, which has two keys": (("a",), {"rpm": 60}, {}),
    "rpm_per_key=60 on instance a": (("a",), {"rpm_per_key": 60}, {}),
    "rpm=80, rpm_per_key=60 on instance a": (("a",), {"rpm": 80, "rpm_per_key": 60}, {}),
    "rpm=60 on each of two instances": (("a", "b"), {"rpm": 60}, {}),
    "rpm=60 on the client of two instances": (("a", "b"), {}, {"rpm": 60}),
}


def run(names, limits, settings):
    """When requests were sent: all, and by instance or key."""
    sent: dict[str, list[float]] = {}

    def server(name, now):
        key = world.request.headers["Authorization"].removeprefix("Bearer ")
        sent.setdefault("all", []).append(now)
        sent.setdefault(f"with {key}" if len(names) == 1 else f"by {name}", []).append(now)
        return 1.0, said()

    world = World(server, [instance(name, api_keys=KEYS, **limits) for name in names], **settings)
    world.ask([number / 4 for number in range(240)])
    return sent


def main(path: Path) -> None:
    """Draw it."""
    panels = []
    for title, given in RUNS.items():
        panel = Panel(title, SECONDS, 280)
        for line, times in sorted(run(*given).items()):
            panel.steps(line, *counted(times))
        panels.append(panel)
    write(panels, path)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".svg"))
