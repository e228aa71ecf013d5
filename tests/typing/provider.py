"""A vendor of a third party, as mypy --strict and pyright strict accept it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from llmkit.provider import Provider, StreamDecoder
from llmkit.values.calls import ChatCall
from llmkit.values.completion import Completion
from llmkit.values.events import Event, TextDelta
from llmkit.values.instances import Instance
from llmkit.values.messages import Message
from llmkit.values.secret import Secret
from llmkit.wire.http import HttpReply, HttpRequest
from llmkit.wire.json import dump_json, parse_object


class Parrot(Provider):
    """Overrides what a vendor overrides."""

    name: ClassVar[str] = "parrot"
    features: ClassVar[frozenset[str]] = frozenset({"chat", "stream"})

    def encode_chat(self, call: ChatCall, instance: Instance) -> HttpRequest:
        """A request."""
        return HttpRequest("POST", f"{self.root(instance)}/say", {}, dump_json({"say": call.messages[-1].text}))

    def authorize(self, request: HttpRequest, key: Secret) -> HttpRequest:
        """A header of its own."""
        return request.with_headers({"X-Key": key.reveal()})

    def decode_chat(self, call: ChatCall, reply: HttpReply) -> Completion:
        """An answer."""
        return Completion(Message.assistant(str(parse_object(reply.body)["said"])))

    def decoder(self, call: ChatCall, headers: Mapping[str, str]) -> StreamDecoder:
        """A decoder that satisfies the protocol."""
        return ParrotDecoder()


class ParrotDecoder:
    """Satisfies StreamDecoder without inheriting from it."""

    complete: bool = False

    def feed(self, data: bytes) -> list[Event]:
        """Events."""
        return [TextDelta(data.decode())]

    def finish(self) -> list[Event]:
        """No events."""
        self.complete = True
        return []


class Deaf:
    """No decoder: it cannot be fed."""

    complete: bool = False


decoder: StreamDecoder = Deaf()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
