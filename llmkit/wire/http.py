"""HTTP as values."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from llmkit.values.base import Value


@attrs.frozen(eq=False, repr=False)
class HttpRequest(Value):
    """What a provider wants sent. ``body`` is None for requests without one."""

    method: str
    url: str
    headers: Mapping[str, str] = attrs.field(repr=lambda headers: repr([*headers]))
    """Their values stay out of the repr: keys are among them."""
    body: bytes | None = None

    def with_headers(self, headers: Mapping[str, str]) -> HttpRequest:
        """The same request with more headers; a later one wins over an earlier one of the same name, whatever its case."""
        merged = {**self.headers, **headers}
        if len({name.lower() for name in merged}) < len(merged):
            replaced = {name.lower() for name in headers}
            kept = {name: value for name, value in self.headers.items() if name.lower() not in replaced}
            merged = {**kept, **headers}
        return HttpRequest(self.method, self.url, merged, self.body)


@attrs.frozen(eq=False, repr=False)
class HttpReply(Value):
    """A whole answer. Header names are in lower case; ``body`` is decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes
