"""Perplexity's Sonar chat completions, which Perplexity itself has ended, and its embeddings.

- Perplexity ended its chat API on 27 September 2026 and answers 403 there since, ``chat_completions_not_available``: "Sonar is now
  the Agent API". That API, ``POST /v1/agent`` in the form of OpenAI's Responses, is another format and is not spoken here:
  https://docs.perplexity.ai/docs/legacy/sonar/models/sonar (superseded, a legacy reference) and
  https://docs.perplexity.ai/docs/agent-api/migrate-from-sonar/overview. Chats still work with gateways that keep the old format, by
  ``base_url``; Sonar models are at OpenRouter too. Embeddings stay.
- No tools, no JSON mode without a schema, no seed: https://docs.perplexity.ai/docs/sonar/openai-compatibility
- Streams carry the whole text so far in ``message`` beside ``delta``, and the usage so far in every chunk; the last counts.
  They may end without ``[DONE]``.
- ``reasoning_tokens`` stand beside the counts and are not among them; they have a price of their own, so llmkit adds them to
  what was written: https://docs.perplexity.ai/getting-started/pricing
- Citations and search results stay in the raw answer: ``citations``, ``search_results``.
- Documents are ``file_url`` parts, as a URL or as base64 without a prefix: https://docs.perplexity.ai/guides/file-attachments
- Embeddings are base64 of signed 8-bit numbers, at ``/v1/embeddings``:
  https://docs.perplexity.ai/api-reference/embeddings-post
"""

from __future__ import annotations

import struct
from typing import Any

import attrs

from llmkit.errors import InvalidRequestError, LLMError, ModelNotFoundError
from llmkit.values.messages import File
from llmkit.values.usage import Usage
from llmkit.wire.http import HttpReply
from llmkit_providers._dialects.media import base64
from llmkit_providers._dialects.openai_chat import IMAGES, OpenAIChat
from llmkit_providers._dialects.openai_embeddings import base64_bytes

ENDED = ("chat_completions_not_available", "agent_api_migration_required")
"""What the 403 of the chat API that is no more holds, by users' reports of September 2026; no page of the vendor's has it."""


class Perplexity(OpenAIChat):
    """Perplexity's Sonar models."""

    name = "perplexity"
    title = "Perplexity"
    base_url = "https://api.perplexity.ai"
    docs = "https://docs.perplexity.ai/docs/agent-api/migrate-from-sonar/overview"
    key_names = ("PERPLEXITY_API_KEY", "PPLX_API_KEY", "PERPLEXITYAI_API_KEY")
    base_url_names = ("PERPLEXITY_BASE_URL",)
    endpoints = ("/v1/chat/completions", "/chat/completions", "/v1/embeddings", "/v1")
    features = IMAGES | {
        "chat",
        "stream",
        "max_tokens",
        "temperature",
        "top_p",
        "stop",
        "reasoning_effort",
        "json_schema",
        "files",
        "embeddings",
        "dimensions",
    }
    stream_usage = False
    strict_schemas = False
    embed_path = "/v1/embeddings"

    def file_part(self, file: File) -> dict[str, Any]:
        """A document, as a URL or in base64."""
        if file.file_id is not None:
            raise InvalidRequestError("Perplexity: documents go as data or url, not as file_id", provider=self.name)
        part: dict[str, Any] = {"type": "file_url", "file_url": {"url": file.url if file.url is not None else base64(file)}}
        if file.name:
            part["file_name"] = file.name
        return part

    def usage(self, usage: Any) -> Usage | None:
        """As the base, with the thinking counted among what was written, and in the total."""
        found = super().usage(usage)
        if found is None or not found.reasoning_tokens:
            return found
        completion, total = found.completion_tokens + found.reasoning_tokens, found.total_tokens + found.reasoning_tokens
        return attrs.evolve(found, completion_tokens=completion, total_tokens=total)

    def vector(self, embedding: Any) -> tuple[float, ...]:
        """One embedding: base64 of signed 8-bit numbers, unless it is a list."""
        if not isinstance(embedding, str):
            return super().vector(embedding)
        data = base64_bytes(embedding)
        return tuple([float(number) for number in struct.unpack(f"{len(data)}b", data)])

    def error(self, reply: HttpReply) -> LLMError:
        """As the base. That chats have ended is no fault of the key, which is good for embeddings: another instance is asked."""
        found = super().error(reply)
        if reply.status != 403 or not any(word in (found.body or "") for word in ENDED):
            return found
        return ModelNotFoundError(
            f"{found.message} (Perplexity ended its chat completions on 27 September 2026; llmkit does not speak its Agent API)",
            provider=self.name,
            status=reply.status,
            request_id=found.request_id,
            vendor_code=ENDED[0],
            body=found.body,
        )
