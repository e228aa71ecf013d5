"""Any server that speaks OpenAI's chat completions, at a ``base_url`` of the user's own.

- Nothing is known about the server, so nothing is refused before sending.
- ``max_tokens``, which every such server knows: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from llmkit.provider import FEATURES
from llmkit_providers._dialects.openai_chat import OpenAIChat


class OpenAICompatible(OpenAIChat):
    """A server of the OpenAI dialect."""

    name = "openai_compatible"
    title = "OpenAI-compatible server"
    docs = "https://platform.openai.com/docs/api-reference/chat"
    key_names = ("OPENAI_COMPATIBLE_API_KEY",)
    needs_key = False
    features = frozenset(FEATURES)
