"""A call that waits in a queue: its ticket, and what any queue must be able to do."""

from __future__ import annotations

import enum
from collections.abc import Collection
from typing import Protocol

import attrs

from llmkit.errors import LLMError
from llmkit.values.base import Value
from llmkit.values.calls import ChatCall
from llmkit.values.completion import Completion


class TicketStatus(str, enum.Enum):
    """Where a ticket is. Equal to its own text: ``ticket.status == "done"``."""

    QUEUED = "queued"
    """It waits to be asked, for the first time or again."""
    RUNNING = "running"
    """Somebody is asking it, or was killed while asking it a moment ago."""
    DONE = "done"
    """It is answered; ``completion`` has the answer."""
    FAILED = "failed"
    """It cannot be answered; ``why`` and ``error`` say why."""

    def __str__(self) -> str:
        return self.value


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Ticket(Value):
    """A call in the queue, as it stood when it was looked at. Times are Unix times in seconds."""

    id: str
    status: TicketStatus
    created: float
    changed: float
    attempts: int = 0
    """How often it has been taken out of the queue to be asked."""
    max_attempts: int = 10
    why: str = ""
    """What brought it into the queue, or what went wrong last."""
    maybe_sent_before: bool = False
    """True where an earlier try may have reached the vendor, who may then do and bill the work twice: the try was cut short by
    ``kill -9`` or Ctrl-C, or it failed in a way that does not tell."""
    not_before: float = 0.0
    """Nobody takes it before this time."""
    key: str | None = None
    """The name under which the caller stored it, once."""
    call: ChatCall | None = attrs.field(default=None, repr=False)
    """What is asked; its deadline counts from when it is. None where what was stored cannot be read."""
    completion: Completion | None = None
    error: LLMError | None = attrs.field(default=None, repr=False)
    """The last try's error."""
    claim: str | None = attrs.field(default=None, repr=False)
    """For the queue itself: which claim a running ticket is held by."""


class TicketStore(Protocol):
    """Where tickets are kept. Its methods are plain functions that may block; llmkit runs them where they hold nobody up. They
    may be called from several threads and processes at once.

    Every method may raise :class:`~llmkit.errors.StorageError`. ``now`` is Unix time.
    """

    def put(self, ticket: Ticket) -> Ticket:
        """Store a ticket, for good before this returns; its id is chosen here if it is empty. Where one with the same ``key`` is
        stored already nothing is stored, and that one is given back.

        :raises InvalidRequestError: if that one asks something else.
        """

    def claim(self, now: float) -> Ticket | None:
        """Take the oldest ticket that may be asked now, as ``running``; None if there is none. No other claim gets it until it is
        finished, failed or given back here, or its claimer's process has ended."""

    def finish(self, ticket: Ticket, completion: Completion, now: float) -> Ticket | None:
        """Store a claimed ticket's answer; None if the claim is lost: it ran out, and another has it or had it."""

    def fail(self, ticket: Ticket, error: LLMError, now: float, again: float | None) -> Ticket | None:
        """Store a claimed ticket's error; it goes back to be asked not before ``again``, or for None has failed. None as above."""

    def give_back(self, ticket: Ticket, now: float, sent: bool) -> None:
        """Put a claimed ticket back, its try not counted; ``sent`` if the vendor may have got it."""

    def find(self, status: TicketStatus | None = None, limit: int = 100) -> list[Ticket]:
        """The latest tickets, newest first."""

    def get(self, id: str) -> Ticket | None:
        """One ticket by its id, or None."""

    def count(self) -> dict[TicketStatus, int]:
        """How many tickets there are of each status."""

    def cancel(self, id: str) -> bool:
        """Delete a ticket that is queued; False if it is not."""

    def purge(self, before: float, statuses: Collection[TicketStatus]) -> int:
        """Delete the tickets of ``statuses`` that last changed before a time; how many they were. Running ones stay."""
