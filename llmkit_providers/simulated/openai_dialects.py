"""What tells the vendors of the OpenAI dialect apart, as data."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


COMMON = _words(
    "model messages max_tokens temperature top_p stop stream tools tool_choice parallel_tool_calls response_format n "
    "frequency_penalty presence_penalty"
)
OPENAI = COMMON | _words(
    "audio function_call functions logit_bias logprobs max_completion_tokens metadata modalities moderation prediction "
    "prompt_cache_key prompt_cache_options prompt_cache_retention reasoning_effort safety_identifier seed service_tier store "
    "stream_options top_logprobs user verbosity web_search_options"
)
"""https://platform.openai.com/docs/api-reference/chat/create"""
MISTRAL = COMMON | _words(
    "random_seed safe_prompt prompt_mode reasoning_effort prediction prompt_cache_key metadata guardrails"
)
"""https://docs.mistral.ai/api/endpoint/chat"""
GROQ = (OPENAI | _words("reasoning_format include_reasoning documents search_settings citation_options")) - {
    "logprobs", "logit_bias", "top_logprobs",
}  # fmt: skip
"""https://console.groq.com/docs/openai says which fields give a 400"""


@attrs.frozen(kw_only=True)
class Dialect:
    """One vendor's way of speaking OpenAI."""

    path: str = "/v1"
    """What comes before ``/chat/completions``."""
    other_paths: tuple[str, ...] = ()
    """Prefixes that work as well."""
    auth: str = "bearer"
    """``bearer``, ``api-key`` (that header, or a bearer token) or ``optional``."""
    fields: frozenset[str] | None = None
    """Fields of a chat request; any other is refused. None for a vendor that ignores what it does not know."""
    errors: str = "openai"
    """Which shape errors have: ``openai``, ``azure``, ``mistral``, ``openrouter``, ``perplexity``, ``xai``, ``plain``."""
    usage: str = "asked"
    """Where a stream tells its usage: ``asked`` (a last chunk without choices, if asked for), ``last`` (on the last chunk),
    ``every`` (on every chunk, cumulative), ``x_groq`` (there, on the last chunk)."""
    done: bool = True
    """Whether a stream ends in ``[DONE]``."""
    comments: str = ""
    """A comment line that streams hold."""
    reasoning: str = "reasoning_content"
    """The field reasoning is in; empty for a vendor that keeps it to itself."""
    reasoning_apart: bool = False
    """Whether completion tokens exclude reasoning tokens."""
    reasoning_beside: bool = False
    """Whether reasoning tokens stand beside the counts, in none of them."""
    whole_calls: bool = False
    """Whether a streamed tool call comes in one piece."""
    cumulative: bool = False
    """Whether chunks hold the message so far beside the delta."""
    empty_calls: bool = False
    """Whether an answer without tool calls says ``tool_calls: []``."""
    json_object: bool = True
    json_schema: bool = True
    embeddings: bool = True
    alternate: bool = False
    """Whether user and assistant must take turns."""
    models: tuple[str, ...] = ("model-a", "model-b")


DIALECTS: Mapping[str, Dialect] = MappingProxyType({
    "openai": Dialect(
        fields=OPENAI, reasoning="", models=("gpt-4o", "gpt-4o-mini", "gpt-5-mini", "o4-mini", "text-embedding-3-small"),
    ),
    # https://learn.microsoft.com/azure/ai-foundry/openai/reference: deployments in the path, or /openai/v1
    "azure_openai": Dialect(
        path="/openai/v1", auth="api-key", fields=OPENAI | {"data_sources", "user_security_context"}, errors="azure",
        reasoning="",
        models=("gpt-4o", "gpt-4o-mini", "text-embedding-3-small"),
    ),
    "mistral": Dialect(
        fields=MISTRAL, errors="mistral", usage="last", whole_calls=True, reasoning="",
        models=("mistral-small-latest", "mistral-large-latest", "mistral-embed"),
    ),
    "groq": Dialect(
        path="/openai/v1", fields=GROQ, usage="x_groq", reasoning="reasoning",
        models=("llama-3.3-70b-versatile", "openai/gpt-oss-20b"),
    ),
    "together": Dialect(
        usage="last", reasoning="reasoning", empty_calls=True, models=("meta-llama/Llama-3.3-70B-Instruct-Turbo",),
    ),
    # https://docs.perplexity.ai/api-reference/chat-completions-post
    "perplexity": Dialect(
        path="", other_paths=("/v1",), errors="perplexity", usage="every", done=False, cumulative=True,
        reasoning="", reasoning_beside=True, json_object=False, alternate=True, models=("sonar", "sonar-pro"),
    ),
    "lmstudio": Dialect(
        auth="optional", errors="plain", json_object=False, empty_calls=True, models=("qwen3-4b", "text-embedding-nomic"),
    ),
    "openai_compatible": Dialect(auth="optional"),
    # https://openrouter.ai/docs/api-reference/streaming: comment lines while the upstream works
    "openrouter": Dialect(
        path="/api/v1", errors="openrouter", usage="last", comments=": OPENROUTER PROCESSING", reasoning="reasoning",
        models=("openai/gpt-4o-mini", "meta-llama/llama-3.1-8b-instruct"),
    ),
    # https://api-docs.deepseek.com/quick_start/rate_limit: ": keep-alive" comments in streams
    "deepseek": Dialect(
        path="", other_paths=("/v1", "/beta"), comments=": keep-alive", json_schema=False, embeddings=False,
        models=("deepseek-chat", "deepseek-reasoner"),
    ),
    "xai": Dialect(errors="xai", reasoning_apart=True, whole_calls=True, models=("grok-4", "grok-3-mini")),
    "vllm": Dialect(auth="optional", reasoning="reasoning", empty_calls=True, models=("Qwen/Qwen3-0.6B",)),
})  # fmt: skip
