"""Draws days.svg: what limits of a day make of calls that come faster than they allow, then slower.

python docs/pictures/days.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from plot import Panel, write
from world import counted, summed

from llmkit.policy.limits import Limiter
from llmkit.policy.routes import Booking

HOURS = 96.0
TOKENS = 500
"""What each call uses."""


def run(limiter: Limiter, came: list[float]) -> list[float]:
    """The hours at which calls start that come at these, each after the one before it."""
    now, starts = 0.0, []
    for at in came:
        now = max(now, at * 3600)
        while (ready := limiter.ready_at(now, TOKENS)) > now:
            now = ready
        Booking(now).book(limiter.windows, TOKENS)
        starts.append(now / 3600)
    return starts


def main(path: Path) -> None:
    """Draw it."""
    came = [number / 6 for number in range(180)] + [60 + number / 3 for number in range(90)]
    requests, tokens = run(Limiter(rpd=100), came), run(Limiter(tpd=40_000), came)
    calls = Panel("Calls of 500 tokens, counted from the start", HOURS, 300, "h")
    calls.steps("came", *counted(came))
    calls.steps("started, rpd=100", *counted(requests))
    calls.steps("started, tpd=40000", *counted(tokens))
    panels = [calls]
    for title, name, most, starts, each in (
        ("Requests in the last 24 hours", "rpd=100", 100, requests, 1),
        ("Tokens in the last 24 hours", "tpd=40000", 40_000, tokens, TOKENS),
    ):
        panel = Panel(title, HOURS, most * 1.2, "h")
        panel.level(name, most)
        panel.steps("started", *summed([(at, each) for at in starts] + [(at + 24, -each) for at in starts]))
        panels.append(panel)
    write(panels, path)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".svg"))
