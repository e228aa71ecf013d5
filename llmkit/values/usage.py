"""Tokens used by a call."""

from __future__ import annotations

from typing import Any

import attrs

from llmkit.values.base import Value

MOST_TOKENS = 10**12
"""A count above this is taken for rubbish."""


@attrs.frozen(slots=False, eq=False, repr=False)
class Usage(Value):
    """Tokens of one call, or a sum of several. One convention for every vendor: prompt tokens include those read from and
    written to the vendor's cache, completion tokens include reasoning.

    The counts are the vendor's own, as it bills them, also where they do not add up: Azure OpenAI has been seen to report more
    cached tokens than the whole prompt has. Arithmetic with them (``prompt_tokens - cache_read_tokens``) should not go below 0.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cache_read_tokens: int = 0
    """Prompt tokens that the vendor read from its cache."""
    cache_write_tokens: int = 0
    """Prompt tokens that the vendor wrote to its cache."""
    reasoning_tokens: int = 0
    """Completion tokens spent on thinking, where the vendor tells."""
    estimated: bool = False
    """True where llmkit counted or guessed, because the vendor did not say."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.total_tokens + other.total_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.estimated or other.estimated,
        )


_INT = {int}


def are_tokens(counts: tuple[Any, ...]) -> bool:
    """Whether all of ``counts`` are what :func:`tokens` would give back as they are: one cheap test for the common case."""
    return set(map(type, counts)) == _INT and min(counts) >= 0 and max(counts) <= MOST_TOKENS


def tokens(count: Any) -> int:
    """A vendor's token count as an int: 0 where it is missing.

    :raises ValueError: if it is no whole number from 0 to :data:`MOST_TOKENS`.
    """
    if type(count) is int and 0 <= count <= MOST_TOKENS:
        return count
    if count is None:
        return 0
    if isinstance(count, float) and count.is_integer() and 0 <= count <= MOST_TOKENS:
        return int(count)
    raise ValueError(f"not a token count: {count!r}")
