"""What the books cost: microseconds of CPU for each booking and each budgeted call, and for a stored batch.

``python benchmarks/books.py``; the least of many short rounds, so that other work on the machine counts little.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from llmkit import Budget, Usage
from llmkit.errors import ServerError
from llmkit.observe.ledger import Ledger
from llmkit.observe.writer import UsageWriter
from llmkit.policy.budgets import Budgets, Where

ROUNDS = 400
TIMES = 1000
USAGE = Usage(1200, 300, 1500, 1000, 0, 0)


class Flat:
    """A price of two multiplications."""

    def units(self, usage: Usage) -> int:
        return usage.prompt_tokens * 150_000 + usage.completion_tokens * 600_000


def least(work: Callable[[], object], times: int = TIMES) -> float:
    """Microseconds for one run of ``work``, an empty loop taken off."""
    best = empty = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(times):
            work()
        best = min(best, time.process_time() - started)
        started = time.process_time()
        for _ in range(times):
            pass
        empty = min(empty, time.process_time() - started)
    return (best - empty) / times * 1e6


def main() -> None:
    """Print a table."""
    place = ("openai/gpt-4o-mini", "openai/gpt-4o-mini#1", "summary", ("nightly",))
    for name, ledger in (("no price", Ledger()), ("with a price", Ledger(lambda provider, model: Flat()))):
        ledger.open(place[0], "openai", "gpt-4o-mini")
        print(f"answered, {name:<14} {least(lambda books=ledger: books.answered(*place, USAGE, 0.7)):6.2f} us")
    print(f"failed                   {least(lambda: ledger.failed(*place, ERROR, 0.7)):6.2f} us")
    print(f"cache hit                {least(lambda: ledger.cache_hit(place[0], place[2], place[3])):6.2f} us")
    budgets = Budgets([Budget(usd=10**6), Budget(tokens=10**12, per="tag")])
    where = Where(place[2], place[3], place[0], place[1])

    def budgeted() -> None:
        budgets.settle(budgets.reserve(where, 1500, 10**6, 1e9), 1500, 10**6, 300)

    print(f"two budgets, a call      {least(budgeted):6.2f} us")
    with tempfile.TemporaryDirectory() as folder:
        writer = UsageWriter(str(Path(folder) / "usage.db"), ledger, budgets)
        for number in range(1000):
            ledger.answered(place[0], place[1], None, (f"tag-{number}",), USAGE)
        started = time.perf_counter()
        writer.flush()
        print(f"a batch of 1,000 rows    {(time.perf_counter() - started) * 1e3:6.2f} ms")
        writer.flush()


ERROR = ServerError("x")

if __name__ == "__main__":
    main()
