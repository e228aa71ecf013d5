"""HTTP as values."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from llmkit.values.base import Value


@attrs.frozen(slots=False, eq=False, repr=False)
class HttpRequest(Value):
    """What a provider wants sent. ``body`` is None for requests without one."""

    method: str
    url: str
    headers: Mapping[str, str] = attrs.field(repr=lambda headers: repr([*headers]))
    """Their values stay out of the repr: keys are among them."""
    body: bytes | None = None

    def with_headers(self, headers: Mapping[str, str]) -> HttpRequest:
        """The same request with more headers; a later one wins over an earlier one of the same name, whatever its case."""
        kept = self.headers
        replaced = set(map(str.lower, headers))
        if not replaced.isdisjoint(map(str.lower, kept)):
            kept = {name: value for name, value in kept.items() if name.lower() not in replaced}
        return HttpRequest(self.method, self.url, {**kept, **headers}, self.body)


@attrs.frozen(slots=False, eq=False, repr=False)
class HttpReply(Value):
    """A whole answer. Header names are in lower case; ``body`` is decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes
