"""Fitting a prompt into a number of tokens, and checking whether it fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from llmkit.errors import ConfigError, ContextLengthError, InvalidRequestError, shown
from llmkit.tokens.count import TOKENIZERS, Counter, Tokenizers
from llmkit.tokens.reducers import DEFAULT, LEAST, Budget, Draft, Reducer, longest, middle_out, shorten_system
from llmkit.values.base import Value
from llmkit.values.conversation import conversation
from llmkit.values.counts import TokenCount
from llmkit.values.messages import Message, ToolResult
from llmkit.values.options import Options
from llmkit.values.requests import Prompt
from llmkit.values.tools import ToolLike


@attrs.frozen(eq=False, repr=False)
class FittedPrompt(Value):
    """A prompt that fits."""

    prompt: str | tuple[Message, ...]
    """Text where text was given, else the messages that are left."""
    before: TokenCount
    after: TokenCount
    removed: tuple[str, ...]
    """What was dropped or shortened, in order, for people."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The prompt as messages."""
        return conversation(self.prompt) if isinstance(self.prompt, str) else self.prompt

    @property
    def changed(self) -> bool:
        """Whether anything was removed."""
        return bool(self.removed)


def optimize_prompt(
    prompt: Prompt,
    model: str,
    target_token_count: int,
    preserve_instructions: bool = True,
    *,
    system: str | None = None,
    tools: Sequence[ToolLike] | None = None,
    reducers: Sequence[Reducer] = DEFAULT,
    tokenizers: Tokenizers = TOKENIZERS,
) -> FittedPrompt:
    """Make a prompt fit into a number of tokens: drop or shorten the oldest and least needed first.

    Of a conversation go, in this order and only as far as need be: the reasoning of earlier turns; the middle of long tool results;
    whole turns, the oldest first; of the last turn the oldest tool exchanges; the middle of texts, the last message's last. System
    messages stay word for word, and a tool call stays or goes with its results. Of plain text the middle goes, so that what it
    begins and ends with stays. A megabyte takes some tenths of a second: on an event loop, run this in a thread.

    :param prompt: text, a message, or a conversation; text alone is counted without what vendors put around messages.
    :param target_token_count: the most tokens that may be left, by llmkit's count for ``model``, tools included.
    :param preserve_instructions: False lets system texts be shortened too, after all else, and keeps only the beginning of text.
    :param reducers: other ways of making conversations shorter, in order; see :mod:`llmkit.tokens.reducers`.
    :raises ContextLengthError: if even the least that can be left does not fit; the message says how many tokens that is.
    :raises InvalidRequestError: if the target is no number of tokens, or the prompt is none.
    """
    if isinstance(target_token_count, bool) or not isinstance(target_token_count, int) or target_token_count < 1:
        raise InvalidRequestError(f"target_token_count: expected a number of tokens above 0, got {shown(target_token_count)}")
    counter = tokenizers.counter(model)
    if isinstance(prompt, str) and system is None and tools is None:
        return _fit_text(prompt, counter, target_token_count, preserve_instructions)
    return _Fitting(counter, Options(tools=tools), target_token_count, preserve_instructions).run(
        conversation(prompt, system), reducers
    )


def _fit_text(text: str, counter: Counter, target: int, both_ends: bool) -> FittedPrompt:
    before = counter.text(text)
    if before <= target:
        return FittedPrompt(text, before, before, ())
    cut: Callable[[int], str] = (lambda kept: middle_out(text, kept)) if both_ends else (lambda kept: text[:kept])
    least = min(LEAST, len(text)) if both_ends else 0
    kept = longest(lambda kept: counter.text(cut(kept)) <= target, least, len(text), len(text) * target // before)
    if kept is None:
        raise _too_long(target, counter.text(cut(LEAST)))
    fitted = cut(kept)
    return FittedPrompt(fitted, before, counter.text(fitted), (f"{len(text) - kept:,} of {len(text):,} characters",))


class _Fitting:
    """One conversation's way into a number of tokens."""

    def __init__(self, counter: Counter, options: Options, target: int, preserve: bool) -> None:
        self._counter = counter
        self._options = options
        self._preserve = preserve
        self._costs: dict[int, tuple[Message, int]] = {}
        self._empty = int(counter.prompt((), options))
        self.budget = Budget(target, self._measure, self._cost)

    def _cost(self, message: Message) -> int:
        found = self._costs.get(id(message))
        if found is None or found[0] is not message:
            found = self._costs[id(message)] = (message, int(self._counter.prompt((message,), self._options)) - self._empty)
        return found[1]

    def _measure(self, messages: Sequence[Message]) -> int:
        return self._empty + sum([self._cost(message) for message in messages])

    def run(self, messages: tuple[Message, ...], reducers: Sequence[Reducer]) -> FittedPrompt:
        target = self.budget.target
        before = after = self._counter.prompt(messages, self._options)
        draft = Draft(messages)
        for reducer in (*reducers, *(() if self._preserve else (shorten_system,))):
            if after <= target:
                break
            reduced = reducer(draft, self.budget)
            self._check(draft, reduced, reducer)
            draft = reduced
            after = self._counter.prompt(draft.messages, self._options)
        if after > target:
            raise _too_long(target, after)
        return FittedPrompt(draft.messages, before, after, draft.removed)

    def _check(self, draft: Draft, reduced: Any, reducer: Reducer) -> None:
        """A reducer may come from anywhere; what is promised is checked."""
        name = getattr(reducer, "__name__", type(reducer).__name__)
        if not isinstance(reduced, Draft):
            raise ConfigError(f"reducers: {name} returned {type(reduced).__name__}, not a Draft")
        if self._preserve and _system(draft) != _system(reduced):
            raise ConfigError(f"reducers: {name} changed a system message")
        if _halves(reduced.messages) - _halves(draft.messages):
            raise ConfigError(f"reducers: {name} left half of a tool exchange")


def _system(draft: Draft) -> list[Message]:
    return [message for message in draft.messages if message.role == "system"]


def _halves(messages: Sequence[Message]) -> set[str]:
    """The ids of tool calls without a result, and of results without a call."""
    calls = {call.id for message in messages for call in message.tool_calls}
    results = {part.call_id for message in messages for part in message.content if type(part) is ToolResult}
    return calls ^ results


def _too_long(target: int, least: TokenCount) -> ContextLengthError:
    return ContextLengthError(
        f"target_token_count: the least that can be left is {least} tokens, {least - target} more than the {target} wanted "
        f"({least.by})"
    )
