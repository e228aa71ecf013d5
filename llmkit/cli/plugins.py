"""``llmkit plugins``: what is installed, and whether it loads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llmkit.cli.codes import ExitCode
from llmkit.cli.output import complain, table, write_json
from llmkit.cli.state import debug_option, json_option

if TYPE_CHECKING:
    from llmkit.plugins.listing import PluginInfo


@click.command("plugins")
@click.option("--load", is_flag=True, help="Load each one; the exit code is 1 if any is broken.")
@json_option
@debug_option
def command(load: bool, as_json: bool) -> int:
    """List providers, simulated vendors and hook plugins: every entry point that llmkit looks at.

    Nothing is imported unless --load is given.
    """
    import attrs

    from llmkit.plugins.listing import plugins

    found = plugins()
    if load:
        found = [attrs.evolve(info, error=info.error or load_error(info)) for info in found]
    if as_json:
        write_json([_document(info) for info in found])
    else:
        columns = ["group", "name", "distribution", "version", "target"]
        table(columns, [[getattr(info, column) for column in columns] for info in found])
        for info in found:
            if info.error is not None:
                complain(f"{info.group} {info.name} of {info.distribution} {info.version}: {info.error}", "warning")
    return ExitCode.FAILED if load and any(info.error is not None for info in found) else ExitCode.OK


def _document(info: PluginInfo) -> dict[str, Any]:
    return {name: getattr(info, name) for name in ("group", "name", "distribution", "version", "target", "error")}


def load_error(info: PluginInfo) -> str | None:
    """Why a plugin cannot be loaded, or None."""
    from importlib.metadata import EntryPoint

    from llmkit.plugins.registry import PROVIDERS
    from llmkit.provider import API_VERSION, Provider

    try:
        loaded: Any = EntryPoint(info.name, info.target, info.group).load()
        made = loaded() if isinstance(loaded, type) else loaded
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as problem:  # a plugin may raise anything at import, SystemExit too
        return f"{type(problem).__name__}: {problem}"
    if info.group != PROVIDERS:
        return None
    if not isinstance(made, Provider):
        return f"expected an llmkit.provider.Provider, got {type(made).__name__}"
    if made.api_version != API_VERSION:
        return f"made for version {made.api_version} of the contract, not {API_VERSION}"
    return None
