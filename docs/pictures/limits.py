"""Draws limits.svg: what a limit of 60 requests a minute makes of calls that come faster, then slower.

python docs/pictures/limits.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from plot import Panel, write
from world import summed

from llmkit.policy.limits import Limiter
from llmkit.policy.routes import Booking

RPM = 60
SECONDS = 300.0


def run(came: list[float]) -> list[float]:
    """When calls start that come at these times, each after the one before it."""
    limiter = Limiter(rpm=RPM)
    now, starts = 0.0, []
    for at in came:
        now = max(now, at)
        while (ready := limiter.ready_at(now, 0)) > now:
            now = ready
        Booking(now).book(limiter.windows, 0)
        starts.append(now)
    return starts


def main(path: Path) -> None:
    """Draw it."""
    came = [number / 4 for number in range(100)] + [90 + number / 0.7 for number in range(100)]
    starts = run(came)
    calls = Panel("Calls, counted from the start", SECONDS, 200)
    calls.steps("came", came, range(1, len(came) + 1))
    calls.steps("started", starts, range(1, len(starts) + 1))
    window = Panel("Started in the last 60 seconds", SECONDS, 80)
    window.level("rpm=60", RPM)
    window.steps("started", *summed([(at, 1) for at in starts] + [(at + 60, -1) for at in starts]))
    write([calls, window], path)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".svg"))
