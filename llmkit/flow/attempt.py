"""One try on one instance with one key: room, the request, the reply."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs

from llmkit.errors import (
    InvalidRequestError,
    InvalidResponseError,
    LLMError,
    ModelNotFoundError,
    NoInstanceAvailable,
    Recovery,
    RequestTimeout,
)
from llmkit.flow.kit import Kit
from llmkit.flow.retrying import Trail
from llmkit.policy.routes import Lease, Parked, Route
from llmkit.provider import Provider
from llmkit.values.calls import Call, ChatCall, CountCall, EmbedCall, ModelsCall
from llmkit.values.completion import Completion, Embeddings, ModelList, Timing
from llmkit.values.counts import TokenCount
from llmkit.values.instances import Instance
from llmkit.values.options import OPTION_NAMES
from llmkit.wire.errors import request_id
from llmkit.wire.http import HttpReply, HttpRequest, flaw
from llmkit.wire.redact import describe, without_secret

R = TypeVar("R")
T = TypeVar("T")

PROVIDERS_OWN = (Exception, SystemExit)
"""What a provider's own mistakes raise; an interrupt or a cancelled task is nobody's mistake."""
BODIES = (bytes, type(None))
ANSWERS: Mapping[type[Call[Any]], type] = {
    ChatCall: Completion, EmbedCall: Embeddings, ModelsCall: ModelList, CountCall: TokenCount,
}  # fmt: skip
"""The type of each call's answer; a raw call's may be anything."""


async def admitted(kit: Kit, trail: Trail) -> Lease:
    """Wait for room and lease a key.

    :raises LLMError: where nothing can serve the call soon enough: why the keys rest, or
        :class:`~llmkit.errors.NoInstanceAvailable`.
    """
    runtime = kit.runtime
    while True:
        now = runtime.now()
        found = kit.router.admit(trail.call, trail.tried, now, runtime.waiter)
        if type(found) is Lease:
            return found
        assert isinstance(found, Parked)
        lease = await _parked(kit, trail, found, now)
        if lease is not None:
            return lease


async def _parked(kit: Kit, trail: Trail, place: Parked, now: float) -> Lease | None:
    left = trail.call.deadline.left(now)
    wait = left if place.until is None else place.until - now
    refused = not place.queued and (kit.unavailable == "fail" or wait > kit.max_wait or wait >= left)
    late = trail.call.deadline.over(now)
    if refused or late:
        kit.router.leave(place, now)
        if late:
            raise trail.over(trail.call.deadline.passed())
        raise _unavailable(kit, trail, place.error)
    try:
        await kit.runtime.wait(place.waiter, min(wait, left))
    except BaseException:
        kit.router.leave(place, kit.runtime.now())
        raise
    trail.queued += kit.runtime.now() - now
    return kit.router.unpark(place)


def _unavailable(kit: Kit, trail: Trail, error: LLMError) -> LLMError:
    """The error for a call that nothing can serve soon enough; a call that failed once for the same reason says it in the
    vendor's words."""
    if len(trail.failures) == 1 and type(trail.failures[0]) is type(error):
        trail.failures[0].retry_after = error.retry_after
        error = trail.failures[0]
    if isinstance(error, NoInstanceAvailable) and error.retry_after is not None:
        error.retry_at = kit.runtime.time() + error.retry_after
    error.attempts = tuple(trail.attempts)
    return error


def prepared(kit: Kit, call: Call[Any], lease: Lease) -> tuple[Call[Any], HttpRequest, tuple[str, ...]]:
    """The call as this instance gets it, its request with the key in it, and what was dropped."""
    route = lease.route
    provider, instance = route.provider, route.instance
    dropped: tuple[str, ...] = ()
    if isinstance(call, ChatCall):
        options = kit.router.options(call, route, call.options)
        if options is not call.options:
            call = attrs.evolve(call, options=options)
        if call.stream and "stream" not in provider.features:
            raise provider.cannot("stream")
        missing = _guarded(route, "say what it supports", _missing, provider, call, instance)
        if missing:
            call, dropped = _without(call, missing, provider), missing
    elif isinstance(call, EmbedCall) and "embeddings" not in provider.features:
        raise provider.cannot("embeddings")
    request = _guarded(route, "encode the call", provider.encode, call, instance)
    if not isinstance(request, HttpRequest):
        raise _unsendable(route, request)
    if instance.headers:
        request = request.with_headers(instance.headers)
    if kit.hooks.request:
        request = _hooked(kit, call, request, route)
    if lease.key.secret is not None:
        request = _guarded(route, "authorize the request", provider.authorize, request, lease.key.secret)
        if not isinstance(request, HttpRequest):
            raise _unsendable(route, request)
    if request.body.__class__ not in BODIES:
        raise _mistaken(route, f"made a request whose body is {type(request.body).__name__}, not bytes")
    return call, request, dropped


def _missing(provider: Provider, call: ChatCall, instance: Instance) -> tuple[str, ...]:
    return tuple(provider.unsupported(call, instance))


def _guarded(route: Route, what: str, method: Callable[..., T], *given: Any) -> T:
    """What a provider's method returns; its own mistakes must not look like the caller's, nor escape untyped."""
    try:
        return method(*given)
    except LLMError:
        raise
    except PROVIDERS_OWN as problem:
        said = describe(problem)
    raise _mistaken(route, f"cannot {what} ({said})")


def _unsendable(route: Route, request: Any) -> InvalidRequestError:
    return _mistaken(route, f"made {type(request).__name__}, not an HttpRequest")


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
            if isinstance(answer, ANSWERS.get(type(call), object)):
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


def stamp(answer: Any, route: Route, trail: Trail, now: float, headers: Any, first_event: float | None = None) -> None:
    """Write on an answer that nobody has seen yet how it was got; it is frozen from here on."""
    vars(answer).update(
        provider=route.instance.provider,
        instance=route.name,
        headers=headers,
        request_id=request_id(headers),
        attempts=tuple(trail.attempts),
        timing=Timing(now - trail.started, trail.queued, first_event),
    )
