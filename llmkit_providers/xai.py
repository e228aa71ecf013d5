"""xAI: https://docs.x.ai/docs/api-reference#chat-completions

- ``completion_tokens`` excludes ``reasoning_tokens``, which are added here:
  https://docs.x.ai/docs/guides/reasoning
- Reasoning models take no ``stop``: https://docs.x.ai/docs/guides/reasoning
- Only some models take ``reasoning_effort``: https://docs.x.ai/developers/model-capabilities/text/reasoning
- Error bodies are ``{"code": "...", "error": "..."}``; a wrong key and an unknown model are 400.
- ``finish_reason`` may be an empty text beside tool calls.
- Thinking comes in ``reasoning_content``; it cannot go back, because xAI takes it encrypted in its newer Responses API only.
  Answers may take long: xAI advises to allow 900 seconds and more.
  https://docs.x.ai/developers/model-capabilities/text/best-practices
"""

from __future__ import annotations

import re
from typing import Any

import attrs

from llmkit.values.calls import ChatCall
from llmkit.values.instances import Instance
from llmkit.values.usage import Usage
from llmkit_providers._dialects.openai_chat import CHAT, IMAGES, OpenAIChat

REASONING = re.compile(r"grok-(3-mini|4|code|build)(?!.*non-reasoning)")
"""Models that always think: https://docs.x.ai/docs/models"""
NO_EFFORT = re.compile(r"grok-(2|3(?!-mini)|4(-|$)|4\.20(?!-multi)|code|build)")
"""Models that answer 400 to ``reasoning_effort``: https://docs.x.ai/developers/model-capabilities/text/reasoning and
https://github.com/vercel/ai/releases/tag/@ai-sdk%2Fxai@4.0.8"""


class XAI(OpenAIChat):
    """xAI's Grok."""

    name = "xai"
    title = "xAI"
    base_url = "https://api.x.ai/v1"
    docs = "https://docs.x.ai/docs/api-reference#chat-completions"
    key_names = ("XAI_API_KEY", "GROK_API_KEY")
    base_url_names = ("XAI_BASE_URL",)
    features = CHAT | IMAGES | {"reasoning_effort"}

    def unsupported(self, call: ChatCall, instance: Instance) -> tuple[str, ...]:
        """As the base, and what the model refuses."""
        found = super().unsupported(call, instance)
        if call.options.stop is not None and REASONING.match(instance.model):
            found = (*found, "stop")
        if call.options.reasoning_effort is not None and NO_EFFORT.match(instance.model):
            found = (*found, "reasoning_effort")
        return found

    def usage(self, usage: Any) -> Usage | None:
        """As the base, with the thinking counted among what was written."""
        found = super().usage(usage)
        if found is None or found.total_tokens < found.prompt_tokens + found.completion_tokens + found.reasoning_tokens:
            return found
        return attrs.evolve(found, completion_tokens=found.completion_tokens + found.reasoning_tokens)
