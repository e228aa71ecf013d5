"""How the vendors of the OpenAI dialect say no."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmkit.simulated import KINDS, ErrorReply, Refusal
from llmkit.wire.json import dump_json

ERRORS: Mapping[str, tuple[str, str | None, str]] = {
    "invalid": ("invalid_request_error", None, "Invalid request."),
    "unprocessable": ("invalid_request_error", None, "Invalid request."),
    "context_length": (
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is 128000 tokens. However, your messages resulted in more tokens. "
        "Please reduce the length of the messages.",
    ),
    "content_filter": (
        "invalid_request_error",
        "content_policy_violation",
        "Your request was rejected as a result of our safety system.",
    ),
    "authentication": ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    "permission": ("invalid_request_error", "permission_denied", "You do not have access to this resource."),
    "quota": (
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "model": ("invalid_request_error", "model_not_found", "The model does not exist or you do not have access to it."),
    "path": ("invalid_request_error", None, "Invalid URL"),
    "method": ("invalid_request_error", "method_not_supported", "Not allowed to use this method on this URL."),
    "timeout": ("timeout", None, "Request timed out."),
    "too_large": ("invalid_request_error", "request_too_large", "Request body is too large."),
    "rate_limit": ("requests", "rate_limit_exceeded", "Rate limit reached. Please try again later."),
    "server": ("server_error", None, "The server had an error while processing your request. Sorry about that!"),
    "bad_gateway": ("server_error", None, "Bad gateway."),
    "overloaded": ("server_error", None, "The engine is currently overloaded, please try again later."),
    "gateway_timeout": ("server_error", None, "Gateway timeout."),
}
"""Kind of refusal: type, code and sentence at OpenAI (https://platform.openai.com/docs/guides/error-codes)."""

STATUSES: Mapping[str, Mapping[str, int]] = {
    "openai": {"quota": 429},
    "azure_openai": {"quota": 429},
    "mistral": {"model": 400},
    "xai": {"authentication": 400, "model": 400},
    "openrouter": {"model": 400, "content_filter": 403},
    "perplexity": {"model": 400},
    "deepseek": {"model": 400},
}
"""Statuses that are not the usual ones of :data:`~llmkit.simulated.KINDS`."""


def error_body(style: str, vendor: str, refusal: Refusal) -> tuple[int, Any]:
    """The status and the document of a refusal in a vendor's shape."""
    status = refusal.status or STATUSES.get(vendor, {}).get(refusal.kind) or KINDS[refusal.kind]
    kind, code, usual = ERRORS[refusal.kind]
    code = refusal.code or code
    message = refusal.message or usual
    if style == "azure":
        return status, _azure(refusal, message, kind, code)
    if style == "mistral":
        return status, _mistral(refusal, status, message, kind)
    if style == "openrouter":
        return status, {"error": {"code": status, "message": message}, "user_id": "user_simulated"}
    if style == "perplexity":
        return status, {"error": {"message": message, "type": code or kind, "code": status}}
    if style == "xai":
        return status, {"code": XAI.get(status, "internal-error"), "error": message}
    if style == "plain" and refusal.kind in ("path", "server"):
        return status, {"error": message}
    if vendor == "vllm":
        words = {400: "BadRequestError", 401: "AuthenticationError", 404: "NotFoundError", 422: "BadRequestError"}
        kind = words.get(status, "InternalServerError")
        return status, {"error": {"message": message, "type": kind, "param": refusal.param, "code": status}}
    return status, {"error": {"message": message, "type": kind, "param": refusal.param, "code": code}}


XAI = {
    400: "invalid-argument", 401: "unauthenticated:no-credentials", 402: "personal-team-blocked:spending-limit",
    403: "permission-denied", 404: "not-found", 429: "resource-exhausted:rate-limit",
}  # fmt: skip


def _azure(refusal: Refusal, message: str, kind: str, code: str | None) -> Any:
    if refusal.kind == "content_filter":
        result = {name: {"filtered": name == "violence", "severity": "high" if name == "violence" else "safe"}
                  for name in ("hate", "self_harm", "sexual", "violence")}  # fmt: skip
        inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": result}
        usual = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
        error = {"message": refusal.message or usual, "type": None, "param": "prompt", "code": "content_filter", "status": 400}
        return {"error": {**error, "innererror": inner}}
    words = {
        "authentication": ("401", "Access denied due to invalid subscription key or wrong API endpoint."),
        "model": ("DeploymentNotFound", "The API deployment for this resource does not exist."),
        "path": ("404", "Resource not found"),
        "rate_limit": ("429", "Requests have exceeded call rate limit of your current pricing tier. Please retry later."),
    }
    if refusal.kind in words:
        given, usual = words[refusal.kind]
        return {"error": {"code": given, "message": refusal.message or usual}}
    return {"error": {"message": message, "type": kind, "param": refusal.param, "code": code}}


def _mistral(refusal: Refusal, status: int, message: str, kind: str) -> Any:
    if status == 422:
        at = ["body", *([refusal.param] if refusal.param else [])]
        return {"object": "error", "message": {"detail": [{"type": refusal.code or "value_error", "loc": at, "msg": message}]},
                "type": "invalid_request_error", "param": None, "code": None}  # fmt: skip
    if refusal.kind == "model":
        words = refusal.message or "Invalid model"
        return {"object": "error", "message": words, "type": "invalid_model", "param": None, "code": "1500"}
    if refusal.kind in ("authentication", "path"):
        return {"detail": "Unauthorized" if refusal.kind == "authentication" else "Not Found"}
    code = {"rate_limit": "1300", "quota": "2002", "context_length": "3051"}.get(refusal.kind)
    return {"object": "error", "message": message, "type": kind, "param": refusal.param, "code": code}


def error_reply(style: str, vendor: str, refusal: Refusal, headers: Mapping[str, str]) -> ErrorReply:
    """A refusal as the vendor sends it."""
    status, document = error_body(style, vendor, refusal)
    return ErrorReply(status, {"content-type": "application/json", **headers}, dump_json(document))
