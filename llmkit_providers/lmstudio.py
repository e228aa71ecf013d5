"""LM Studio, a local server: https://lmstudio.ai/docs/developer/openai-compat

- The API root ends in ``/v1``, which is added to a ``base_url`` without a path.
- ``response_format`` takes ``json_schema`` and ``text`` only; ``json_object`` is refused with 400:
  https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/189. Schemas become grammars, so they go out as they are.
- ``tool_choice`` takes ``auto``, ``none`` and ``required``, not the name of a tool:
  https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/670
- Pictures go as data, not as URLs: https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/1120
- Error bodies hold a text: ``{"error": "..."}``. A key is optional.
- The first answer of a model may be slow: it is loaded when it is first asked for.
"""

from __future__ import annotations

from llmkit.values.calls import ChatCall
from llmkit.values.instances import Instance
from llmkit_providers._dialects.openai_chat import CHAT, OpenAIChat


class LMStudio(OpenAIChat):
    """LM Studio's local server."""

    name = "lmstudio"
    title = "LM Studio"
    base_url = "http://localhost:1234/v1"
    docs = "https://lmstudio.ai/docs/developer/openai-compat"
    key_names = ("LM_STUDIO_API_KEY", "LMSTUDIO_API_KEY")
    base_url_names = ("LM_STUDIO_API_BASE", "LMSTUDIO_BASE_URL")
    needs_key = False
    features = (CHAT - {"json"}) | {"images", "embeddings", "reasoning_effort"}
    bare_path = "/v1"
    strict_schemas = False

    def unsupported(self, call: ChatCall, instance: Instance) -> tuple[str, ...]:
        """As the base; the name of one tool cannot be asked for."""
        found = super().unsupported(call, instance)
        named = call.options.tool_choice not in (None, "auto", "none", "required")
        return (*found, "tool_choice") if named else found
