"""Configuration in steps: ``Client.builder().define_task(...).add_instance(...).supports(...).build()``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import attrs

from llmkit.catalog import PROVIDER_ALIASES
from llmkit.config.problems import listed, nearest
from llmkit.config.settings import Settings, strategy_name
from llmkit.errors import ConfigError
from llmkit.values.instances import Instance, Task
from llmkit.values.secret import Secret

C = TypeVar("C")


class Builder(Generic[C]):
    """Collects tasks, instances and settings, each step returning the builder.

    :param factory: makes the client from the settings; :meth:`build` returns what it returns.
    """

    def __init__(self, factory: Callable[[Settings], C]) -> None:
        self._factory = factory
        self._tasks: list[Task] = []
        self._instances: list[Instance] = []
        self._settings: dict[str, Any] = {}

    def define_task(self, task: Task) -> Builder[C]:
        """Define a task that instances may support."""
        if not isinstance(task, Task):
            raise ConfigError(f"define_task: expected a Task, got {type(task).__name__}")
        self._tasks.append(task)
        return self

    def strategy(self, strategy: Any) -> Builder[C]:
        """Choose how instances are picked: a name, or a strategy object. Default ``lru``."""
        self._settings["strategy"] = strategy_name(strategy) if isinstance(strategy, str) else strategy
        return self

    def max_retries(self, retries: int) -> Builder[C]:
        """Set the number of further attempts after the first. Default 3.

        :raises ConfigError: if it is no whole number of at least 0.
        """
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise ConfigError(f"max_retries: expected a whole number of at least 0, got {retries!r}")
        self._settings["retries"] = retries
        return self

    def add_instance(self, provider: str, model: str, api_key: str | Secret | None = None) -> Builder[C]:
        """Add an instance; the steps after this one, up to the next ``add_instance``, are about it.

        :param api_key: the key; None or ``""`` looks in the environment, where the provider needs one.
        :raises ConfigError: if a value has the wrong type.
        """
        plain = provider.strip().lower().replace("-", "_") if isinstance(provider, str) else provider
        self._instances.append(Instance(PROVIDER_ALIASES.get(plain, plain), model, api_key))
        return self

    def supports(self, task: str) -> Builder[C]:
        """Say that the instance serves a task.

        :raises ConfigError: before the first ``add_instance``.
        """
        return self.supports_many([task])

    def supports_many(self, tasks: Iterable[str]) -> Builder[C]:
        """Say that the instance serves several tasks.

        :raises ConfigError: before the first ``add_instance``, or if a task is no string.
        """
        named = [tasks] if isinstance(tasks, str) else list(tasks)
        if not all(isinstance(task, str) for task in named):
            raise ConfigError("supports: expected the name of a task")
        served = self._last("supports").tasks
        return self._change("supports", tasks=(*served, *[task for task in dict.fromkeys(named) if task not in served]))

    def enabled(self, enabled: bool) -> Builder[C]:
        """Switch the instance on or off.

        :raises ConfigError: before the first ``add_instance``.
        """
        return self._change("enabled", enabled=bool(enabled))

    def custom_endpoint(self, url: str) -> Builder[C]:
        """Send the instance's requests to another API root, or full endpoint, than the vendor's own.

        :raises ConfigError: before the first ``add_instance``, or if the URL is not acceptable.
        """
        return self._change("custom_endpoint", base_url=url)

    def build(self) -> C:
        """Make the client.

        :raises ConfigError: if an instance serves a task that is not defined, or two tasks have one name.
        """
        defined = [task.name for task in self._tasks]
        twice = [name for name in dict.fromkeys(defined) if defined.count(name) > 1]
        if twice:
            raise ConfigError(f"define_task: defined more than once: {listed(twice)}")
        for instance in self._instances:
            for task in instance.tasks:
                if task not in defined:
                    raise ConfigError(
                        f"supports: {instance.provider}/{instance.model} serves the task {task!r}, which is not defined"
                        f" (defined: {listed(defined)}){nearest(task, defined)}"
                    )
        return self._factory(Settings(instances=tuple(self._instances), tasks=tuple(self._tasks), **self._settings))

    def _last(self, step: str) -> Instance:
        if not self._instances:
            raise ConfigError(f"{step}: belongs to an instance; call add_instance first")
        return self._instances[-1]

    def _change(self, step: str, **fields: Any) -> Builder[C]:
        self._instances[-1:] = [attrs.evolve(self._last(step), **fields)]
        return self
