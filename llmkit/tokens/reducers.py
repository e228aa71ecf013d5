"""Ways of making a conversation shorter, the least harmful first.

A reducer is a function from a :class:`Draft` and a :class:`Budget` to a draft that is shorter, or the same. It leaves system
messages as they are, and a tool call and its result together: :func:`units` gives the messages in groups that stay or go as one. It
says in ``removed`` what it did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import attrs

from llmkit.values.base import Value
from llmkit.values.messages import Message, Reasoning, Text, ToolResult

LONG_RESULT = 2000
"""Characters of a tool's result from which on it is shortened before anything is dropped."""
LEAST = 40
"""Characters of a text that shortening leaves at least."""


@attrs.frozen(eq=False, repr=False)
class Draft(Value):
    """A conversation on its way to fitting."""

    messages: tuple[Message, ...]
    removed: tuple[str, ...] = ()
    """What was removed so far, for people."""

    def without(self, gone: Sequence[int], said: str) -> Draft:
        """The draft without the messages at some positions."""
        kept = tuple([message for position, message in enumerate(self.messages) if position not in gone])
        return Draft(kept, (*self.removed, said))

    def replaced(self, position: int, message: Message, said: str) -> Draft:
        """The draft with another message at a position."""
        return Draft((*self.messages[:position], message, *self.messages[position + 1 :]), (*self.removed, said))


class Budget:
    """How much there is room for.

    :param target: tokens.
    :param measure: the tokens of a whole conversation.
    :param cost: the tokens that one message adds.
    """

    def __init__(self, target: int, measure: Callable[[Sequence[Message]], int], cost: Callable[[Message], int]) -> None:
        self.target = target
        self.measure = measure
        self.cost = cost

    def over(self, draft: Draft) -> int:
        """Tokens above the target; 0 or less where it fits."""
        return self.measure(draft.messages) - self.target


class Reducer(Protocol):
    """One way of making a conversation shorter."""

    def __call__(self, draft: Draft, budget: Budget) -> Draft:
        """A shorter draft, or the same one where this way gains nothing."""


def units(messages: Sequence[Message]) -> list[tuple[int, ...]]:
    """The positions of messages that stay or go together, system messages left out: a tool call with all its results, anything else
    alone."""
    found: list[list[int]] = []
    open_calls: set[str] = set()
    for position, message in enumerate(messages):
        if message.role == "system":
            continue
        results = {part.call_id for part in message.content if type(part) is ToolResult}
        calls = {call.id for call in message.tool_calls}
        if found and results and (results & open_calls or message.role == "tool"):
            found[-1].append(position)
            open_calls |= calls
        else:
            found.append([position])
            open_calls = calls
    return [tuple(unit) for unit in found]


def turns(messages: Sequence[Message]) -> list[list[tuple[int, ...]]]:
    """Units in turns, each beginning with what the user says."""
    found: list[list[tuple[int, ...]]] = []
    for unit in units(messages):
        if not found or messages[unit[0]].role == "user":
            found.append([])
        found[-1].append(unit)
    return found


def drop_reasoning(draft: Draft, budget: Budget) -> Draft:
    """Leave out what the model thought in turns before the last, which vendors do not ask to have back."""
    for turn in turns(draft.messages)[:-1]:
        for position in [position for unit in turn for position in unit]:
            message = draft.messages[position]
            kept = [part for part in message.content if type(part) is not Reasoning]
            if not kept or len(kept) == len(message.content) or budget.over(draft) <= 0:
                continue
            gone = attrs.evolve(message, content=kept)
            if budget.cost(gone) < budget.cost(message):
                draft = draft.replaced(position, gone, f"the reasoning of {_named(draft, position)}")
    return draft


def shorten_results(draft: Draft, budget: Budget) -> Draft:
    """Shorten tool results of more than :data:`LONG_RESULT` characters, the oldest first and the last unit's not at all."""
    last = (units(draft.messages) or [()])[-1]
    for position, message in enumerate(draft.messages):
        long = [part for part in message.content if type(part) is ToolResult and _long(part)]
        if long and position not in last and message.role != "system":
            if budget.over(draft) <= 0:  # asked only here, since it goes through the whole conversation
                break
            content = [_short_result(part) if type(part) is ToolResult and _long(part) else part for part in message.content]
            said = f"the middle of {len(long)} tool result(s) in {_named(draft, position)}"
            draft = draft.replaced(position, attrs.evolve(message, content=content), said)
    return draft


def _long(part: ToolResult) -> bool:
    return isinstance(part.content, str) and len(part.content) > LONG_RESULT


def _short_result(part: ToolResult) -> ToolResult:
    assert isinstance(part.content, str)
    return attrs.evolve(part, content=middle_out(part.content, LONG_RESULT // 2))


def drop_oldest(draft: Draft, budget: Budget) -> Draft:
    """Drop whole turns, the oldest first and never the last; then, of the last turn, the oldest of what followed the user's
    message, and never its last unit."""
    draft = _drop(draft, budget, turns(draft.messages)[:-1])
    last = (turns(draft.messages) or [[]])[-1]
    return _drop(draft, budget, [[unit] for unit in last[1:-1]])


def _drop(draft: Draft, budget: Budget, old: list[list[tuple[int, ...]]]) -> Draft:
    over = budget.over(draft)
    gone: set[int] = set()
    for group in old:
        if over <= 0:
            break
        positions = [position for unit in group for position in unit]
        over -= sum([budget.cost(draft.messages[position]) for position in positions])
        gone.update(positions)
    if not gone:
        return draft
    names = [_named(draft, position) for position in sorted(gone)]
    kept = tuple([message for position, message in enumerate(draft.messages) if position not in gone])
    return Draft(kept, (*draft.removed, *names))


def shorten_texts(draft: Draft, budget: Budget) -> Draft:
    """Take the middle out of texts, those of the oldest messages first and the last message's last."""
    for position, message in enumerate(draft.messages):
        if message.role == "system":
            continue
        draft = shorten_message(draft, budget, position)
    return draft


def shorten_system(draft: Draft, budget: Budget) -> Draft:
    """Take the middle out of system texts; only for ``preserve_instructions=False``."""
    for position, message in enumerate(draft.messages):
        if message.role == "system":
            draft = shorten_message(draft, budget, position)
    return draft


def shorten_message(draft: Draft, budget: Budget, position: int) -> Draft:
    """Take as little as need be out of the middle of a message's longest text."""
    over = budget.over(draft)
    message = draft.messages[position]
    texts = [(len(part.text), number) for number, part in enumerate(message.content) if type(part) is Text]
    if over <= 0 or not texts or max(texts)[0] <= LEAST:
        return draft
    length, number = max(texts)
    room = budget.cost(message) - over

    def cut(kept: int) -> Message:
        part = message.content[number]
        assert type(part) is Text
        short = attrs.evolve(part, text=middle_out(part.text, kept))
        return attrs.evolve(message, content=(*message.content[:number], short, *message.content[number + 1 :]))

    guess = length * max(room, 0) // budget.cost(message)
    kept = longest(lambda kept: budget.cost(cut(kept)) <= room, LEAST, length - 1, guess)
    shorter = cut(LEAST if kept is None else kept)
    if budget.cost(shorter) >= budget.cost(message):
        return draft
    left_out = length - (LEAST if kept is None else kept)
    return draft.replaced(position, shorter, f"{left_out:,} of {length:,} characters of {_named(draft, position)}")


def longest(fits: Callable[[int], bool], least: int, most: int, guess: int) -> int | None:
    """The largest number from ``least`` to ``most`` that fits, if fewer fit wherever more do; None if not even the least does.
    Looked for from ``guess`` on in growing steps, since larger numbers take longer to try."""
    if not fits(least):
        return None
    tried, step = min(max(guess, least), most), 16 + guess // 16
    while tried < most and fits(tried):
        least, tried, step = tried, min(tried + step, most), 2 * step
    while tried - step > least and not fits(tried - step):
        tried, step = tried - step, 2 * step
    most = tried
    while least < most:
        tried = (least + most + 1) // 2
        if fits(tried):
            least = tried
        else:
            most = tried - 1
    return least


def middle_out(text: str, kept: int) -> str:
    """A text with its middle left out, and a mark where it was; ``kept`` characters of it stay, three fifths of them before the
    mark."""
    if len(text) <= kept:
        return text
    head = kept * 3 // 5
    tail = kept - head
    return f"{text[:head]}\n[... {len(text) - kept:,} characters left out ...]\n{text[len(text) - tail :]}"


def _named(draft: Draft, position: int) -> str:
    message = draft.messages[position]
    first = " ".join(message.text.split())[:40]
    kinds = dict.fromkeys([part.type.replace("_", " ") for part in message.content])
    what = f'"{first}"' if first else f"({', '.join(kinds) or 'empty'})"
    return f"{message.role} message {what}"


DEFAULT: tuple[Reducer, ...] = (drop_reasoning, shorten_results, drop_oldest, shorten_texts)
"""What :func:`llmkit.optimize_prompt` does, in order, until the prompt fits."""
