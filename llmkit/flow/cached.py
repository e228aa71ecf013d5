"""The cache around a call: memory, the second level, then one of the identical calls asks the vendor and the others wait.

A call that fails or is cancelled fails alone; what failed is not kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs

from llmkit.cache.answers import AnswerCache, oldest
from llmkit.cache.entries import Entry
from llmkit.cache.flights import Flight, Seat
from llmkit.cache.second import LOCKED, Second
from llmkit.cache.semantic import Question, SemanticCache, question
from llmkit.errors import LLMError, RequestTimeout
from llmkit.flow.kit import Kit
from llmkit.values.calls import Call, ChatCall
from llmkit.wire.redact import describe

R = TypeVar("R")

FIRST_PAUSE = 0.05
"""Seconds between two looks whether another process has the answer, at first; they grow to half a second."""
LATE = object()
"""In the place of a vector that did not come in time."""


async def cached(kit: Kit, call: Call[R], ask: Callable[[Kit, Call[R]], Awaitable[R]]) -> R:
    """Answer a call from the cache, or let ``ask`` answer it and keep what it says.

    :raises LLMError: as ``ask``.
    """
    cache = kit.cache
    assert cache is not None
    key = cache.keys.of_call(call)
    if key is None:
        return await ask(attrs.evolve(kit, cache=None), call)
    use = call.cache
    if use is None:
        now = kit.runtime.now()
        entry = cache.memory.get(key, now)
        if entry is not None:
            return served(kit, call, entry, now)  # type: ignore[no-any-return]
    elif (entry := recalled(kit, call, key)) is not None:
        return served(kit, call, entry, kit.runtime.now())  # type: ignore[no-any-return]
    flight, entry = await boarded(kit, call, key)
    if flight is None:
        assert entry is not None
        return served(kit, call, entry, kit.runtime.now())  # type: ignore[no-any-return]
    try:
        entry = await looked(kit, call, key, flight)
        if entry is None:
            cache.misses += 1
            answer = await ask(attrs.evolve(kit, cache=None), call)
    except BaseException as problem:
        await failed(kit, call, flight, problem)
        raise
    if entry is None:
        await keep(kit, call, key, flight, answer)
        return answer
    cache.flights.land(flight, entry)
    return served(kit, call, entry, kit.runtime.now())  # type: ignore[no-any-return]


def recalled(kit: Kit, call: Call[Any], key: str) -> Entry | None:
    """What memory has, if the call takes it."""
    assert kit.cache is not None
    return None if call.cache == "refresh" else kit.cache.memory.get(key, kit.runtime.now(), oldest(call.cache))


def served(kit: Kit, call: Call[Any], entry: Entry, now: float) -> Any:
    """A copy of a kept answer for one more call, booked as a hit."""
    deadline = call.deadline
    answer = entry.answer(now - deadline.at + deadline.seconds)
    kit.ledger.cache_hit(answer.instance, call.task, call.tags)
    if kit.hooks.answer:
        kit.hooks.answer(call=call, answer=answer)
    return answer


async def boarded(kit: Kit, call: Call[Any], key: str) -> tuple[Flight | None, Entry | None]:
    """A flight to lead, or the answer of one that others led.

    :raises RequestTimeout: if the call's time is over before that.
    """
    cache, runtime = kit.cache, kit.runtime
    assert cache is not None
    name = key + ":refresh" if call.cache == "refresh" else key
    while True:
        flight, seat = cache.flights.join(name, call.deadline.at, runtime.waiter)
        if seat is None:
            entry = recalled(kit, call, key)  # another may have landed between the first look and now
            if entry is None:
                return flight, None
            cache.flights.land(flight, entry)
            return None, entry
        try:
            await _waited(kit, cache, call, flight, seat)
        except BaseException as problem:
            cache.flights.leave(flight, seat)
            if isinstance(problem, LLMError) and kit.hooks.error:
                kit.hooks.error(call=call, error=problem)
            raise
        if not flight.landed:
            return flight, None
        limit = oldest(call.cache)
        if limit is None or runtime.now() - flight.answer.born <= limit:
            cache.shared += 1
            return None, flight.answer


async def _waited(kit: Kit, cache: AnswerCache, call: Call[Any], flight: Flight, seat: Seat) -> None:
    """Wait until the flight has landed, or until it is this call's turn to lead."""
    runtime = kit.runtime
    while not flight.landed and not seat.leads:
        now = runtime.now()
        if call.deadline.over(now):
            raise call.deadline.passed()
        if now >= flight.until:
            cache.flights.take(flight, seat)
            return
        if not await runtime.wait(seat.waiter, min(call.deadline.left(now), flight.until - now)):
            seat.waiter = runtime.waiter()


async def looked(kit: Kit, call: Call[Any], key: str, flight: Flight) -> Entry | None:
    """What was kept of a similar question, or what the second level has; where another process is asking the vendor the same, what
    it got."""
    cache, runtime = kit.cache, kit.runtime
    assert cache is not None
    if flight.looked:
        return None
    flight.looked = True
    if cache.semantic is not None and (asked := question(call)) is not None:
        flight.question = await _question(kit, cache, cache.semantic, call, *asked)
        if flight.question is not None and call.cache != "refresh":
            frame, _, vector = flight.question
            found = await runtime.run(cache.semantic.find, frame, vector, runtime.now(), oldest(call.cache))
            if found is not None:
                cache.semantic_hits += 1
                return found
    return None if cache.second is None or call.cache == "refresh" else await _in_second(kit, cache.second, call, key, flight)


async def _question(
    kit: Kit, cache: AnswerCache, semantic: SemanticCache, call: Call[Any], frame: ChatCall, text: str
) -> Question | None:
    """A question's frame and vector. The user's function may fail; the call goes on without it.

    :raises RequestTimeout: if the call's time is over while an async one is awaited.
    """
    key = cache.keys.of_call(frame)
    said, given = "", None
    try:
        given = await (_awaited(kit, semantic, call, text) if semantic.awaited else kit.runtime.run(semantic.embed, text))
        vector = None if given is LATE else semantic.vector(given)
    except (Exception, SystemExit) as problem:
        said = describe(problem)
    if given is LATE:
        raise call.deadline.passed()
    if not said:
        return None if vector is None or key is None else (key, text, vector)
    warnings.warn(f"SemanticCache.embed: {said}", RuntimeWarning, stacklevel=2)
    return None


async def _awaited(kit: Kit, semantic: SemanticCache, call: Call[Any], text: str) -> Any:
    """What an async function gives, or :data:`LATE`."""
    group = kit.runtime.group()
    try:
        group.start(None, semantic.embed(text))
        found = await group.next(call.deadline.left(kit.runtime.now()))
    finally:
        await group.aclose()
    return LATE if found is None else found[1]


async def _in_second(kit: Kit, second: Second, call: Call[Any], key: str, flight: Flight) -> Entry | None:
    cache, runtime = kit.cache, kit.runtime
    assert cache is not None
    kind = "chat" if isinstance(call, ChatCall) else "embed"
    token = f"{runtime.random()}"
    limit = oldest(call.cache)
    gives_up, pause = runtime.now() + LOCKED, FIRST_PAUSE
    while not second.resting(runtime.now()):
        asked = runtime.now()
        found = await runtime.run(second.look, key, kind, token, runtime.now, runtime.time, asked)
        now = runtime.now()
        flight.spent = found.seconds
        entry = found.entry
        if entry is not None and (limit is None or now - entry.born <= limit):
            cache.second_hits += 1
            cache.memory.set(key, entry)
            return entry
        flight.down = found.failed
        if found.ours is not False:
            flight.token = token if found.ours else None
            return None
        if now + pause > gives_up or not call.deadline.affords(pause, now):
            return None
        await runtime.sleep(pause)
        pause = min(pause * 1.5, 0.5)
    return None


async def keep(kit: Kit, call: Call[Any], key: str, flight: Flight, answer: Any) -> None:
    """Hand a fresh answer to those who wait, and keep it for those who come."""
    cache, runtime = kit.cache, kit.runtime
    assert cache is not None
    now = runtime.now()
    entry = cache.entry(answer, call.cache, now)
    if entry is None:
        cache.flights.fail(flight, now, broken=True)
        return
    worth = cache.worth(answer, entry)
    if worth:
        cache.memory.set(key, entry)
        cache.stored += 1
        if cache.semantic is not None and flight.question is not None:
            frame, text, vector = flight.question
            cache.semantic.keep(frame, text, vector, entry)
    cache.flights.land(flight, entry)
    second = cache.second
    if second is None or second.resting(now):
        return
    if worth and not flight.down:
        await runtime.run(second.keep, key, entry, flight.token, runtime.now, runtime.time, now - flight.spent)
    elif flight.token is not None:
        await runtime.run(second.release, key, flight.token, runtime.now, now - flight.spent)


async def failed(kit: Kit, call: Call[Any], flight: Flight, problem: BaseException) -> None:
    """Let the next caller lead after a leader that has no answer."""
    cache, runtime = kit.cache, kit.runtime
    assert cache is not None
    late = isinstance(problem, RequestTimeout) and problem.phase == "deadline"
    now = runtime.now()
    cache.flights.fail(flight, call.deadline.at, broken=isinstance(problem, LLMError) and not late)
    second = cache.second
    # One that is cancelled must not wait for anything; what it has locked is free again after a few seconds.
    alone = isinstance(problem, LLMError) and not flight.leading
    if alone and flight.token is not None and second is not None and not second.resting(now):
        await runtime.run(second.release, flight.key, flight.token, runtime.now, now - flight.spent)
