"""Anthropic: the Messages API, https://platform.claude.com/docs/en/api/messages, also on Google's Vertex AI."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

import attrs

from llmkit.errors import LLMError
from llmkit.provider import Provider, StreamDecoder
from llmkit.values.calls import ChatCall
from llmkit.values.completion import Completion
from llmkit.values.counts import TokenCount
from llmkit.values.instances import Instance
from llmkit.values.messages import Message
from llmkit.values.models import ModelInfo, ModelList
from llmkit.values.options import Options
from llmkit.values.other_calls import CountCall, ModelsCall, RawCall
from llmkit.values.secret import Secret
from llmkit.wire.http import HttpReply, HttpRequest
from llmkit.wire.json import dump_json, parse_object
from llmkit_providers._dialects import anthropic_answers, anthropic_messages, counting

VERSION = "2023-06-01"
"""The ``anthropic-version`` this module speaks: https://platform.claude.com/docs/en/api/versioning"""

COUNTED = frozenset({"cache_control", "context_management", "mcp_servers", "output_config", "speed", "thinking", "tools"})
"""What ``extra`` may add to a request for a count."""

VERTEX_VERSION = "vertex-2023-10-16"
"""The version that stands in the body on Vertex AI: https://platform.claude.com/docs/en/api/claude-on-vertex-ai"""

NO_SAMPLING = re.compile(r"claude-(?:opus-4-(?:[7-9]|\d\d)|[a-z]+-(?:[5-9]|\d\d))(?!\d)")
"""Models that refuse ``temperature`` and ``top_p`` with a 400, and that think unless told not to: Opus from 4.7 on, every other
family from 5 on. https://platform.claude.com/docs/en/about-claude/models/migration-guide"""

NO_EFFORT = re.compile(r"claude-(?:[23]|instant|(?:opus-4(?:-[01])?|sonnet-4(?:-[05])?|haiku-4(?:-5)?)(?:[-@](?:\d{8}|latest))?$)")
"""Models without ``effort``: https://platform.claude.com/docs/en/build-with-claude/effort"""

PREFILL = re.compile(r"claude-(?:3|(?:opus|sonnet|haiku)-4(?:-[015])?(?:[-@](?:\d{8}|latest))?$)")
"""Models that continue an assistant's message at the end; Claude 4.6 and later refuse one with a 400.
https://platform.claude.com/docs/en/about-claude/models/whats-new-claude-4-6#prefill-removal"""

DEFAULT_MAX_TOKENS = 4096
"""``max_tokens`` is required, so it is sent where the caller gives none. Every model can write this much."""
DEFAULT_MAX_TOKENS_THINKING = 16_384
"""The same for models that think unless told not to (:data:`NO_SAMPLING`): thinking counts towards it."""


class Anthropic(Provider):
    """Claude models.

    ``max_tokens`` is required by the API. A call that gives none is sent with :data:`DEFAULT_MAX_TOKENS`, or with
    :data:`DEFAULT_MAX_TOKENS_THINKING` for the models that think by default; a thinking budget in ``extra`` comes on top of it.

    ``reasoning_effort`` becomes ``output_config.effort`` (``low``, ``medium``, ``high``, ``xhigh``, ``max``); ``none`` switches
    thinking off. Thinking is switched on through ``extra={"thinking": {...}}``. ``extra`` is merged into the body last; an
    ``output_config`` in it is merged key by key. Marks such as ``cache_control`` stand in a part's ``extra={"anthropic":
    {...}}``; ``cache_prompt`` puts two: at the end of the system text and of the conversation. System messages stand above the
    conversation, wherever they are given.

    For Claude on Vertex AI the base URL is ``https://REGION-aiplatform.googleapis.com/v1/projects/P/locations/REGION``, the key
    an access token, and ``settings={"vertex": True}`` says so. There the model stands in the path, and models are not listed.

    While the vendor runs tools of its own, or a model thinks unseen, a stream may bring nothing but ``ping`` events. They keep
    the connection alive but are no events of the answer, so they do not count against the idle timer: calls with such tools may
    need a larger ``Timeouts(idle=...)`` (seconds).
    """

    name = "anthropic"
    title = "Anthropic"
    base_url = "https://api.anthropic.com"
    base_url_names = ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE")
    docs = "https://platform.claude.com/docs/en/api/messages"
    key_names = ("ANTHROPIC_API_KEY",)
    endpoints = ("/v1/messages", "/v1")
    features = frozenset(
        {
            "chat",
            "stream",
            "models",
            "count_tokens",
            "max_tokens",
            "temperature",
            "top_p",
            "stop",
            "reasoning_effort",
            "tools",
            "tool_choice",
            "json_schema",
            "images",
            "image_urls",
            "files",
        }
    )
    settings: ClassVar[Mapping[str, str]] = {
        "version": f"The anthropic-version header; default {VERSION}. On Vertex AI anthropic_version; default {VERTEX_VERSION}.",
        "vertex": "True for Claude on Google's Vertex AI.",
        "beta": "Comma-separated names of beta features, sent as the anthropic-beta header.",
    }

    # ------------------------------------------------------------------------------------------- what goes out

    def root(self, instance: Instance) -> str:
        """The API root; on Vertex AI down to ``publishers/anthropic``."""
        root = super().root(instance)
        return f"{root}/publishers/anthropic" if instance.settings.get("vertex") and "/publishers/" not in root else root

    def encode_chat(self, call: ChatCall, instance: Instance) -> HttpRequest:
        """``POST /v1/messages``; on Vertex AI ``POST models/{model}:rawPredict`` or ``:streamRawPredict``."""
        system, messages = anthropic_messages.conversation(call.messages)
        if instance.settings.get("vertex"):
            path = f"models/{quote(instance.model, safe='@')}:{'streamRawPredict' if call.stream else 'rawPredict'}"
            body: dict[str, Any] = {"anthropic_version": str(instance.settings.get("version") or VERTEX_VERSION)}
        else:
            path, body = "v1/messages", {"model": instance.model}
        body["messages"] = messages
        if system is not None:
            body["system"] = system
        _add_options(body, call.options)
        if call.options.cache_prompt:
            anthropic_messages.mark(body)
        if call.stream:
            body["stream"] = True
        extra = dict(call.options.extra or {})
        if isinstance(extra.get("output_config"), Mapping):
            extra["output_config"] = {**body.get("output_config", {}), **extra["output_config"]}
        body.update(extra)
        if "max_tokens" not in body:
            body["max_tokens"] = _default_max_tokens(instance.model, body)
        headers = {"Content-Type": "application/json", **_headers(instance)}
        return HttpRequest("POST", f"{self.root(instance)}/{path}", headers, dump_json(body))

    def continued(self, call: ChatCall, instance: Instance, text: str) -> ChatCall:
        """An older model continues ``text`` itself, unless it ends in white space or the model is to think (both are a 400:
        https://platform.claude.com/docs/en/build-with-claude/prompt-engineering/prefill-claudes-response). Others are asked to.
        """
        if not PREFILL.match(instance.model) or text[-1:].isspace() or "thinking" in (call.options.extra or {}):
            return super().continued(call, instance, text)
        return attrs.evolve(call, messages=(*call.messages, Message.assistant(text)))

    def encode_models(self, call: ModelsCall, instance: Instance) -> HttpRequest:
        """``GET /v1/models``, a thousand to a page: https://platform.claude.com/docs/en/api/models-list"""
        if instance.settings.get("vertex"):
            raise self.cannot("models")
        after = f"&after_id={quote(call.page, safe='')}" if call.page else ""
        return HttpRequest("GET", f"{self.root(instance)}/v1/models?limit=1000{after}", _headers(instance))

    def encode_count(self, call: CountCall, instance: Instance) -> HttpRequest:
        """``POST /v1/messages/count_tokens``: https://platform.claude.com/docs/en/api/messages-count-tokens

        On Vertex AI ``POST models/count-tokens:rawPredict``:
        https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/partner-models/claude/count-tokens
        """
        options = call.options
        system, messages = anthropic_messages.conversation(call.messages)
        body: dict[str, Any] = {"model": instance.model, "messages": messages}
        if instance.settings.get("vertex"):
            body["anthropic_version"] = str(instance.settings.get("version") or VERTEX_VERSION)
        if system is not None:
            body["system"] = system
        shown = Options(
            tools=options.tools,
            tool_choice=options.tool_choice,
            response_format=options.response_format,
            reasoning_effort=options.reasoning_effort,
        )
        _add_options(body, shown)
        body.update(counting.only(options.extra, COUNTED))
        path = "models/count-tokens:rawPredict" if instance.settings.get("vertex") else "v1/messages/count_tokens"
        headers = {"Content-Type": "application/json", **_headers(instance)}
        return HttpRequest("POST", f"{self.root(instance)}/{path}", headers, dump_json(body))

    def encode_raw(self, call: RawCall, instance: Instance) -> HttpRequest:
        """A request of the user's own; its path begins with ``/v1/``."""
        return super().encode_raw(call, instance).with_headers(_headers(instance))

    def authorize(self, request: HttpRequest, key: Secret) -> HttpRequest:
        """The key goes into ``x-api-key``; an access token for Vertex AI into ``Authorization``."""
        if "/publishers/" in request.url:
            return super().authorize(request, key)
        return request.with_headers({"x-api-key": key.reveal()})

    # ------------------------------------------------------------------------------------------- what comes back

    def decode_chat(self, call: ChatCall, reply: HttpReply) -> Completion:
        """The completion in a whole message."""
        return anthropic_answers.completion(parse_object(reply.body))

    def decoder(self, call: ChatCall, headers: Mapping[str, str]) -> StreamDecoder:
        """A decoder for the events of one message."""
        return anthropic_answers.AnthropicDecoder()

    def decode_models(self, call: ModelsCall, reply: HttpReply) -> ModelList:
        """One page of models."""
        document = parse_object(reply.body)
        listed = document.get("data")
        models = [_model(model) for model in listed if isinstance(model, dict)] if isinstance(listed, list) else []
        last = document.get("last_id") or (models[-1].id if models else None)
        return ModelList(tuple(models), str(last) if document.get("has_more") and last else None)

    def decode_count(self, call: CountCall, reply: HttpReply) -> TokenCount:
        """``input_tokens``, which the vendor calls an estimate that may be off by a few:
        https://platform.claude.com/docs/en/build-with-claude/token-counting"""
        return counting.counted(reply, "input_tokens", "Anthropic's count_tokens")

    def error(self, reply: HttpReply) -> LLMError:
        """The typed error in ``{"type": "error", "error": {"type", "message"}, "request_id"}``."""
        try:
            document = parse_object(reply.body)
        except LLMError:
            return super().error(reply)
        if not isinstance(document.get("error"), dict):
            return super().error(reply)
        return anthropic_answers.error(document, reply.status, reply.headers, reply.body)

    # ------------------------------------------------------------------------------------------- what is possible

    def unsupported(self, call: ChatCall, instance: Instance) -> tuple[str, ...]:
        """What the vendor or the model does not have: see :data:`NO_SAMPLING` and :data:`NO_EFFORT`."""
        found = super().unsupported(call, instance)
        if NO_SAMPLING.search(instance.model):
            found += tuple([name for name in ("temperature", "top_p") if getattr(call.options, name) is not None])
        if call.options.reasoning_effort not in (None, "none") and NO_EFFORT.search(instance.model):
            found += ("reasoning_effort",)
        return found


def _headers(instance: Instance) -> dict[str, str]:
    settings = instance.settings
    headers = {} if settings.get("vertex") else {"anthropic-version": str(settings.get("version") or VERSION)}
    if beta := settings.get("beta"):
        headers["anthropic-beta"] = beta if isinstance(beta, str) else ",".join(beta)
    return headers


def _add_options(body: dict[str, Any], options: Options) -> None:
    named = {"max_tokens": options.max_tokens, "temperature": options.temperature, "top_p": options.top_p}
    body.update({name: value for name, value in named.items() if value is not None})
    if options.stop is not None:
        body["stop_sequences"] = options.stop
    if options.tools is not None:
        body["tools"] = anthropic_messages.tools(options.tools)
    if options.tool_choice is not None:
        body["tool_choice"] = anthropic_messages.tool_choice(options.tool_choice)
    if options.reasoning_effort == "none":
        body["thinking"] = {"type": "disabled"}
    elif options.reasoning_effort is not None:
        body["output_config"] = {"effort": options.reasoning_effort}
    if options.response_format is not None and options.response_format != "json":
        body.setdefault("output_config", {})["format"] = anthropic_messages.output_format(options.response_format)


def _default_max_tokens(model: str, body: Mapping[str, Any]) -> int:
    """``thinking.budget_tokens`` must be below ``max_tokens``."""
    thinking = body.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    default = DEFAULT_MAX_TOKENS_THINKING if NO_SAMPLING.search(model) else DEFAULT_MAX_TOKENS
    return default + (budget if isinstance(budget, int) else 0)


def _model(model: dict[str, Any]) -> ModelInfo:
    most_read, most_written = model.get("max_input_tokens"), model.get("max_tokens")
    return ModelInfo(
        str(model.get("id") or ""),
        Anthropic.name,
        model.get("display_name"),
        most_read if isinstance(most_read, int) else None,
        most_written if isinstance(most_written, int) else None,
        model,
    )
