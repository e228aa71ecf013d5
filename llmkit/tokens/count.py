"""Counting: a text, a message, a conversation or a call, by the rules of the model's family."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from math import ceil
from typing import Any

from llmkit.errors import ConfigError, InvalidRequestError, shown
from llmkit.tokens.families import Family, family
from llmkit.tokens.pieces import LONGEST, counted
from llmkit.values.calls import ChatCall
from llmkit.values.conversation import conversation
from llmkit.values.counts import TokenCount
from llmkit.values.messages import Audio, File, Image, Message, Reasoning, Refusal, Text, ToolCall, ToolResult, VendorPart
from llmkit.values.options import NO_OPTIONS, Options
from llmkit.values.requests import Prompt, Request
from llmkit.values.tools import JsonSchema, Tool, ToolLike, response_format

VENDOR_PART = 100
"""Tokens that a part which only one vendor understands is taken for."""


class Counter:
    """Counts for one model.

    :param family: by whose rules.
    :param encode: gives a text's tokens.
    :param by: what ``encode`` is, for people.
    :param given: whether the user gave ``encode`` as the model's own tokenizer, so that a text's count is exact.
    """

    __slots__ = ("by", "encode", "exact", "factor", "family", "given")

    def __init__(self, family: Family, encode: Callable[[str], Sequence[int]], by: str, given: bool = False) -> None:
        self.family = family
        self.encode = encode
        self.given = given
        self.exact = family.exact or given
        self.factor = 1.0 if self.exact else family.factor
        self.by = by if self.exact else f"estimate: {by} x {family.factor:g} ({family.name})"

    def text(self, text: str) -> TokenCount:
        """The tokens of a text alone."""
        if len(text) <= LONGEST and self.exact:
            return TokenCount(len(self.encode(text)), True, self.by)
        tokens, whole = self._text(text)
        if whole:
            return TokenCount(tokens, self.exact, self.by)
        return TokenCount(tokens, False, f"estimate: {self.by}, cut every {LONGEST:,} characters")

    def _text(self, text: str) -> tuple[int, bool]:
        tokens, whole = counted(text, self.encode)
        return (tokens, whole) if self.factor == 1.0 else (round(tokens * self.factor), whole)

    def prompt(self, messages: Sequence[Message], options: Options = NO_OPTIONS) -> TokenCount:
        """The tokens of a conversation with its tools and its answer's shape, as the vendor reports them for the whole prompt."""
        return _Prompt(self).total(messages, options)


class _Prompt:
    """One conversation's count, and whether everything in it has a rule that the vendor published."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._family = counter.family
        self._plain = counter.family.exact
        self._whole = True

    def total(self, messages: Sequence[Message], options: Options) -> TokenCount:
        rules = self._family
        tokens = rules.base + sum([self._message(message) for message in messages])
        if options.tools:
            tokens += self._tools(options.tools, options.tool_choice, any(message.role == "system" for message in messages))
        if isinstance(options.response_format, JsonSchema) and rules.shape is not None:
            self._plain = False
            tokens += rules.shape + self._text(_json(options.response_format.schema))
        by = self._counter.by
        if self._counter.given:
            by = f"estimate: {by} + the usual template of {rules.name}"
        elif rules.exact:
            by += " + OpenAI's message rules"
        exact = self._plain and self._whole and not self._counter.given
        return TokenCount(tokens, exact, by if exact or by.startswith("estimate") else f"estimate: {by}")

    def _message(self, message: Message) -> int:
        rules = self._family
        tokens = rules.message
        if message.role == "assistant":
            tokens += rules.answer
        elif message.role == "system" and rules.system is not None:
            tokens = rules.system
        if message.name:
            tokens += 1 + (0 if message.name == message.role else self._text(message.name))  # what is known is not said twice
        texts = [part.text for part in message.content if type(part) is Text or type(part) is Refusal]
        tokens += self._text("".join(texts)) if texts else 0
        calls = 0
        for part in message.content:
            if type(part) is not Text and type(part) is not Refusal:
                tokens += self._part(part)
                calls += type(part) is ToolCall
        return tokens + (rules.parallel if calls > 1 else 0)

    def _text(self, text: str) -> int:
        tokens, whole = self._counter._text(text)
        self._whole = self._whole and whole
        return tokens

    def _part(self, part: Any) -> int:
        self._plain = False
        rules = self._family
        kind = type(part)
        if kind is ToolCall:
            return rules.call + self._text(part.name) + self._text(part.raw or _json(part.arguments))
        if kind is ToolResult:
            content = part.content
            inner = self._text(content) if isinstance(content, str) else sum([self._part(piece) for piece in content])
            return rules.call + inner
        if kind is Image:
            from llmkit.tokens.images import image_tokens

            return image_tokens(part, rules.images)
        return self._rarer(part, kind)

    def _rarer(self, part: Any, kind: type) -> int:
        from llmkit.tokens.images import file_tokens, sound_tokens

        if kind is Text:
            return self._text(part.text)
        if kind is Reasoning:  # OpenAI's chats do not take it back
            return 0 if self._family.exact else self._text(part.text)
        if kind is Audio:
            return sound_tokens(part)
        if kind is File:
            if part.data is not None and (part.media_type or "").startswith("text/"):
                return self._text(part.data.decode("utf-8", "replace"))
            return file_tokens(part, self._family.images)
        return VENDOR_PART if kind is VendorPart else 0

    def _tools(self, tools: Sequence[ToolLike], choice: str | None, system: bool) -> int:
        from llmkit.tokens.tools import as_json, as_typescript

        self._plain = False
        rules = self._family
        if not rules.exact:
            return rules.tools + ceil(self._text(as_json(tools)) * rules.tool_factor)
        own = [tool for tool in tools if isinstance(tool, Tool)]
        tokens = rules.tools + self._text(as_typescript(own)) - (4 if system else 0)
        if len(own) < len(tools):
            tokens += self._text(as_json([tool for tool in tools if not isinstance(tool, Tool)]))
        if choice is None or choice in ("auto", "required"):
            return tokens
        return tokens + (1 if choice == "none" else 4 + self._text(choice))


def _json(value: Mapping[str, Any]) -> str:
    from llmkit.wire.json import dump_json

    return dump_json(value).decode()


class Tokenizers:
    """Counters by model.

    :param own: functions that count a text's tokens, by the model's name (bare, or ``provider/model``); they go before what
        llmkit knows.
    """

    def __init__(self, own: Iterable[Mapping[str, Callable[[str], int]]] = ()) -> None:
        self._own: dict[str, Callable[[str], int]] = {}
        for mapping in own:
            for model, count in mapping.items():
                self._own.setdefault(model, count)
        self.made: dict[str, Counter] = {}
        """The counters that are ready, by model."""

    def register(self, model: str, count: Callable[[str], int]) -> None:
        """Count texts for ``model`` with ``count`` from now on."""
        self._own[model] = count
        self.made.clear()

    def counter(self, model: str) -> Counter:
        """The counter for a model. Makes it once; OpenAI's encodings are loaded here.

        :raises InvalidRequestError: if ``model`` is no model's name.
        """
        if not isinstance(model, str) or not model or any([letter.isspace() for letter in model]):
            raise InvalidRequestError(f"model: expected a model's name (the text comes first), got {shown(model)}")
        found = self.made.get(model)
        if found is None:
            if len(self.made) > 1000:
                self.made.clear()
            found = self.made[model] = self._make(model)
        return found

    def may_be_exact(self, model: str) -> bool:
        """Whether some prompt of the model's can be counted exactly here."""
        return family(model).exact and self._given(model) is None

    def _given(self, model: str) -> Callable[[str], int] | None:
        own = self._own
        return own.get(model) or own.get(model.partition("/")[2]) or own.get(model.rpartition("/")[2])

    def _make(self, model: str) -> Counter:
        rules, own = family(model), self._given(model)
        if own is not None:
            return Counter(rules, _checked(own, model), f"the tokenizer registered for {model}", given=True)
        if rules.tekken and find_spec("mistral_common") is not None:
            from llmkit.tokens.local import tekken

            return Counter(rules, _checked(tekken(), model), "mistral-common's tekken", given=True)
        from llmkit.tokens.encodings import get_encoding

        return Counter(rules, get_encoding(rules.encoding).encode_ordinary, f"tiktoken {rules.encoding}")


def _checked(count: Callable[[str], int], model: str) -> Callable[[str], Sequence[int]]:
    """A function that counts, as one that gives something of that length."""

    def encode(text: str) -> Sequence[int]:
        tokens = count(text)
        if isinstance(tokens, int) and tokens >= 0:
            return range(tokens)
        raise ConfigError(f"the tokenizer registered for {model} returned {shown(tokens)}, not a number of tokens")

    return encode


TOKENIZERS = Tokenizers()
"""Those of this process."""


def count_tokens(
    what: Prompt | Request | ChatCall,
    model: str,
    *,
    system: str | None = None,
    tools: Sequence[ToolLike] | None = None,
    tokenizers: Tokenizers = TOKENIZERS,
) -> TokenCount:
    """How many tokens something is for a model. Nothing is sent; a client can ask the vendor.

    Text is counted as it is. A message, a conversation, a :class:`~llmkit.Request` or text together with ``system`` or ``tools``
    is counted as the whole prompt, with what the vendor puts around messages.

    :param what: text, a message, a conversation, or a request.
    :param model: ``provider/model`` or a model's bare name.
    :param tokenizers: where tokenizers of the user's own are; default those registered in this process.
    :raises InvalidRequestError: if there is nothing that can be counted, or ``model`` is no model's name.
    """
    counter = (tokenizers.made.get(model) if type(model) is str else None) or tokenizers.counter(model)
    if isinstance(what, str) and system is None and tools is None:
        return counter.text(what)
    if isinstance(what, ChatCall):
        return counter.prompt(what.messages, what.options)
    if isinstance(what, Request):
        return counter.prompt(*_asked(what.prompt, {**what.arguments, **_set(system=system, tools=tools)}))
    return counter.prompt(*_asked(what, _set(system=system, tools=tools)))


def _set(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _asked(prompt: Prompt, given: Mapping[str, Any]) -> tuple[tuple[Message, ...], Options]:
    """The messages and those options that the model is shown."""
    shape = response_format(given.get("response_model", given.get("response_format")))
    options = Options(tools=given.get("tools"), tool_choice=given.get("tool_choice"), response_format=shape)
    return conversation(prompt, given.get("system")), options
