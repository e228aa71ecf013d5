"""OpenRouter: https://openrouter.ai/docs/api-reference/overview

- ``reasoning: {"effort": ...}`` asks for thinking; thinking comes in ``reasoning``, and whole, with signatures, in
  ``reasoning_details``, which go back unchanged: https://openrouter.ai/docs/use-cases/reasoning-tokens
- Streams hold ``: OPENROUTER PROCESSING`` comments, and errors with ``finish_reason: error``:
  https://openrouter.ai/docs/api-reference/streaming
- Errors have the HTTP status as ``code`` and the vendor's own words in ``metadata.raw``; a 200 may hold one:
  https://openrouter.ai/docs/api-reference/errors
- Documents may be URLs in ``file_data``: https://openrouter.ai/docs/features/multimodal/pdfs
- Pictures come in ``images`` beside the content: https://openrouter.ai/docs/features/multimodal/image-generation
- To be named in its rankings, give ``HTTP-Referer`` and ``X-Title`` as the instance's ``headers``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmkit.errors import InvalidResponseError
from llmkit.values.calls import ChatCall
from llmkit.values.events import Event, PartDone
from llmkit.values.messages import Reasoning
from llmkit.wire.json import parse_json
from llmkit_providers._dialects.openai_chat import CHAT, IMAGES, OpenAIChat
from llmkit_providers._dialects.openai_stream import OpenAIStream

DETAIL_TEXTS = ("text", "summary", "data")
"""Fields of a reasoning detail that come in fragments."""


class OpenRouter(OpenAIChat):
    """OpenRouter, in front of many vendors."""

    name = "openrouter"
    title = "OpenRouter"
    base_url = "https://openrouter.ai/api/v1"
    docs = "https://openrouter.ai/docs/api-reference/overview"
    key_names = ("OPENROUTER_API_KEY",)
    base_url_names = ("OPENROUTER_BASE_URL", "OPENROUTER_API_BASE")
    features = CHAT | IMAGES | {"audio", "files", "embeddings", "dimensions", "reasoning_effort"}
    file_urls = True

    def effort(self, effort: str) -> dict[str, Any]:
        """The ``reasoning`` object."""
        return {"reasoning": {"effort": effort}}

    def thoughts(self, message: Mapping[str, Any]) -> list[Reasoning]:
        """The thinking, with the details that must go back."""
        details = details_in(message)
        extra = {self.name: {"reasoning_details": details}} if details else None
        text = self.thought(message)
        return [Reasoning(text, provider=self.name, extra=extra)] if text or details else []

    def thought(self, message: Mapping[str, Any]) -> str:
        """The thinking in ``reasoning``, else the texts in its details."""
        return super().thought(message) or "".join([_text(detail) for detail in details_in(message)])

    def decoder(self, call: ChatCall, headers: Mapping[str, str]) -> OpenAIStream:
        """A decoder that keeps the reasoning details."""
        return OpenRouterStream(self, headers)

    def error_words(self, document: Any) -> tuple[str, tuple[str, ...]]:
        """The message with the words of the vendor behind OpenRouter."""
        message, codes = super().error_words(document)
        error = document.get("error") if isinstance(document, dict) else None
        metadata = error.get("metadata") if isinstance(error, dict) else None
        if not isinstance(metadata, dict):
            return message, codes
        raw = metadata.get("raw")
        inner: tuple[str, ...] = ()
        if isinstance(raw, str):
            try:
                parsed = parse_json(raw)
            except InvalidResponseError:
                parsed = None
            if isinstance(parsed, dict):
                raw, inner = super().error_words(parsed)
        elif isinstance(raw, dict):
            raw, inner = super().error_words(raw)
        said = f"{message}: {raw}" if isinstance(raw, str) and raw and raw not in message else message
        return said, (*(code for code in inner if not code.isdigit()), *codes)


class OpenRouterStream(OpenAIStream):
    """Keeps the fragments of ``reasoning_details`` and gives them out, whole, as each choice finishes."""

    __slots__ = ("_details",)

    def __init__(self, vendor: OpenRouter, headers: Mapping[str, str]) -> None:
        super().__init__(vendor, headers)
        self._details: dict[int, list[dict[str, Any]]] = {}

    def delta(self, delta: dict[str, Any], index: int, events: list[Event]) -> None:
        """As the base, and keep the details."""
        super().delta(delta, index, events)
        kept = self._details.setdefault(index, [])
        for detail in details_in(delta):
            if kept and _goes_on(kept[-1], detail):
                _append(kept[-1], detail)
            else:
                kept.append(dict(detail))

    def finish_choice(self, reason: Any, index: int, events: list[Event]) -> None:
        """As the base, after the details."""
        details = self._details.pop(index, None)
        if details:
            part = Reasoning(provider="openrouter", extra={"openrouter": {"reasoning_details": details}})
            events.append(PartDone(part, index))
        super().finish_choice(reason, index, events)


def details_in(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The reasoning details of a message or a delta."""
    listed = message.get("reasoning_details")
    return [detail for detail in listed if isinstance(detail, dict)] if isinstance(listed, list) else []


def _text(detail: Mapping[str, Any]) -> str:
    text = detail.get("text") or detail.get("summary")
    return text if isinstance(text, str) else ""


def _goes_on(before: Mapping[str, Any], detail: Mapping[str, Any]) -> bool:
    """Whether a fragment belongs to the detail before it; encrypted ones come whole."""
    kind = detail.get("type")
    if kind != before.get("type") or kind == "reasoning.encrypted" or before.get("signature"):
        return False
    return detail.get("index") == before.get("index") and detail.get("id") in (None, before.get("id"))


def _append(before: dict[str, Any], detail: Mapping[str, Any]) -> None:
    for name, value in detail.items():
        if name in DETAIL_TEXTS and isinstance(value, str) and isinstance(before.get(name), str):
            before[name] += value
        elif value is not None:
            before[name] = value
