"""What holds for one run of the program, and the options that most commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import attrs
import click

F = TypeVar("F", bound=Callable[..., Any])


@attrs.define
class State:
    """How this run was asked to speak."""

    debug: bool = False
    """Show tracebacks."""
    json: bool = False
    """Errors, too, are JSON."""


def _set(name: str) -> Callable[[click.Context, click.Parameter, bool], bool]:
    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> bool:
        state = ctx.find_object(State)
        if value and state is not None:
            setattr(state, name, True)
        return value

    return remember


debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, callback=_set("debug"), help="Show the traceback of an error."
)
json_option = click.option(
    "--json", "as_json", is_flag=True, callback=_set("json"), help="Print JSON; errors are JSON on standard error."
)
config_option = click.option("-c", "--config", metavar="FILE", help="A configuration file (TOML).")
