"""The other end of the OpenAI wire, for every vendor that speaks it.

https://platform.openai.com/docs/api-reference/chat, https://platform.openai.com/docs/api-reference/chat-streaming; what the
vendors do differently is data in :mod:`.openai_dialects`.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from llmkit.simulated import (
    Allowance,
    Answer,
    ErrorReply,
    Frame,
    OfferedTool,
    Question,
    Refusal,
    SimulatedCall,
    SimulatedRequest,
    SimulatedVendor,
    bearer,
    count_values,
    count_words,
    embeddings_question,
    pieces,
    texts_in,
)
from llmkit.wire.json import dump_json
from llmkit_providers.simulated.openai_checks import check_chat, wrong
from llmkit_providers.simulated.openai_dialects import DIALECTS, Dialect
from llmkit_providers.simulated.openai_errors import error_body, error_reply
from llmkit_providers.simulated.openai_limits import limit_headers

DEPLOYMENTS = "/openai/deployments/"
UNFILTERED = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}


class OpenAI(SimulatedVendor):
    """Every vendor of the OpenAI dialect but Perplexity, which has another wire beside it and a module of its own."""

    names = tuple([name for name in DIALECTS if name != "perplexity"])

    def base_path(self, vendor: str) -> str:
        """The documented API root; Azure's is the bare resource."""
        return "" if vendor == "azure_openai" else DIALECTS[vendor].path

    def models(self, vendor: str) -> tuple[str, ...]:
        """A few of the vendor's models."""
        return DIALECTS[vendor].models

    def key(self, vendor: str, request: SimulatedRequest) -> str:
        """The bearer token, or Azure's ``api-key``."""
        auth = DIALECTS[vendor].auth
        key = (auth == "api-key" and request.headers.get("api-key")) or bearer(request.headers)
        if not key and auth != "optional":
            raise Refusal("authentication", "You didn't provide an API key." if vendor == "openai" else "", status=401)
        return key

    # ------------------------------------------------------------------------------------------- what comes in

    def read(self, vendor: str, request: SimulatedRequest, key: str) -> Question:
        """A chat, embeddings or model question; at vLLM a count too."""
        dialect = DIALECTS[vendor]
        endpoint, deployment = _endpoint(vendor, dialect, request)
        if endpoint == "/models" or endpoint.startswith("/models/"):
            _only("GET", request)
            return Question(vendor=vendor, kind="model" if endpoint[8:] else "models", key=key, model=endpoint[8:])
        if endpoint == "/tokenize":
            return _count(vendor, key, request)
        if endpoint not in ("/chat/completions", "/embeddings") or (endpoint == "/embeddings" and not dialect.embeddings):
            raise Refusal("path", f"Invalid URL ({request.method} {request.path})")
        _only("POST", request)
        body = request.document()
        if endpoint == "/embeddings":
            return _embeddings(vendor, key, deployment, body)
        check_chat(body, vendor, dialect)
        return _chat(vendor, key, deployment, body, dialect)

    # ------------------------------------------------------------------------------------------- what goes out

    def answer(self, question: Question, answer: Answer) -> bytes:
        """A ``chat.completion``."""
        dialect = DIALECTS[question.vendor]
        message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
        if not answer.tool_calls and not answer.refusal:
            message["content"] = answer.text
        if answer.reasoning and dialect.reasoning:
            message[dialect.reasoning] = answer.reasoning
        if question.vendor in ("openai", "azure_openai") or answer.refusal:
            message["refusal"] = answer.refusal or None
        if answer.tool_calls or dialect.empty_calls:
            message["tool_calls"] = [_call(call) for call in answer.tool_calls]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish}
        if question.vendor == "azure_openai":
            choice["content_filter_results"] = UNFILTERED
        choices = [choice if not index else {**choice, "index": index} for index in range(question.choices)]
        document = {**_head(question, answer, "chat.completion"), "choices": choices, "usage": usage(answer, dialect)}
        if question.vendor == "azure_openai":
            document["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": UNFILTERED}]
        return dump_json(document)

    def stream(self, question: Question, answer: Answer) -> list[Frame]:
        """``chat.completion.chunk`` events, and ``[DONE]`` where the vendor sends it."""
        dialect = DIALECTS[question.vendor]
        writer = _Chunks(question, answer, dialect)
        if question.vendor == "azure_openai":
            filtered = [{"prompt_index": 0, "content_filter_results": UNFILTERED}]
            writer.event({"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": filtered})
        writer.delta({"role": "assistant", "content": ""})
        if dialect.comments:
            writer.frames.insert(0, Frame(f"{dialect.comments}\n\n".encode()))
            writer.frames.append(Frame(f"{dialect.comments}\n\n".encode()))
        if dialect.reasoning:
            for piece in pieces(answer.reasoning):
                writer.delta({dialect.reasoning: piece}, count_words(piece))
        for piece in pieces(answer.text):
            writer.delta({"content": piece}, count_words(piece))
        for piece in pieces(answer.refusal):
            writer.delta({"refusal": piece}, count_words(piece))
        for index, call in enumerate(answer.tool_calls):
            writer.call(index, call)
        writer.end()
        return writer.frames

    def embeddings(self, question: Question, vectors: Sequence[Sequence[float]]) -> bytes:
        """A list of ``embedding`` objects, as numbers or as base64 of little-endian 32-bit floats."""
        packed = question.body.get("encoding_format") == "base64"
        data = [{"object": "embedding", "index": index, "embedding": _packed(vector) if packed else list(vector)}
                for index, vector in enumerate(vectors)]  # fmt: skip
        tokens = {"prompt_tokens": question.prompt_tokens, "total_tokens": question.prompt_tokens}
        return dump_json({"object": "list", "data": data, "model": question.model, "usage": tokens})

    def model_list(self, question: Question, models: Sequence[str]) -> bytes:
        """A list of ``model`` objects, bare at Together."""
        listed = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": question.vendor} for name in models]
        if question.kind == "model":
            return dump_json(next(model for model in listed if model["id"] == question.model))
        return dump_json(listed if question.vendor == "together" else {"object": "list", "data": listed})

    def token_count(self, question: Question) -> bytes:
        """vLLM's: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#tokenizer-api"""
        return dump_json({"count": question.prompt_tokens, "max_model_len": 40_960, "tokens": list(range(question.prompt_tokens))})

    def error(self, vendor: str, refusal: Refusal) -> ErrorReply:
        """The vendor's error body."""
        headers = {} if vendor in ("perplexity", "lmstudio", "vllm") else {"x-request-id": "req_simulated"}
        return error_reply(DIALECTS[vendor].errors, vendor, refusal, headers)

    def error_event(self, vendor: str, refusal: Refusal) -> bytes:
        """A ``data`` line with an error; at Groq and Perplexity an event of that name."""
        _, document = error_body(DIALECTS[vendor].errors, vendor, refusal)
        if vendor == "openrouter":
            # https://openrouter.ai/docs/api-reference/errors: beside a choice that ends with finish_reason "error"
            document["choices"] = [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]
        name = b"event: error\n" if vendor in ("groq", "perplexity") else b""
        return name + b"data: " + dump_json(document) + b"\n\n"

    def limit_headers(self, vendor: str, allowances: Sequence[Allowance], wall: float) -> Mapping[str, str]:
        """In the form of each vendor."""
        return limit_headers(vendor, allowances, wall)


class _Chunks:
    """Writes the chunks of one stream."""

    def __init__(self, question: Question, answer: Answer, dialect: Dialect) -> None:
        self.frames: list[Frame] = []
        self._head = _head(question, answer, "chat.completion.chunk")
        self._question, self._answer, self._dialect = question, answer, dialect
        self._said = ""

    def event(self, document: Mapping[str, Any], tokens: int = 0) -> None:
        self.frames.append(Frame(b"data: " + dump_json(document) + b"\n\n", tokens))

    def delta(self, delta: Mapping[str, Any], tokens: int = 0, finish: str | None = None, **more: Any) -> None:
        choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": finish}
        if self._dialect.cumulative:
            self._said += delta.get("content") or ""
            choice["message"] = {"role": "assistant", "content": self._said}
        for index in range(1, self._question.choices):
            self.event({**self._head, "choices": [{**choice, "index": index}]}, tokens)
        document = {**self._head, "choices": [choice], **more}
        if self._dialect.usage == "every" and "usage" not in more:
            said = count_words(self._said)
            prompt = self._answer.prompt
            document["usage"] = {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}
        self.event(document, tokens)

    def call(self, index: int, call: SimulatedCall) -> None:
        """One tool call: whole, or its name first and its arguments in fragments that are no JSON by themselves."""
        arguments = dump_json(dict(call.arguments)).decode()
        function: dict[str, Any] = {"name": call.name, "arguments": arguments if self._dialect.whole_calls else ""}
        start = {"index": index, "id": call.id, "type": "function", "function": function}
        self.delta({"tool_calls": [start]}, 1)
        if not self._dialect.whole_calls:
            for start_at in range(0, len(arguments), 7):
                fragment = {"index": index, "function": {"arguments": arguments[start_at : start_at + 7]}}
                self.delta({"tool_calls": [fragment]}, 1)

    def end(self) -> None:
        """The finish reason, the usage, and ``[DONE]``."""
        dialect, used = self._dialect, usage(self._answer, self._dialect)
        more: dict[str, Any] = {}
        if dialect.usage in ("last", "every"):
            more["usage"] = used
        elif dialect.usage == "x_groq":
            more["x_groq"] = {"id": f"req_{self._answer.id}", "usage": used}
        self.delta({}, finish=self._answer.finish, **more)
        if self._question.stream_usage and dialect.usage in ("asked", "x_groq"):
            self.event({**self._head, "choices": [], "usage": used})
        if dialect.done:
            self.frames.append(Frame(b"data: [DONE]\n\n"))


def usage(answer: Answer, dialect: Dialect) -> dict[str, Any]:
    """The ``usage`` object; at xAI completion tokens are without the reasoning (https://docs.x.ai/docs/guides/reasoning), at
    Perplexity the total is too, and ``reasoning_tokens`` stand beside the counts."""
    thought = answer.reasoning_tokens or 0
    if dialect.reasoning_beside:
        written = answer.completion - thought
        counts = {"prompt_tokens": answer.prompt, "completion_tokens": written, "total_tokens": answer.prompt + written}
        return {**counts, "reasoning_tokens": thought} if thought else counts
    return {
        "prompt_tokens": answer.prompt,
        "completion_tokens": answer.completion - thought * dialect.reasoning_apart,
        "total_tokens": answer.prompt + answer.completion,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def _endpoint(vendor: str, dialect: Dialect, request: SimulatedRequest) -> tuple[str, str]:
    """The path below the API root, and Azure's deployment if it is in the path."""
    if vendor == "azure_openai" and request.path.startswith(DEPLOYMENTS):
        if not request.query.get("api-version"):
            raise Refusal("path")
        deployment, _, rest = request.path[len(DEPLOYMENTS) :].partition("/")
        return f"/{rest}", deployment
    if vendor == "vllm" and request.path == "/tokenize":
        return request.path, ""
    for prefix in (dialect.path, *dialect.other_paths):
        if request.path.startswith(f"{prefix}/"):
            endpoint = request.path[len(prefix) :]
            if endpoint.startswith(("/chat/", "/embeddings", "/models")):
                return endpoint, ""
    raise Refusal("path", f"Invalid URL ({request.method} {request.path})")


def _only(method: str, request: SimulatedRequest) -> None:
    if request.method != method:
        raise Refusal("method", f"Not allowed to {request.method} on {request.path}.")


def _count(vendor: str, key: str, request: SimulatedRequest) -> Question:
    _only("POST", request)
    body = request.document()
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refusal("invalid", "messages: Field required")
    tools = body.get("tools")
    words = _words(messages) + (count_values(tools) if tools else 0)
    return Question(vendor=vendor, kind="count", model=body.get("model", ""), key=key, prompt_tokens=words, body=body)


def _chat(vendor: str, key: str, deployment: str, body: Mapping[str, Any], dialect: Dialect) -> Question:
    messages = body["messages"]
    users = [message for message in messages if message["role"] == "user"]
    results: list[str] = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        results.insert(0, "".join(texts_in(message["content"])))
    wanted = body.get("response_format") or {}
    stop = body.get("stop") or ()
    tools = body.get("tools") or ()
    return Question(
        vendor=vendor,
        model=deployment or body.get("model", ""),
        key=key,
        text="\n".join(texts_in(users[-1].get("content"))) if users else "",
        results=tuple(results),
        prompt_tokens=_words(messages) + (count_values(tools) if tools else 0),
        tools=tuple([OfferedTool(t["function"]["name"], t["function"].get("parameters") or {}) for t in tools]),
        tool_choice=_choice(body.get("tool_choice")),
        stream=bool(body.get("stream")),
        stream_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        choices=body.get("n") or 1,
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        json=wanted.get("type") in ("json_object", "json_schema"),
        schema=(wanted.get("json_schema") or {}).get("schema"),
        body=body,
    )


def _words(messages: Sequence[Mapping[str, Any]]) -> int:
    words = 0
    for message in messages:
        words += sum([count_words(text) for text in texts_in(message.get("content"))])
        for call in message.get("tool_calls") or ():
            words += 1 + count_words(call["function"]["arguments"])
    return words


def _choice(choice: Any) -> str:
    if isinstance(choice, dict):
        return str(choice["function"]["name"])
    return "required" if choice == "any" else str(choice or "auto")


def _embeddings(vendor: str, key: str, deployment: str, body: Mapping[str, Any]) -> Question:
    if "input" not in body:
        raise wrong("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    if not deployment and not isinstance(body.get("model"), str):
        raise wrong("Missing required parameter: 'model'.", "model", "missing_required_parameter")
    given = [body["input"]] if isinstance(body["input"], str) else body["input"]
    if not isinstance(given, list) or not given or not all(isinstance(text, str) and text for text in given):
        raise wrong("'$.input' is invalid. Please check the API reference: expected texts that are not empty.", "input")
    if body.get("encoding_format", "float") not in ("float", "base64"):
        raise wrong("Invalid value for 'encoding_format': expected 'float' or 'base64'.", "encoding_format")
    dimensions = body.get("dimensions", body.get("output_dimension"))
    if dimensions is not None and (type(dimensions) is not int or dimensions < 1):
        raise wrong("Invalid value for 'dimensions': expected a positive integer.", "dimensions")
    return embeddings_question(vendor, key, deployment or body["model"], given, dimensions, body)


def _head(question: Question, answer: Answer, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{answer.id}", "object": kind, "created": answer.created, "model": question.model}


def _call(call: SimulatedCall) -> dict[str, Any]:
    arguments = dump_json(dict(call.arguments)).decode()
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
