"""Which of several instances that could serve a call gets it.

A strategy is any object with ``choose(routes, now)``. ``routes`` are the instances that can serve the call right now, in the order
in which they were added, never empty; a :class:`~llmkit.policy.routes.Route` shows ``in_flight``, ``uses``, ``last_given`` (a
count that grows with every call given out), ``latency`` (decaying average in seconds, None before the first answer) and its
``instance``. It is called under the router's lock: quick, and without waiting; a method of its client that it calls raises
RuntimeError there, since it would wait for itself.

The built-in strategies keep an index instead (:mod:`llmkit.policy.indexes`): :meth:`Indexed.index` makes one for each group of
instances that can serve the same calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, Union

from llmkit.errors import ConfigError, did_you_mean, shown
from llmkit.policy.indexes import STAMP, Group, Index, InTurn, Ranked, Seat, given_longest_ago, tiered
from llmkit.wire.redact import describe

if TYPE_CHECKING:
    from llmkit.policy.routes import Route


class Strategy(Protocol):
    """Chooses one of several routes."""

    def choose(self, routes: Sequence[Route], now: float) -> Route:
        """One of ``routes``, for a call that starts at ``now`` seconds on the runtime's clock."""


class Indexed:
    """A built-in strategy: makes the index of a group.

    :param make: given a group and a function that gives numbers from 0 to 1.
    """

    def __init__(self, name: str, make: Callable[[Group, Callable[[], float]], Index], random: Callable[[], float]) -> None:
        self.name = name
        self._make = make
        self._random = random

    def index(self, group: Group) -> Index:
        """A new index over the group's instances."""
        return self._make(group, self._random)

    def __repr__(self) -> str:
        return f"<strategy {self.name}>"


AnyStrategy = Union[Strategy, Indexed]


def index_of(strategy: AnyStrategy, group: Group, chosen: Callable[[Strategy, list[Route], float], Route]) -> Index:
    """The index by which ``strategy`` chooses among a group.

    :param chosen: asks a strategy of somebody's own, and minds its mistakes.
    """
    if isinstance(strategy, Indexed):
        return strategy.index(group)
    from llmkit.policy.orders import Scan

    return Scan(group, lambda routes, now: chosen(strategy, routes, now))


def _in_flight(seat: Seat) -> int:
    return (seat.route.in_flight << STAMP) + seat.route.last_given


def _by_lot(group: Group, random: Callable[[], float]) -> Index:
    from llmkit.policy.orders import ByLot

    return ByLot(group, random)


def _quickest(group: Group, random: Callable[[], float]) -> Index:
    from llmkit.policy.orders import Quickest

    return Quickest(group)


def _shares(group: Group, random: Callable[[], float]) -> Index:
    from llmkit.policy.orders import Shares

    return Shares(group)


def _usage(seat: Seat) -> int:
    limiter = seat.route.limiter
    return (0 if limiter is None else int(limiter.usage_score * 1e6) << STAMP) + seat.route.last_given


BY_FACTS = ("cheapest", "fastest", "quality")
"""Strategies that go by what the catalogue knows of models."""


def goes_by_facts(strategy: AnyStrategy) -> bool:
    """Whether a strategy asks the catalogue."""
    return isinstance(strategy, Indexed) and strategy.name in BY_FACTS


def _by_facts(order: str) -> Callable[[Group, Callable[[], float]], Index]:
    def index(group: Group, random: Callable[[], float]) -> Index:
        from llmkit.values.model_requests import SCORES, UNKNOWN

        facts = {route: group.facts(route.instance.provider, route.instance.model) for route in group.routes}
        scores = {route: UNKNOWN if info is None else SCORES[order](info) for route, info in facts.items()}
        ranks = {score: rank for rank, score in enumerate(sorted(set(scores.values())))}
        return tiered(group, {route: ranks[score] for route, score in scores.items()})

    return index


STRATEGIES: Mapping[str, Callable[[Group, Callable[[], float]], Index]] = {
    "lru": lambda group, random: Ranked(group, given_longest_ago),
    "round_robin": lambda group, random: InTurn(group),
    "random": _by_lot,
    "lowest_latency": _quickest,
    "least_connections": lambda group, random: Ranked(group, _in_flight, falls=True),
    "weighted": _shares,
    "usage": lambda group, random: Ranked(group, _usage, falls=True),
    **{order: _by_facts(order) for order in BY_FACTS},
    "priority": lambda group, random: tiered(group, {route: route.instance.priority for route in group.routes}),
}
"""Built-in strategies by name; plugins add theirs.

- ``lru``: the instance that was given a call the longest ago, stamped when the call is given out, so a parallel batch spreads.
- ``round_robin``: each in turn, in the order in which they were added.
- ``random``: any of them, with equal chances.
- ``lowest_latency``: the lowest decaying average of total time, or of the time to the first content for streams.
- ``least_connections``: the fewest calls in flight; of equals, the longest unused.
- ``weighted``: in proportion to ``Instance.weight``, each within one call of its share at any moment.
- ``usage``: the most room left in its limits on requests and tokens; of equals, the longest unused.
- ``cheapest``, ``fastest``, ``quality``: the model that comes first by the catalogue, as in
  :func:`~llmkit.values.model_requests.ranked`, that can serve; of equals, the longest unused.
- ``priority``: the lowest ``Instance.priority`` that can serve; of equals, the longest unused.
"""

ALIASES = {"least_recently_used": "lru", "latency": "lowest_latency"}


def _made(name: str, make: Callable[[], AnyStrategy]) -> AnyStrategy:
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
    chosen: str | AnyStrategy,
    random: Callable[[], float],
    more: Mapping[str, Callable[[], AnyStrategy]] | None = None,
) -> AnyStrategy:
    """A strategy from its name, or the object itself.

    :param more: strategies that plugins registered.
    :raises ConfigError: if no strategy has that name; names the ones that exist.
    """
    if not isinstance(chosen, str):
        own = callable(getattr(chosen, "choose", None)) and not isinstance(chosen, type)
        if not isinstance(chosen, Indexed) and not own:
            raise ConfigError(f"strategy: expected a name or an object with choose(routes, now), got {shown(chosen)}")
        return chosen
    name = ALIASES.get(chosen.lower(), chosen.lower())
    if name in STRATEGIES:
        return Indexed(name, STRATEGIES[name], random)
    if more and chosen in more:
        return make_strategy(_made(chosen, more[chosen]), random)
    names = [*STRATEGIES, *(more or {})]
    raise ConfigError(f"strategy: expected one of {', '.join(names)}; got {shown(chosen)}{did_you_mean(name, names)}")
