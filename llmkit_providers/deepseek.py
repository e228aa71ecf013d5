"""DeepSeek: https://api-docs.deepseek.com/api/create-chat-completion

- Thinking comes in ``reasoning_content``. Once there are tool calls in a conversation it must go back with every answer, or the
  next request fails with 400; without tool calls it is ignored, so it is left out:
  https://api-docs.deepseek.com/guides/thinking_mode
- Thinking is on by default, ``reasoning_effort`` says how much; it is switched off by ``thinking``, which is what the effort
  ``none`` becomes: https://api-docs.deepseek.com/guides/thinking_mode
- JSON mode without schemas: https://api-docs.deepseek.com/guides/json_mode
- ``strict`` tools only under the root ``https://api.deepseek.com/beta``: https://api-docs.deepseek.com/guides/tool_calls
- Usage names cached tokens ``prompt_cache_hit_tokens``: https://api-docs.deepseek.com/guides/kv_cache
- While a request waits, the server sends empty lines, and ``: keep-alive`` comments in streams:
  https://api-docs.deepseek.com/quick_start/rate_limit
- An assistant's message with ``prefix`` at the end is continued, under the root ``https://api.deepseek.com/beta`` only:
  https://api-docs.deepseek.com/guides/chat_prefix_completion
- A user's content is one text; no pictures, no seed, no embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from llmkit.values.calls import ChatCall
from llmkit.values.instances import Instance
from llmkit.values.messages import Message, Reasoning
from llmkit_providers._dialects.openai_chat import CHAT, OpenAIChat


class DeepSeek(OpenAIChat):
    """DeepSeek."""

    name = "deepseek"
    title = "DeepSeek"
    base_url = "https://api.deepseek.com"
    docs = "https://api-docs.deepseek.com/api/create-chat-completion"
    key_names = ("DEEPSEEK_API_KEY",)
    base_url_names = ("DEEPSEEK_BASE_URL", "DEEPSEEK_API_BASE")
    features = (CHAT - {"json_schema", "seed"}) | {"reasoning_effort"}
    text_lists = False

    def strict(self, instance: Instance) -> bool:
        """Only the beta root takes ``strict``."""
        return self.root(instance).endswith("/beta")

    def effort(self, effort: str) -> dict[str, Any]:
        """As the base; ``none`` switches thinking off."""
        return {"thinking": {"type": "disabled"}} if effort == "none" else super().effort(effort)

    def continued(self, call: ChatCall, instance: Instance, text: str) -> ChatCall:
        """The beta root continues ``text`` itself."""
        if not self.root(instance).endswith("/beta"):
            return super().continued(call, instance, text)
        cut = Message("assistant", text, extra={self.name: {"prefix": True}})
        return attrs.evolve(call, messages=(*call.messages, cut))

    def send_back(self, thoughts: Sequence[Reasoning], message: dict[str, Any], tools: bool) -> None:
        """In conversations with tool calls thinking goes back, an empty text where an answer has none (another vendor's)."""
        if tools:
            message["reasoning_content"] = "".join([thought.text for thought in thoughts])
