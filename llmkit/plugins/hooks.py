"""Calling the hooks: one faulty plugin harms neither the call nor the other plugins."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmkit.errors import ConfigError, did_you_mean
from llmkit.wire.redact import describe

if TYPE_CHECKING:
    import pluggy

OBSERVERS = ("attempt", "retry", "failover", "fallback", "hedge", "answer", "stream_event", "error")
REGISTRARS: Mapping[str, type] = {
    "models": Sequence,
    "tokenizers": Mapping,
    "strategies": Mapping,
    "caches": Mapping,
    "secret_sources": Sequence,
}
DISABLE = "LLMKIT_DISABLE_PLUGINS"
"""Environment variable that switches plugins from packages off: ``1`` all of them, or names with commas between."""

Hook = Callable[..., Any]


class Hooks:
    """A client's hooks. Each is None where no plugin wants it, so that a call without plugins pays nothing."""

    __slots__ = ("_told", "registered", "request", *OBSERVERS)

    request: Hook | None
    attempt: Hook | None
    retry: Hook | None
    failover: Hook | None
    fallback: Hook | None
    hedge: Hook | None
    answer: Hook | None
    stream_event: Hook | None
    error: Hook | None

    def __init__(self, manager: pluggy.PluginManager | None = None) -> None:
        self._told: set[tuple[str, str]] = set()
        self.registered: dict[str, list[Any]] = {}
        self.request = self._request(_implementations(manager, "llmkit_request"))
        for name in OBSERVERS:
            setattr(self, name, self._observer(name, _implementations(manager, f"llmkit_{name}")))
        for name, kind in REGISTRARS.items():
            hook = f"llmkit_register_{name}"
            self.registered[name] = []
            for implementation in _implementations(manager, hook):
                answer = self._call(hook, implementation, {})
                if isinstance(answer, kind):
                    self.registered[name].append(answer)
                elif answer is not None:
                    self._report(hook, implementation, f"returned {type(answer).__name__}, not a {kind.__name__}")

    def _observer(self, name: str, implementations: Sequence[Any]) -> Hook | None:
        if not implementations:
            return None

        def tell(**facts: Any) -> None:
            for implementation in implementations:
                self._call(name, implementation, facts)

        return tell

    def _request(self, implementations: Sequence[Any]) -> Hook | None:
        if not implementations:
            return None
        from llmkit.wire.http import HttpRequest

        def alter(*, request: HttpRequest, **facts: Any) -> HttpRequest:
            for implementation in implementations:
                changed = self._call("request", implementation, {**facts, "request": request})
                if isinstance(changed, HttpRequest):
                    request = changed
                elif changed is not None:
                    self._report("request", implementation, f"returned {type(changed).__name__}, not an HttpRequest or None")
            return request

        return alter

    def _call(self, name: str, implementation: Any, facts: dict[str, Any]) -> Any:
        """One plugin's hook. Whatever it raises is the plugin's trouble, ``SystemExit`` too, but not what the user or the event
        loop raises through it."""
        try:
            return implementation.function(*[facts[argument] for argument in implementation.argnames])
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as problem:
            if type(problem).__name__ == "CancelledError":
                raise
            said = f"raised {describe(problem)}"
        self._report(name, implementation, said)
        return None

    def _report(self, name: str, implementation: Any, said: str) -> None:
        key = (name, implementation.plugin_name)
        if key not in self._told:
            self._told.add(key)
            warnings.warn(f"llmkit plugin {implementation.plugin_name!r}: hook {name} {said}", RuntimeWarning, stacklevel=4)


def _implementations(manager: pluggy.PluginManager | None, hook: str) -> list[Any]:
    if manager is None:
        return []
    return list(reversed(getattr(manager.hook, hook).get_hookimpls()))


def make_hooks(plugins: Iterable[Any] = (), allowed: Iterable[str] | None = None) -> Hooks:
    """The hooks of the plugins that packages offer, and of ``plugins``.

    :param plugins: modules or objects with hook functions.
    :param allowed: names of packaged plugins to load; None means all.
    :raises ConfigError: if an object in ``plugins`` has a hook that llmkit does not know, or that takes unknown arguments.
    """
    return Hooks(_manager(list(plugins), _packaged(allowed)))


def register_commands(group: Any) -> None:
    """Let the plugins that packages offer add their commands to the program's :class:`click.Group`."""
    hooks = Hooks()
    for implementation in _implementations(_manager([], _packaged(None)), "llmkit_register_commands"):
        hooks._call("register_commands", implementation, {"group": group})


def _manager(plugins: Sequence[Any], packaged: Sequence[tuple[str, Any]]) -> pluggy.PluginManager | None:
    if not plugins and not packaged:
        return None
    import pluggy

    from llmkit.plugins import specs

    manager = pluggy.PluginManager("llmkit")
    manager.add_hookspecs(specs)
    for name, entry_point in packaged:
        try:
            _register(manager, entry_point.load(), name)
        except (Exception, SystemExit) as problem:
            warnings.warn(f"llmkit plugin {name!r} is left out: {describe(problem)}", RuntimeWarning, stacklevel=3)
    for plugin in plugins:
        _register(manager, plugin, getattr(plugin, "__name__", type(plugin).__name__))
    return manager


def _register(manager: Any, plugin: Any, name: str) -> None:
    import pluggy

    if manager.has_plugin(name):
        name = f"{name}@{id(plugin):x}"
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as problem:
        said = str(problem)
        manager.unregister(name=name) if manager.has_plugin(name) else None
    else:
        unknown = [hook for hook in dir(plugin) if hook.startswith("llmkit_") and not hasattr(manager.hook, hook)]
        wrappers = [
            caller.name for caller in manager.get_hookcallers(plugin) or () for impl in caller.get_hookimpls() if impl.wrapper
        ]
        if not unknown and not wrappers:
            return
        said = f"unknown hook {', '.join(unknown)}" if unknown else f"{', '.join(wrappers)}: wrappers are not supported"
        manager.unregister(name=name)
    raise ConfigError(f"plugin {name!r}: {said}")


def _packaged(allowed: Iterable[str] | None) -> list[tuple[str, Any]]:
    """The packaged plugins to load.

    :raises ConfigError: if one that is allowed by name is not installed.
    """
    from llmkit.plugins.registry import PLUGINS, entry_points

    disabled = {name.strip() for name in os.environ.get(DISABLE, "").split(",") if name.strip()}
    if disabled & {"1", "true", "all"}:
        return []
    wanted = None if allowed is None else set(allowed)
    points = entry_points(PLUGINS)
    names = {point.name for point in points}
    for name in sorted((wanted or set()) - names):
        there = f"; there are {', '.join(sorted(names))}" if names else "; none is installed"
        raise ConfigError(f"plugins: no plugin is named {name!r}{did_you_mean(name, names) or there}")
    return [
        (point.name, point)
        for point in points
        if point.name not in disabled and (wanted is None or point.name in wanted)
    ]
