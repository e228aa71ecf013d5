"""Tries that did not end a call: one that was called off, and one that failed beside another that answered."""

from __future__ import annotations

from llmkit.errors import CallCancelled, LLMError
from llmkit.flow.kit import Kit
from llmkit.flow.retrying import Trail
from llmkit.policy.routes import Lease


def called_off(kit: Kit, trail: Trail, lease: Lease) -> None:
    """Give back what a try held that nobody waits for any more, and book it. Does nothing where it has ended before."""
    if lease.released:
        return
    now = kit.runtime.now()
    kit.router.release(lease, now)
    name = lease.route.name
    provider = lease.route.instance.provider
    error = CallCancelled("called off before its answer came", provider=provider, instance=name, ambiguous=True)
    seconds = trail.book(lease, now, error)
    kit.ledger.interrupted(name, lease.key.label, trail.call.task, trail.call.tags, None, None, seconds)
    if kit.hooks.attempt:
        kit.hooks.attempt(call=trail.call, attempt=trail.attempts[-1])


def failed_beside(kit: Kit, trail: Trail, lease: Lease, error: LLMError) -> None:
    """The same for a try that failed while another went on."""
    now = kit.runtime.now()
    error.provider = error.provider or lease.route.instance.provider
    error.instance = error.instance or lease.route.name
    kit.router.release(lease, now, error)
    seconds = trail.book(lease, now, error)
    kit.ledger.failed(lease.route.name, lease.key.label, trail.call.task, trail.call.tags, error, seconds)
    if kit.hooks.attempt:
        kit.hooks.attempt(call=trail.call, attempt=trail.attempts[-1])
