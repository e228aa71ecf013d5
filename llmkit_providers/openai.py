"""OpenAI: https://platform.openai.com/docs/api-reference/chat

- ``max_completion_tokens`` in place of the deprecated ``max_tokens``, which reasoning models refuse:
  https://platform.openai.com/docs/api-reference/chat/create#chat-create-max_completion_tokens
- Reasoning models take no ``temperature``, ``top_p`` and ``stop``: https://platform.openai.com/docs/guides/reasoning
- Streams tell their usage only with ``stream_options.include_usage``, in a last chunk without choices.
"""

from __future__ import annotations

from llmkit_providers._dialects.openai_chat import CHAT, IMAGES, OpenAIChat


class OpenAI(OpenAIChat):
    """OpenAI's own API."""

    name = "openai"
    title = "OpenAI"
    base_url = "https://api.openai.com/v1"
    docs = "https://platform.openai.com/docs/api-reference/chat"
    key_names = ("OPENAI_API_KEY",)
    base_url_names = ("OPENAI_BASE_URL", "OPENAI_API_BASE")
    features = CHAT | IMAGES | {"embeddings", "dimensions", "reasoning_effort", "audio", "files"}
    max_tokens_name = "max_completion_tokens"
    refusal_field = True
