"""An answer as it is kept: in memory so that nobody who gets it can change it for the next, elsewhere as JSON with a digest.

The JSON is two lines: ``{"llmkit":1,"digest":"..."}``, then the content, whose SHA-256 (or HMAC) the digest is. The content repeats
namespace, key and kind. Whatever is damaged, cut short, in another's place or from another version is no entry.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Union

import attrs
import orjson

from llmkit.cache.keys import VERSION
from llmkit.values.completion import Completion, FinishReason
from llmkit.values.embeddings import Embeddings
from llmkit.values.messages import Message, Reasoning, Refusal, Text

Answer = Union[Completion, Embeddings]

KEPT = (FinishReason.STOP, FinishReason.TOOL_CALLS, FinishReason.LENGTH)
"""Why a model may have stopped in an answer that is kept. What a filter cut off, or what ended for no known reason, is not."""
SHARED = (Text, Reasoning, Refusal)
"""Parts in which, without ``extra``, nothing can be changed."""
JSON_TYPES = (dict, list, str, int, float, bool, type(None))
STORY = frozenset(("attempts", "headers", "timing", "_times", "_tries"))
NO_COST = Decimal(0)
OVERHEAD = 1000
"""Bytes of an entry in memory beside its texts, about."""
KINDS: Mapping[str, type[Answer]] = {"chat": Completion, "embed": Embeddings}


@attrs.define(eq=False, repr=False)
class Entry:
    """One kept answer, or one value of the user's own."""

    kind: str
    """``chat``, ``embed`` or ``value``."""
    fields: dict[str, Any]
    """The answer's fields that may be shared by all who get it."""
    copied: dict[str, bytes]
    """As JSON, the fields of which everybody gets a copy of their own."""
    born: float
    """When it was made, on the runtime's clock."""
    until: float
    """When its time is over; infinity for never."""
    size: int

    def answer(self, seconds: float) -> Any:
        """The answer, as one more caller gets it.

        :param seconds: how long the caller waited for it.
        """
        answer = object.__new__(KINDS[self.kind])
        fields = vars(answer)
        fields.update(self.fields)
        for name, data in self.copied.items():
            fields[name] = orjson.loads(data)
        if "messages" in fields:
            _restore_messages(fields)
        fields["_times"] = (seconds, 0.0, None)
        return answer

    def value(self) -> Any:
        """A value of the user's own."""
        return orjson.loads(self.copied["value"])


def entry_of(answer: Any, now: float, ttl: float | None) -> Entry | None:
    """The entry for a fresh answer; None if it holds what cannot be copied."""
    until = math.inf if ttl is None else now + ttl
    if isinstance(answer, Completion):
        return _chat(answer, now, until) if type(answer.parsed) in JSON_TYPES else None
    if isinstance(answer, Embeddings):
        fields = {**_shared(answer), "raw": None, "_body": None, "cached": True}
        size = OVERHEAD + 32 * sum(len(vector) for vector in answer.vectors)
        return Entry("embed", fields, {}, now, until, size)
    return None


def _chat(answer: Completion, now: float, until: float) -> Entry | None:
    fields = {**_shared(answer), "cached": True, "cost": NO_COST}
    copied = {}
    try:
        raw = fields.pop("raw", None)
        if raw is not None and fields.get("_body") is None:
            fields["_body"] = orjson.dumps(raw)
        if answer.parsed is not None:
            copied["parsed"] = orjson.dumps(answer.parsed)
    except TypeError:
        return None
    messages = (answer.message, *answer.alternatives)
    size = OVERHEAD + sum(map(len, copied.values())) + len(fields.get("_body") or b"")
    if all(_unchangeable(message) for message in messages):
        return Entry("chat", fields, copied, now, until, size + sum(_length(message) for message in messages))
    written = _messages(messages)
    if written is None:
        return None
    copied["messages"] = written
    return Entry("chat", fields, copied, now, until, size + len(written))


def _shared(answer: Answer) -> dict[str, Any]:
    """An answer's fields without the story of how it was got, which is another for everybody who gets it."""
    fields = dict(vars(answer))  # whole, before anybody else reads from the answer what is made then
    return {name: value for name, value in fields.items() if name not in STORY}


def _unchangeable(message: Message) -> bool:
    return message.extra is None and all(isinstance(part, SHARED) and part.extra is None for part in message.content)


def _length(message: Message) -> int:
    return sum(len(part.text) for part in message.content if isinstance(part, SHARED))


def _messages(messages: tuple[Message, ...]) -> bytes | None:
    from llmkit.wire.codec import converter

    try:
        return orjson.dumps(converter().unstructure(messages, tuple[Message, ...]))
    except TypeError:
        return None


def _restore_messages(fields: dict[str, Any]) -> None:
    from llmkit.wire.codec import converter

    messages = converter().structure(fields.pop("messages"), tuple[Message, ...])
    fields["message"], fields["alternatives"] = messages[0], messages[1:]


def value_entry(value: Any, now: float, ttl: float | None) -> Entry:
    """The entry for a value of the user's own.

    :raises InvalidRequestError: if it has no JSON form.
    """
    from llmkit.wire.json import dump_json

    data = dump_json(value)
    return Entry("value", {}, {"value": data}, now, math.inf if ttl is None else now + ttl, OVERHEAD + len(data))


# ------------------------------------------------------------------------------------------- as bytes


@attrs.frozen(eq=False)
class Seal:
    """What entries of one cache have in common."""

    namespace: str
    secret: bytes | None = attrs.field(default=None, repr=False)

    def encode(self, key: str, entry: Entry, now: float, time: float) -> bytes:
        """An entry as bytes.

        :param time: the Unix time at ``now``.
        :raises InvalidRequestError: if the answer holds something that has no JSON form.
        """
        from llmkit.wire.codec import to_json

        if entry.kind == "value":
            body = entry.copied["value"]
        else:
            body = to_json(attrs.evolve(entry.answer(0.0), timing=None, cached=False, **_UNPAID.get(entry.kind, {})))
        content = orjson.dumps(
            {
                "namespace": self.namespace,
                "key": key,
                "kind": entry.kind,
                "stored": time - (now - entry.born),
                "ttl": None if math.isinf(entry.until) else entry.until - entry.born,
                "answer": orjson.Fragment(body),
            }
        )
        return b'{"llmkit":%d,"digest":"%b"}\n%b' % (VERSION, self._digest(content), content)

    def decode(self, data: Any, key: str, kind: str, now: float, time: float) -> Entry | None:
        """The entry in bytes that may be anything; None if they are not the entry that is meant."""
        if not isinstance(data, bytes):
            return None
        head, _, content = data.partition(b"\n")
        if not hmac.compare_digest(head, b'{"llmkit":%d,"digest":"%b"}' % (VERSION, self._digest(content))):
            return None
        try:
            return self._read(content, key, kind, now, time)
        except Exception:  # it may hold anything, and is not worth a failed call
            return None

    def _read(self, content: bytes, key: str, kind: str, now: float, time: float) -> Entry | None:
        from llmkit.wire.json import parse_object

        fields = parse_object(content)
        if (fields["namespace"], fields["key"], fields["kind"]) != (self.namespace, key, kind):
            return None
        age = max(0.0, time - float(fields["stored"]))
        ttl = None if fields["ttl"] is None else float(fields["ttl"])
        if ttl is not None and age >= ttl:
            return None
        if kind == "value":
            return value_entry(fields["answer"], now - age, ttl)
        from llmkit.wire.codec import converter

        return entry_of(converter().structure(fields["answer"], KINDS[kind]), now - age, ttl)

    def _digest(self, content: bytes) -> bytes:
        if self.secret is not None:
            return hmac.new(self.secret, content, hashlib.sha256).hexdigest().encode()
        return hashlib.sha256(content).hexdigest().encode()


_UNPAID: Mapping[str, dict[str, Any]] = {"chat": {"cost": None}}
