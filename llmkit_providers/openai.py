"""OpenAI: https://platform.openai.com/docs/api-reference/chat

- ``max_completion_tokens`` in place of the deprecated ``max_tokens``, which reasoning models refuse:
  https://platform.openai.com/docs/api-reference/chat/create#chat-create-max_completion_tokens
- What a model refuses is told by :data:`REFUSED`.
- Streams tell their usage only with ``stream_options.include_usage``, in a last chunk without choices:
  https://platform.openai.com/docs/api-reference/chat-streaming
- Strict schemas: every object closed, every property required:
  https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from llmkit.values.calls import Call, ChatCall
from llmkit.values.instances import Instance
from llmkit.values.options import NO_OPTIONS
from llmkit.wire.http import HttpRequest
from llmkit.wire.json import dump_json
from llmkit_providers._dialects.openai_chat import CHAT, IMAGES, OpenAIChat

ALWAYS_THINKING = re.compile(r"o[134](-|$)|gpt-5(?!\.\d)(?!.*chat)")
"""Models that take no sampling parameters and no ``stop``: https://platform.openai.com/docs/guides/reasoning and
https://platform.openai.com/docs/api-reference/chat/create#chat-create-stop"""
SOMETIMES_THINKING = re.compile(r"gpt-5\.\d(?!.*(chat|codex|pro))")
"""Models that take sampling parameters only with reasoning effort ``none``, their default:
https://platform.openai.com/docs/guides/latest-model#gpt-5-2-parameter-compatibility"""
NEVER_THINKING = re.compile(r"gpt-3\.5|gpt-4|chatgpt|gpt-5.*chat")
"""Models that take no ``reasoning_effort``."""
REFUSED = {"temperature": 1, "top_p": 1, "stop": None}
"""What a thinking model refuses, unless it has this value."""


class OpenAI(OpenAIChat):
    """OpenAI's own API."""

    name = "openai"
    title = "OpenAI"
    base_url = "https://api.openai.com/v1"
    docs = "https://platform.openai.com/docs/api-reference/chat"
    key_names = ("OPENAI_API_KEY",)
    base_url_names = ("OPENAI_BASE_URL", "OPENAI_API_BASE")
    features = CHAT | IMAGES | {"embeddings", "dimensions", "reasoning_effort", "audio", "files"}
    settings: ClassVar[Mapping[str, str]] = {
        "organization": "Id of the organization to bill.",
        "project": "Id of the project to bill.",
    }
    max_tokens_name = "max_completion_tokens"
    refusal_field = True

    def encode(self, call: Call[Any], instance: Instance) -> HttpRequest:
        """As the base, with the headers for organization and project:
        https://platform.openai.com/docs/api-reference/authentication"""
        request = super().encode(call, instance)
        if not instance.settings:
            return request
        named = {f"OpenAI-{name.title()}": instance.settings.get(name) for name in self.settings}
        headers = {name: str(value) for name, value in named.items() if value}
        return request.with_headers(headers) if headers else request

    def encode_chat(self, call: ChatCall, instance: Instance) -> HttpRequest:
        """As the base. For ``cache_prompt`` calls that begin alike get the same ``prompt_cache_key``, which sends them to machines
        that may have kept the beginning; keeping itself is automatic:
        https://developers.openai.com/api/docs/guides/prompt-caching"""
        if call.options.cache_prompt and "prompt_cache_key" not in (call.options.extra or {}):
            extra = {**(call.options.extra or {}), "prompt_cache_key": _beginning(call)}
            call = attrs.evolve(call, options=attrs.evolve(call.options, extra=extra))
        return super().encode_chat(call, instance)

    def unsupported(self, call: ChatCall, instance: Instance) -> tuple[str, ...]:
        """As the base, and what the model refuses."""
        options, model = call.options, instance.model
        missing = super().unsupported(call, instance)
        if options is NO_OPTIONS:
            return missing
        found = list(missing)
        thinking = ALWAYS_THINKING.match(model) or (
            SOMETIMES_THINKING.match(model) and options.reasoning_effort not in (None, "none")
        )
        if thinking:
            found += [name for name, fine in REFUSED.items() if getattr(options, name) not in (None, fine)]
        if options.reasoning_effort is not None and NEVER_THINKING.match(model):
            found.append("reasoning_effort")
        return tuple(found)


def _beginning(call: ChatCall) -> str:
    """What calls that begin alike have in common: a digest of the system text and the tools' names."""
    system = [message.text for message in call.messages if message.role == "system"]
    tools = [str(tool.get("type")) if isinstance(tool, Mapping) else tool.name for tool in call.options.tools or ()]
    return hashlib.sha256(dump_json([system, tools])).hexdigest()[:32]
