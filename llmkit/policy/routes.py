"""What the router deals in: instances at work, leases on them, calls that wait, and what a call has tried."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs

from llmkit.errors import LLMError
from llmkit.policy.keys import Key, KeyPool
from llmkit.provider import Provider
from llmkit.values.instances import Instance

if TYPE_CHECKING:
    from llmkit.policy.router import Router
    from llmkit.runtime import Waiter
    from llmkit.values.completion import Pricer

ANY_MODEL = "*"
"""The model of an instance that serves whichever model a call names."""


@attrs.define(eq=False, repr=False)
class Route:
    """An instance at work: its provider, its keys, and what is known of it."""

    instance: Instance
    provider: Provider
    keys: KeyPool
    name: str
    position: int = 0
    enabled: bool = True
    pricer: Pricer | None = None
    """Finds what its answers cost, when somebody asks."""
    on_demand: bool = False
    """Made for a call that named its model; serves no call that names none."""
    in_flight: int = 0
    uses: int = 0
    last_given: int = 0
    latency: float | None = None
    waiting: deque[Parked] = attrs.field(factory=deque)

    def has_room(self) -> bool:
        """Whether its limit on calls in flight leaves room."""
        limit = self.instance.max_concurrency
        return limit is None or self.in_flight < limit

    def lives(self, tried: Tried) -> bool:
        """Whether it may still serve a call that has ``tried`` things."""
        return not tried.dead or self.keys.keys[0] not in tried.dead

    def serves(self, model: object) -> bool:
        """Whether ``model`` (``provider/model``, the bare name, or the instance's own name) is this instance's."""
        return model in (self.instance.model, f"{self.instance.provider}/{self.instance.model}", self.name)


@attrs.define(eq=False, repr=False)
class Lease:
    """One call's hold on an instance and a key, until the answer or the stream has ended."""

    router: Router
    route: Route
    key: Key
    started: float
    epoch: object
    """Which life of the router it belongs to: a lease from before a fork counts in the parent alone."""
    released: bool = False

    def release(self, now: float, error: LLMError | None = None, answered: bool = False) -> None:
        """Give back, and hand on to whoever waits. Calling it again does nothing.

        :param error: what went wrong; may let the key rest.
        :param answered: True where an answer came, so that its time counts.
        """
        self.router.release(self, now, error, answered)


@attrs.define(eq=False, repr=False)
class Parked:
    """A call that waits. ``lease`` is set before ``waiter`` is woken, where a slot was handed over."""

    waiter: Waiter
    until: float | None
    """When the soonest rest ends; None where nothing rests."""
    queued: bool
    """Whether it stands in line for a slot too, which may come at any moment."""
    error: LLMError
    """What to raise if the wait is too long."""
    lease: Lease | None = None
    gone: bool = False


@attrs.define(eq=False, repr=False)
class Tried:
    """What one call has tried already."""

    routes: set[Route] = attrs.field(factory=set)
    keys: set[Key] = attrs.field(factory=set)
    dead: set[Key] = attrs.field(factory=set)
    """The keys of instances that can never serve this call."""

    def again(self) -> Tried:
        """What is out of the question when all has been tried once."""
        return Tried(keys=set(self.dead), dead=self.dead) if self.dead else NOTHING_TRIED


NOTHING_TRIED = Tried()
