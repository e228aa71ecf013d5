"""Vendors by name: listed without being imported, loaded on first use, each for itself."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from llmkit.catalog import PROVIDER_ALIASES
from llmkit.errors import ConfigError, did_you_mean
from llmkit.provider import API_VERSION, Provider
from llmkit.wire.redact import describe

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

PROVIDERS = "llmkit.providers"
SIMULATORS = "llmkit.simulators"
PLUGINS = "llmkit"
GROUPS = (PROVIDERS, SIMULATORS, PLUGINS)
HOME = "llmkit"
"""The distribution whose names no other can take."""


@lru_cache
def _found() -> dict[str, tuple[EntryPoint, ...]]:
    """The entry points of llmkit's groups.

    ``importlib.metadata.entry_points`` reads the metadata of every installed distribution, which takes longer than the rest of
    making a client; most distributions do not mention llmkit in the one file that counts, so the others are passed over.
    """
    found: dict[str, dict[tuple[str, str, str], EntryPoint]] = {group: {} for group in GROUPS}
    seen = set()
    for distribution in _distributions():
        name = distribution.name
        if name in seen:
            continue  # further back on sys.path: hidden by the one before
        seen.add(name)
        for point in distribution.entry_points:
            if point.group in found:
                found[point.group][name, point.name, point.value] = point
    return {group: tuple(points.values()) for group, points in found.items()}


def _distributions() -> Iterator[Distribution]:
    """The installed distributions whose entry points mention llmkit, in the order of ``sys.path``."""
    from importlib.metadata import Distribution, PathDistribution
    from pathlib import Path

    for folder in dict.fromkeys(sys.path):
        try:
            names = os.listdir(folder or ".")
        except NotADirectoryError:  # a zip file
            yield from Distribution.discover(path=[folder])
            continue
        except OSError:
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info")) and _mentions_llmkit(os.path.join(folder, name, "entry_points.txt")):
                yield PathDistribution(Path(folder, name))


def _mentions_llmkit(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return b"llmkit" in file.read()
    except OSError:
        return False


def entry_points(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of one of llmkit's groups, in the order in which they are found; nothing is imported."""
    return _found()[group]


def distribution_of(point: EntryPoint) -> tuple[str, str]:
    """The name and version of the distribution that an entry point belongs to."""
    dist = point.dist
    return ("unknown", "?") if dist is None else (dist.name, dist.version)


def is_ours(point: EntryPoint) -> bool:
    """Whether an entry point is llmkit's own."""
    return distribution_of(point)[0] == HOME


class Registry:
    """Providers by name. A name that two distributions offer belongs to llmkit where llmkit has it, else to nobody."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: dict[str, Provider] = {}
        self._made: dict[str, Provider] = {}

    def register(self, provider: Provider) -> None:
        """Add a provider by hand, for programs that ship their own without a package.

        :raises ConfigError: if its name is taken.
        """
        _check(provider, provider.name)
        if provider.name in self.names():
            raise ConfigError(f"a provider named {provider.name!r} exists already")
        self._made[provider.name] = provider

    def reset_lock(self) -> None:
        """In a forked child: a lock that nobody holds."""
        self._lock = threading.Lock()

    def names(self) -> tuple[str, ...]:
        """Every provider's name, sorted."""
        return tuple(sorted({*self._made, *(point.name for point in entry_points(PROVIDERS))}))

    def get(self, name: str) -> Provider:
        """The provider of that name or alias, loaded if need be.

        :raises ConfigError: if there is none, or it cannot be loaded.
        """
        found = self._loaded.get(name)
        if found is not None:
            return found
        real = PROVIDER_ALIASES.get(name.lower(), name)
        provider = self._made.get(real) or self._load(real, name)
        with self._lock:
            return self._loaded.setdefault(name, self._loaded.setdefault(real, provider))

    def _load(self, name: str, asked: str) -> Provider:
        points = [point for point in entry_points(PROVIDERS) if point.name == name]
        home = [point for point in points if is_ours(point)]
        if not points:
            near = did_you_mean(asked, [*self.names(), *PROVIDER_ALIASES])
            raise ConfigError(f"no provider is named {asked!r}; there are {', '.join(self.names()) or 'none'}{near}")
        if len({point.value for point in points}) > 1 and not home:
            offers = ", ".join(f"{dist} {version}" for dist, version in map(distribution_of, points))
            raise ConfigError(f"provider {name!r} is offered by several packages ({offers}); uninstall all but one")
        if home and len(points) > len(home):
            import warnings

            others = ", ".join(distribution_of(point)[0] for point in points if not is_ours(point))
            warnings.warn(f"provider {name!r} is llmkit's own; the one of {others} is not used", RuntimeWarning, stacklevel=4)
        return _made((home or points)[0])


def _made(point: EntryPoint) -> Provider:
    dist, version = distribution_of(point)
    try:
        loaded: Any = point.load()
        provider = loaded() if isinstance(loaded, type) else loaded
    except (Exception, SystemExit) as problem:  # a plugin may raise anything at import; it must hurt nobody but its own users
        said = describe(problem)
    else:
        _check(provider, point.name)
        return provider  # type: ignore[no-any-return]
    raise ConfigError(f"provider {point.name!r} of {dist} {version} cannot be loaded: {said}")


def _check(provider: Any, name: str) -> None:
    if not isinstance(provider, Provider):
        raise ConfigError(f"provider {name!r}: expected an llmkit.provider.Provider, got {type(provider).__name__}")
    if provider.api_version != API_VERSION:
        raise ConfigError(f"provider {name!r} is made for version {provider.api_version} of the contract, not {API_VERSION}")


REGISTRY = Registry()
"""The providers of this process."""
