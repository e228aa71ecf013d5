"""``llmkit simulate``: the simulator in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llmkit.cli.output import line
from llmkit.cli.state import debug_option

if TYPE_CHECKING:
    from llmkit.simulator.limits import Limit


@click.command("simulate")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8089, show_default=True, help="0 for a free one.")
@click.option("--seed", type=int, default=0, show_default=True, help="Ids and chances depend on it.")
@click.option("--latency", type=click.FloatRange(min=0), default=0.0, metavar="SECONDS", help="Before every answer.")
@click.option("--token-rate", type=click.FloatRange(min=0, min_open=True), metavar="TOKENS",
              help="Tokens a second. Default: no limit.")  # fmt: skip
@click.option("--rate-limit", "limits", multiple=True, metavar="KEY=N[/SECONDS]",
              help="Requests of a key per minute, or per so many seconds; KEY may be *. Repeatable.")  # fmt: skip
@click.option("--fault", "faults", multiple=True, metavar="SPEC",
              help='What goes wrong, such as "429;retry-after=1", cut:3, reset. Repeatable.')  # fmt: skip
@debug_option
def command(
    host: str, port: int, seed: int, latency: float, token_rate: float | None, limits: tuple[str, ...], faults: tuple[str, ...]
) -> None:
    """Run a local server that speaks every vendor's wire, until Ctrl-C.

    Prints each vendor's base URL. Any key is accepted, the simulated models say what was said to them, and nothing leaves
    this machine.
    """
    from llmkit.simulator import run

    try:
        run(
            host,
            port,
            seed=seed,
            latency=latency,
            token_rate=token_rate,
            rate_limits=dict(_limits(limits)),
            faults=faults,
            say=_say,
        )
    except OSError as problem:
        raise click.ClickException(f"{host}:{port}: {problem.strerror or problem}") from None


def _limits(texts: tuple[str, ...]) -> list[tuple[str, Limit]]:
    from llmkit.simulator.__main__ import limit

    found = []
    for text in texts:
        try:
            found.append(limit(text))
        except ValueError:
            raise click.BadParameter(f"{text!r} is not KEY=N or KEY=N/SECONDS", param_hint="--rate-limit") from None
    return found


def _say(text: str) -> None:
    import sys

    line(text)
    sys.stdout.flush()
