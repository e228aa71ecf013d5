"""The whole of "sync".

llmkit's orchestration is written once, as ``async def`` that awaits nothing but its :class:`~llmkit.runtime.Runtime`. An
:class:`~llmkit.AsyncClient` awaits it. A :class:`~llmkit.Client` runs the same coroutine over a runtime whose coroutines block
instead of suspending, so one ``send(None)`` takes it from its first line to its last.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to its end, in one step, a coroutine that never suspends.

    :raises RuntimeError: if it suspends, which means that a collaborator for async clients was given to a sync one.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError(f"{coroutine!r} waited for an event loop: a sync client needs sync collaborators")


def drain(stream: AsyncGenerator[T, None]) -> Iterator[T]:
    """Iterate an async generator that never suspends, and close it however the loop over it ends."""
    advance = stream.__anext__
    waits = False
    try:
        while True:
            try:
                advance().send(None)
            except StopIteration as item:
                yield item.value
            except StopAsyncIteration:
                return
            else:
                waits = True  # and cannot be closed any more
                raise RuntimeError(f"{stream!r} waited for an event loop: a sync client needs sync collaborators")
    finally:
        if not waits:
            finish(stream.aclose())
