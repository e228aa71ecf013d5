"""What a vendor must be able to say.

A provider turns a :class:`~llmkit.values.calls.Call` into an :class:`~llmkit.wire.http.HttpRequest`, and bytes into values. It
never sees a socket, a clock, the environment, or (outside :meth:`Provider.authorize`) a key. One object serves every instance,
thread and event loop, so it keeps nothing between calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import attrs

from llmkit.errors import LLMError, Recovery, UnsupportedParameterError
from llmkit.values.calls import Call, ChatCall
from llmkit.values.completion import Completion
from llmkit.values.instances import Instance
from llmkit.values.messages import Message
from llmkit.values.options import NO_OPTIONS
from llmkit.values.secret import Secret
from llmkit.wire.errors import error_for
from llmkit.wire.http import HttpReply, HttpRequest
from llmkit.wire.json import dump_json, parse_json

if TYPE_CHECKING:
    from llmkit.values.counts import TokenCount
    from llmkit.values.embeddings import Embeddings
    from llmkit.values.events import Event
    from llmkit.values.models import ModelList
    from llmkit.values.other_calls import CountCall, EmbedCall, ModelsCall, RawCall

API_VERSION = 1
"""Version of this contract. A provider made for another one is refused when it is loaded."""

FEATURES: Mapping[str, str] = {
    "chat": "messages in, a message out",
    "stream": "an answer in pieces",
    "embeddings": "texts in, vectors out",
    "models": "a list of what the vendor offers",
    "count_tokens": "a count of a prompt's tokens by the vendor",
    "max_tokens": "a limit on the answer's length",
    "temperature": "sampling temperature",
    "top_p": "nucleus sampling",
    "stop": "texts at which the model stops",
    "seed": "repeatable sampling",
    "reasoning_effort": "a say in how much the model thinks",
    "tools": "tools the client runs",
    "tool_choice": "a say in whether and which tools are called",
    "json": "any JSON object as the answer",
    "json_schema": "an answer of a given shape",
    "images": "pictures in messages",
    "image_urls": "pictures the vendor fetches from a URL",
    "audio": "sound in messages",
    "files": "documents in messages",
    "dimensions": "a chosen length of embeddings",
}
"""The vocabulary of :attr:`Provider.features`: each is a parameter of a call, or a kind of part in a message."""


GO_ON = (
    "Your last message was cut off by a broken connection. Continue it exactly where it stops, as if it had never been "
    "interrupted: repeat none of it, and say nothing about the interruption."
)
"""What asks for the rest of an answer, where the vendor cannot continue an assistant's message."""


class StreamDecoder(Protocol):
    """Turns the bytes of one streamed answer into events. One object per stream."""

    complete: bool
    """True once the vendor's terminal event, or a finish reason, has come."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data``, cut anywhere, completes; ``data`` may be empty.

        An error that follows events in the same bytes does not take them away: the events are given now, and the next call,
        :meth:`feed` (also of no bytes) or :meth:`finish`, raises it.

        :raises LLMError: the vendor's error inside the stream, or :class:`~llmkit.errors.InvalidResponseError`.
        """

    def finish(self) -> list[Event]:
        """The events that the end of the stream completes. The flow checks :attr:`complete` afterwards.

        :raises LLMError: as :meth:`feed`.
        """


class Provider:
    """Base of every provider. A subclass sets the class attributes and fills in what its vendor can do."""

    api_version: ClassVar[int] = API_VERSION
    name: ClassVar[str]
    """The entry point's name, such as ``openai``."""
    title: ClassVar[str] = ""
    """The vendor's name as people write it."""
    base_url: ClassVar[str] = ""
    """The API root as the vendor's documentation gives it; empty where every user has their own."""
    docs: ClassVar[str] = ""
    """Where the vendor documents this API."""
    key_names: ClassVar[tuple[str, ...]] = ()
    """Environment variables that hold the key, first found wins; the same names with ``S`` hold comma-separated lists."""
    base_url_names: ClassVar[tuple[str, ...]] = ()
    """Environment variables that hold the API root, first found wins."""
    needs_key: ClassVar[bool] = True
    """False for local servers, where a key is optional."""
    features: ClassVar[frozenset[str]] = frozenset({"chat"})
    """What the vendor can do, in the words of :data:`FEATURES`; anything else is refused before sending."""
    settings: ClassVar[Mapping[str, str]] = {}
    """Settings of this provider alone, with a sentence about each; any other name is a configuration error."""
    endpoints: ClassVar[tuple[str, ...]] = ()
    """Path ends that turn the API root into a full endpoint; taken off a ``base_url`` that has one."""
    statuses: ClassVar[Mapping[int, tuple[type[LLMError], Recovery]]] = {}
    """HTTP statuses that mean at this vendor what they mean nowhere else, and what may help."""

    def __init__(self, **_: Any) -> None:
        """Providers are made once, without arguments."""

    # ------------------------------------------------------------------------------------------- what goes out

    def root(self, instance: Instance) -> str:
        """The API root for ``instance``, without query or final slash; a full endpoint URL is cut back to its root."""
        return _cut_back(instance.base_url or self.base_url, self.endpoints)

    def base_url_from(self, value: str) -> str:
        """The base URL that an environment variable of :attr:`base_url_names` means; the base takes it as it is."""
        return value

    def encode(self, call: Call[Any], instance: Instance) -> HttpRequest:
        """The request for a call, without a key."""
        request: HttpRequest = getattr(self, f"encode_{call.kind}")(call, instance)
        return request

    def encode_chat(self, call: ChatCall, instance: Instance) -> HttpRequest:
        """The request for a chat call, streamed or not."""
        raise self.cannot("chat")

    def continued(self, call: ChatCall, instance: Instance, text: str) -> ChatCall:
        """``call`` such that its answer goes on after ``text``, which is what an interrupted answer had brought.

        The base adds ``text`` as the assistant's and asks for the rest (:data:`GO_ON`). A subclass whose vendor continues an
        assistant's message by itself says so in its own way; its answer must not begin with ``text`` again.
        """
        return attrs.evolve(call, messages=(*call.messages, Message.assistant(text), Message.user(GO_ON)))

    def encode_embed(self, call: EmbedCall, instance: Instance) -> HttpRequest:
        """The request for embeddings."""
        raise self.cannot("embeddings")

    def encode_models(self, call: ModelsCall, instance: Instance) -> HttpRequest:
        """The request for one page of the model list."""
        raise self.cannot("models")

    def encode_count(self, call: CountCall, instance: Instance) -> HttpRequest:
        """The request for a count of the tokens of a prompt."""
        raise self.cannot("count_tokens")

    def encode_raw(self, call: RawCall, instance: Instance) -> HttpRequest:
        """A request of the user's own: ``path`` is joined to the API root."""
        body = None if call.json is None else dump_json(call.json)
        headers = {} if body is None else {"Content-Type": "application/json"}
        return HttpRequest(call.method.upper(), f"{self.root(instance)}/{call.path.lstrip('/')}", headers, body)

    def authorize(self, request: HttpRequest, key: Secret) -> HttpRequest:
        """The request with the key in a header, never in the URL. Called last, after the hooks."""
        return request.with_headers({"Authorization": f"Bearer {key.reveal()}"})

    # ------------------------------------------------------------------------------------------- what comes back

    def decode(self, call: Call[Any], reply: HttpReply) -> Any:
        """The answer in a whole reply with a 2xx status.

        :raises LLMError: the vendor's error inside a 200, or :class:`~llmkit.errors.InvalidResponseError`.
        """
        return getattr(self, f"decode_{call.kind}")(call, reply)

    def decode_chat(self, call: ChatCall, reply: HttpReply) -> Completion:
        """The completion in a whole reply."""
        raise self.cannot("chat")

    def decode_embed(self, call: EmbedCall, reply: HttpReply) -> Embeddings:
        """The vectors in a reply."""
        raise self.cannot("embeddings")

    def decode_models(self, call: ModelsCall, reply: HttpReply) -> ModelList:
        """The models in a reply."""
        raise self.cannot("models")

    def decode_count(self, call: CountCall, reply: HttpReply) -> TokenCount:
        """The count in a reply, and whether it is of the whole prompt."""
        raise self.cannot("count_tokens")

    def decode_raw(self, call: RawCall, reply: HttpReply) -> Any:
        """The JSON in a reply to a request of the user's own; None for an empty one."""
        return parse_json(reply.body) if reply.body else None

    def decoder(self, call: ChatCall, headers: Mapping[str, str]) -> StreamDecoder:
        """A decoder for one streamed reply whose status is 2xx; ``headers`` has its content type."""
        raise self.cannot("stream")

    def error(self, reply: HttpReply) -> LLMError:
        """The typed error for a reply whose status is not 2xx.

        The base knows the shapes ``{"error": {"message", "type", "code"}}``, ``{"error": "..."}`` and ``{"message": "..."}``.
        """
        message, codes = error_fields(reply.body)
        return error_for(
            reply.status, message, codes=codes, provider=self.name, headers=reply.headers, body=reply.body, own=self.statuses
        )

    # ------------------------------------------------------------------------------------------- what is possible

    def unsupported(self, call: ChatCall, instance: Instance) -> tuple[str, ...]:
        """Features that ``call`` asks for and this vendor, or this model, does not have.

        The base looks at :attr:`features`; a subclass adds what depends on the model.
        """
        asked = asked_for(call)
        return tuple([feature for feature in asked if feature not in self.features]) if asked else ()

    def cannot(self, *features: str) -> UnsupportedParameterError:
        """The error for features the vendor does not have."""
        said = ", ".join(f"{feature} ({FEATURES.get(feature, 'a parameter')})" for feature in features)
        return UnsupportedParameterError(
            f"{self.title or self.name} does not support {said}", provider=self.name, parameters=tuple(features)
        )


@lru_cache(maxsize=1000)
def _cut_back(url: str, endpoints: tuple[str, ...]) -> str:
    root = url.partition("?")[0].rstrip("/")
    for endpoint in endpoints:
        if root.endswith(endpoint):
            return root[: -len(endpoint)].rstrip("/")
    return root


def error_fields(body: bytes | Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The message and the codes (most specific first) of an error body in one of the usual shapes; a body that is none of
    them is its own message."""
    if isinstance(body, Mapping):
        document: Any = body
    else:
        try:
            document = parse_json(body)
        except LLMError:
            return body[:500].decode("utf-8", "replace"), ()
    if isinstance(document, list) and document:
        document = document[0]
    if not isinstance(document, Mapping):
        return str(document or ""), ()
    error = document.get("error", document)
    if not isinstance(error, Mapping):
        return str(error or document.get("message") or ""), tuple(_words(document, "code", "type"))
    message = error.get("message") or document.get("message") or error.get("detail") or document.get("detail") or ""
    return message if isinstance(message, str) else dump_json(message).decode(), tuple(_words(error, "code", "type", "status"))


def _words(source: Mapping[str, Any], *names: str) -> list[str]:
    return [str(source[name]) for name in names if source.get(name) not in (None, "")]


OPTION_FEATURES = ("max_tokens", "temperature", "top_p", "stop", "seed", "reasoning_effort", "tools", "tool_choice")


def asked_for(call: ChatCall) -> list[str]:
    """The features a chat call needs, in the words of :data:`FEATURES`."""
    options = call.options
    asked = []
    if options is not NO_OPTIONS:
        asked += [name for name in OPTION_FEATURES if getattr(options, name) is not None]
        if options.response_format is not None:
            asked.append("json" if options.response_format == "json" else "json_schema")
    for message in call.messages:
        for part in message.content:
            feature = PART_FEATURES.get(part.type)
            if feature is not None and feature not in asked:
                asked.append(feature)
                if feature == "images" and getattr(part, "url", None) is not None:
                    asked.append("image_urls")
    return asked


PART_FEATURES = {"image": "images", "audio": "audio", "file": "files"}
