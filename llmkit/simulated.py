"""What a vendor's simulated half must be able to say: the other side of :mod:`llmkit.provider`.

A simulated half reads what a client of the vendor sends, as strictly as the vendor does, and writes what the vendor would
answer. It is pure: no socket, no clock, no chance. :mod:`llmkit.simulator` finds the halves by the entry-point group
``llmkit.simulators`` and puts a server, scripts, limits and faults around them.

Tokens are words here: a text has as many as ``text.split()`` has items, so that tests can compare books to the token.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import attrs

from llmkit.errors import LLMError
from llmkit.wire.json import parse_object

KINDS: Mapping[str, int] = {
    "invalid": 400,
    "context_length": 400,
    "content_filter": 400,
    "authentication": 401,
    "quota": 402,
    "permission": 403,
    "model": 404,
    "path": 404,
    "method": 405,
    "timeout": 408,
    "too_large": 413,
    "unprocessable": 422,
    "rate_limit": 429,
    "server": 500,
    "bad_gateway": 502,
    "overloaded": 503,
    "gateway_timeout": 504,
}
"""The words for what a vendor may refuse with, and the usual status of each; a vendor's own status may differ."""


class Refusal(Exception):
    """What a vendor says instead of an answer.

    :param kind: one of :data:`KINDS`.
    :param message: the vendor's sentence; empty for its usual one.
    :param status: the HTTP status, where it is not the vendor's usual one for this kind.
    :param param: the field of the request that is wrong.
    :param code: the vendor's own code, where it is not the usual one for this kind.
    :param retry_after: seconds after which the vendor asks to come back.
    """

    def __init__(
        self,
        kind: str,
        message: str = "",
        *,
        status: int | None = None,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.param = param
        self.code = code
        self.retry_after = retry_after


@attrs.frozen
class SimulatedRequest:
    """One request as it came in. ``path`` is what follows the vendor's name; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> dict[str, Any]:
        """The body as a JSON object.

        :raises Refusal: if it is none.
        """
        try:
            return parse_object(self.body)
        except LLMError:
            pass
        raise Refusal("invalid", "We could not parse the JSON body of your request.")


@attrs.frozen
class OfferedTool:
    """A tool the model may call. ``parameters`` is its JSON schema."""

    name: str
    parameters: Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Question:
    """A request understood: the same for every vendor."""

    vendor: str
    kind: str = "chat"
    """``chat``, ``embeddings``, ``models``, ``model`` (one of them) or ``count`` (tokens)."""
    model: str = ""
    key: str = ""
    text: str = ""
    """The last user message's text."""
    results: tuple[str, ...] = ()
    """Texts of the tool results at the end of the conversation."""
    prompt_tokens: int = 0
    """Words in everything that was sent for the model to read."""
    tools: tuple[OfferedTool, ...] = ()
    tool_choice: str = "auto"
    """``auto``, ``none``, ``required``, or the name of the tool that must be called."""
    stream: bool = False
    stream_usage: bool = True
    """Whether a stream is to tell the tokens used."""
    choices: int = 1
    """How many answers are wanted; all get the same."""
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    json: bool = False
    schema: Mapping[str, Any] | None = None
    inputs: tuple[str, ...] = ()
    """Texts to embed."""
    dimensions: int | None = None
    page: str = ""
    """Where a page of the model list begins."""
    page_size: int = 1000
    body: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen
class SimulatedCall:
    """One tool call of an answer."""

    name: str
    arguments: Mapping[str, Any]
    id: str = ""
    """Empty for one made from the answer's id."""


@attrs.frozen(kw_only=True)
class Answer:
    """What the simulated model says."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[SimulatedCall, ...] = ()
    finish: str = ""
    """``stop``, ``length``, ``tool_calls`` or ``content_filter``; empty for ``tool_calls`` with calls and ``stop`` without."""
    refusal: str = ""
    prompt_tokens: int | None = None
    """None for the words of the request."""
    completion_tokens: int | None = None
    """Reasoning included; None for the words of the answer."""
    cached_tokens: int = 0
    """Prompt tokens read from the vendor's cache; they are part of the prompt tokens."""
    reasoning_tokens: int | None = None
    id: str = ""
    created: int = 0

    def settled(self, question: Question, id: str, created: int) -> Answer:
        """The same answer with nothing left open."""
        finish = self.finish or ("tool_calls" if self.tool_calls else "stop")
        reasoning = count_words(self.reasoning) if self.reasoning_tokens is None else self.reasoning_tokens
        calls = tuple([attrs.evolve(c, id=c.id or f"{id[:7]}{n:02d}") for n, c in enumerate(self.tool_calls)])
        completion = self.completion_tokens
        if completion is None:
            completion = count_words(self.text) + count_words(self.refusal) + reasoning
            completion += sum([1 + count_values(call.arguments) for call in calls])
            completion *= question.choices
        prompt = question.prompt_tokens if self.prompt_tokens is None else self.prompt_tokens
        return Answer(  # not evolve(), which takes longer than all of the above
            text=self.text,
            reasoning=self.reasoning,
            tool_calls=calls,
            finish=finish,
            refusal=self.refusal,
            prompt_tokens=prompt,
            completion_tokens=completion,
            cached_tokens=self.cached_tokens,
            reasoning_tokens=reasoning,
            id=self.id or id,
            created=self.created or created,
        )

    @property
    def prompt(self) -> int:
        """Prompt tokens of a settled answer."""
        return self.prompt_tokens or 0

    @property
    def completion(self) -> int:
        """Completion tokens of a settled answer, reasoning included."""
        return self.completion_tokens or 0


class Frame(NamedTuple):
    """A piece of a stream: its bytes, and how many tokens of content it carries (0 for what is no content)."""

    data: bytes
    tokens: int = 0


class ErrorReply(NamedTuple):
    """A refusal in the vendor's own shape."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Allowance(NamedTuple):
    """How a key stands with one of its limits."""

    kind: str
    """``requests`` or ``tokens``."""
    limit: int
    remaining: int
    reset: float
    """Seconds in which what is used would come back at the limit's own pace."""
    seconds: float
    """What the limit is for: 60 for a minute."""


class SimulatedVendor:
    """Base of every simulated half. One object serves all the vendors in :attr:`names` and keeps nothing between requests."""

    names: ClassVar[tuple[str, ...]] = ()
    """Providers' names whose wire this half speaks."""
    stream_type: ClassVar[str] = "text/event-stream"
    """Content type of a stream."""

    def base_path(self, vendor: str) -> str:
        """What the vendor's ``base_url`` ends in, such as ``/v1``; empty where it is a bare origin."""
        return ""

    def models(self, vendor: str) -> tuple[str, ...]:
        """Models the vendor lists unless the simulator is told others."""
        raise Refusal("path")

    def key(self, vendor: str, request: SimulatedRequest) -> str:
        """The key in a request.

        :raises Refusal: if there must be one and is none.
        """
        return bearer(request.headers)

    def read(self, vendor: str, request: SimulatedRequest, key: str) -> Question:
        """What the request asks.

        :raises Refusal: if the vendor would not take it.
        """
        raise Refusal("path")

    def answer(self, question: Question, answer: Answer) -> bytes:
        """The whole answer to a chat question."""
        raise Refusal("path")

    def stream(self, question: Question, answer: Answer) -> list[Frame]:
        """The answer to a chat question in pieces, its terminal event included."""
        raise Refusal("path")

    def embeddings(self, question: Question, vectors: Sequence[Sequence[float]]) -> bytes:
        """The answer to an embeddings question."""
        raise Refusal("path")

    def model_list(self, question: Question, models: Sequence[str]) -> bytes:
        """The answer to a question for the models, or for the one that ``question.model`` names."""
        raise Refusal("path")

    def token_count(self, question: Question) -> bytes:
        """The answer to a question for a count of tokens."""
        raise Refusal("path")

    def error(self, vendor: str, refusal: Refusal) -> ErrorReply:
        """A refusal as the vendor words it."""
        raise LookupError(vendor)

    def error_event(self, vendor: str, refusal: Refusal) -> bytes:
        """A refusal in the middle of a stream."""
        raise LookupError(vendor)

    def limit_headers(self, vendor: str, allowances: Sequence[Allowance], wall: float) -> Mapping[str, str]:
        """Headers that tell of a key's limits, a minute's before a day's.

        :param wall: Unix time of the reply.
        """
        return {}


# ---------------------------------------------------------------------------------------------------- tools of the trade


def embeddings_question(
    vendor: str, key: str, model: str, texts: Sequence[str], dimensions: int | None, body: Mapping[str, Any]
) -> Question:
    """A request for the vectors of ``texts``."""
    return Question(
        vendor=vendor, kind="embeddings", model=model, key=key, text=texts[-1] if texts else "", inputs=tuple(texts),
        prompt_tokens=sum([count_words(text) for text in texts]), dimensions=dimensions, body=body,
    )  # fmt: skip


def bearer(headers: Mapping[str, str]) -> str:
    """The key in an ``Authorization: Bearer`` header, empty where there is none."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def count_words(text: str) -> int:
    """Tokens of a text, by the simulator's rule."""
    return len(text.split())


def count_values(value: Any) -> int:
    """Tokens of a JSON value: the words of its keys and of its other values."""
    if isinstance(value, Mapping):
        return sum([count_words(str(name)) + count_values(item) for name, item in value.items()])
    if isinstance(value, (list, tuple)):
        return sum([count_values(item) for item in value])
    return count_words(str(value))


_PIECES = re.compile(r"\s*\S+|\s+")


def pieces(text: str) -> list[str]:
    """A text cut into words, each with the blanks before it; joined they are the text again."""
    return _PIECES.findall(text)


def vector(text: str, dimensions: int) -> list[float]:
    """A vector of length 1 that depends on the text alone."""
    raw = hashlib.shake_128(text.encode("utf-8", "replace")).digest(2 * dimensions)
    numbers = [int.from_bytes(raw[2 * i : 2 * i + 2], "big") / 32768 - 1 for i in range(dimensions)]
    length = sum([number * number for number in numbers]) ** 0.5 or 1.0
    return [number / length for number in numbers]


def texts_in(content: Any) -> Iterator[str]:
    """The texts in a message's content: a string, or a list of parts with ``text`` fields."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, str):
                yield part
            elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
                yield part["text"]
