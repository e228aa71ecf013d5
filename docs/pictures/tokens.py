"""Draws tokens.svg: what a limit of 6,000 tokens a minute makes of calls that are expected to use more than they do.

python docs/pictures/tokens.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from plot import Panel, write
from world import World, counted, instance, said, summed

TPM = 6000
SECONDS = 240.0
USED, TAKES = 100, 5.0
"""Tokens of an answer with its prompt, and the seconds until it is there."""
EXPECTED = 254
"""What a call books that may have an answer of 250 tokens, until it has been answered."""


def main(path: Path) -> None:
    """Draw it."""
    world = World(lambda name, now: (TAKES, said()), [instance("a", tpm=TPM)])
    world.ask([number / 2 for number in range(200)], max_tokens=250)
    starts = [start for _, start, _ in world.runs()]
    calls = Panel("Calls of 100 tokens, counted from the start; 254 are expected", SECONDS, 240)
    calls.steps("came", *counted(came for came, _, _ in world.runs()))
    calls.steps("started", *counted(starts))
    window = Panel("Tokens in the last 60 seconds", SECONDS, 8000)
    window.level("tpm=6000", TPM)
    expected = [(at, EXPECTED) for at in starts] + [(at + TAKES, USED - EXPECTED) for at in starts]
    gone = [(at + 60, -USED) for at in starts]
    window.steps("booked", *summed(expected + gone))
    window.steps("used", *summed([(at + TAKES, USED) for at in starts] + [(at + TAKES + 60, -USED) for at in starts]))
    write([calls, window], path)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".svg"))
