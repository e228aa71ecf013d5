"""One try, doubled where it is late: a second request on another instance or key, and the first answer counts.

A try is late after ``Hedge.delay``. The second request is made only if something can serve it at once: it never waits for room,
never goes to a fallback model, and is not retried. An error does not start it: errors are :mod:`~llmkit.flow.failover`'s. A stream
is hedged up to its first content, since a try of a stream ends there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import attrs

from llmkit.errors import LLMError, Recovery
from llmkit.flow.attempt import bare
from llmkit.flow.ended import called_off, failed_beside
from llmkit.flow.kit import Kit
from llmkit.flow.retrying import Trail
from llmkit.policy.hedging import Hedging
from llmkit.policy.routes import Lease, Parked, Tried
from llmkit.runtime import Group
from llmkit.values.completion import Completion
from llmkit.values.hedging import Hedge

T = TypeVar("T")


def hedging(
    hedge: Hedge,
    attempt: Callable[[Kit, Trail, Lease], Coroutine[Any, Any, T]],
    too_late: Callable[[Kit, T], Awaitable[None]] | None = None,
) -> Callable[[Kit, Trail, Lease], Coroutine[Any, Any, T]]:
    """``attempt``, hedged.

    :param too_late: what to do with an answer that came when there was one already; what it used is booked.
    """

    async def hedged(kit: Kit, trail: Trail, lease: Lease) -> T:
        account, streamed = kit.hedging(), trail.call.streamed
        if not trail.tries:
            account.pay_in(hedge)
        times = account.times(lease.route, streamed)
        delay = account.delay(hedge, times)
        if delay is None or not account.affords():  # nothing to run side by side
            answer = await attempt(kit, trail, lease)
            times.observe(kit.runtime.now() - lease.started)
            return answer
        pair = _Pair(kit, trail, attempt, account, kit.runtime.group(), [lease])
        try:
            number, answer = await pair.first(delay)
        except BaseException:  # an error, cancelled or interrupted: whatever runs is called off
            await pair.close(too_late)
            raise
        try:
            await pair.close(too_late)
        except BaseException:  # cancelled while the other is called off: nobody gets this answer either
            if too_late is not None:
                await too_late(kit, answer)
            raise
        now = kit.runtime.now()
        for tried in pair.leases[: number + 1]:  # the first has taken at least so long where the second was quicker
            account.times(tried.route, streamed).observe(now - tried.started)
        if isinstance(answer, Completion):  # nobody has seen it yet
            vars(answer)["_tries"] = tuple(sorted(trail.tries, key=lambda fields: fields[2]))
        return answer

    return hedged


@attrs.define(eq=False, repr=False)
class _Pair:
    """A try and, where it was late, its double."""

    kit: Kit
    trail: Trail
    attempt: Callable[[Kit, Trail, Lease], Awaitable[Any]]
    account: Hedging
    group: Group
    leases: list[Lease]
    begun: set[Lease] = attrs.field(factory=set)
    """Those whose try has begun, and gives them back itself."""
    failure: LLMError | None = None
    """The first try's."""

    async def first(self, delay: float) -> tuple[int, Any]:
        """The first answer: 0 or 1, and what it is.

        :raises LLMError: the first try's error where no answer comes, or where it says that none can come.
        """
        self.group.start(0, self._try(self.leases[0]))
        found = await self.group.next(delay)
        if found is None and (second := self._second()) is not None:
            self.leases.append(second)
            self.group.start(1, self._try(second, delay))
        while found := found or await self.group.next():
            number, answer = found
            found = None
            if not isinstance(answer, LLMError):
                if self.failure is not None:
                    failed_beside(self.kit, self.trail, self.leases[0], self.failure)
                return number, answer
            if number:
                failed_beside(self.kit, self.trail, self.leases[1], answer)
                continue
            self.failure = answer
            if answer.recovery is Recovery.NEVER:
                break
        assert self.failure is not None
        raise self.failure

    async def _try(self, lease: Lease, late: float | None = None) -> Any:
        """What a try brings, an error too.

        :param late: seconds after which the first try was late, where this one doubles it.
        """
        self.begun.add(lease)
        try:
            if late is not None and self.kit.hooks.hedge:
                self.kit.hooks.hedge(call=self.trail.call, instance=lease.route.name, delay=late)
            return await self.attempt(self.kit, self.trail, lease)
        except LLMError as error:
            failure = bare(error, lease)
        except BaseException:  # cancelled or interrupted: the lease goes back all the same
            called_off(self.kit, self.trail, lease)
            raise
        return failure

    def _second(self) -> Lease | None:
        """Room for the double, if the account allows one and something can serve it at once."""
        kit, trail, route = self.kit, self.trail, self.leases[0].route
        if not self.account.take():
            return None
        now = kit.runtime.now()
        call = attrs.evolve(trail.call, fallbacks=())
        tried = Tried({*trail.tried.routes, route}, {*trail.tried.keys, self.leases[0].key}, trail.tried.dead)
        found: Lease | Parked | None = None
        try:
            found = kit.router.admit(call, tried, now, kit.runtime.waiter)
        except LLMError:  # nothing can serve it, and the first try goes on
            found = None
        if isinstance(found, Lease):
            return found
        if found is not None:
            kit.router.leave(found, now)
        self.account.give_back()
        return None

    async def close(self, too_late: Callable[[Kit, Any], Awaitable[None]] | None) -> None:
        """Call off what still runs; what ended in the meantime is booked."""
        try:
            await self._end(too_late)
        except BaseException:  # cancelled meanwhile: what was called off may have brought something all the same
            await self._end(too_late)
            raise
        finally:
            for lease in self.leases:
                if lease not in self.begun:  # called off before it ran at all
                    called_off(self.kit, self.trail, lease)

    async def _end(self, too_late: Callable[[Kit, Any], Awaitable[None]] | None) -> None:
        for number, answer in await self.group.aclose():
            if isinstance(answer, LLMError):
                failed_beside(self.kit, self.trail, self.leases[number], answer)
            elif too_late is not None:
                await too_late(self.kit, answer)
