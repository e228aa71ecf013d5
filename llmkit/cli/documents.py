"""The JSON that ``--json`` prints: a stable part of each value. Fields may be added, none is taken away."""

from __future__ import annotations

from typing import Any

from llmkit.errors import LLMError
from llmkit.values.completion import Attempt, Completion
from llmkit.values.events import Event
from llmkit.values.health import ClientHealth, Probe
from llmkit.values.models import ModelInfo
from llmkit.values.price import RATES, Price
from llmkit.values.tickets import Ticket
from llmkit.values.usage import Usage


def completion_document(completion: Completion) -> dict[str, Any]:
    """An answer."""
    timing = completion.timing
    return {
        "text": completion.text,
        "refusal": completion.refusal,
        "reasoning": completion.reasoning or None,
        "finish_reason": str(completion.finish_reason),
        "raw_finish_reason": completion.raw_finish_reason,
        "model": completion.model,
        "provider": completion.provider,
        "instance": completion.instance,
        "id": completion.id,
        "request_id": completion.request_id,
        "usage": usage_document(completion.usage),
        "cost": None if completion.cost is None else str(completion.cost),
        "seconds": None if timing is None else round(timing.total, 4),
        "seconds_to_first_event": None if timing is None or timing.first_event is None else round(timing.first_event, 4),
        "dropped": list(completion.dropped),
        "fallback": completion.fallback,
        "attempts": [attempt_document(attempt) for attempt in completion.attempts],
    }


def usage_document(usage: Usage | None) -> dict[str, Any] | None:
    """Tokens, or None where the vendor said nothing."""
    if usage is None:
        return None
    names = ("prompt_tokens", "completion_tokens", "total_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    return {name: getattr(usage, name) for name in (*names, "estimated")}


def attempt_document(attempt: Attempt) -> dict[str, Any]:
    """One try of a call."""
    return {
        "instance": attempt.instance,
        "key": attempt.key,
        "started": round(attempt.started, 4),
        "seconds": round(attempt.seconds, 4),
        "error": None if attempt.error is None else error_document(attempt.error),
    }


def error_document(error: LLMError) -> dict[str, Any]:
    """An error's facts."""
    facts: dict[str, Any] = {"type": type(error).__name__, "code": str(error.code)}
    for name in ("message", "provider", "instance", "status", "vendor_code", "request_id", "retry_after"):
        facts[name] = getattr(error, name)
    problems = getattr(error, "problems", ())
    if problems:
        facts["problems"] = [problem._asdict() for problem in problems]
    return facts


def ticket_document(ticket: Ticket) -> dict[str, Any]:
    """A call in the queue. Times are Unix times."""
    names = ("id", "key", "created", "changed", "not_before", "attempts", "max_attempts", "maybe_sent_before", "why")
    call = ticket.call
    return {
        "status": str(ticket.status),
        **{name: getattr(ticket, name) for name in names},
        "model": None if call is None else call.model,
        "task": None if call is None else call.task,
        "tags": [] if call is None else list(call.tags),
        "completion": None if ticket.completion is None else completion_document(ticket.completion),
        "error": None if ticket.error is None else error_document(ticket.error),
    }


def model_document(model: ModelInfo) -> dict[str, Any]:
    """A model that a vendor offers, with what is known of it; prices in US dollars per million tokens."""
    return {
        **{name: getattr(model, name) for name in ("id", "provider", "name", "context_window", "max_output_tokens")},
        "capabilities": None if model.capabilities is None else sorted(model.capabilities),
        "category": model.category,
        "price": None if model.price is None else price_document(model.price),
        "released": None if model.released is None else model.released.isoformat(),
        "retires": None if model.retires is None else model.retires.isoformat(),
        "tokenizer": model.tokenizer,
        "note": model.note,
    }


def price_document(price: Price) -> dict[str, Any]:
    """A price: what is known of it, in US dollars per million tokens."""
    document: dict[str, Any] = {name: amount / 1e6 for name in RATES if (amount := getattr(price, name)) is not None}
    if price.tiers:
        document["tiers"] = {str(tier.above): price_document(tier.price) for tier in price.tiers}
    if price.besides is not None:
        document["besides"] = price.besides
    return document


def event_document(event: Event) -> dict[str, Any]:
    """One event of a stream, with its ``type``."""
    from llmkit.values import events
    from llmkit.wire.codec import converter

    document: dict[str, Any] = converter().unstructure(event, events.Event)
    return document


def health_document(health: ClientHealth) -> dict[str, Any]:
    """How a client's instances and keys are."""
    from llmkit.wire.codec import converter

    plain = converter().unstructure
    names = ("name", "status", "seconds_left", "reason", "enabled", "in_flight", "latency")
    return {
        "well": health.well,
        "waiting": health.waiting,
        "limits": plain(health.limits),
        "instances": [
            {
                **{name: getattr(each, name) for name in names},
                "keys": [plain(key) for key in each.keys],
                "breaker": plain(each.breaker),
                "limits": plain(each.limits),
                "probe": None if each.probe is None else _probe_document(each.probe),
            }
            for each in health
        ],
    }


def _probe_document(probe: Probe) -> dict[str, Any]:
    return {
        "ok": probe.ok,
        "at": probe.at,
        "seconds": round(probe.seconds, 4),
        "error": None if probe.error is None else error_document(probe.error),
        "skipped": probe.skipped,
    }
