"""Draws told.svg: requests to a vendor that tells what is left of its limit, and to one that only refuses.

python docs/pictures/told.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import attrs
from plot import Panel, write
from world import World, counted, instance, said

from llmkit.wire.http import HttpReply

SECONDS, LIMIT = 120.0, 20
"""The vendor's limit is a bucket of so many requests, into which one comes back every second."""


def run(tells: bool):
    """When requests were answered, and when they were refused."""
    answered: list[float] = []
    refused: list[float] = []
    left, seen = float(LIMIT), 0.0

    def server(name, now):
        nonlocal left, seen
        left, seen = min(float(LIMIT), left + now - seen), now
        if left < 1:
            refused.append(now)
            return 0.2, HttpReply(429, {"retry-after": "10"}, b'{"error": {"message": "too many"}}')
        left -= 1
        answered.append(now)
        rest = {"limit": LIMIT, "remaining": int(left), "reset": f"{LIMIT - left:.3f}s"}
        return 0.2, attrs.evolve(said(), headers={f"x-ratelimit-{name}-requests": str(rest[name]) for name in rest if tells})

    World(server, [instance("a")]).ask([number / 2 for number in range(120)])
    return answered, refused


def main(path: Path) -> None:
    """Draw it."""
    panels = []
    for title, tells in (("A vendor that tells what is left", True), ("One that only refuses, for 10 seconds", False)):
        answered, refused = run(tells)
        panel = Panel(title, SECONDS, 200)
        panel.steps("answered", *counted(answered))
        panel.steps("refused (429)", *counted(refused))
        panels.append(panel)
    write(panels, path)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".svg"))
