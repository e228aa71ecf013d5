"""What ``client.stream(...)`` returns: an answer to iterate, in either colour."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from llmkit.finish import drain, finish
from llmkit.flow.fallback import close_opened, open_with_fallback, read_opened
from llmkit.flow.kit import Kit
from llmkit.flow.stream import OpenStream
from llmkit.values.calls import ChatCall
from llmkit.values.completion import Completion
from llmkit.values.events import Event

if TYPE_CHECKING:
    from llmkit.flow.cached_stream import Opened


class _StreamFace:
    """What both colours share."""

    def __init__(self, kit: Kit, call: ChatCall) -> None:
        self._kit = kit
        self._call = call
        self._opened: Opened | None = None

    @property
    def partial(self) -> Completion | None:
        """What has come so far; None before the stream is open."""
        return None if self._opened is None else self._opened.completion(self._kit.runtime.now())

    @property
    def instance(self) -> str | None:
        """Name of the instance that answers; None before the stream is open."""
        return None if self._opened is None else self._opened.instance


class Stream(_StreamFace):
    """A streamed answer, read with ``for event in stream``.

    Used in a ``with`` block it is open when the block begins, and closed when it ends, read or not. Without one it opens at the
    first event and closes after the last, or when it is dropped.
    """

    _events: Iterator[Event] | None = None

    def _open(self) -> Iterator[Event]:
        if self._events is None:
            self._opened = finish(_open(self._kit, self._call))
            self._events = _one_by_one(drain(_read(self._kit, self._opened)))
        return self._events

    def __enter__(self) -> Stream:
        self._open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        return self._events if self._events is not None else self._opening()

    def _opening(self) -> Iterator[Event]:
        yield from self._open()

    def __next__(self) -> Event:
        return next(self._open())

    def completion(self) -> Completion:
        """The whole answer; reads what has not been read yet.

        :raises StreamInterrupted: if the stream broke or was closed before its end.
        """
        events = self._open()
        for _ in events:
            pass
        assert self._opened is not None
        return _whole(self._opened, self._kit)

    def text(self) -> str:
        """The whole answer's text; reads what has not been read yet."""
        return self.completion().text

    def close(self) -> None:
        """Stop reading and close the connection. May be called twice, and while another thread or task reads, which then
        gets :class:`~llmkit.StreamInterrupted`."""
        if self._opened is not None:
            finish(_close(self._kit, self._opened))
        if self._events is not None:
            with contextlib.suppress(ValueError):  # another thread is in it, and ends by itself now
                self._events.close()  # type: ignore[attr-defined]


class AsyncStream(_StreamFace):
    """A streamed answer, read with ``async for event in stream``.

    Used in an ``async with`` block it is open when the block begins, and closed when it ends, read or not. Without one it opens at
    the first event and closes after the last.
    """

    _events: AsyncGenerator[Event, None] | None = None

    async def _open(self) -> AsyncGenerator[Event, None]:
        if self._events is None:
            self._opened = await _open(self._kit, self._call)
            self._events = _one_by_one_async(_read(self._kit, self._opened))
        return self._events

    async def __aenter__(self) -> AsyncStream:
        await self._open()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events if self._events is not None else self._opening()

    async def _opening(self) -> AsyncGenerator[Event, None]:
        events = await self._open()
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()

    async def __anext__(self) -> Event:
        return await (await self._open()).__anext__()

    async def completion(self) -> Completion:
        """The whole answer; reads what has not been read yet.

        :raises StreamInterrupted: if the stream broke or was closed before its end.
        """
        async for _ in await self._open():
            pass
        assert self._opened is not None
        return _whole(self._opened, self._kit)

    async def text(self) -> str:
        """The whole answer's text; reads what has not been read yet."""
        return (await self.completion()).text

    async def close(self) -> None:
        """Stop reading and close the connection. May be called twice, and while another thread or task reads, which then
        gets :class:`~llmkit.StreamInterrupted`."""
        if self._opened is not None:
            await _close(self._kit, self._opened)
        if self._events is not None and not getattr(self._events, "ag_running", False):  # else a task is in it
            await self._events.aclose()


def _one_by_one(pieces: Iterator[list[Event]]) -> Iterator[Event]:
    """The events in ``pieces``, closed together with them. A step of the flow for each piece costs less than one for each event."""
    try:
        for events in pieces:
            yield from events
    finally:
        pieces.close()  # type: ignore[attr-defined]


async def _one_by_one_async(pieces: AsyncGenerator[list[Event], None]) -> AsyncGenerator[Event, None]:
    try:
        async for events in pieces:
            for event in events:
                yield event
    finally:
        await pieces.aclose()


async def _open(kit: Kit, call: ChatCall) -> Opened:
    if kit.cache is None:
        return await open_with_fallback(kit, call)
    from llmkit.flow.cached_stream import open_cached

    return await open_cached(kit, call)


def _read(kit: Kit, opened: Opened) -> AsyncGenerator[list[Event], None]:
    if isinstance(opened, OpenStream):
        return read_opened(kit, opened)
    from llmkit.flow.cached_stream import read_cached

    return read_cached(kit, opened)


async def _close(kit: Kit, opened: Opened) -> None:
    if isinstance(opened, OpenStream):
        await close_opened(kit, opened)
        return
    from llmkit.flow.cached_stream import close_cached

    await close_cached(kit, opened)


def _whole(stream: Opened, kit: Kit) -> Completion:
    completion = stream.completion(kit.runtime.now())
    if stream.ended:
        return completion
    from llmkit.errors import StreamInterrupted

    raise StreamInterrupted(
        "the stream was not read to its end", instance=stream.instance, partial=completion, attempts=stream.attempts
    )
