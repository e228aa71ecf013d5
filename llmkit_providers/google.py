"""Google: the Gemini API, https://ai.google.dev/api, and Gemini on Vertex AI."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from llmkit.errors import InvalidRequestError, InvalidResponseError, LLMError
from llmkit.provider import Provider, StreamDecoder
from llmkit.values.calls import ChatCall
from llmkit.values.completion import Completion
from llmkit.values.counts import TokenCount
from llmkit.values.embeddings import Embeddings
from llmkit.values.instances import Instance
from llmkit.values.models import ModelInfo, ModelList
from llmkit.values.options import Options
from llmkit.values.other_calls import CountCall, EmbedCall, ModelsCall
from llmkit.values.secret import Secret
from llmkit.values.usage import Usage, tokens
from llmkit.wire.http import HttpReply, HttpRequest
from llmkit.wire.json import dump_json, parse_json, parse_object
from llmkit_providers._dialects import counting, gemini_answers, gemini_contents

NO_THINKING = re.compile(r"gemini-(?:1\.|2\.0)|gemma")
"""Models that do not think: https://ai.google.dev/gemini-api/docs/thinking"""
THINKING_BUDGET = re.compile(r"gemini-2\.5")
"""Models whose thinking is set as a number of tokens; later ones take a level."""
BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576}
"""Tokens that an effort means there: https://ai.google.dev/gemini-api/docs/openai#thinking"""

COUNTED = frozenset({"cachedContent", "systemInstruction", "toolConfig", "tools"})
"""What ``extra`` may add to a request for a count."""

EXPRESS_KEYS = ("AIza", "AQ.")
"""How API keys begin; what Vertex AI is given otherwise is an access token.
https://cloud.google.com/vertex-ai/generative-ai/docs/start/express-mode/overview"""


class Google(Provider):
    """Gemini models.

    The base URL is the API's root with or without its version. For Vertex AI it is
    ``https://aiplatform.googleapis.com/v1/projects/P/locations/L/publishers/google`` (with or without the last two words), and
    the key an access token, or an API key in express mode. Vertex AI is known by its host; behind another host,
    ``settings={"vertex": True}`` says so.

    ``reasoning_effort`` becomes ``thinkingConfig``: a budget for Gemini 2.5 (:data:`BUDGETS`), a ``thinkingLevel`` for later
    models, which cannot stop thinking altogether. Thoughts are shown with
    ``extra={"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}``. ``extra`` is merged into the body last; a
    ``generationConfig`` in it, and a ``thinkingConfig`` in that, are merged key by key. In calls for embeddings ``extra``
    (``taskType``) goes into the request of every text.
    """

    name = "google"
    title = "Google"
    base_url = "https://generativelanguage.googleapis.com"
    base_url_names = ("GOOGLE_GEMINI_BASE_URL", "GEMINI_API_BASE")
    docs = "https://ai.google.dev/api/generate-content"
    key_names = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
    features = frozenset(
        {
            "chat",
            "stream",
            "embeddings",
            "models",
            "count_tokens",
            "max_tokens",
            "temperature",
            "top_p",
            "stop",
            "seed",
            "reasoning_effort",
            "tools",
            "tool_choice",
            "json",
            "json_schema",
            "images",
            "image_urls",
            "audio",
            "files",
            "dimensions",
        }
    )
    settings: ClassVar[Mapping[str, str]] = {
        "vertex": "True where the base URL is a Vertex AI under another host than its own.",
    }

    # ------------------------------------------------------------------------------------------- what goes out

    def root(self, instance: Instance) -> str:
        """The API root with its version; for Vertex AI down to ``publishers/google``."""
        given = (instance.base_url or self.base_url).rstrip("/")
        root = re.sub(r"/models(?:/[^/]*)?$", "", given)
        if not (instance.settings.get("vertex") or _is_vertex(root)):
            return root if re.search(r"/v\d\w*$", root) else f"{root}/v1beta"
        if not re.search(r"/v\d\w*(?:/|$)", root):
            root += "/v1"
        return root if "/publishers/" in root else f"{root}/publishers/google"

    def encode_chat(self, call: ChatCall, instance: Instance) -> HttpRequest:
        """``POST models/{model}:generateContent``, or ``:streamGenerateContent?alt=sse``."""
        options = call.options
        body = _shown(call, instance)
        extra = dict(options.extra or {})
        config = _merged(_generation_config(options, instance.model), extra.pop("generationConfig", None))
        if config:
            body["generationConfig"] = config
        body.update(extra)
        return self._post(instance, "streamGenerateContent?alt=sse" if call.stream else "generateContent", body)

    def encode_embed(self, call: EmbedCall, instance: Instance) -> HttpRequest:
        """``POST models/{model}:batchEmbedContents``; on Vertex AI ``:predict``."""
        extra = dict(call.extra or {})
        size = {} if call.dimensions is None else {"outputDimensionality": call.dimensions}
        if _is_vertex(self.root(instance)):
            instances = [{"content": text, **extra} for text in call.texts]
            return self._post(instance, "predict", {"instances": instances, **({"parameters": size} if size else {})})
        model = _model_path(instance.model)
        requests = [{"model": model, "content": {"parts": [{"text": text}]}, **size, **extra} for text in call.texts]
        return self._post(instance, "batchEmbedContents", {"requests": requests})

    def encode_models(self, call: ModelsCall, instance: Instance) -> HttpRequest:
        """``GET models``, a thousand to a page: https://ai.google.dev/api/models#method:-models.list

        Vertex AI lists its models outside of projects, and in ``v1beta1`` only:
        https://cloud.google.com/vertex-ai/docs/reference/rest/v1beta1/publishers.models/list
        """
        root = self.root(instance)
        if _is_vertex(root):
            root = re.sub(r"/v\d\w*/.*", "/v1beta1/publishers/google", root)
        page = f"&pageToken={quote(call.page, safe='')}" if call.page else ""
        return HttpRequest("GET", f"{root}/models?pageSize=1000{page}", {})

    def encode_count(self, call: CountCall, instance: Instance) -> HttpRequest:
        """``POST models/{model}:countTokens``: https://ai.google.dev/api/tokens, and for Vertex AI
        https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.publishers.models/countTokens"""
        body = {**_shown(call, instance), **counting.only(call.options.extra, COUNTED)}
        if not _is_vertex(self.root(instance)):
            body = {"generateContentRequest": {"model": _model_path(instance.model), **body}}
        return self._post(instance, "countTokens", body)

    def _post(self, instance: Instance, method: str, body: dict[str, Any]) -> HttpRequest:
        url = f"{self.root(instance)}/{_model_path(instance.model)}:{method}"
        return HttpRequest("POST", url, {"Content-Type": "application/json"}, dump_json(body))

    def authorize(self, request: HttpRequest, key: Secret) -> HttpRequest:
        """The key goes into ``x-goog-api-key``; an access token for Vertex AI into ``Authorization``."""
        if _is_vertex(request.url) and not key.reveal().startswith(EXPRESS_KEYS):
            return super().authorize(request, key)
        return request.with_headers({"x-goog-api-key": key.reveal()})

    # ------------------------------------------------------------------------------------------- what comes back

    def decode_chat(self, call: ChatCall, reply: HttpReply) -> Completion:
        """The completion in a whole reply."""
        return gemini_answers.completion(reply.body)

    def decoder(self, call: ChatCall, headers: Mapping[str, str]) -> StreamDecoder:
        """A decoder for server-sent events, or for the JSON array that comes without ``alt=sse``."""
        return gemini_answers.GeminiDecoder()

    def decode_embed(self, call: EmbedCall, reply: HttpReply) -> Embeddings:
        """The vectors of ``batchEmbedContents``, ``embedContent`` or ``predict``."""
        document = parse_object(reply.body)
        if "error" in document:
            raise gemini_answers.error(document)
        found = document.get("embeddings") or document.get("predictions") or [document.get("embedding")]
        vectors = [vector for item in found if (vector := _vector(item)) is not None] if isinstance(found, list) else []
        if len(vectors) != len(call.texts):
            raise InvalidResponseError(f"google: {len(call.texts)} texts, but {len(vectors)} vectors", provider=self.name)
        counted = gemini_answers.usage(document.get("usageMetadata")) or _predict_usage(found)
        return Embeddings(tuple(vectors), usage=counted, raw=document, provider=self.name)

    def decode_models(self, call: ModelsCall, reply: HttpReply) -> ModelList:
        """One page of models, their names without ``models/``."""
        document = parse_object(reply.body)
        listed = document.get("models") or document.get("publisherModels")
        models = [_model(model) for model in listed if isinstance(model, dict)] if isinstance(listed, list) else []
        return ModelList(tuple(models), document.get("nextPageToken") or None)

    def decode_count(self, call: CountCall, reply: HttpReply) -> TokenCount:
        """``totalTokens``."""
        return counting.counted(reply, "totalTokens", "Gemini's countTokens")

    def error(self, reply: HttpReply) -> LLMError:
        """The typed error in ``{"error": {"code", "message", "status", "details"}}``."""
        try:
            document = parse_json(reply.body)
        except LLMError:
            return super().error(reply)
        first = document[0] if isinstance(document, list) and document else document
        if not isinstance(first, dict) or not isinstance(first.get("error"), dict):
            return super().error(reply)
        return gemini_answers.error(first, reply.status, reply.headers, reply.body)

    # ------------------------------------------------------------------------------------------- what is possible

    def unsupported(self, call: ChatCall, instance: Instance) -> tuple[str, ...]:
        """What the vendor or the model does not have: thinking in old models, no thinking in new ones."""
        found = super().unsupported(call, instance)
        effort, model = call.options.reasoning_effort, instance.model
        if effort is None:
            return found
        always_thinks = not NO_THINKING.search(model) and not THINKING_BUDGET.search(model)
        if (effort == "none" and always_thinks) or (effort != "none" and NO_THINKING.search(model)):
            found += ("reasoning_effort",)
        return found


def _is_vertex(url: str) -> bool:
    parts = urlsplit(url)
    return (parts.hostname or "").endswith("aiplatform.googleapis.com") or "/publishers/" in parts.path


def _model_path(model: str) -> str:
    """``models/{model}``; a resource name of another kind (``tunedModels/x``) stays as it is.

    :raises InvalidRequestError: for a name that would lead out of the API's root.
    """
    if ".." in model.split("/"):
        raise InvalidRequestError(f"model {model!r} is no model's name", provider=Google.name)
    return quote(model, safe="/@") if "/" in model else f"models/{quote(model, safe='@')}"


def _shown(call: ChatCall | CountCall, instance: Instance) -> dict[str, Any]:
    """What the model is shown of a call."""
    options = call.options
    needs_signature = not NO_THINKING.search(instance.model) and not THINKING_BUDGET.search(instance.model)
    system, contents = gemini_contents.conversation(call.messages, needs_signature)
    body: dict[str, Any] = {"contents": contents}
    if system is not None:
        body["systemInstruction"] = system
    if options.tools is not None:
        body["tools"] = gemini_contents.tools(options.tools)
    if options.tool_choice is not None:
        body["toolConfig"] = gemini_contents.tool_config(options.tool_choice)
    return body


def _generation_config(options: Options, model: str) -> dict[str, Any]:
    """https://ai.google.dev/api/generate-content#generationconfig"""
    config: dict[str, Any] = {
        "maxOutputTokens": options.max_tokens,
        "temperature": options.temperature,
        "topP": options.top_p,
        "stopSequences": options.stop,
        "seed": options.seed,
        "thinkingConfig": _thinking(options.reasoning_effort, model),
    }
    if options.response_format is not None:
        config["responseMimeType"] = "application/json"
        if options.response_format != "json":
            config["responseJsonSchema"] = options.response_format.schema
    return {name: value for name, value in config.items() if value is not None}


def _thinking(effort: str | None, model: str) -> dict[str, Any] | None:
    if effort is None or (effort == "none" and NO_THINKING.search(model)):
        return None
    if not THINKING_BUDGET.search(model):
        return {"thinkingLevel": effort}
    if effort not in BUDGETS:
        raise InvalidRequestError(f"reasoning_effort: expected one of {', '.join(BUDGETS)} for {model}, got {effort!r}")
    return {"thinkingBudget": BUDGETS[effort]}


def _merged(config: dict[str, Any], more: Any) -> dict[str, Any]:
    if not isinstance(more, Mapping):
        return config
    both = {**config, **more}
    if isinstance(more.get("thinkingConfig"), Mapping):
        both["thinkingConfig"] = {**config.get("thinkingConfig", {}), **more["thinkingConfig"]}
    return both


def _vector(item: Any) -> tuple[float, ...] | None:
    if isinstance(item, Mapping) and isinstance(item.get("embeddings"), Mapping):
        item = item["embeddings"]
    values = item.get("values") if isinstance(item, Mapping) else None
    if not isinstance(values, list) or not all(type(value) in (float, int) for value in values):
        return None
    return tuple(map(float, values))


def _predict_usage(predictions: Any) -> Usage | None:
    """Vertex AI counts the tokens of every text apart."""
    try:
        count = sum([tokens(item["embeddings"]["statistics"]["token_count"]) for item in predictions])
    except (KeyError, TypeError, ValueError):
        return None
    return Usage(prompt_tokens=count, total_tokens=count)


def _model(model: dict[str, Any]) -> ModelInfo:
    most_read, most_written = model.get("inputTokenLimit"), model.get("outputTokenLimit")
    return ModelInfo(
        str(model.get("name") or "").rpartition("models/")[2],
        Google.name,
        model.get("displayName"),
        most_read if isinstance(most_read, int) else None,
        most_written if isinstance(most_written, int) else None,
        model,
    )
