"""Many calls, at most so many at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from llmkit.errors import InvalidRequestError, LLMError, shown
from llmkit.flow.fallback import ask_with_fallback
from llmkit.flow.kit import Kit
from llmkit.values.calls import ChatCall

T = TypeVar("T")


async def batch(
    kit: Kit, call: Callable[[T], ChatCall], items: Iterable[T], concurrency: int
) -> AsyncGenerator[tuple[int, Any], None]:
    """Ask one call for each item, and give (position, answer or error) as each is done. An item is taken only when there is room
    for it, so memory does not grow with their number. Closing it calls off what still runs.

    :raises InvalidRequestError: if ``concurrency`` is no whole number of at least 1, or ``items`` is no list of requests.
    """
    if isinstance(items, (str, bytes, Mapping)) or not isinstance(items, Iterable):
        raise InvalidRequestError(f"requests: expected a list or another iterable of requests, got {type(items).__name__}")
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        raise InvalidRequestError(f"concurrency: expected a whole number of at least 1, got {shown(concurrency)}")

    async def work(item: T) -> Any:
        try:
            return await ask_with_fallback(kit, call(item))
        except LLMError as error:
            return error

    async with aclosing(kit.runtime.each(work, items, concurrency)) as answers:
        async for position, answer in answers:
            yield position, answer


async def in_order(
    kit: Kit,
    call: Callable[[T], ChatCall],
    items: Iterable[T],
    concurrency: int,
    progress: Callable[[int, Any], object] | None = None,
) -> list[Any]:
    """The answers of :func:`batch` as a list, in the order of the items.

    :param progress: called with the number of calls done so far and the answer that just came.
    """
    answers: dict[int, Any] = {}
    async with aclosing(batch(kit, call, items, concurrency)) as found:
        async for position, answer in found:
            answers[position] = answer
            if progress is not None:
                progress(len(answers), answer)
    return [answers[position] for position in range(len(answers))]
