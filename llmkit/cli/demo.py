"""``llmkit demo``: the main job, shown on the built-in simulator or, with ``--live``, on the real vendors."""

from __future__ import annotations

import click

from llmkit.cli.state import debug_option


@click.command("demo")
@click.option("--live", is_flag=True, help="Call the vendors whose keys are in the environment: five small calls or fewer.")
@click.option("-m", "--model", metavar="PROVIDER/MODEL", help="With --live: the model to call, instead of one of each vendor.")
@debug_option
def command(live: bool, model: str | None) -> None:
    """See llmkit work, in ten seconds.

    Needs no key and no network: the vendors are llmkit's simulator on this machine, called over real HTTP. Shows a
    configuration, prompts routed by task, a stream, a failover, embeddings, and what was used.
    """
    if model is not None and not live:
        raise click.UsageError("--model needs --live: the simulated vendors have models of their own")
    if live:
        from llmkit.cli.demo_live import show_live

        show_live(model)
    else:
        from llmkit.cli.demo_simulated import show_simulated

        show_simulated()
