"""A client's instances and tasks, by name."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from llmkit.errors import ConfigError, did_you_mean, shown
from llmkit.policy.routes import Route
from llmkit.values.calls import Call
from llmkit.values.instances import Task
from llmkit.values.options import NO_OPTIONS, Options


class Choosing:
    """Stands in for a router's lock while a strategy of somebody's own chooses under it, which would wait for itself for ever if it
    called a method of its client."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self._chooser = threading.get_ident()

    def __enter__(self) -> None:
        if threading.get_ident() == self._chooser:
            raise RuntimeError("called its client, which waits for it to choose; what it may know is in the routes")
        self._lock.acquire()

    def __exit__(self, *told: object) -> None:
        self._lock.release()


class Instances:
    """The instances at work, which may come and go at any time, behind one lock; the router's half that gives no turns.

    :raises ConfigError: if two tasks have one name.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.tasks: dict[str, Task] = {}
        for task in tasks:
            if self.tasks.setdefault(task.name, task) is not task:
                raise ConfigError(f"two tasks are named {task.name!r}")
        self._lock: Any = threading.Lock()
        self._routes: dict[str, Route] = {}
        self._added = 0
        self._weighed = False
        """Whether the tokens of calls count."""

    def _changed(self) -> None:
        """Instances have come, gone or changed. Called with the lock held."""

    def add(self, route: Route) -> None:
        """Take in an instance.

        :raises ConfigError: if its name is taken.
        """
        with self._lock:
            if route.name in self._routes:
                raise ConfigError(f"two instances are named {shown(route.name)}")
            route.position = self._added
            self._added += 1
            self._routes[route.name] = route
            self._weighed = self._weighed or route.metered
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

    def enable(self, name: str, enabled: bool, now: float) -> None:
        """Switch an instance on or off; its calls in flight go on unharmed. Switched on, it and its keys start afresh.

        :raises ConfigError: if there is none of that name.
        """
        with self._lock:
            route = self._named(name)
            route.enabled = enabled
            if enabled:
                route.keys.wake()
                route.breaker.reset()
                route.unwell = None
            route.refresh(now)
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

    def has(self, name: str) -> bool:
        """Whether an instance has that name."""
        return name in self._routes

    def options(self, call: Call[Any], route: Route, options: Options) -> Options:
        """A call's options over the instance's defaults over the task's."""
        defaults = route.instance.options
        task = self.tasks.get(call.task) if call.task is not None else None
        if task is not None:
            defaults = defaults.over(task.defaults)
        return options if defaults is NO_OPTIONS else options.over(defaults)

    def _named(self, name: str) -> Route:
        if not isinstance(name, str):
            raise ConfigError(f"expected an instance's name, got {type(name).__name__}")
        route = self._routes.get(name)
        if route is None:
            near = did_you_mean(name, self._routes)
            raise ConfigError(f"no instance is named {shown(name)}; there are {', '.join(self._routes) or 'none'}{near}")
        return route
