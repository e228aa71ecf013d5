"""Asking instances how they are, by the cheapest call that their vendors have: the list of models."""

from __future__ import annotations

import weakref
from collections.abc import Coroutine, Sequence
from contextlib import aclosing
from typing import Any

from llmkit.errors import ClientClosedError, LLMError
from llmkit.flow.attempt import bare, decoded, prepared, timed_out
from llmkit.flow.kit import Kit
from llmkit.policy.checks import fails
from llmkit.policy.routes import Lease, Route
from llmkit.values.calls import Deadline
from llmkit.values.health import Probe
from llmkit.values.other_calls import ModelsCall

AT_ONCE = 16
"""Probes under way at once, for each face of a client."""
CONNECT = 5.0


def begin(kit: Kit) -> None:
    """Let the health checks begin in the background, if they have not; whoever makes a call sees to it."""
    kept = weakref.ref(kit)

    def work() -> Coroutine[Any, Any, float] | None:
        found = kept()
        return None if found is None else checked(found)

    kit.runtime.repeat(work)


async def checked(kit: Kit) -> float:
    """Probe the instances whose turn it is; the seconds until it is the next one's."""
    checks = kit.checks
    routes, wait = checks.due(kit.router.routes(), kit.runtime.now())
    if len(routes) == 1:
        await probed(kit, routes[0])
    elif routes:
        await probed_together(kit, routes)
    return wait


async def probed_together(kit: Kit, routes: Sequence[Route]) -> dict[str, Probe]:
    """Probe instances side by side; what came of it, by their names."""

    async def work(route: Route) -> Probe:
        return await probed(kit, route)

    found = {}
    async with aclosing(kit.runtime.each(work, routes, AT_ONCE)) as probes:
        async for position, probe in probes:
            found[routes[position].name] = probe
    return found


async def probed(kit: Kit, route: Route) -> Probe:
    """Probe one instance, and let the router know. Its keys that rest, and its limits, are respected; a circuit breaker that is
    open takes the probe for its next try.

    :raises ClientClosedError: if the client is closed meanwhile.
    """
    runtime, router, checks = kit.runtime, kit.router, kit.checks
    began = runtime.now()
    if "models" not in route.provider.features:
        return _skipped(kit, f"{route.provider.title or route.provider.name} has no list of models to ask for")
    if not checks.begin(route, began):
        return _skipped(kit, "a probe is under way")
    probe = None
    lease: Lease | str = "the probe was called off"
    try:
        lease = router.lease_for_probe(route, began)
        if isinstance(lease, str):
            probe = _skipped(kit, lease)
        else:
            error = await _asked(kit, lease)
            if isinstance(error, ClientClosedError):
                raise error
            probe = Probe(error is None, runtime.time(), runtime.now() - began, error)
    finally:
        now = runtime.now()
        sick = checks.ended(route, probe, now)
        if isinstance(lease, Lease):
            error = None if probe is None else probe.error
            works = probe is not None and not fails(error)
            router.probed(lease, now, error, works, sick, checks.next_at(route))
    return probe


async def _asked(kit: Kit, lease: Lease) -> LLMError | None:
    """What is wrong with asking for the list of models; None where it came."""
    runtime = kit.runtime
    seconds = kit.checks.timeout
    call = ModelsCall(deadline=Deadline(lease.started + seconds, seconds), instance=lease.route.name)
    try:
        _, request, _ = prepared(kit, call, lease)
        reply = await runtime.send(request, min(CONNECT, seconds), call.deadline.at)
        decoded(call, reply, lease.route)
    except LLMError as problem:
        error = timed_out(call, bare(problem, lease), runtime.now())
        error.provider = error.provider or lease.route.instance.provider
        error.instance = error.instance or lease.route.name
        return error
    return None


def _skipped(kit: Kit, why: str) -> Probe:
    return Probe(None, kit.runtime.time(), skipped=why)
