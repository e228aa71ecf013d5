"""Embeddings and model lists of the OpenAI dialect: https://platform.openai.com/docs/api-reference/embeddings and
https://platform.openai.com/docs/api-reference/models/list"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable, Mapping
from typing import Any

from llmkit.errors import InvalidResponseError
from llmkit.values.embeddings import Embeddings
from llmkit.values.instances import Instance
from llmkit.values.models import ModelInfo, ModelList
from llmkit.values.other_calls import EmbedCall
from llmkit.values.usage import Usage

READ_LIMITS = ("context_window", "context_length", "max_context_length", "max_model_len")
"""Where vendors say how much a model reads: Groq; OpenRouter and Together; Mistral and LM Studio; vLLM."""
WRITE_LIMITS = ("max_completion_tokens", "max_output_tokens")
"""Where vendors say how much a model writes: Groq; gateways."""


def encode(call: EmbedCall, instance: Instance, dimensions: str) -> dict[str, Any]:
    """The body of a request for embeddings."""
    body: dict[str, Any] = {"model": instance.model, "input": list(call.texts)}
    if call.dimensions is not None:
        body[dimensions] = call.dimensions
    if call.extra:
        body.update(call.extra)
    return body


def decode(document: Mapping[str, Any], usage: Usage | None, read: Callable[[Any], tuple[float, ...]]) -> Embeddings:
    """The vectors of a reply, in the order of their ``index``.

    :raises InvalidResponseError: if one cannot be read.
    """
    data = document.get("data")
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise InvalidResponseError("the reply has no list of embeddings")
    positions = [entry.get("index") for entry in data]
    if sorted(p for p in positions if type(p) is int) == list(range(len(data))):
        data = sorted(data, key=lambda entry: entry["index"])
    vectors = tuple([read(entry.get("embedding")) for entry in data])
    model = document.get("model")
    return Embeddings(vectors, model if isinstance(model, str) else None, usage, raw=document)


def vector(embedding: Any) -> tuple[float, ...]:
    """One embedding: a list of numbers, or float32 values, little-endian, in base64.

    :raises InvalidResponseError: if it is neither.
    """
    if isinstance(embedding, list) and all(type(number) is float or type(number) is int for number in embedding):
        return tuple([float(number) for number in embedding])
    data = base64_bytes(embedding)
    if len(data) % 4:
        raise InvalidResponseError("an embedding in base64 is no list of float32 values")
    return struct.unpack(f"<{len(data) // 4}f", data)


def base64_bytes(embedding: Any) -> bytes:
    """The bytes of an embedding in base64.

    :raises InvalidResponseError: if it is none.
    """
    data = None
    if isinstance(embedding, str) and embedding:
        try:
            data = base64.b64decode(embedding, validate=True)
        except (binascii.Error, ValueError):
            data = None
    if data is None:
        raise InvalidResponseError("an embedding is neither a list of numbers nor base64")
    return data


def models(document: Any, provider: str) -> ModelList:
    """The models of a reply: ``{"data": [...]}``, a bare list (Together), or a single model.

    :raises InvalidResponseError: if it is none of these.
    """
    listed = document.get("data", document.get("models")) if isinstance(document, dict) else document
    if listed is None and isinstance(document, dict) and isinstance(document.get("id"), str):
        listed = [document]
    if not isinstance(listed, list):
        raise InvalidResponseError("the reply has no list of models", provider=provider)
    found = [_model(entry, provider) for entry in listed if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
    return ModelList(tuple(found))


def _model(entry: Mapping[str, Any], provider: str) -> ModelInfo:
    top = entry.get("top_provider")
    name = entry.get("display_name") or entry.get("name")
    return ModelInfo(
        entry["id"],
        provider,
        name if isinstance(name, str) else None,
        _limit(entry, READ_LIMITS),
        _limit(entry, WRITE_LIMITS) or (_limit(top, WRITE_LIMITS) if isinstance(top, dict) else None),
        entry,
    )


def _limit(entry: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        limit = entry.get(name)
        if type(limit) is int and limit > 0:
            return limit
    return None
