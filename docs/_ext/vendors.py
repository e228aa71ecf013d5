"""The directive ``vendors``: tables of the built-in providers, from their own class attributes, so they cannot go stale."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

from llmkit.catalog import BUILT_IN_PROVIDERS, PROVIDER_ALIASES
from llmkit.plugins.registry import REGISTRY
from llmkit.provider import FEATURES, Provider


def code(names: Any) -> str:
    """Names as code, with commas between."""
    return ", ".join(f"`{name}`" for name in names)


def providers() -> list[Provider]:
    """The built-in providers, by name."""
    return [REGISTRY.get(name) for name in BUILT_IN_PROVIDERS]


def features() -> tuple[list[str], list[str]]:
    """The features that every provider has, and the others, in the order of the vocabulary."""
    shared = [name for name in FEATURES if all(name in provider.features for provider in providers())]
    return shared, [name for name in FEATURES if name not in shared]


def names_table() -> list[str]:
    """How each is called, found and paid for."""
    lines = ["| provider | vendor | keys | base URL from | own base URL |", "|---|---|---|---|---|"]
    for provider in providers():
        title = f"[{provider.title}]({provider.docs})" if provider.docs else provider.title
        keys = code(provider.key_names) + ("" if provider.needs_key else " (optional)")
        root = f"`{provider.base_url}`" if provider.base_url else "none: give `base_url`"
        lines.append(f"| `{provider.name}` | {title} | {keys} | {code(provider.base_url_names) or 'none'} | {root} |")
    return lines


def features_table() -> list[str]:
    """What each can do beyond what all of them can."""
    shared, others = features()
    lines = [f"Every one has {code(shared)}.", "", "| feature | is | not at |", "|---|---|---|"]
    for feature in others:
        without = [provider.name for provider in providers() if feature not in provider.features]
        lines.append(f"| `{feature}` | {FEATURES[feature]} | {code(without)} |")
    return lines


def settings_table() -> list[str]:
    """The settings that belong to one vendor alone."""
    lines = ["| provider | setting | is |", "|---|---|---|"]
    for provider in providers():
        for name, said in provider.settings.items():
            lines.append(f"| `{provider.name}` | `{name}` | {said} |")
    return lines


def aliases_table() -> list[str]:
    """Other names that are understood."""
    return ["| alias | provider |", "|---|---|", *[f"| `{alias}` | `{name}` |" for alias, name in PROVIDER_ALIASES.items()]]


TABLES = {"names": names_table, "features": features_table, "settings": settings_table, "aliases": aliases_table}


class Vendors(Directive):
    """One of the tables."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The table, read as Markdown like the page around it."""
        found = nodes.container()
        self.state.nested_parse(StringList(TABLES[self.arguments[0]](), "vendors"), self.content_offset, found)
        return list(found.children)


def setup(app: Any) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("vendors", Vendors)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
