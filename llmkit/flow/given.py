"""A text of the user's own in the place of a stream: it reads like any other, and comes from nowhere."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import attrs

from llmkit.flow.retrying import Trail
from llmkit.flow.stream import OpenStream
from llmkit.values.calls import ChatCall
from llmkit.values.completion import Completion
from llmkit.values.events import Event, StreamFinished, TextDelta

_NOWHERE: Any = SimpleNamespace(route=SimpleNamespace(name=None))
_NOTHING: Any = None


@attrs.define(eq=False, repr=False, kw_only=True)
class GivenStream(OpenStream):
    """An open stream that has ended already; its answer was given."""

    answer: Completion

    def completion(self, now: float) -> Completion:
        """The answer that was given."""
        return self.answer


def given_stream(call: ChatCall, answer: Completion) -> GivenStream:
    """``answer`` as a stream of one piece of text."""
    text: list[Event] = [TextDelta(answer.text)] if answer.text else []
    trail = Trail(call, 0.0)
    trail.attempts = answer.attempts
    return GivenStream(
        call=call,
        trail=trail,
        lease=_NOWHERE,
        body=_NOTHING,
        decoder=_NOTHING,
        headers={},
        dropped=(),
        until=0.0,
        events=[*text, StreamFinished(answer.finish_reason)],
        ended=True,
        closed=True,
        answer=answer,
    )
