"""One try on one instance with one key: room, the request, the reply."""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

import attrs

from llmkit.errors import (
    InvalidRequestError,
    InvalidResponseError,
    LLMError,
    ModelNotFoundError,
    Recovery,
    RequestTimeout,
)
from llmkit.flow.kit import Kit
from llmkit.flow.retrying import Trail
from llmkit.policy.routes import Lease, Route
from llmkit.provider import Provider
from llmkit.values.calls import Call, ChatCall
from llmkit.values.options import NO_OPTIONS, OPTION_NAMES
from llmkit.wire.errors import request_id
from llmkit.wire.http import HttpReply, HttpRequest, flaw
from llmkit.wire.redact import describe, without_secret

R = TypeVar("R")

PROVIDERS_OWN = (Exception, SystemExit)
"""What a provider's own mistakes raise; an interrupt or a cancelled task is nobody's mistake."""
BODIES = (bytes, type(None))


def prepared(
    kit: Kit, call: Call[Any], lease: Lease, after: str | None = None
) -> tuple[Call[Any], HttpRequest, tuple[str, ...]]:
    """The call as this instance gets it, its request with the key in it, and what was dropped.

    :param after: what its answer has brought already, and is to go on after.

    A provider's own mistakes must not look like the caller's, nor escape untyped.
    """
    route = lease.route
    provider, instance = route.provider, route.instance
    dropped: tuple[str, ...] = ()
    step = "say what it supports"
    try:
        if isinstance(call, ChatCall):
            if call.task is not None or instance.options is not NO_OPTIONS:
                call = attrs.evolve(call, options=kit.router.options(call, route, call.options))
            if call.stream and "stream" not in provider.features:
                raise provider.cannot("stream")
            dropped = tuple(provider.unsupported(call, instance))
            if dropped:
                call = _without(call, dropped, provider)
        elif call.kind == "embed" and "embeddings" not in provider.features:
            raise provider.cannot("embeddings")
        step = "encode the call"
        if after is not None and isinstance(call, ChatCall):
            call = provider.continued(call, instance, after)
        request = provider.encode(call, instance)
        _check_request(route, request)
        if instance.headers:
            request = request.with_headers(instance.headers)
        if kit.hooks.request:
            request = _hooked(kit, call, request, route)
        if lease.key.secret is not None:
            step = "authorize the request"
            request = provider.authorize(request, lease.key.secret)
            _check_request(route, request)
        return call, request, dropped
    except (LLMError, Warning):
        raise
    except PROVIDERS_OWN as problem:
        said = describe(problem)
    raise _mistaken(route, f"cannot {step} ({said})")


def _check_request(route: Route, request: Any) -> None:
    if not isinstance(request, HttpRequest):
        raise _mistaken(route, f"made {type(request).__name__}, not an HttpRequest")
    if request.body.__class__ not in BODIES:
        raise _mistaken(route, f"made a request whose body is {type(request.body).__name__}, not bytes")


def _mistaken(route: Route, said: str) -> InvalidRequestError:
    return InvalidRequestError(f"provider {route.provider.name!r} {said}", recovery=Recovery.OTHER_INSTANCE)


def _hooked(kit: Kit, call: Call[Any], request: HttpRequest, route: Route) -> HttpRequest:
    """The request after the hooks, which may change anything but where it goes: the key belongs to that origin."""
    origin = request.url.split("/", 3)[:3]
    assert kit.hooks.request is not None
    shown = attrs.evolve(request, headers=dict(request.headers))  # a hook may write into them; they may be the provider's own
    changed = kit.hooks.request(call=call, instance=route.name, request=shown)
    if said := flaw(changed):
        raise InvalidRequestError(f"a hook made a request that cannot be sent: {said}")
    if changed.url.split("/", 3)[:3] != origin:
        raise InvalidRequestError("a hook changed the host of the request; the instance's key is bound to its own host")
    return changed  # type: ignore[no-any-return]


def _without(call: ChatCall, missing: tuple[str, ...], provider: Provider) -> Any:
    """The call without what the vendor cannot do.

    :raises UnsupportedParameterError: unless ``on_unsupported`` allows to leave things out.
    """
    if call.on_unsupported == "error" or "chat" in missing or "stream" in missing:
        raise provider.cannot(*missing)
    if call.on_unsupported == "warn":
        warnings.warn(f"{provider.title or provider.name} does not support {', '.join(missing)}: left out", stacklevel=2)
    options = attrs.evolve(call.options, **{name: None for name in missing if name in OPTION_NAMES})
    if {"json", "json_schema"} & set(missing):
        options = attrs.evolve(options, response_format=None)
    kinds = {"images": "image", "audio": "audio", "files": "file"}
    gone = {kind for feature, kind in kinds.items() if feature in missing}
    urls = "image_urls" in missing
    messages = tuple(
        attrs.evolve(
            message,
            content=tuple(
                part
                for part in message.content
                if part.type not in gone and not (urls and part.type == "image" and getattr(part, "url", None) is not None)
            ),
        )
        for message in call.messages
    )
    return attrs.evolve(call, options=options, messages=messages)


def decoded(call: Call[R], reply: HttpReply, route: Route) -> R:
    """The answer in a reply.

    :raises LLMError: the vendor's error, or :class:`~llmkit.errors.InvalidResponseError` for a reply that makes no sense.
    """
    provider = route.provider
    try:
        if 200 <= reply.status < 300:
            answer: R = provider.decode(call, reply)
            if isinstance(answer, call.answer):
                return answer
            problem: BaseException = TypeError(f"decode returned {type(answer).__name__}")
        else:
            found: Any = provider.error(reply)
            problem = found if isinstance(found, LLMError) else TypeError(f"error returned {type(found).__name__}")
    except PROVIDERS_OWN as raised:
        problem = raised
    error = problem if isinstance(problem, LLMError) else unreadable(provider, problem)
    error.ambiguous = error.ambiguous or (reply.status < 300 and isinstance(error, InvalidResponseError))
    error.status = error.status or reply.status
    if error.status == 404 and isinstance(error, ModelNotFoundError):  # as often a wrong base_url as a wrong model
        error.message = f"{error.message} (asked at {provider.root(route.instance)})"
    error.request_id = error.request_id or request_id(reply.headers)
    raise error


def unreadable(provider: Provider, problem: BaseException) -> InvalidResponseError:
    """The error for a reply of a shape that the provider did not expect."""
    return InvalidResponseError(f"provider {provider.name!r} cannot read the reply ({describe(problem)})", ambiguous=True)


def bare(error: LLMError, lease: Lease) -> LLMError:
    """``error`` without the key that a vendor may echo, and without the frames it came through, where a request with the key
    in it lies."""
    if lease.key.secret is not None:
        secret = lease.key.secret
        for name in ("message", "body", "vendor_code", "request_id"):
            if isinstance(text := getattr(error, name), str):
                setattr(error, name, without_secret(text, secret.reveal()))
        error.args = (error.message,)
    return error.with_traceback(None)


def timed_out(call: Call[Any], error: LLMError, now: float) -> LLMError:
    """``error``, or the call's own timeout where the deadline is what ran out."""
    if isinstance(error, RequestTimeout) and error.phase != "connect" and call.deadline.over(now):
        passed = call.deadline.passed()
        passed.ambiguous = error.ambiguous
        return passed
    return error


def keep_raw(answer: Any, reply: HttpReply) -> None:
    """Keep the reply's bytes in the place of the JSON in it, and its headers small; a reply in another form may come from anybody's
    provider."""
    fields, body = answer.__dict__, reply.body
    if fields.get("raw") is not None and body[:1] == b"{":
        del fields["raw"]
        fields["_body"] = body
    if (pack := getattr(reply.headers, "pack", None)) is not None:
        pack()


def stamp(answer: Any, route: Route, trail: Trail, now: float, headers: Any, first_event: float | None = None) -> None:
    """Write on an answer that nobody has seen yet how it was got; it is frozen from here on. What it cost is found when it is
    read."""
    fields = answer.__dict__
    fields["provider"] = route.instance.provider
    fields["instance"] = route.name
    fields["headers"] = headers
    fields["request_id"] = request_id(headers)
    fields["_tries"] = tuple(trail.tries)
    fields["_times"] = (now - trail.started, trail.queued, first_event)
    fields.pop("attempts", None)
    fields.pop("timing", None)
    fields["_pricer"] = route.pricer
    if fields.get("cost") is None:
        fields.pop("cost", None)
