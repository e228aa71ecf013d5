"""Together AI: https://docs.together.ai/reference/chat-completions-1

- ``finish_reason`` may be ``eos``, which is ``stop``.
- Usage comes on the last chunk of a stream by itself; ``stream_options`` is accepted too:
  https://docs.together.ai/docs/inference/openai-compatibility
- JSON schemas are followed as they are, without ``strict``: https://docs.together.ai/docs/json-mode
- Thinking comes in ``reasoning`` or ``reasoning_content``: https://docs.together.ai/docs/reasoning-models-guide
- ``GET /models`` answers with a bare list: https://docs.together.ai/reference/models-1
"""

from __future__ import annotations

from llmkit_providers._dialects.openai_chat import CHAT, IMAGES, OpenAIChat


class Together(OpenAIChat):
    """Together AI."""

    name = "together"
    title = "Together AI"
    base_url = "https://api.together.ai/v1"
    docs = "https://docs.together.ai/reference/chat-completions-1"
    key_names = ("TOGETHER_API_KEY", "TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY")
    base_url_names = ("TOGETHER_BASE_URL",)
    features = CHAT | IMAGES | {"embeddings", "reasoning_effort"}
    strict_schemas = False
