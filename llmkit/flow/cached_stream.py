"""The cache around a stream: a kept answer is replayed as a stream, and a stream that came whole is kept.

A stream leads its flight while somebody reads it: identical calls meanwhile wait for its end, but not for a reader who dawdles.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Union

import attrs

from llmkit.cache.entries import Entry
from llmkit.cache.flights import Flight
from llmkit.flow.cached import boarded, failed, keep, looked, recalled, served
from llmkit.flow.fallback import close_opened, open_with_fallback, read_opened
from llmkit.flow.kit import Kit
from llmkit.flow.stream import OpenStream
from llmkit.values.calls import ChatCall
from llmkit.values.completion import Attempt, Completion
from llmkit.values.events import Event
from llmkit.wire.fold import unfold

DAWDLING = 2.0
"""Seconds that those who wait for a stream's end give its reader between two pieces."""


@attrs.define(eq=False, repr=False)
class Replay:
    """A kept answer that is read as a stream."""

    answer: Completion
    ended: bool = False
    closed: bool = False

    @property
    def instance(self) -> str | None:
        """The instance that answered when the answer was new."""
        return self.answer.instance

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """None were needed."""
        return ()

    def completion(self, now: float) -> Completion:
        """The whole answer."""
        return self.answer


@attrs.define(eq=False, repr=False)
class Recorded:
    """A stream that leads a flight, and whose answer is kept when it has come whole."""

    stream: OpenStream
    key: str
    flight: Flight
    led: bool = True

    @property
    def instance(self) -> str | None:
        """The instance that answers."""
        return self.stream.instance

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The tries so far."""
        return self.stream.attempts

    @property
    def ended(self) -> bool:
        """Whether the stream has come to its end in good order."""
        return self.stream.ended

    def completion(self, now: float) -> Completion:
        """What has come so far, folded."""
        return self.stream.completion(now)


Opened = Union[OpenStream, Replay, Recorded]


async def open_cached(kit: Kit, call: ChatCall) -> Opened:
    """A kept answer to replay, or a stream that has been opened as :func:`~llmkit.flow.fallback.open_with_fallback` does.

    :raises LLMError: as :func:`~llmkit.flow.ask.ask`.
    """
    cache = kit.cache
    if cache is None or call.cache is False or (key := cache.keys.of_call(call)) is None:
        return await open_with_fallback(kit, call)
    entry = recalled(kit, call, key)
    if entry is not None:
        return _replay(kit, call, entry)
    flight, entry = await boarded(kit, call, key)
    if flight is None:
        assert entry is not None
        return _replay(kit, call, entry)
    try:
        entry = await looked(kit, call, key, flight)
        if entry is None:
            cache.misses += 1
            stream = await open_with_fallback(kit, call)
    except BaseException as problem:
        await failed(kit, call, flight, problem)
        raise
    if entry is None:
        flight.until = kit.runtime.now() + DAWDLING
        return Recorded(stream, key, flight)
    cache.flights.land(flight, entry)
    return _replay(kit, call, entry)


def _replay(kit: Kit, call: ChatCall, entry: Entry) -> Replay:
    return Replay(served(kit, call, entry, kit.runtime.now()))


def read_cached(kit: Kit, opened: Opened) -> AsyncGenerator[list[Event], None]:
    """The events of what :func:`open_cached` gave.

    :raises StreamInterrupted: if a stream breaks after content was delivered.
    """
    if isinstance(opened, Recorded):
        return _record(kit, opened)
    return _events(opened) if isinstance(opened, Replay) else read_opened(kit, opened)


async def _events(replay: Replay) -> AsyncGenerator[list[Event], None]:
    for event in unfold(replay.answer):
        if replay.closed:
            return
        yield [event]
    replay.ended = True


async def _record(kit: Kit, recorded: Recorded) -> AsyncGenerator[list[Event], None]:
    pieces = read_opened(kit, recorded.stream)
    try:
        async for events in pieces:
            recorded.flight.until = kit.runtime.now() + DAWDLING
            yield events
        if recorded.ended and recorded.led:
            recorded.led = False
            stream = recorded.stream
            await keep(kit, stream.call, recorded.key, recorded.flight, stream.completion(kit.runtime.now()))
    finally:
        try:
            await pieces.aclose()
        finally:
            await _unled(kit, recorded)


async def close_cached(kit: Kit, opened: Opened) -> None:
    """Close what :func:`open_cached` gave. Calling it again does nothing."""
    if isinstance(opened, Replay):
        opened.closed = True
    elif isinstance(opened, Recorded):
        try:
            await close_opened(kit, opened.stream)
        finally:
            await _unled(kit, opened)
    else:
        await close_opened(kit, opened)


async def _unled(kit: Kit, recorded: Recorded) -> None:
    """Let the next caller lead, where the stream has not come to its end."""
    if recorded.led:
        recorded.led = False
        await failed(kit, recorded.stream.call, recorded.flight, GeneratorExit())
