"""A call's key: SHA-256 of everything that changes its answer, and of nothing else.

What counts: the cache's version and namespace, the messages with all their parts, the options, what may answer (the models,
instances, tasks and fallbacks that the call names, and how those are configured: provider, address, model, headers, options).
What does not: deadline, timeouts, retries, tags, keys, whether it is streamed, and a wish for the vendor's own prompt cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

import orjson

from llmkit.values.base import Value
from llmkit.values.calls import Call, ChatCall
from llmkit.values.options import NO_OPTIONS, Options
from llmkit.values.other_calls import EmbedCall

VERSION = 1
"""Grows when the same call comes to mean something else, or entries change their form."""
SORTED = orjson.OPT_SORT_KEYS

_GETTERS: dict[type, Callable[[Any], Any]] = {}


class Keys:
    """Makes the keys of one client.

    :param routing: describes what may answer a call, in values that JSON has.
    """

    def __init__(self, namespace: str, routing: Callable[[Call[Any]], Any]) -> None:
        self._namespace = namespace
        self._routing = routing
        self._begun: dict[Any, Any] = {}

    def forget(self) -> None:
        """Instances came or went: look again at what may answer."""
        self._begun = {}

    def of_call(self, call: Call[Any]) -> str | None:
        """The key of a call in hexadecimal digits; None for calls that are not cached, or that no vendor could be sent."""
        question = (call.instance, call.model, call.task, call.fallbacks)
        if type(call) is ChatCall:
            document: Any = (call.messages, call.on_unsupported, None if call.options is NO_OPTIONS else options(call.options))
        elif type(call) is EmbedCall:
            document = ("embed", call.texts, call.dimensions, call.extra)
        else:
            return None
        try:
            begun = self._begun.get(question) or self._begin(question, call)
            data = orjson.dumps(document, plain, SORTED)
        except TypeError:
            return None
        key = begun.copy()
        key.update(data)
        return key.hexdigest()  # type: ignore[no-any-return]

    def of_value(self, name: str) -> str:
        """The key of a value of the user's own."""
        data = orjson.dumps((VERSION, self._namespace, "value"))
        return hashlib.sha256(data + name.encode("utf-8", "surrogatepass")).hexdigest()

    def _begin(self, question: Any, call: Call[Any]) -> Any:
        if len(self._begun) > 1000:
            self._begun = {}
        described = (VERSION, self._namespace, question, self._routing(call))
        self._begun[question] = begun = hashlib.sha256(orjson.dumps(described, plain, SORTED))
        return begun


def options(given: Options) -> dict[str, Any]:
    """The options that change an answer."""
    chosen = given.to_dict()
    chosen.pop("cache_prompt", None)
    return chosen


def plain(value: Any) -> Any:
    """What has no JSON form of its own, in one that has: a value as its class and fields, bytes as their digest."""
    kind = type(value)
    getter = _GETTERS.get(kind)
    if getter is None:
        if isinstance(value, bytes):
            return {"sha256": hashlib.sha256(value).hexdigest()}
        if isinstance(value, Mapping):
            return dict(value)
        if not isinstance(value, Value):
            raise TypeError(f"{kind.__name__} has no JSON form")
        getter = _GETTERS[kind] = attrgetter(*[field.name for field in kind.__attrs_attrs__])
    return kind.__name__, getter(value)
