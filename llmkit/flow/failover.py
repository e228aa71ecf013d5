"""Try after try, each on the instance and key whose turn it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from llmkit.errors import LLMError
from llmkit.flow.attempt import bare, timed_out
from llmkit.flow.ended import called_off
from llmkit.flow.kit import Kit
from llmkit.flow.retrying import Trail
from llmkit.policy.routes import Lease

T = TypeVar("T")


async def failover(
    kit: Kit,
    trail: Trail,
    attempt: Callable[[Kit, Trail, Lease], Awaitable[T]],
    failed: Lease | None = None,
    failure: LLMError | None = None,
    pause: float = 0.0,
) -> T:
    """Attempt until one try works. A try that works keeps its lease, or releases it itself.

    :param failed: the lease of a try that has failed already, ``failure`` why, ``pause`` how long was waited since.
    :raises LLMError: the last error as it was, or :class:`~llmkit.errors.AllInstancesFailed` where several instances failed.
    """
    call, runtime, hooks = trail.call, kit.runtime, kit.hooks
    while True:
        try:
            found = kit.router.admit(call, trail.tried, runtime.now(), runtime.waiter)
            if type(found) is Lease:
                lease = found
            else:
                from llmkit.flow.waiting import turn  # most calls never wait

                lease = await turn(kit, trail, found)
        except LLMError as error:  # also what the router says, which knows nothing of earlier tries
            error.attempts = trail.attempts
            raise
        try:
            if failed is not None:
                if lease.route is not failed.route and hooks.failover:
                    hooks.failover(call=call, error=failure, instance=lease.route.name)
                elif lease.route is failed.route:
                    kit.ledger.retried(lease.route.name)
                    if hooks.retry:
                        hooks.retry(call=call, error=failure, pause=pause)
            return await attempt(kit, trail, lease)
        except LLMError as error:
            failure = bare(error, lease)
        except BaseException:  # cancelled or interrupted: the lease goes back all the same
            called_off(kit, trail, lease)
            raise
        failed = lease
        now = runtime.now()
        failure = timed_out(call, failure, now)
        failure.provider = failure.provider or lease.route.instance.provider
        failure.instance = failure.instance or lease.route.name
        kit.router.release(lease, now, failure)
        seconds = trail.book(lease, now, failure)
        kit.ledger.failed(lease.route.name, lease.key.label, call.task, call.tags, failure, seconds)
        if hooks.attempt:
            hooks.attempt(call=call, attempt=trail.attempts[-1])
        pause = trail.failed(kit, lease, failure, now)
        if pause:
            trail.queued += pause
            await runtime.sleep(pause)
