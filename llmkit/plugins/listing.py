"""What ``llmkit plugins`` lists."""

from __future__ import annotations

import attrs

from llmkit.plugins.registry import GROUPS, distribution_of, entry_points, is_ours
from llmkit.values.base import Value


@attrs.frozen(eq=False, repr=False)
class PluginInfo(Value):
    """One entry point, as ``llmkit plugins`` shows it."""

    group: str
    name: str
    target: str
    distribution: str
    version: str
    error: str | None = None
    """Why it cannot be used, as far as it is known without loading it."""


def plugins() -> list[PluginInfo]:
    """Every entry point that llmkit looks at, none of them imported."""
    found = []
    for group in GROUPS:
        points = sorted(entry_points(group), key=lambda point: point.name)
        own = {point.name for point in points if is_ours(point)}
        for point in points:
            dist, version = distribution_of(point)
            shadowed = f"{point.name!r} is llmkit's own name" if point.name in own and not is_ours(point) else None
            found.append(PluginInfo(group, point.name, point.value, dist, version, shadowed))
    return found
