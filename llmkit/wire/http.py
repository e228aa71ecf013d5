"""HTTP as values."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from llmkit.values.base import Value, trusted


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
        replaced = {*map(str.lower, headers)}
        if not replaced.isdisjoint(map(str.lower, kept)):
            kept = {name: value for name, value in kept.items() if name.lower() not in replaced}
        return trusted(HttpRequest, {**self.__dict__, "headers": {**kept, **headers}})


_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_VALUE = r"[\t\x20-\x7e]*"
_URL = r"[\x21-\x7e]+"
_DOTS = r"/\.\.?(?=[/?#]|$)"


def is_url(text: object) -> bool:
    """Whether ``text`` can be asked for as it is: a line break in a URL would begin a header, a space end it, and ``..``, as a
    model's name may hold, lead elsewhere on the host."""
    return isinstance(text, str) and re.fullmatch(_URL, text) is not None and re.search(_DOTS, text) is None


def flaw(request: HttpRequest) -> str | None:
    """What in a request of somebody else's making cannot be put on the wire; None where all can. Values are not shown."""
    if not isinstance(request.method, str) or not re.fullmatch(_WORD, request.method):
        return "the method is no word"
    if not is_url(request.url):
        return "the URL holds white space, a control character, a non-ASCII character or a step to a parent folder"
    if not isinstance(request.headers, Mapping):
        return "the headers are no mapping"
    for name, value in request.headers.items():
        if not isinstance(name, str) or not re.fullmatch(_WORD, name):
            return "a header's name is no word"
        if not isinstance(value, str) or not re.fullmatch(_VALUE, value):
            return f"the header {name} is no text of visible ASCII without line breaks"
    if request.body is not None and not isinstance(request.body, bytes):
        return "the body is not bytes"
    return None


@attrs.frozen(slots=False, eq=False, repr=False)
class HttpReply(Value):
    """A whole answer. Header names are in lower case; ``body`` is decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes
