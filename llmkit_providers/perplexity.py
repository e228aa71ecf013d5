"""Perplexity: its Agent API, its old chat completions at gateways that keep them, and its embeddings.

Perplexity ended its chat completions on 27 September 2026 and answers 403 there since. Chats go to ``POST /v1/agent``, in the form
of OpenAI's Responses; ``settings={"api": "chat"}`` keeps the old form, for a gateway's ``base_url``. Which form an answer has is
told by the answer. https://docs.perplexity.ai/docs/agent-api/migrate-from-sonar/overview; what is said below without a source is
from Perplexity's own guide for that migration, :data:`MIGRATION`.

Agent API:

- Any field that is not documented is refused with 400, so nothing else is sent; ``stop``, ``seed``, documents, and JSON without a
  schema are not documented: ``request-mapping.md`` there, and the types of Perplexity's client,
  https://github.com/perplexityai/perplexity-py/blob/main/src/perplexity/types/response_create_params.py
- A model is ``provider/model``; a ``preset`` names a tuned bundle of model, prompt and tools. See :meth:`Agent.model`.
- Nothing is searched unless a ``web_search`` tool is offered or a preset has one. See :meth:`Agent.parameters`.
- Answers' formats stand in ``response_format``, not in ``text``. ``strict`` is taken in it and in functions:
  https://github.com/perplexityai/perplexity-py/blob/main/src/perplexity/types/shared_params/json_schema_format.py
- System text is ``instructions``, which take the place of a preset's own prompt; further down it is an item.
- A ``thought_signature`` on a function call goes back with the call and with its result, which has the function's name too:
  https://github.com/perplexityai/perplexity-py/blob/main/src/perplexity/types/input_item_param.py
- A failed or cancelled answer comes with status 200: ``status`` and ``error`` tell.
- Streams announce the vendor's own searches as calls of functions (``search_web``) and finish them as ``search_results``, so only
  finished calls count: https://github.com/vercel/ai/tree/main/packages/perplexity/src/__fixtures__ (``agent-web-search``)
- What was searched and found stays in the raw answer, ``output``; in streams each finding is a
  :class:`~llmkit.values.events.RawEvent`, and so are the notes ``response.reasoning.*``, which are no thinking.
- ``usage.cost.total_cost`` is what the call cost in US dollars:
  https://github.com/perplexityai/perplexity-py/blob/main/src/perplexity/types/responses_usage.py
- Models are listed at ``/v1/models``: https://docs.perplexity.ai/api-reference/models-get

Chat completions, as they were:

- No tools, no JSON mode without a schema, no seed: https://docs.perplexity.ai/docs/sonar/openai-compatibility
- Streams carry the whole text so far in ``message`` beside ``delta``, and the usage so far in every chunk; the last counts.
  They may end without ``[DONE]``.
- ``reasoning_tokens`` stand beside the counts and are not among them; they have a price of their own, so llmkit adds them to
  what was written: https://docs.perplexity.ai/getting-started/pricing
- Citations and search results stay in the raw answer: ``citations``, ``search_results``.
- Documents are ``file_url`` parts, as a URL or as base64 without a prefix: https://docs.perplexity.ai/guides/file-attachments

Embeddings are base64 of signed 8-bit numbers, at ``/v1/embeddings``: https://docs.perplexity.ai/api-reference/embeddings-post
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from llmkit.errors import ConfigError, InvalidRequestError, LLMError, ModelNotFoundError, shown
from llmkit.provider import StreamDecoder, asked_for
from llmkit.values.calls import ChatCall
from llmkit.values.completion import Completion
from llmkit.values.instances import Instance
from llmkit.values.messages import File, Image, ToolCall, ToolResult
from llmkit.values.options import Options
from llmkit.values.other_calls import ModelsCall
from llmkit.values.usage import Usage
from llmkit.wire.http import HttpReply, HttpRequest
from llmkit_providers._dialects.media import base64, data_url
from llmkit_providers._dialects.openai_chat import IMAGES, TOOLS, OpenAIChat
from llmkit_providers._dialects.openai_embeddings import base64_bytes
from llmkit_providers._dialects.openai_messages import encode_schema, own
from llmkit_providers._dialects.responses import Responses

if TYPE_CHECKING:
    from llmkit.values.tools import JsonSchema

MIGRATION = "https://github.com/perplexityai/api-platform-developers/tree/main/skills/migrate-sonar-to-agent-api"

ENDED = ("chat_completions_not_available", "agent_api_migration_required")
"""What the 403 of the chat API that is no more holds, by users' reports of September 2026; no page of the vendor's has it."""

WEB_SEARCH: Mapping[str, Any] = {"type": "web_search"}
SONAR: Mapping[str, Mapping[str, str]] = {
    "sonar": {"model": "perplexity/sonar"},
    "sonar-pro": {"preset": "low"},
    "sonar-reasoning": {"preset": "low"},
    "sonar-reasoning-pro": {"preset": "low"},
    "sonar-deep-research": {"preset": "medium"},
}
"""What Perplexity names as the nearest to its former models: ``references/models-and-presets.md`` in :data:`MIGRATION`."""

EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")
"""``reasoning.effort``: ``references/request-mapping.md`` in :data:`MIGRATION`."""

OWN_FUNCTIONS = frozenset({
    "web_search", "search_web", "people_search", "search_people", "fetch_url", "finance_search", "sandbox",
})  # fmt: skip
"""Names that no function of the client may have, because Perplexity's own tools have them: ``SKILL.md`` in :data:`MIGRATION`."""

CHAT_FEATURES = IMAGES | {
    "chat", "stream", "max_tokens", "temperature", "top_p", "stop", "reasoning_effort", "json_schema", "files",
}  # fmt: skip
"""What the old chat completions take."""


class Agent(Responses):
    """How Perplexity speaks Responses."""

    path = "/v1/agent"
    call_deltas = False
    vendors_calls = OWN_FUNCTIONS

    def model(self, instance: Instance) -> dict[str, Any]:
        """A name with a slash is a model; Sonar's former names are what Perplexity puts in their place; any other is a preset."""
        name = instance.model
        if "/" in name:
            return {"model": name}
        return dict(SONAR.get(name) or {"preset": name})

    def parameters(self, options: Options, instance: Instance) -> dict[str, Any]:
        """As the base. ``sonar`` searched by itself and gets the tool for it; a model with a slash gets none."""
        fields = super().parameters(options, instance)
        if instance.model == "sonar":
            tools = fields.get("tools", [])
            if all(tool.get("type") != "web_search" for tool in tools):
                fields["tools"] = [*tools, WEB_SEARCH]
        return fields

    def tool_choice(self, choice: str) -> str | dict[str, Any]:
        """A function goes by its name alone."""
        return choice if choice in ("auto", "none", "required") else {"name": choice}

    def answer_format(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """``response_format``; ``text.format`` is refused."""
        return {"response_format": wanted}

    def schema(self, wanted: JsonSchema, strict: bool) -> dict[str, Any]:
        """In the form of chat completions."""
        return self.answer_format(encode_schema(wanted, strict))

    def image_part(self, image: Image) -> dict[str, Any]:
        """A picture, as a URL or in base64: https://docs.perplexity.ai/docs/agent-api/building-agents/give-it-vision"""
        if image.file_id is not None:
            raise InvalidRequestError("Perplexity: pictures go as data or url, not as file_id", provider=self.vendor.name)
        return {"type": "input_image", "image_url": image.url if image.url is not None else data_url(image)}

    def file_part(self, file: File) -> dict[str, Any]:
        """There are no documents."""
        raise self.vendor.cannot("files")

    def result_item(self, result: ToolResult, call: ToolCall | None) -> dict[str, Any]:
        """As the base, with the function's name, and the signature of its call."""
        item = super().result_item(result, call)
        if name := result.name or (call.name if call else None):
            item["name"] = name
        return {**item, **own(call.extra if call else None, self.vendor)}

    def call_extra(self, item: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The signature of the thought behind a call."""
        signature = item.get("thought_signature")
        return {self.vendor.name: {"thought_signature": signature}} if signature and type(signature) is str else None


class Perplexity(OpenAIChat):
    """Perplexity: models that search the web, and other vendors' models with its tools."""

    name = "perplexity"
    title = "Perplexity"
    base_url = "https://api.perplexity.ai"
    docs = "https://docs.perplexity.ai/docs/agent-api/migrate-from-sonar/overview"
    key_names = ("PERPLEXITY_API_KEY", "PPLX_API_KEY", "PERPLEXITYAI_API_KEY")
    base_url_names = ("PERPLEXITY_BASE_URL",)
    settings: ClassVar[Mapping[str, str]] = {
        "api": "Which API chats go to: agent (the default), or chat for the former chat completions at a gateway that keeps them.",
    }
    endpoints = (
        "/v1/chat/completions", "/chat/completions", "/v1/embeddings", "/v1/agent", "/v1/responses", "/v1/models", "/v1",
    )  # fmt: skip
    features = IMAGES | TOOLS | {
        "chat", "stream", "models", "max_tokens", "temperature", "top_p", "reasoning_effort", "json_schema",
        "embeddings", "dimensions",
    }  # fmt: skip
    stream_usage = False
    embed_path = "/v1/embeddings"

    def __init__(self, **_: Any) -> None:
        self.agent = Agent(self)

    # ------------------------------------------------------------------------------------------- what goes out

    def encode_chat(self, call: ChatCall, instance: Instance) -> HttpRequest:
        """``POST /v1/agent``, or ``POST /chat/completions`` where the instance is set to that."""
        return super().encode_chat(call, instance) if _chats(instance) else self.agent.encode(call, instance)

    def encode_models(self, call: ModelsCall, instance: Instance) -> HttpRequest:
        """``GET /v1/models``."""
        return self.request("GET", instance, "/v1/models")

    def unsupported(self, call: ChatCall, instance: Instance) -> tuple[str, ...]:
        """What the API that the instance is set to does not take."""
        if _chats(instance):
            return tuple([feature for feature in asked_for(call) if feature not in CHAT_FEATURES])
        missing = super().unsupported(call, instance)
        return missing if call.options.reasoning_effort in (None, *EFFORTS) else (*missing, "reasoning_effort")

    def strict(self, instance: Instance) -> bool:
        """The Agent API takes ``strict``, chat completions do not."""
        return not _chats(instance)

    def file_part(self, file: File) -> dict[str, Any]:
        """A document for chat completions, as a URL or in base64."""
        if file.file_id is not None:
            raise InvalidRequestError("Perplexity: documents go as data or url, not as file_id", provider=self.name)
        part: dict[str, Any] = {"type": "file_url", "file_url": {"url": file.url if file.url is not None else base64(file)}}
        if file.name:
            part["file_name"] = file.name
        return part

    # ------------------------------------------------------------------------------------------- what comes back

    def check(self, document: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        """As the base, and the errors of a response."""
        super().check(document, headers)
        if not document.get("choices"):
            self.agent.check(document, headers)

    def completion(self, document: dict[str, Any]) -> Completion:
        """The completion in a parsed reply, of either API."""
        return super().completion(document) if "choices" in document else self.agent.completion(document)

    def decoder(self, call: ChatCall, headers: Mapping[str, str]) -> StreamDecoder:  # type: ignore[override]
        """A decoder for one streamed reply, of either API."""
        from llmkit_providers._dialects.openai_stream import OpenAIStream  # only streams need them
        from llmkit_providers._dialects.responses_stream import EitherStream

        return EitherStream(lambda: OpenAIStream(self, headers), lambda: self.agent.decoder(headers))

    def usage(self, usage: Any) -> Usage | None:
        """As the base, with the thinking counted among what was written, and in the total."""
        found = super().usage(usage)
        if found is None or not found.reasoning_tokens:
            return found
        completion, total = found.completion_tokens + found.reasoning_tokens, found.total_tokens + found.reasoning_tokens
        return attrs.evolve(found, completion_tokens=completion, total_tokens=total)

    def vector(self, embedding: Any) -> tuple[float, ...]:
        """One embedding: base64 of signed 8-bit numbers, unless it is a list."""
        if not isinstance(embedding, str):
            return super().vector(embedding)
        data = base64_bytes(embedding)
        return tuple([float(number) for number in struct.unpack(f"{len(data)}b", data)])

    def error(self, reply: HttpReply) -> LLMError:
        """As the base. That chats have ended is no fault of the key, which is good for all else: another instance is asked."""
        found = super().error(reply)
        if reply.status != 403 or not any(word in (found.body or "") for word in ENDED):
            return found
        return ModelNotFoundError(
            f"{found.message} (Perplexity ended its chat completions on 27 September 2026: leave out settings api = chat)",
            provider=self.name,
            status=reply.status,
            request_id=found.request_id,
            vendor_code=ENDED[0],
            body=found.body,
        )


def _chats(instance: Instance) -> bool:
    """Whether an instance is set to the old chat completions.

    :raises ConfigError: if it is set to neither API.
    """
    api = instance.settings.get("api", "agent")
    if api not in ("agent", "chat"):
        raise ConfigError(f"settings.api: expected agent or chat, got {shown(api)}", provider="perplexity")
    return bool(api == "chat")
