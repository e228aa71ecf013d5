"""What the books are kept in: counts in a fixed order, and lines that say whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

COUNTS = (
    *("calls", "errors", "interrupted", "cache_hits", "estimated", "unpriced", "partial_unpriced", "cost", "partial_cost"),
    *("prompt_tokens", "completion_tokens", "total_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
    *("partial_prompt_tokens", "partial_completion_tokens", "partial_total_tokens"),
    *("partial_cache_read_tokens", "partial_cache_write_tokens", "partial_reasoning_tokens"),
)
"""The numbers that are kept, in their order in every list of them. Costs are in 10^-12 US dollars."""
WHOLE = COUNTS.index("prompt_tokens")
"""Where the six kinds of tokens of whole answers begin."""
PARTIAL = COUNTS.index("partial_prompt_tokens")
"""Where those of interrupted streams begin."""
ZEROS = (0,) * len(COUNTS)


class Line(NamedTuple):
    """One line of the books: whose it is, and its counts in the order of :data:`COUNTS`."""

    instance: str
    provider: str
    model: str
    key: str | None
    """The key's label; None for answers from llmkit's own cache."""
    task: str | None
    tags: tuple[str, ...]
    counts: Sequence[int]
    minute: int = 0
    """Unix time at which the minute began, where it was stored."""
