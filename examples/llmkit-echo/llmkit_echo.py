"""An llmkit provider for the echo server, in the one file that a vendor needs.

The server's whole interface is ``POST /echo`` with ``{"say": "...", "most_words": 5, "pieces": false}``. It answers with
``{"said": "...", "heard_words": 3, "said_words": 3, "why": "done"}``, or, where ``pieces`` is true, with one JSON object a
line: ``{"piece": "..."}`` as often as it likes, then a last line that has the word counts and ``why``. A failure has its HTTP
status and ``{"error": {"message": "...", "code": "..."}}``, which the base class understands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from llmkit.errors import InvalidResponseError
from llmkit.provider import Provider
from llmkit.values.calls import ChatCall
from llmkit.values.completion import Completion, FinishReason
from llmkit.values.events import Event, StreamFinished, StreamStarted, TextDelta, UsageReported
from llmkit.values.instances import Instance
from llmkit.values.messages import Message
from llmkit.values.usage import Usage, tokens
from llmkit.wire.http import HttpReply, HttpRequest
from llmkit.wire.json import dump_json, parse_object
from llmkit.wire.lines import LineDecoder

FINISH = {"done": FinishReason.STOP, "most_words": FinishReason.LENGTH}
"""The server's words for why it stopped."""


class Echo(Provider):
    """Says the last message back, word by word."""

    name: ClassVar[str] = "echo"
    title: ClassVar[str] = "Echo"
    base_url: ClassVar[str] = "http://127.0.0.1:8765"
    key_names: ClassVar[tuple[str, ...]] = ("ECHO_API_KEY",)
    needs_key: ClassVar[bool] = False
    features: ClassVar[frozenset[str]] = frozenset({"chat", "stream", "max_tokens"})
    endpoints: ClassVar[tuple[str, ...]] = ("/echo",)

    def encode_chat(self, call: ChatCall, instance: Instance) -> HttpRequest:
        """What goes out: the last message's text, and only those options that were set."""
        body: dict[str, Any] = {"say": call.messages[-1].text, "pieces": call.stream}
        if call.options.max_tokens is not None:
            body["most_words"] = call.options.max_tokens
        body.update(call.options.extra or {})
        headers = {"Content-Type": "application/json"}
        return HttpRequest("POST", f"{self.root(instance)}/echo", headers, dump_json(body))

    def decode_chat(self, call: ChatCall, reply: HttpReply) -> Completion:
        """What comes back, whole."""
        document = parse_object(reply.body)
        if not isinstance(document.get("said"), str):
            raise InvalidResponseError("the echo server's answer has no text", provider=self.name)
        return Completion(
            Message.assistant(document["said"]),
            finish_reason=FINISH.get(document.get("why", ""), FinishReason.UNKNOWN),
            raw_finish_reason=document.get("why"),
            usage=usage(document),
            raw=document,
        )

    def decoder(self, call: ChatCall, headers: Mapping[str, str]) -> EchoDecoder:
        """What comes back, in pieces."""
        return EchoDecoder()


class EchoDecoder:
    """Lines in, cut anywhere; events out."""

    def __init__(self) -> None:
        self.complete = False
        self._lines = LineDecoder()
        self._started = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes."""
        return [event for line in self._lines.feed(data) for event in self._events(parse_object(line))]

    def finish(self) -> list[Event]:
        """The events of a last line without its line break."""
        return [event for line in self._lines.finish() for event in self._events(parse_object(line))]

    def _events(self, document: dict[str, Any]) -> list[Event]:
        events: list[Event] = [] if self._started else [StreamStarted()]
        self._started = True
        if isinstance(document.get("piece"), str):
            events.append(TextDelta(document["piece"]))
        if "why" in document:
            self.complete = True
            why = document["why"]
            events += [UsageReported(usage(document)), StreamFinished(FINISH.get(why, FinishReason.UNKNOWN), why)]
        return events


def usage(document: dict[str, Any]) -> Usage:
    """The server counts words; they stand for tokens."""
    try:
        heard, said = tokens(document.get("heard_words")), tokens(document.get("said_words"))
    except ValueError as problem:
        message = str(problem)
    else:
        return Usage(heard, said, heard + said)
    raise InvalidResponseError(message, provider=Echo.name)
