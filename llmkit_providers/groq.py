"""Groq: https://console.groq.com/docs/api-reference

- ``messages[].name`` is refused with 400, so it is left out: https://console.groq.com/docs/openai
- Usage may come under ``x_groq`` in streams: https://console.groq.com/docs/api-reference#chat-create
- ``strict`` schemas work with the gpt-oss models only: https://console.groq.com/docs/structured-outputs
- A call the model got wrong is an error with code ``tool_use_failed``, in a stream as ``event: error``:
  https://console.groq.com/docs/errors
- 498 is ``capacity_exceeded``: no room for a request of the flex tier, to be tried again:
  https://console.groq.com/docs/flex-processing
- Thinking comes in ``reasoning``: https://console.groq.com/docs/reasoning
- No embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from llmkit.errors import LLMError, OverloadedError, Recovery
from llmkit.values.instances import Instance
from llmkit.values.usage import Usage
from llmkit_providers._dialects.openai_chat import CHAT, IMAGES, OpenAIChat


class Groq(OpenAIChat):
    """Groq."""

    name = "groq"
    title = "Groq"
    base_url = "https://api.groq.com/openai/v1"
    docs = "https://console.groq.com/docs/api-reference"
    key_names = ("GROQ_API_KEY",)
    base_url_names = ("GROQ_BASE_URL",)
    features = CHAT | IMAGES | {"reasoning_effort"}
    max_tokens_name = "max_completion_tokens"
    message_names = False
    statuses: ClassVar[Mapping[int, tuple[type[LLMError], Recovery]]] = {498: (OverloadedError, Recovery.RETRY)}

    def strict(self, instance: Instance) -> bool:
        """Only the gpt-oss models take ``strict``."""
        return "gpt-oss" in instance.model

    def usage_in(self, document: Mapping[str, Any]) -> Usage | None:
        """As everywhere, or under ``x_groq``."""
        beside = document.get("x_groq")
        return super().usage_in(document) or self.usage(beside.get("usage") if isinstance(beside, dict) else None)
