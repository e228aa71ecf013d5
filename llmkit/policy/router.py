"""Which instance and which key a call gets, at once or after how long a wait.

The router holds every instance's state behind one lock, which is held for the length of a computation only. A call that nothing
can serve now is *parked*: it waits, through the runtime, for a slot that is handed to it in order of arrival, or for the end of
the soonest rest.
"""

from __future__ import annotations

import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from llmkit.errors import (
    ConfigError,
    LLMError,
    NoInstanceAvailable,
    QueueFullError,
    did_you_mean,
    shown,
)
from llmkit.policy.keys import KeyState
from llmkit.policy.reasons import why_not
from llmkit.policy.routes import ANY_MODEL, NOTHING_TRIED, Lease, Parked, Route, Tried
from llmkit.policy.strategies import Strategy
from llmkit.values.calls import MODEL_WORDS, Call
from llmkit.values.instances import Task
from llmkit.values.options import NO_OPTIONS, Options
from llmkit.wire.redact import describe

if TYPE_CHECKING:
    from llmkit.runtime import Waiter
    from llmkit.values.completion import ModelInfo
    from llmkit.values.model_requests import ModelRequest

LATENCY_DECAY = 0.3
"""Share of the newest measurement in an instance's average latency."""


class Router:
    """Every instance of a client, and whose turn it is."""

    def __init__(
        self,
        strategy: Strategy,
        tasks: Iterable[Task] = (),
        max_pending: int = 10_000,
        facts: Callable[[str, str], ModelInfo | None] = lambda provider, model: None,
    ) -> None:
        self.strategy = strategy
        self._facts = facts
        self.tasks: dict[str, Task] = {}
        for task in tasks:
            if self.tasks.setdefault(task.name, task) is not task:
                raise ConfigError(f"two tasks are named {task.name!r}")
        self.max_pending = max_pending
        self._epoch = object()
        self._told = False
        self._routes: dict[str, Route] = {}
        self._lock = threading.Lock()
        self._tiers: dict[tuple[Any, ...], list[list[Route]]] = {}
        self._given = 0
        self._pending: dict[int, Parked] = {}

    # ------------------------------------------------------------------------------------------- instances

    def add(self, route: Route) -> None:
        """Take in an instance.

        :raises ConfigError: if its name is taken.
        """
        with self._lock:
            if route.name in self._routes:
                raise ConfigError(f"two instances are named {shown(route.name)}")
            route.position = max((other.position for other in self._routes.values()), default=-1) + 1
            self._routes[route.name] = route
            self._changed()

    def remove(self, name: str) -> Route:
        """Take out an instance; its calls in flight go on unharmed.

        :raises ConfigError: if there is none of that name.
        """
        with self._lock:
            route = self._named(name)
            del self._routes[name]
            self._changed()
            return route

    def enable(self, name: str, enabled: bool) -> None:
        """Switch an instance on or off; its calls in flight go on unharmed. Switched on, its keys start afresh.

        :raises ConfigError: if there is none of that name.
        """
        with self._lock:
            route = self._named(name)
            route.enabled = enabled
            if enabled:
                route.keys.wake()
            self._changed()

    def routes(self) -> tuple[Route, ...]:
        """All instances, in the order in which they were added."""
        with self._lock:
            return tuple(self._routes.values())

    def route(self, name: str) -> Route:
        """One instance.

        :raises ConfigError: if there is none of that name.
        """
        with self._lock:
            return self._named(name)

    def options(self, call: Call[Any], route: Route, options: Options) -> Options:
        """A call's options over the instance's defaults over the task's."""
        defaults = route.instance.options
        task = self.tasks.get(call.task) if call.task is not None else None
        if task is not None:
            defaults = defaults.over(task.defaults)
        return options if defaults is NO_OPTIONS else options.over(defaults)

    def key_states(self, now: float) -> dict[str, tuple[KeyState, ...]]:
        """Every instance's keys, as data."""
        with self._lock:
            return {name: route.keys.states(now) for name, route in self._routes.items()}

    def reset_locks(self) -> None:
        """Start afresh in a forked child: no lock is held, no call is in flight, nobody waits."""
        self._lock = threading.Lock()
        self._epoch = object()
        self._pending = {}
        for route in self._routes.values():
            route.in_flight = 0
            route.waiting = deque()
            for key in route.keys.keys:
                key.in_flight = 0

    # ------------------------------------------------------------------------------------------- whose turn it is

    def admit(self, call: Call[Any], tried: Tried, now: float, waiter: Callable[[], Waiter]) -> Lease | Parked:
        """A lease for ``call``, or a place in the queue.

        What has not been tried comes first; what has been tried serves again when nothing else can. The models of ``fallbacks``
        come after the call's own.

        :raises ConfigError: if no instance could ever serve the call.
        :raises QueueFullError: if ``max_pending`` calls wait already.
        """
        with self._lock:
            tiers = self._candidates(call)
            for routes in tiers:
                if (lease := self._lease_from(routes, tried, now)) is not None:
                    return lease
            if tried.keys:
                again = tried.again()
                for routes in tiers:
                    if (lease := self._lease_from(routes, again, now)) is not None:
                        return lease
            return self._park([route for routes in tiers for route in routes if route.lives(tried)], now, waiter())

    def untried(self, call: Call[Any], tried: Tried, now: float) -> bool:
        """Whether something that the call has not tried could serve it right now."""
        with self._lock:
            return any(
                route.has_room() and route.keys.has(now, tried.keys) for routes in self._candidates(call) for route in routes
            )

    def alive(self, call: Call[Any], tried: Tried) -> bool:
        """Whether anything is left that may serve the call, now or later."""
        with self._lock:
            return any(route.lives(tried) for routes in self._candidates(call) for route in routes)

    def release(self, lease: Lease, now: float, error: LLMError | None, answered: bool) -> None:
        """See :meth:`Lease.release`."""
        with self._lock:
            if lease.released or lease.epoch is not self._epoch:
                return
            lease.released = True
            route, key = lease.route, lease.key
            route.in_flight -= 1
            key.in_flight -= 1
            if error is not None:
                route.keys.struck(key, error, lease.started, now)
            elif answered:
                if key.strikes:
                    route.keys.worked(key, lease.started)
                seconds = now - lease.started
                before = seconds if route.latency is None else route.latency
                route.latency = before + LATENCY_DECAY * (seconds - before)
            if route.waiting:
                self._hand_over(route, now)

    def leave(self, parked: Parked, now: float) -> None:
        """A parked call stops waiting; a slot that was handed to it meanwhile goes to the next."""
        with self._lock:
            parked.gone = True
            self._pending.pop(id(parked), None)
            lease = parked.lease
        if lease is not None:
            lease.release(now)

    def unpark(self, parked: Parked) -> Lease | None:
        """The lease a parked call was handed, or None where it is to ask again."""
        with self._lock:
            parked.gone = True
            self._pending.pop(id(parked), None)
            return parked.lease

    # ------------------------------------------------------------------------------------------- under the lock

    def _named(self, name: str) -> Route:
        if not isinstance(name, str):
            raise ConfigError(f"expected an instance's name, got {type(name).__name__}")
        route = self._routes.get(name)
        if route is None:
            near = did_you_mean(name, self._routes)
            raise ConfigError(f"no instance is named {shown(name)}; there are {', '.join(self._routes) or 'none'}{near}")
        return route

    def _changed(self) -> None:
        self._tiers.clear()
        for parked in self._pending.values():
            parked.waiter.wake()

    def _candidates(self, call: Call[Any]) -> list[list[Route]]:
        question = (call.instance, call.model, call.task, call.fallbacks)
        tiers = self._tiers.get(question)
        if tiers is None:
            tiers = self._find(call)
            if len(self._tiers) > 1000:
                self._tiers.clear()
            self._tiers[question] = tiers
        return tiers

    def _find(self, call: Call[Any]) -> list[list[Route]]:
        """The instances that could serve a call, most wanted first: its own, then each fallback model's."""
        routes = list(self._routes.values())
        if call.instance is not None:
            groups = [[self._named(call.instance)]]
        elif call.model is not None:
            groups = self._fitting(call.model, routes)
        else:
            groups = [[route for route in routes if not route.on_demand and route.instance.model != ANY_MODEL]]
        if call.task is not None:
            if call.task not in self.tasks and not any(call.task in route.instance.tasks for route in routes):
                names = ", ".join(sorted(self._task_names())) or "none"
                near = did_you_mean(call.task, self._task_names())
                raise ConfigError(f"no task is named {shown(call.task)}; there are {names}{near}")
            if call.instance is None:
                groups = [
                    [route for route in group if call.task in route.instance.tasks or route.on_demand] for group in groups
                ]
        tiers = groups
        for model in call.fallbacks:
            for group in self._fitting(model, routes):
                taken = {route for routes_ in tiers for route in routes_}
                tiers.append([route for route in group if route not in taken])
        enabled = [[route for route in tier if route.enabled] for tier in tiers]
        if not any(enabled):
            raise self._nobody(call, [route for tier in tiers for route in tier])
        return [tier for tier in enabled if tier]

    def _fitting(self, model: str | ModelRequest, routes: list[Route]) -> list[list[Route]]:
        """The instances of a model, or, where what is wanted of a model is given, those that have it, the most wanted first."""
        named = [route for route in routes if route.serves(model)]
        if named or (isinstance(model, str) and model not in MODEL_WORDS):
            return [named]
        from llmkit.values.model_requests import ranked

        usable = [route for route in routes if not route.on_demand and route.instance.model != ANY_MODEL]
        return ranked(model, [(route, self._facts(route.provider.name, route.instance.model)) for route in usable])

    def _task_names(self) -> set[str]:
        return {*self.tasks, *(task for route in self._routes.values() for task in route.instance.tasks)}

    def _nobody(self, call: Call[Any], disabled: list[Route]) -> LLMError:
        if disabled:
            names = ", ".join(route.name for route in disabled)
            return NoInstanceAvailable(f"every instance that could serve the call is disabled: {names}")
        wanted = [f"model {shown(call.model)}" if call.model else "", f"task {shown(call.task)}" if call.task else ""]
        said = " and ".join(filter(None, wanted)) or "the call"
        return ConfigError(f"no instance serves {said}; there are {', '.join(self._routes) or 'none'}")

    def _lease_from(self, routes: list[Route], tried: Tried, now: float) -> Lease | None:
        if len(routes) == 1:
            return self._give(routes[0], now, tried) if routes[0].has_room() else None
        able = [route for route in routes if route.has_room() and route.keys.has(now, tried.keys)]
        if tried.routes and len(able) > 1:
            able = [route for route in able if route not in tried.routes] or able
        if not able:
            return None
        # a strategy is told of turns that leave no choice too, or it would give the same instance the next one as well
        return self._give(able[0] if len(routes) == 1 else self._chosen(able, now), now, tried)

    def _chosen(self, able: list[Route], now: float) -> Route:
        """The strategy's choice; the first where a strategy of somebody's own fails or chooses what it was not offered."""
        try:
            route = self.strategy.choose(able, now)
            said = f"chose {shown(route)}, which it was not offered"
        except (Exception, SystemExit) as problem:
            route, said = None, f"raised {describe(problem)}"
        if route in able:
            return route
        if not self._told:
            self._told = True
            warnings.warn(f"strategy {type(self.strategy).__name__} {said}", RuntimeWarning, stacklevel=2)
        return able[0]

    def _give(self, route: Route, now: float, tried: Tried) -> Lease | None:
        key = route.keys.pick(now, tried.keys)
        if key is None:
            return None
        self._given += 1
        route.last_given = self._given
        route.uses += 1
        route.in_flight += 1
        key.uses += 1
        key.in_flight += 1
        return Lease(self, route, key, now, self._epoch)

    def _hand_over(self, route: Route, now: float) -> None:
        while route.waiting and route.has_room():
            parked = route.waiting[0]
            if parked.gone or parked.lease is not None:
                route.waiting.popleft()
                continue
            lease = self._give(route, now, NOTHING_TRIED)
            if lease is None:  # the key that came back rests: those in line ask again, and wait for the end of the rest
                for waiting in route.waiting:
                    waiting.waiter.wake()
                return
            route.waiting.popleft()
            parked.lease = lease
            parked.waiter.wake()

    def _park(self, routes: list[Route], now: float, waiter: Waiter) -> Parked:
        if len(self._pending) >= self.max_pending:
            raise QueueFullError(f"{self.max_pending} calls are waiting already (max_pending)")
        resting = [route for route in routes if route.keys.soonest() > now]
        full = [route for route in routes if route.keys.soonest() <= now]
        until = min((rest for route in routes if (rest := route.keys.next_rest_end(now)) is not None), default=None)
        parked = Parked(waiter, until, bool(full), why_not(resting, now, until))
        self._pending[id(parked)] = parked
        for route in full:
            while route.waiting and route.waiting[0].gone:
                route.waiting.popleft()
            route.waiting.append(parked)
        return parked
