"""The events of recorded streams keep their promises: what begins, what follows, and that nothing empty commits a stream."""

from __future__ import annotations

from collections import Counter

import pytest

from llmkit.errors import LLMError
from llmkit.values.events import (
    CONTENT_EVENTS,
    Event,
    ReasoningDelta,
    RefusalDelta,
    StreamFinished,
    StreamStarted,
    TextDelta,
    ToolCallDelta,
)

from .asked import call_for
from .cases import CASES, Case, each, needs_recordings
from .replay import provider

needs_recordings()


def events_of(case: Case) -> list[Event]:
    """Every event, an error at the end left out."""
    decoder = provider(case.provider).decoder(call_for(case), case.headers)  # type: ignore[arg-type]
    found: list[Event] = []
    try:
        for line in case.body.splitlines(keepends=True):
            found += decoder.feed(line)
        found += decoder.finish()
    except LLMError:
        pass
    return found


@each([case for case in CASES if case.streamed])
def test_events(case: Case) -> None:
    """One start, first; content that is not empty; calls that begin with id and name; one finish for each answer, last."""
    found = events_of(case)
    wrong = [*_order(found), *_emptiness(found), *_calls(found)]
    if wrong:
        pytest.fail(f"{case.id}: {', '.join(dict.fromkeys(wrong))}", pytrace=False)


def _order(found: list[Event]) -> list[str]:
    kinds = [type(event) for event in found]
    wrong = [] if kinds[0] is StreamStarted and kinds.count(StreamStarted) == 1 else ["not one start, first"]
    finished: Counter[int] = Counter()
    for event in found:
        if isinstance(event, StreamFinished):
            finished[event.choice] += 1
        elif isinstance(event, CONTENT_EVENTS) and finished[event.choice]:
            wrong.append("content after the finish")
    return [*wrong, *["finished twice" for count in finished.values() if count > 1]]


def _emptiness(found: list[Event]) -> list[str]:
    """An empty content event would commit a stream that has said nothing, and so forbid a retry."""
    wrong = []
    for event in found:
        empty_text = isinstance(event, TextDelta) and not event.text
        empty_refusal = isinstance(event, RefusalDelta) and not event.refusal
        empty_thought = isinstance(event, ReasoningDelta) and not (event.reasoning or event.signature or event.redacted)
        empty_call = isinstance(event, ToolCallDelta) and not (event.id or event.name or event.arguments or event.extra)
        if empty_text or empty_refusal or empty_thought or empty_call:
            wrong.append(f"an empty {type(event).__name__}")
    return wrong


def _calls(found: list[Event]) -> list[str]:
    begun: dict[int, int] = {}
    wrong = []
    for event in found:
        if not isinstance(event, ToolCallDelta):
            continue
        if event.position < begun.get(event.choice, 0):
            if event.id or event.name:
                wrong.append(f"call {event.position} is named again")
        elif event.position > begun.get(event.choice, 0):
            wrong.append(f"call {event.position} begins out of turn")
        else:
            begun[event.choice] = event.position + 1
            if not event.id or not event.name:
                wrong.append(f"call {event.position} begins without id or name")
    return wrong
