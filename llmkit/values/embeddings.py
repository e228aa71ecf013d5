"""Texts as vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from llmkit.values.completion import Answer, Attempt, Timing, lazy
from llmkit.values.usage import Usage

if TYPE_CHECKING:
    from decimal import Decimal


@lazy
@attrs.frozen(slots=False, eq=False, repr=False)
class Embeddings(Answer):
    """Vectors, in the order of the texts."""

    vectors: tuple[tuple[float, ...], ...] = attrs.field(repr=lambda vectors: f"<{len(vectors)} vectors>")
    model: str | None = None
    usage: Usage | None = None
    raw: Any = attrs.field(default=None, repr=False)
    provider: str | None = None
    instance: str | None = None
    request_id: str | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    attempts: tuple[Attempt, ...] = attrs.field(default=(), repr=False)
    timing: Timing | None = attrs.field(default=None, repr=False)
    cost: Decimal | None = None
    """As :attr:`Completion.cost`."""
    cached: bool = False
    """True where llmkit answered from its own cache."""
