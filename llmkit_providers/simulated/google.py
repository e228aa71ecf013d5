"""The other end of the Gemini API.

https://ai.google.dev/api/generate-content, https://ai.google.dev/gemini-api/docs/troubleshooting
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmkit.simulated import (
    Answer,
    ErrorReply,
    Frame,
    OfferedTool,
    Question,
    Refusal,
    SimulatedRequest,
    SimulatedVendor,
    count_values,
    count_words,
    embeddings_question,
    pieces,
    texts_in,
)
from llmkit.wire.json import dump_json
from llmkit_providers.simulated.google_checks import camel, check_content, check_fields, check_generate, wrong

FINISHES = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}

ERRORS: Mapping[str, tuple[int, str, str]] = {
    "invalid": (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    "unprocessable": (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    "context_length": (
        400, "INVALID_ARGUMENT", "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).",
    ),
    "content_filter": (400, "INVALID_ARGUMENT", "The request was blocked by the content policy."),
    "authentication": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    "quota": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing details."),
    "permission": (403, "PERMISSION_DENIED", "The caller does not have permission"),
    "model": (404, "NOT_FOUND", "The model is not found for API version v1beta, or is not supported for generateContent."),
    "path": (404, "NOT_FOUND", "Requested entity was not found."),
    "method": (404, "NOT_FOUND", "Requested entity was not found."),
    "timeout": (504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
    "too_large": (413, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes."),
    "rate_limit": (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    "server": (500, "INTERNAL", "An internal error has occurred. Please retry or report in the developer forum."),
    "bad_gateway": (502, "INTERNAL", "Bad gateway."),
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "gateway_timeout": (504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
}  # fmt: skip
"""Kind of refusal: status, Google's word for it and sentence."""

METHODS = ("generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents")
LIMITS = {"inputTokenLimit": 1048576, "outputTokenLimit": 65536}


class Google(SimulatedVendor):
    """The Gemini API: chat, token counts, embeddings, models."""

    names = ("google",)

    def models(self, vendor: str) -> tuple[str, ...]:
        """A few of the vendor's models."""
        return ("gemini-2.5-flash", "gemini-2.5-pro", "gemini-embedding-001")

    def key(self, vendor: str, request: SimulatedRequest) -> str:
        """``x-goog-api-key``, or the query's ``key``."""
        key = request.headers.get("x-goog-api-key") or request.query.get("key", "")
        if not key:
            words = "Method doesn't allow unregistered callers (callers without established identity)."
            raise Refusal("permission", f"{words} Please use API Key or other form of API consumer identity to call this API.")
        return key

    def read(self, vendor: str, request: SimulatedRequest, key: str) -> Question:
        """A chat, count, embeddings or model question."""
        version, _, rest = request.path.lstrip("/").partition("/")
        if version not in ("v1", "v1beta", "v1alpha") or rest.partition("/")[0] != "models":
            raise Refusal("path")
        name, _, method = rest.removeprefix("models").lstrip("/").partition(":")
        if request.method == "GET" and not method:
            return _models(vendor, key, name, request.query)
        if request.method != "POST" or method not in METHODS:
            raise Refusal("path")
        body = camel(request.document())
        if method.endswith("EmbedContents") or method == "embedContent":
            return _embeddings(vendor, key, name, method, body)
        if method == "countTokens":
            return _count(vendor, key, name, body)
        check_generate(body, name)
        return _chat(vendor, key, name, body, "" if method == "generateContent" else request.query.get("alt", "json"))

    def answer(self, question: Question, answer: Answer) -> bytes:
        """A ``GenerateContentResponse``."""
        parts = [part for part, _ in _parts(answer, whole=True)]
        return dump_json(_response(question, answer, parts, last=True))

    def stream(self, question: Question, answer: Answer) -> list[Frame]:
        """The same in pieces: as events, or (without ``alt=sse``) as the items of one JSON array."""
        parts = list(_parts(answer, whole=False))
        documents = [(_response(question, answer, [part], last=False), tokens) for part, tokens in parts]
        documents.append((_response(question, answer, [], last=True), 0))
        if question.body["alt"] == "sse":
            return [Frame(b"data: " + dump_json(document) + b"\r\n\r\n", tokens) for document, tokens in documents]
        starts = [b"[", *[b",\r\n"] * (len(documents) - 1)]
        frames = [Frame(start + dump_json(one), tokens) for start, (one, tokens) in zip(starts, documents, strict=True)]
        return [*frames, Frame(b"]")]

    def embeddings(self, question: Question, vectors: Sequence[Sequence[float]]) -> bytes:
        """``embeddings``, or the one ``embedding``."""
        values = [{"values": list(vector)} for vector in vectors]
        return dump_json({"embedding": values[0]} if question.body["one"] else {"embeddings": values})

    def model_list(self, question: Question, models: Sequence[str]) -> bytes:
        """One page of models, or one model."""
        listed: list[dict[str, Any]] = []
        for name in models:
            methods = ["embedContent"] if "embed" in name else ["generateContent", "countTokens"]
            facts = {"version": "001", "displayName": name, "supportedGenerationMethods": methods}
            listed.append({"name": f"models/{name}", **facts, **LIMITS})
        if question.kind == "model":
            return dump_json(next(model for model in listed if model["name"] == f"models/{question.model}"))
        start = int(question.page or 0)
        end = start + question.page_size
        return dump_json({"models": listed[start:end], **({"nextPageToken": str(end)} if end < len(listed) else {})})

    def token_count(self, question: Question) -> bytes:
        """https://ai.google.dev/api/tokens"""
        return dump_json({"totalTokens": question.prompt_tokens})

    def error(self, vendor: str, refusal: Refusal) -> ErrorReply:
        """A ``google.rpc.Status`` in ``error``."""
        document = _error(refusal)
        return ErrorReply(document["error"]["code"], {"content-type": "application/json; charset=UTF-8"}, dump_json(document))

    def error_event(self, vendor: str, refusal: Refusal) -> bytes:
        """The error as an event."""
        return b"data: " + dump_json(_error(refusal)) + b"\r\n\r\n"


def _error(refusal: Refusal) -> dict[str, Any]:
    status, word, usual = ERRORS[refusal.kind]
    status = refusal.status or status
    error: dict[str, Any] = {"code": status, "message": refusal.message or usual, "status": word}
    details: list[dict[str, Any]] = []
    if refusal.kind == "authentication":
        info = {"reason": "API_KEY_INVALID", "domain": "googleapis.com"}
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", **info})
    if refusal.kind == "invalid" and refusal.param is not None:
        violations = [{"field": refusal.param, "description": refusal.message}]
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations})
    if refusal.kind in ("quota", "rate_limit"):
        quota = f"GenerateRequestsPer{'Day' if refusal.kind == 'quota' else 'Minute'}PerProjectPerModel"
        details.append({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota}]})
    if refusal.retry_after is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{refusal.retry_after:.3f}s"})
    return {"error": {**error, "details": details} if details else error}


def _response(question: Question, answer: Answer, parts: list[dict[str, Any]], last: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if last:
        candidate["finishReason"] = FINISHES[answer.finish]
        if not parts:
            candidate["content"] = {"parts": [{"text": ""}], "role": "model"}
    ends: dict[str, Any] = {"usageMetadata": _usage(answer), "modelVersion": question.model, "responseId": answer.id}
    if answer.refusal and not answer.text:
        # https://ai.google.dev/api/generate-content#PromptFeedback
        return {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, **ends}
    return {"candidates": [candidate], **ends}


def _usage(answer: Answer) -> dict[str, int]:
    """Candidates' tokens are without those of the thoughts: https://ai.google.dev/api/generate-content#UsageMetadata"""
    thought = answer.reasoning_tokens or 0
    counts = {
        "promptTokenCount": answer.prompt,
        "candidatesTokenCount": answer.completion - thought,
        "totalTokenCount": answer.prompt + answer.completion,
    }
    more = {"thoughtsTokenCount": thought, "cachedContentTokenCount": answer.cached_tokens}
    return {**counts, **{name: count for name, count in more.items() if count}}


def _parts(answer: Answer, whole: bool) -> Iterator[tuple[dict[str, Any], int]]:
    for text, thought in ((answer.reasoning, True), (answer.text, False)):
        for piece in [text] if whole and text else pieces(text):
            yield {"text": piece, **({"thought": True} if thought else {})}, count_words(piece)
    for call in answer.tool_calls:
        yield {"functionCall": {"name": call.name, "args": dict(call.arguments), "id": call.id}}, 1


def _models(vendor: str, key: str, name: str, query: Mapping[str, str]) -> Question:
    if name:
        return Question(vendor=vendor, kind="model", key=key, model=name)
    size, page = query.get("pageSize", "50"), query.get("pageToken", "0")
    if not size.isdigit() or not page.isdigit() or int(size) < 1:
        raise wrong("Invalid value at 'page_size' or 'page_token'")
    return Question(vendor=vendor, kind="models", key=key, page=page, page_size=min(int(size), 1000))


def _text(content: Mapping[str, Any]) -> str:
    parts = content["parts"] if isinstance(content["parts"], list) else [content["parts"]]
    return "\n".join(texts_in(parts))


def _words(contents: Sequence[Mapping[str, Any]]) -> int:
    words = 0
    for content in contents:
        words += count_words(_text(content))
        for part in content["parts"] if isinstance(content["parts"], list) else ():
            part = camel(part)
            words += count_values((part.get("functionResponse") or {}).get("response") or {})
            if "functionCall" in part:
                words += 1 + count_values(part["functionCall"].get("args") or {})
    return words


def _chat(vendor: str, key: str, model: str, body: Mapping[str, Any], alt: str) -> Question:
    contents, config = body["contents"], camel(body.get("generationConfig") or {})
    users = [content for content in contents if content.get("role", "user") == "user" and _text(content)]
    last = [camel(part) for part in contents[-1]["parts"]] if isinstance(contents[-1]["parts"], list) else []
    results = [part["functionResponse"]["response"] for part in last if "functionResponse" in part]
    declared = [camel(one) for tool in body.get("tools") or () for one in camel(tool).get("functionDeclarations") or ()]
    mode = camel(camel(body.get("toolConfig") or {}).get("functionCallingConfig") or {})
    choice = {"ANY": "required", "NONE": "none"}.get(str(mode.get("mode", "AUTO")).upper(), "auto")
    allowed = mode.get("allowedFunctionNames") or []
    system = [body["systemInstruction"]] if body.get("systemInstruction") else []
    return Question(
        vendor=vendor,
        model=model,
        key=key,
        text=_text(users[-1]) if users else "",
        results=tuple([" ".join(_strings(result)) for result in results]),
        prompt_tokens=_words([*system, *contents]) + (count_values(body["tools"]) if body.get("tools") else 0),
        tools=tuple([OfferedTool(one["name"], _parameters(one)) for one in declared]),
        tool_choice=allowed[0] if choice == "required" and len(allowed) == 1 else choice,
        stream=bool(alt),
        max_tokens=config.get("maxOutputTokens"),
        stop=tuple(config.get("stopSequences") or ()),
        json=config.get("responseMimeType") == "application/json",
        schema=config.get("responseJsonSchema") or config.get("responseSchema"),
        body={**body, "alt": alt},
    )


def _parameters(declared: Mapping[str, Any]) -> Mapping[str, Any]:
    return declared.get("parametersJsonSchema") or declared.get("parameters") or {}


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
    else:
        yield str(value)


def _count(vendor: str, key: str, model: str, body: Mapping[str, Any]) -> Question:
    check_fields(body, ("contents", "generateContentRequest"))
    request = camel(body.get("generateContentRequest") or body)
    contents = request.get("contents") or ()
    for number, content in enumerate(contents):
        check_content(content, f"contents[{number}]")
    if not contents:
        raise wrong("* CountTokensRequest.contents: contents is not specified\n")
    system = [request["systemInstruction"]] if request.get("systemInstruction") else []
    return Question(vendor=vendor, kind="count", model=model, key=key, prompt_tokens=_words([*system, *contents]), body=body)


def _embeddings(vendor: str, key: str, model: str, method: str, body: Mapping[str, Any]) -> Question:
    requests = [body] if method == "embedContent" else body.get("requests")
    if not isinstance(requests, list) or not 1 <= len(requests) <= 100:
        raise wrong("* BatchEmbedContentsRequest.requests: between 1 and 100 requests can be in one batch\n")
    inputs = []
    for number, request in enumerate(requests):
        request = camel(request)
        check_fields(request, ("model", "content", "taskType", "title", "outputDimensionality"), f"requests[{number}]")
        if method != "embedContent" and request.get("model") != f"models/{model}":
            raise wrong(f"* BatchEmbedContentsRequest.requests[{number}].model: must match the model of the batch\n")
        check_content(request.get("content"), f"requests[{number}].content")
        inputs.append(_text(request["content"]))
    dimensions = camel(requests[0]).get("outputDimensionality")
    return embeddings_question(vendor, key, model, inputs, dimensions, {"one": method == "embedContent"})
