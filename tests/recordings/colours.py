"""One test text, both colours: it is written for the async client and run over the sync one too.

A test takes a :class:`Colour`, makes a client with it, and hands it an ``async def``. In the sync colour that coroutine never
suspends, because :class:`Blocking` blocks inside the methods it wraps, so :func:`llmkit.finish.finish` runs it to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

import attrs

from llmkit.aclient import AsyncClient
from llmkit.client import Client
from llmkit.finish import finish
from llmkit.streams import Stream
from llmkit.values.completion import Completion
from llmkit.values.events import Event

T = TypeVar("T")


class Blocking:
    """A sync client with the async client's methods."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self._client = Client(*arguments, **settings)

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        method = getattr(self._client, name)

        async def call(*arguments: Any, **options: Any) -> Any:
            return method(*arguments, **options)

        return call

    def stream(self, *arguments: Any, **options: Any) -> BlockingStream:
        """An answer in pieces."""
        return BlockingStream(self._client.stream(*arguments, **options))

    async def __aenter__(self) -> Blocking:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()


class BlockingStream:
    """A sync stream with the async one's methods."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def __aenter__(self) -> BlockingStream:
        self._stream.__enter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.__exit__(kind, error, trace)

    async def __aiter__(self) -> AsyncIterator[Event]:
        for event in self._stream:
            yield event

    async def completion(self) -> Completion:
        """The whole answer."""
        return self._stream.completion()


@attrs.frozen
class Colour:
    """How clients of a colour are made, and how a test text is run."""

    name: str
    client: Callable[..., Any]
    run: Callable[[Coroutine[Any, Any, Any]], Any]


COLOURS = (Colour("sync", Blocking, finish), Colour("async", AsyncClient, asyncio.run))
