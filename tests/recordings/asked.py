"""A recorded request as the call somebody would have made through llmkit.

Everything llmkit has a word for becomes that word; what it has none for goes into ``Options.extra``, as the documentation tells
users to do. The wires of one vendor each have a module of their own (:mod:`asked_openai`, :mod:`asked_anthropic`,
:mod:`asked_gemini`); this one has what they share, and embeddings and model lists.
"""

from __future__ import annotations

import functools
from typing import Any

from llmkit.values.calls import Call, ChatCall, Deadline
from llmkit.values.instances import Instance
from llmkit.values.other_calls import EmbedCall, ModelsCall

from .asked_anthropic import anthropic_chat
from .asked_gemini import gemini_chat
from .asked_openai import cohere_chat, ollama_chat, openai_chat
from .cases import Case
from .fields import without_nulls

KEY = "key-of-nobody"
DEADLINE = Deadline(at=1e9, seconds=600)

CHATS = {
    "openai": openai_chat,
    "anthropic": anthropic_chat,
    "gemini": gemini_chat,
    "ollama": ollama_chat,
    "cohere": cohere_chat,
}


@functools.cache
def call_for(case: Case) -> Call[Any]:
    """The call that ``case`` records."""
    if case.kind == "models":
        return ModelsCall(deadline=DEADLINE, model=case.model)
    if case.kind == "embeddings":
        return _embed(case)
    messages, options = CHATS[case.wire](case.request or {}, case.provider)
    return ChatCall(deadline=DEADLINE, model=case.model, messages=messages, options=options, stream=case.stream)


def _embed(case: Case) -> EmbedCall:
    asked = without_nulls(case.request or {})
    asked.pop("model", None)
    if case.wire == "gemini":
        return _embed_gemini(case, asked)
    texts = asked.pop("texts" if case.wire == "cohere" else "input")
    dimensions = asked.pop("output_dimension" if case.wire == "cohere" else "dimensions", None)
    if isinstance(texts, list) and not isinstance(texts[0], str):  # token ids, which llmkit has no word for
        asked["input"] = texts
        texts = ["token ids"] * (len(texts) if isinstance(texts[0], list) else 1)
    texts = (texts,) if isinstance(texts, str) else tuple(texts)
    return EmbedCall(deadline=DEADLINE, model=case.model, texts=texts, dimensions=dimensions, extra=asked or None)


def _embed_gemini(case: Case, asked: dict[str, Any]) -> EmbedCall:
    requests = [without_nulls(request) for request in asked.pop("requests", None) or [asked]]
    texts = tuple("".join(part["text"] for part in request["content"]["parts"]) for request in requests)
    first = requests[0]
    dimensions = first.get("outputDimensionality", first.get("output_dimensionality"))
    known = ("model", "content", "outputDimensionality", "output_dimensionality")
    extra = {name: value for name, value in first.items() if name not in known}
    return EmbedCall(deadline=DEADLINE, model=case.model, texts=texts, dimensions=dimensions, extra=extra or None)


def instance_for(case: Case, origin: str = "http://127.0.0.1:9") -> Instance:
    """The instance that would have sent ``case``, with its host replaced by ``origin``."""
    settings: dict[str, Any] = {}
    if case.provider == "azure_openai" and "api-version" in case.query:
        settings["api_version"] = case.query["api-version"]
    if case.vendor == "vertex":
        settings["vertex"] = True
    if case.provider == "perplexity":
        settings["api"] = "chat"
    return Instance(case.provider, case.model, api_key=KEY, base_url=origin + case.base_path, settings=settings)
