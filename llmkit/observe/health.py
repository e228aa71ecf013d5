"""What a client knows of itself: the half of its face that shows it, saves it and takes it up again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmkit.policy.router import Router
    from llmkit.policy.routes import Route
    from llmkit.values.health import ClientHealth, Probe


class AboutHealth:
    """The state of a client's instances, as data. Part of :class:`~llmkit.Client` and :class:`~llmkit.AsyncClient`."""

    _core: Any
    _runtime: Any

    def _enabled(self) -> list[Route]:
        return [route for route in self._core.router.routes() if route.enabled]

    def _health(self, probes: Mapping[str, Probe] | None = None) -> ClientHealth:
        from llmkit.policy.health import health_of

        last = self._core.checks.last
        fresh = probes or {}
        now, wall = self._runtime.now(), self._runtime.time()

        def look(router: Router) -> ClientHealth:
            routes = [(route, fresh.get(route.name) or last.get(route)) for route in router.held()]
            return health_of(routes, router.limiter, router.lines.waiting, now, wall)

        health: ClientHealth = self._core.router.read(look)
        return health

    def state(self) -> dict[str, Any]:
        """All that the client knows and that outlives a call, as plain data for JSON: what is switched on, rests of keys and why,
        breakers, averages, counts, what is booked in limits. Keys are named by their labels; there is no secret in it.
        """
        from llmkit.policy.saved import saved

        now, wall = self._runtime.now(), self._runtime.time()
        state: dict[str, Any] = self._core.router.read(lambda router: saved(router, now, wall))
        return state

    def restore(self, state: Mapping[str, Any]) -> tuple[str, ...]:
        """Go on where another client stopped: the one before this process began, or one in another process.

        What passed meanwhile has passed: rests that are over are over, and limits are free of what has left their windows.
        Instances and keys are found by name and label.

        :param state: what :meth:`state` gave, as it was or by way of JSON.
        :returns: what was left out, in words: instances and keys that this client does not have, a strategy that it cannot make.
        :raises ConfigError: if the state is damaged, naming where; then nothing has changed.
        """
        from llmkit.policy.restored import restore

        core, now, wall = self._core, self._runtime.now(), self._runtime.time()
        return restore(core.router, core.strategy_named, core.checks.interval is not None, state, now, wall)
