"""What every flow works with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import attrs

if TYPE_CHECKING:
    from llmkit.cache.answers import AnswerCache
    from llmkit.observe.ledger import Ledger
    from llmkit.plugins.hooks import Hooks
    from llmkit.policy.budgets import Budgets
    from llmkit.policy.checks import Checks
    from llmkit.policy.hedging import Hedging
    from llmkit.policy.router import Router
    from llmkit.runtime import Runtime
    from llmkit.tokens.count import Tokenizers
    from llmkit.values.models import ModelInfo
    from llmkit.values.tickets import TicketStore


@attrs.define(slots=False, eq=False, repr=False)
class Kit:
    """A client's collaborators, put together once and handed down to each flow."""

    runtime: Runtime
    router: Router
    policy: Callable[[Any], Any]
    """The tenacity policy for a call's own ``retries``, or for None the client's."""
    hooks: Hooks
    ledger: Ledger
    unavailable: Literal["wait", "fail"] = "wait"
    """What to do when nothing can serve a call now."""
    max_wait: float = 60.0
    """The longest wait, in seconds, for a key or an instance that rests."""
    tickets: Callable[[], TicketStore] | None = None
    """The queue for calls that are to be answered later; opened by whoever needs it."""
    cache: AnswerCache | None = attrs.field(default=None, kw_only=True)
    budgets: Budgets | None = attrs.field(default=None, kw_only=True)
    facts: Callable[[str, str], ModelInfo | None] = attrs.field(kw_only=True)
    """What is known of a provider's model."""
    tokenizers: Callable[[], Tokenizers] = attrs.field(kw_only=True)
    hedging: Callable[[], Hedging] = attrs.field(kw_only=True)
    """The client's account of doubled calls, made when the first call is hedged."""
    checks: Checks = attrs.field(kw_only=True)
    """The client's health checks."""
    watched: bool = attrs.field(default=False, kw_only=True)
    """Whether they run in the background."""
