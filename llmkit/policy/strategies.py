"""Which of several instances that could serve a call gets it.

A strategy is any object with ``choose(routes, now)``. ``routes`` are the instances that can serve the call right now, in the order
in which they were added, never empty; a :class:`~llmkit.policy.routes.Route` shows ``in_flight``, ``uses``, ``last_given`` (a
count that grows with every call given out), ``latency`` (decaying average in seconds, None before the first answer) and its
``instance``. It is called under the router's lock: quick, and without waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from llmkit.errors import ConfigError, did_you_mean, shown
from llmkit.wire.redact import describe

if TYPE_CHECKING:
    from llmkit.policy.routes import Route


class Strategy(Protocol):
    """Chooses one of several routes."""

    def choose(self, routes: Sequence[Route], now: float) -> Route:
        """One of ``routes``, for a call that starts at ``now`` seconds on the runtime's clock."""


class LeastRecentlyUsed:
    """The instance that was given a call the longest ago; stamped when the call is given out, so a parallel batch spreads."""

    def choose(self, routes: Sequence[Route], now: float) -> Route:
        """The route with the oldest stamp."""
        return min(routes, key=lambda route: route.last_given)


class RoundRobin:
    """Each instance in turn, in the order in which they were added."""

    def __init__(self) -> None:
        self._last = -1

    def choose(self, routes: Sequence[Route], now: float) -> Route:
        """The route after the one chosen last."""
        chosen = next((route for route in routes if route.position > self._last), routes[0])
        self._last = chosen.position
        return chosen


class Random:
    """Any of them, with equal chances."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random

    def choose(self, routes: Sequence[Route], now: float) -> Route:
        """A route by lot."""
        return routes[min(int(self._random() * len(routes)), len(routes) - 1)]


class LowestLatency:
    """The instance with the lowest decaying average latency; one that has never answered is tried when it is idle."""

    def choose(self, routes: Sequence[Route], now: float) -> Route:
        """An idle route without a measurement, else the fastest."""
        measured = [route for route in routes if route.latency is not None]
        fresh = [route for route in routes if route.latency is None and route.in_flight == 0]
        if fresh or not measured:
            return min(fresh or routes, key=lambda route: route.last_given)
        return min(measured, key=lambda route: (route.latency, route.last_given))


class LeastConnections:
    """The instance with the fewest calls in flight; the longest unused of equals."""

    def choose(self, routes: Sequence[Route], now: float) -> Route:
        """The least busy route."""
        return min(routes, key=lambda route: (route.in_flight, route.last_given))


class Weighted:
    """Calls in proportion to the instances' weights, spread evenly (smooth weighted round robin, as nginx does it): at any
    moment each instance is within one call of its share."""

    def __init__(self) -> None:
        self._credit: dict[str, float] = {}

    def choose(self, routes: Sequence[Route], now: float) -> Route:
        """The route with the most credit, which then pays for its turn."""
        credit = self._credit
        total = 0.0
        for route in routes:
            weight = route.instance.weight
            total += weight
            credit[route.name] = credit.get(route.name, 0.0) + weight
        chosen = max(routes, key=lambda route: credit[route.name])
        credit[chosen.name] -= total
        return chosen


STRATEGIES: Mapping[str, Callable[[Callable[[], float]], Strategy]] = {
    "lru": lambda random: LeastRecentlyUsed(),
    "round_robin": lambda random: RoundRobin(),
    "random": Random,
    "lowest_latency": lambda random: LowestLatency(),
    "least_connections": lambda random: LeastConnections(),
    "weighted": lambda random: Weighted(),
}
"""Built-in strategies by name; plugins add theirs."""

ALIASES = {"least_recently_used": "lru", "latency": "lowest_latency"}


def _made(name: str, make: Callable[[], Strategy]) -> Strategy:
    try:
        made = make()
    except Exception as problem:
        said = describe(problem)
    else:
        if not isinstance(made, str):
            return made
        said = f"it made {shown(made)}"
    raise ConfigError(f"strategy {name!r} cannot be made: {said}")


def make_strategy(
    chosen: str | Strategy,
    random: Callable[[], float],
    more: Mapping[str, Callable[[], Strategy]] | None = None,
) -> Strategy:
    """A strategy from its name, or the object itself.

    :param more: strategies that plugins registered.
    :raises ConfigError: if no strategy has that name; names the ones that exist.
    """
    if not isinstance(chosen, str):
        if not callable(getattr(chosen, "choose", None)):
            raise ConfigError(f"strategy: expected a name or an object with choose(routes, now), got {shown(chosen)}")
        return chosen
    name = ALIASES.get(chosen.lower(), chosen.lower())
    if name in STRATEGIES:
        return STRATEGIES[name](random)
    if more and chosen in more:
        return make_strategy(_made(chosen, more[chosen]), random)
    names = [*STRATEGIES, *(more or {})]
    raise ConfigError(f"strategy: expected one of {', '.join(names)}; got {shown(chosen)}{did_you_mean(name, names)}")
