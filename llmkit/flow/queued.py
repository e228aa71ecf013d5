"""Calls that are answered later: into the queue, and out of it again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import attrs

from llmkit.errors import ClientClosedError, ConfigError, InvalidRequestError, LLMError, StorageError, shown
from llmkit.flow.ask import ask
from llmkit.flow.kit import Kit
from llmkit.policy.fallbacks import passes
from llmkit.values.calls import ChatCall, Deadline
from llmkit.values.fallbacks import Queue
from llmkit.values.tickets import Ticket, TicketStatus

if TYPE_CHECKING:
    from llmkit.values.tickets import TicketStore

FIRST_PAUSE = 30.0
"""Seconds after which a ticket that failed for a passing reason is tried again; each further pause is twice as long."""
LONGEST_PAUSE = 3600.0
"""Seconds."""


async def enqueue(kit: Kit, call: ChatCall, step: Queue, error: LLMError | None = None, key: str | None = None) -> Ticket:
    """Store ``call`` to be asked later; it is on the disk when this returns.

    :param error: what ended the call, if it was made already.
    :param key: a name for the call: under one name one ticket is stored, however often.
    :raises InvalidRequestError: if the call holds something that has no JSON form, or ``key`` is another call's.
    :raises StorageError: if it cannot be stored.
    """
    if key is not None and (not isinstance(key, str) or not key or not _is_text(key)):
        raise InvalidRequestError(f"key: expected a non-empty string, got {shown(key)}")
    now = kit.runtime.time()
    number = call.retries if isinstance(call.retries, int) else None  # a policy is code, and stays here
    kept = attrs.evolve(call, plan=None, stream=False, retries=number, deadline=Deadline(0.0, call.deadline.seconds))
    sent = error is not None and (error.ambiguous or any([attempt.ambiguous for attempt in error.attempts]))
    ticket = Ticket(
        id="",
        status=TicketStatus.QUEUED,
        created=now,
        changed=now,
        not_before=now + step.delay,
        max_attempts=step.max_attempts,
        why="" if error is None else str(error),
        maybe_sent_before=sent,
        key=key,
        call=kept,
    )
    return await with_store(kit, lambda store: store.put(ticket))  # type: ignore[no-any-return]


async def with_store(kit: Kit, work: Callable[[TicketStore], Any]) -> Any:
    """What ``work`` makes of the queue, where blocking holds nobody up."""
    assert kit.tickets is not None
    tickets = kit.tickets
    return await kit.runtime.run(lambda: work(tickets()))


async def drain(
    kit: Kit,
    prepare: Callable[[ChatCall], ChatCall],
    concurrency: int,
    limit: int | None,
    progress: Callable[[int, Ticket], object] | None,
) -> list[Ticket]:
    """Ask the tickets that may be asked now, oldest first, until there is none left.

    :param prepare: makes sure that the call's models have instances.
    :param limit: the most tickets to take; None for all.
    :param progress: called with the number done so far and the ticket as it is then.
    :returns: each ticket as it is afterwards, oldest first: ``done``, ``failed``, or ``queued`` again for a later time.
    :raises InvalidRequestError: if a number is no whole number of at least 1.
    :raises StorageError: if the queue cannot be read. Answers that came are stored, as far as the queue can be written.
    """
    _check_whole("concurrency", concurrency)
    if progress is not None and not callable(progress):
        raise InvalidRequestError(f"progress: expected a function, got {shown(progress)}")
    if limit is not None:
        _check_whole("limit", limit)
    dry = False

    def places() -> Iterator[int]:
        taken = 0
        while not dry and taken != limit:
            yield taken
            taken += 1

    async def work(_: int) -> Ticket | None:
        nonlocal dry
        ticket = await _claimed(kit)
        if ticket is None:
            dry = True
            return None
        ticket = await _asked(kit, prepare, ticket)
        dry = dry or isinstance(ticket.error, StorageError)
        return ticket

    done: list[Ticket] = []
    async for _, ticket in kit.runtime.each(work, places(), concurrency):
        if ticket is not None:
            done.append(ticket)
            if progress is not None:
                progress(len(done), ticket)
    return sorted(done, key=lambda ticket: ticket.created)


async def _claimed(kit: Kit) -> Ticket | None:
    """A ticket to ask. Where a task is cancelled meanwhile the claim is made all the same, without it: then whichever of the two
    comes second gives the ticket back, or this process would hold it for ever."""
    met: list[Ticket | None] = []
    now = kit.runtime.time()

    def claim(store: TicketStore) -> Ticket | None:
        ticket = store.claim(now)
        met.append(ticket)
        if ticket is not None and met[0] is not ticket:
            store.give_back(ticket, now, False)
        return ticket

    try:
        return await with_store(kit, claim)  # type: ignore[no-any-return]
    except BaseException:  # cancelled while a thread claims: what it claims goes back
        met.append(None)
        if met[0] is not None:
            await _give_back(kit, met[0], sent=False)
        raise


async def _asked(kit: Kit, prepare: Callable[[ChatCall], ChatCall], ticket: Ticket) -> Ticket:
    """A claimed ticket, asked and written back. An interruption gives it back at once."""
    failure: LLMError
    answer = None
    try:
        if ticket.call is None:
            raise ticket.error or InvalidRequestError("the ticket holds no call")
        call = prepare(ticket.call)
        seconds = call.deadline.seconds
        answer = await ask(kit, attrs.evolve(call, deadline=Deadline(kit.runtime.now() + seconds, seconds)))
    except ClientClosedError:
        await _give_back(kit, ticket)
        raise
    except LLMError as error:
        failure = error
    except BaseException:  # cancelled or interrupted: others may take the ticket at once
        await _give_back(kit, ticket)
        raise
    now = kit.runtime.time()
    if answer is not None:
        completion = answer
        known = attrs.evolve(ticket, completion=completion)
        try:
            return await _written(kit, known, lambda store: store.finish(ticket, completion, now))
        except InvalidRequestError as error:  # a vendor's plugin put something into it that has no JSON form
            failure = error
        stored = await _written(kit, known, lambda store: store.fail(ticket, failure, now, None))
        return attrs.evolve(stored, completion=completion)
    again = _again(ticket, failure, now)
    return await _written(kit, ticket, lambda store: store.fail(ticket, failure, now, again))


def _again(ticket: Ticket, error: LLMError, now: float) -> float | None:
    """When a ticket is tried again; None for never. A wrong setting is this client's fault, not the ticket's."""
    lasting = ticket.call is None or not (passes(error) or isinstance(error, ConfigError))
    if lasting or ticket.attempts >= ticket.max_attempts:
        return None
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(ticket.attempts - 1, 10))
    return now + max(pause, error.retry_after or 0.0)


async def _written(kit: Kit, ticket: Ticket, write: Callable[[TicketStore], Ticket | None]) -> Ticket:
    """The ticket as it is stored now. Where it cannot be stored, or another process has taken it over meanwhile, it comes as it is
    known here, with that as its error: an answer that was paid for is not thrown away."""
    lost: LLMError
    try:
        stored: Ticket | None = await with_store(kit, write)
        if stored is not None:
            return stored
        lost = LLMError("another process has taken the ticket over meanwhile")
    except StorageError as problem:
        lost = problem
    return attrs.evolve(ticket, error=lost)


async def _give_back(kit: Kit, ticket: Ticket, sent: bool = True) -> None:
    now = kit.runtime.time()
    try:
        await with_store(kit, lambda store: store.give_back(ticket, now, sent))
    except StorageError:
        return  # its claim runs out by itself


# ----------------------------------------------------------------------------------------------- looking, tidying


async def ticket(kit: Kit, id: str) -> Ticket:
    """One ticket.

    :raises InvalidRequestError: if there is none of that id.
    """
    known = isinstance(id, str) and _is_text(id)
    found: Ticket | None = await with_store(kit, lambda store: store.get(id)) if known else None
    if found is None:
        raise InvalidRequestError(f"id: there is no ticket {shown(id)}")
    return found


async def tickets(kit: Kit, status: str | None, limit: int) -> list[Ticket]:
    """The latest tickets, newest first.

    :raises InvalidRequestError: if an argument is wrong.
    """
    _check_whole("limit", limit)
    wanted = None if status is None else _status(status)
    return await with_store(kit, lambda store: store.find(wanted, limit))  # type: ignore[no-any-return]


async def purge(kit: Kit, older_than: float, statuses: Iterable[str]) -> int:
    """Delete tickets that last changed so many seconds ago, or earlier; how many they were.

    :raises InvalidRequestError: if an argument is wrong.
    """
    if isinstance(older_than, bool) or not isinstance(older_than, (int, float)) or not 0 <= older_than < 1e12:
        raise InvalidRequestError(f"older_than: expected a number of seconds of at least 0, got {shown(older_than)}")
    if isinstance(statuses, str) or not isinstance(statuses, Iterable):
        raise InvalidRequestError(f"statuses: expected a list, got {shown(statuses)}")
    wanted = [_status(word) for word in statuses]
    before = kit.runtime.time() - older_than
    return await with_store(kit, lambda store: store.purge(before, wanted))  # type: ignore[no-any-return]


def _check_whole(name: str, number: object) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number < 2**63:
        raise InvalidRequestError(f"{name}: expected a whole number of at least 1, got {shown(number)}")


def _is_text(word: str) -> bool:
    """Whether it can be written as UTF-8; half of a surrogate pair cannot."""
    return word.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in word)


def _status(word: str) -> TicketStatus:
    known = [str(status) for status in TicketStatus]
    if word not in known:
        raise InvalidRequestError(f"status: expected one of {', '.join(known)}, got {shown(word)}")
    return TicketStatus(word)
