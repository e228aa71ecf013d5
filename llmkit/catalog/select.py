"""Choosing among the models of the catalogue: by what they can do, in the place of another, or in order."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any, Optional

import attrs

from llmkit.catalog.store import CATALOG, Catalog, serves
from llmkit.errors import InvalidRequestError, shown
from llmkit.values.base import Value
from llmkit.values.model_requests import (
    ORDERS,
    ModelRequest,
    Requested,
    as_request,
    blended,
    in_words,
    is_request,
    one_of,
    resolve,
)
from llmkit.values.models import ModelInfo

REASONS = ("unavailable", "context", "cost", "vendor")
MOST_FALLBACKS = 5
CONTEXT_WORDS = ("capabilities", "min_context", "min_output", "provider", "category")
"""What a ``task_context`` may say: the fields of a :class:`ModelRequest`."""


@attrs.frozen(eq=False, repr=False)
class Selection(Value):
    """Models in the order in which they are to be asked, as data: ``primary``, then ``fallbacks``."""

    primary: str
    """``provider/model``, or the name of an instance."""
    fallbacks: tuple[str, ...]
    requested: str
    """What was asked for, in words."""
    order: str
    """What put them in order: ``cheapest``, ``fastest``, ``quality``, or in words what the name of a model led to."""
    models: tuple[ModelInfo | None, ...] = attrs.field(default=(), repr=False)
    """What is known of each, the primary first."""

    def __str__(self) -> str:
        lines = [f"{self.requested} ({self.order}):"]
        for number, (name, info) in enumerate(zip((self.primary, *self.fallbacks), self.models, strict=True), 1):
            lines.append(f"{number}. {name}{_facts(info)}")
        return "\n".join(lines)


def _facts(info: ModelInfo | None) -> str:
    if info is None:
        return ""
    said = [info.category] if info.category else []
    if info.context_window:
        said.append(f"reads {info.context_window:,} tokens")
    price = info.price
    if price is not None and price.input is not None and price.output is not None:
        said.append(f"${price.input / 1e6:g} in, ${price.output / 1e6:g} out")
    return f" ({'; '.join(said)})" if said else ""


def full_name(info: ModelInfo) -> str:
    """``provider/model``."""
    return f"{info.provider}/{info.id}" if info.provider else info.id


def list_available_models(
    required_capabilities: Iterable[str] = (),
    min_token_limit: int | None = None,
    provider: str | None = None,
    category: str | None = None,
    *,
    max_price: Any = None,
    order: str | None = None,
    on: datetime.date | None = None,
    catalog: Catalog = CATALOG,
) -> list[ModelInfo]:
    """The models of the catalogue that are known to have what is asked for.

    :param required_capabilities: words of :data:`llmkit.values.model_requests.CAPABILITIES`.
    :param min_token_limit: the fewest tokens it must be able to read.
    :param category: ``fast``, ``balanced`` or ``quality``.
    :param max_price: the most US dollars per million tokens, input and output blended three to one.
    :param order: ``cheapest``, ``fastest`` or ``quality``; default as the catalogue has them, by vendor and name.
    :param on: leaves out models that are retired on that day; default today.
    :raises InvalidRequestError: if a word is not one of those there are.
    """
    wanted = ModelRequest(
        capabilities=required_capabilities, min_context=min_token_limit, provider=provider, category=category
    )
    day = on or datetime.date.today()
    found = [
        info
        for info in catalog.models(provider)
        if serves(info, day) and wanted.accepts(info) and (max_price is None or _within(info, max_price))
    ]
    return found if order is None else resolve(wanted, [(info, info) for info in found], order)


def _within(info: ModelInfo, most: Any) -> bool:
    price = blended(info)
    return price is not None and price <= float(most) * 1e6


def get_model_info(model: str, *, catalog: Catalog = CATALOG) -> ModelInfo | None:
    """What is known of a model: ``provider/model``, or a bare name that belongs to one provider alone. None if nothing is."""
    if not isinstance(model, str):
        raise InvalidRequestError(f"model: expected a name, got {shown(model)}")
    return catalog.get(model)


def find_alternative_model(
    model: str,
    reason: str = "unavailable",
    *,
    among: Iterable[ModelInfo] | None = None,
    catalog: Catalog = CATALOG,
) -> ModelInfo | None:
    """A model to use in the place of another: one that is known to do all that this one is known to do.

    :param model: the one to replace.
    :param reason: ``unavailable`` for the nearest in price, the same vendor's first; ``vendor`` for the nearest at another vendor;
        ``context`` for one that reads more tokens, the cheapest; ``cost`` for one that costs less, the largest reduction last.
    :param among: the models to choose from; default the catalogue's that serve today.
    :returns: None where there is none, or nothing is known of ``model``.
    :raises InvalidRequestError: for another reason.
    """
    one_of("reason", reason, REASONS)
    info = get_model_info(model, catalog=catalog)
    if info is None:
        return None
    day = datetime.date.today()
    others = [other for other in (catalog.models() if among is None else among) if serves(other, day) and other.id != info.id]
    fitting = [other for other in others if _replaces(other, info, reason)]
    return min(fitting, key=lambda other: _distance(other, info, reason), default=None)


_MATTERS = frozenset(("chat", "embeddings", "completion", "streaming", "tools", "vision", "audio", "files", "json_schema"))


def _replaces(other: ModelInfo, info: ModelInfo, reason: str) -> bool:
    if info.capabilities is None or not other.can(*(info.capabilities & _MATTERS)) or blended(other) is None:
        return False
    mine, theirs = info.context_window or 0, other.context_window or 0
    if reason == "context":
        return theirs > mine
    if theirs < mine:
        return False
    if reason == "cost":
        price = blended(info)
        return price is not None and (blended(other) or 0.0) < price
    return reason != "vendor" or other.provider != info.provider


def _distance(other: ModelInfo, info: ModelInfo, reason: str) -> tuple[Any, ...]:
    price, mine = blended(other) or 0.0, blended(info)
    home = other.provider != info.provider
    kind = other.category != info.category
    if reason == "context":
        return (home, price, full_name(other))
    apart = 0.0 if mine is None else abs(price - mine)
    if reason == "vendor":
        return (kind, apart, full_name(other))
    return (home, kind, apart, full_name(other))


def select_models(
    requested: Requested,
    task_context: Mapping[str, Any] | None = None,
    strategy: str | None = None,
    *,
    fallbacks: int = MOST_FALLBACKS,
    candidates: Iterable[tuple[str, Optional[ModelInfo]]] | None = None,
    catalog: Catalog = CATALOG,
) -> Selection:
    """The model to ask and those to turn to, as data; nothing is sent.

    :param requested: a model's name; ``fast``, ``balanced``, ``quality``, ``cheapest``, ``fastest``; or a :class:`ModelRequest`.
    :param task_context: what the task needs beside: ``capabilities``, ``min_context``, ``min_output``, ``provider``, ``category``.
    :param strategy: the order: ``cheapest``, ``fastest`` or ``quality``. Default: the request's own, else ``cheapest``.
    :param fallbacks: how many to name beside the first.
    :param candidates: names, each with what is known of its model; default the catalogue's models that serve today.
    :raises InvalidRequestError: if no model has what is asked for, or a word is not one of those there are.
    """
    known = dict(_whole(catalog) if candidates is None else candidates)
    named = requested if isinstance(requested, str) and not is_request(requested) else None
    wanted = _within_task(ModelRequest() if named is not None else as_request(requested), task_context or {})
    names = resolve(wanted, known.items(), strategy)
    order = strategy or wanted.order or ORDERS.get(wanted.category or "", "cheapest")
    if named is not None:
        names, order = _after_named(named, names, known, catalog, None if strategy is None else order)
    if not names:
        raise InvalidRequestError(f"model: no model is known to be {in_words(wanted)}")
    chosen = names[: fallbacks + 1]
    models = tuple([known.get(name) or catalog.get(name) for name in chosen])
    return Selection(chosen[0], tuple(chosen[1:]), str(named or in_words(wanted)), order, models)


def _within_task(wanted: ModelRequest, context: Mapping[str, Any]) -> ModelRequest:
    """A request with what its task needs beside."""
    if not isinstance(context, Mapping):
        raise InvalidRequestError(f"task_context: expected a mapping with {', '.join(CONTEXT_WORDS)}; got {shown(context)}")
    for name in context:
        one_of("task_context", name, CONTEXT_WORDS)
    needs = dict(context)
    words = ModelRequest(capabilities=needs.pop("capabilities", ())).capabilities
    return attrs.evolve(wanted, capabilities=wanted.capabilities | words, **needs)


def _after_named(
    named: str, names: list[str], known: Mapping[str, ModelInfo | None], catalog: Catalog, order: str | None
) -> tuple[list[str], str]:
    """The model of that name, then the others: in their order where one was asked for, else those that can stand in for it, the
    nearest first."""
    first = _spelled(named, known, catalog)
    others = [name for name in names if name != first]
    info = known.get(first) or catalog.get(first)
    if order is not None or info is None:
        return [first, *others], f"named, then {order or 'cheapest'}"
    near = [(name, other) for name in others if (other := known[name]) is not None and _replaces(other, info, "unavailable")]
    near.sort(key=lambda pair: _distance(pair[1], info, "unavailable"))
    return [first, *[name for name, _ in near]], "named, then the nearest"


def _whole(catalog: Catalog) -> list[tuple[str, Optional[ModelInfo]]]:
    day = datetime.date.today()
    return [(full_name(info), info) for info in catalog.models() if serves(info, day) and info.capabilities is not None]


def _spelled(name: str, known: Mapping[str, ModelInfo | None], catalog: Catalog) -> str:
    info = catalog.get(name)
    whole = name if info is None else full_name(info)
    if name in known or whole in known:
        return name if name in known else whole
    served = [other for other, facts in known.items() if facts is not None and full_name(facts) == whole]
    return served[0] if served else name
