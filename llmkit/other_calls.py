"""What a client asks for beside chats, made from what a user wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmkit.arguments import call_options, check_call, check_embed, made_deadline
from llmkit.assembly import Core
from llmkit.catalog.client import for_embeddings
from llmkit.errors import InvalidRequestError, shown
from llmkit.values.conversation import conversation
from llmkit.values.other_calls import CountCall, EmbedCall, ModelsCall, RawCall

if TYPE_CHECKING:
    from llmkit.values.model_requests import ModelRequest
    from llmkit.values.requests import Prompt


def embed_call(
    core: Core,
    now: float,
    texts: str | Sequence[str],
    model: str | ModelRequest | None,
    instance: str | None,
    given: Mapping[str, Any],
) -> EmbedCall:
    """A call for vectors."""
    check_embed({"model": model, "instance": instance, **given})
    listed = (texts,) if isinstance(texts, str) else tuple(texts) if isinstance(texts, Sequence) else ()
    if not listed or not all(isinstance(text, str) for text in listed):
        raise InvalidRequestError("texts: expected text, or a list of at least one text")
    if model is None and instance is None:
        model = core.default_model
    if model is not None:
        model = for_embeddings(core.ensure(model))
    return EmbedCall(
        deadline=made_deadline(given.get("timeout"), core.timeout, now),
        model=model,
        instance=instance,
        timeouts=core.timeouts,
        retries=given.get("retries"),
        cache=given.get("cache"),
        texts=listed,
        dimensions=given.get("dimensions"),
        extra=given.get("extra"),
    )


def count_call(
    core: Core, now: float, prompt: Prompt, model: str | ModelRequest | None, exact: bool, given: Mapping[str, Any]
) -> tuple[CountCall, str]:
    """A call for a count, and the model whose rules count."""
    check_call({"model": model, **given})
    instance = given.get("instance")
    model, rules = core.counted_by(model, instance)
    call = CountCall(
        deadline=made_deadline(given.get("timeout"), core.timeout, now),
        model=core.ensure(model) if exact and model is not None else model,
        instance=instance,
        timeouts=core.timeouts,
        messages=conversation(prompt, given.get("system")),
        options=call_options(given),
    )
    return call, rules


def models_call(core: Core, now: float, timeout: float | None, instance: str, page: str | None) -> ModelsCall:
    """A call for one page of an instance's models."""
    return ModelsCall(deadline=made_deadline(timeout, core.timeout, now), instance=instance, timeouts=core.timeouts, page=page)


def raw_call(core: Core, now: float, instance: str, method: str, path: str, json: Any, timeout: float | None) -> RawCall:
    """A request of the user's own."""
    for name, text in (("instance", instance), ("method", method)):
        if not isinstance(text, str) or not text:
            raise InvalidRequestError(f"{name}: expected a non-empty string, got {shown(text)}")
    if not isinstance(path, str) or "://" in path or not path.isprintable() or " " in path:
        raise InvalidRequestError(f"path: expected a path under the instance's base_url, got {shown(path)}")
    return RawCall(
        deadline=made_deadline(timeout, core.timeout, now),
        instance=instance,
        timeouts=core.timeouts,
        method=method,
        path=path,
        json=json,
    )
