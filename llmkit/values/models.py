"""Models, as vendors and llmkit's catalogue describe them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from llmkit.values.base import Value

if TYPE_CHECKING:
    import datetime

    from llmkit.values.price import Price


@attrs.frozen(slots=False, eq=False, repr=False)
class ModelInfo(Value):
    """What is known of a model: by its vendor's list, by llmkit's catalogue, or by you. What is not known is None."""

    id: str
    """The vendor's own name for it, without the provider."""
    provider: str | None = None
    name: str | None = None
    """The name shown to people."""
    context_window: int | None = None
    """The most tokens it can read."""
    max_output_tokens: int | None = None
    """The most tokens it can write."""
    raw: Any = attrs.field(default=None, repr=False)
    capabilities: frozenset[str] | None = None
    """What it can do, in the words of :data:`llmkit.values.model_requests.CAPABILITIES`."""
    category: str | None = None
    """``fast``, ``balanced`` or ``quality``: the small, the middle or the large one of its family."""
    price: Price | None = None
    released: datetime.date | None = None
    retires: datetime.date | None = None
    """The day on which the vendor stops serving it; may have passed."""
    tokenizer: str | None = None
    """The name of its tiktoken encoding, where it has one."""
    note: str | None = None
    """What is doubtful, such as a price that its sources do not agree on."""

    def can(self, *capabilities: str) -> bool:
        """Whether it is known to have all of ``capabilities``."""
        return self.capabilities is not None and self.capabilities.issuperset(capabilities)


@attrs.frozen(eq=False, repr=False)
class ModelList(Value):
    """One page of a vendor's models."""

    models: tuple[ModelInfo, ...]
    next_page: str | None = None
    """What to ask for to get the next page, or None."""
