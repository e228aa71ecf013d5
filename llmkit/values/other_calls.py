"""Calls for something other than a chat: vectors, model lists, counts, and whatever else a vendor's API has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from llmkit.values.calls import CacheUse, Call
from llmkit.values.counts import TokenCount
from llmkit.values.embeddings import Embeddings
from llmkit.values.messages import Message
from llmkit.values.models import ModelList
from llmkit.values.options import NO_OPTIONS, Options


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class EmbedCall(Call[Embeddings]):
    """Texts in, vectors out."""

    kind: ClassVar[str] = "embed"
    answer: ClassVar[type] = Embeddings
    texts: tuple[str, ...]
    dimensions: int | None = None
    extra: Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class ModelsCall(Call[ModelList]):
    """One page of what the vendor offers."""

    kind: ClassVar[str] = "models"
    answer: ClassVar[type] = ModelList
    cache: CacheUse = False
    page: str | None = None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class CountCall(Call[TokenCount]):
    """Messages in, their number of tokens out; no model runs."""

    kind: ClassVar[str] = "count"
    answer: ClassVar[type] = TokenCount
    messages: tuple[Message, ...]
    options: Options = NO_OPTIONS


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class RawCall(Call[Any]):
    """A request of the user's own, authorised like any other; its answer is the parsed JSON."""

    kind: ClassVar[str] = "raw"
    cache: CacheUse = False
    method: str
    path: str
    json: Any = None
