"""What limits on requests and tokens cost a call, and what it costs to hear what vendors tell of theirs.

    python benchmarks/limits.py

Prints microseconds of CPU, the best of several rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from llmkit.policy.limits import Limiter
from llmkit.policy.routes import Booking
from llmkit.wire.rate_limits import rate_limits

TURNS = 5_000
ROUNDS = 25
LIMITERS = {
    "no limit": {},
    "rpm, tpm": {"rpm": 10**6, "tpm": 10**9},
    "rpm, tpm, rpd, tpd": {"rpm": 10**6, "tpm": 10**9, "rpd": 10**9, "tpd": 10**12},
}
HEADERS = {"date": "Fri, 29 Sep 2023 16:26:37 GMT", **{f"x-header-{number}": "x" for number in range(15)}}
KINDS = ("requests", "tokens", "input-tokens", "output-tokens")
ANTHROPIC = {f"anthropic-ratelimit-{kind}-{what}": "4000" for kind in KINDS for what in ("limit", "remaining")}
ANTHROPIC |= {f"anthropic-ratelimit-{kind}-reset": "2023-09-29T16:26:47Z" for kind in KINDS}
OPENAI = {f"x-ratelimit-{what}-{kind}": "4000" for kind in KINDS[:2] for what in ("limit", "remaining")}
OPENAI |= {f"x-ratelimit-reset-{kind}": "12ms" for kind in KINDS[:2]}


def cost(work: Callable[[float], object]) -> float:
    """Microseconds for one turn."""
    best, now = float("inf"), 0.0
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(TURNS):
            now += 0.0005
            work(now)
        best = min(best, time.process_time() - began)
    return best / TURNS * 1e6


def book(limiter: Limiter, now: float) -> Booking:
    booking = Booking(now)
    booking.book(limiter.windows, 500)
    return booking


def main() -> None:
    print(f"{'limiter':<22}{'ready_at':>10}{'book':>10}{'settle':>10}")
    empty = cost(lambda now: now)
    for name, limits in LIMITERS.items():
        limiter = Limiter(**limits)
        ready = cost(lambda now, limiter=limiter: limiter.ready_at(now, 500))
        take = cost(lambda now, limiter=limiter: book(limiter, now))
        both = cost(lambda now, limiter=limiter: book(limiter, now).settle(300, now))
        print(f"{name:<22}{ready - empty:>10.2f}{take - empty:>10.2f}{both - take:>10.2f}")
    for name, headers in (("none", {}), ("OpenAI's", OPENAI), ("Anthropic's", ANTHROPIC)):
        print(f"{f'{name} among the headers':<32}{cost(lambda now, sent={**HEADERS, **headers}: rate_limits(sent)) - empty:>10.2f}")
    limiter, told = Limiter(), rate_limits(OPENAI)
    booking = book(limiter, 0.0)
    print(f"{'to learn from them':<32}{cost(lambda now: limiter.learn(booking, told)) - empty:>10.2f}")


if __name__ == "__main__":
    main()
