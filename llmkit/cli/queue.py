"""``llmkit queue``: calls that wait to be answered."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from llmkit.cli.clients import make_client
from llmkit.cli.codes import ExitCode
from llmkit.cli.output import line, table, waiting, watched, write_json
from llmkit.cli.state import config_option, debug_option, json_option

if TYPE_CHECKING:
    from llmkit.client import Client
    from llmkit.values.tickets import Ticket

STATUSES = ("queued", "running", "done", "failed")
MOST_WHY = 60
"""Characters of a reason that a list shows to a person."""


queue_option = click.option("-q", "--queue", "path", metavar="FILE", help="The queue's file, if it is not the one of the "
                            "configuration, or the default one.")  # fmt: skip


@click.group("queue")
def command() -> None:
    """Work with the queue: calls kept by fallback = "queue", or by client.queue()."""


@command.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="Only these.")
@click.option("--limit", type=click.IntRange(1), default=100, metavar="N", help="The most to show, newest first. Default 100.")
@config_option
@queue_option
@json_option
@debug_option
def list_command(status: str | None, limit: int, config: str | None, path: str | None, as_json: bool) -> int:
    """List the tickets of the queue, newest first."""
    with _client(config, _there(path)) as client:
        tickets = client.tickets(status, limit=limit)
    if as_json:
        from llmkit.cli.documents import ticket_document

        write_json([ticket_document(ticket) for ticket in tickets])
        return ExitCode.OK
    _table(tickets)
    return ExitCode.OK


@command.command("show")
@click.argument("id")
@config_option
@queue_option
@json_option
@debug_option
def show(id: str, config: str | None, path: str | None, as_json: bool) -> int:
    """Show the ticket ID, with its answer if it has one."""
    with _client(config, _there(path)) as client:
        ticket = client.ticket(id)
    if as_json:
        from llmkit.cli.documents import ticket_document

        write_json(ticket_document(ticket))
        return ExitCode.OK
    for name, value in _facts(ticket):
        line(f"{name}: {value}")
    if ticket.completion is not None:
        line()
        line(ticket.completion.text)
    return ExitCode.OK


@command.command("drain")
@click.option("--concurrency", type=click.IntRange(1), default=10, metavar="N", help="How many to ask at once. Default 10.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="The most to ask. Default all.")
@config_option
@queue_option
@json_option
@debug_option
def drain(concurrency: int, limit: int | None, config: str | None, path: str | None, as_json: bool) -> int:
    """Ask what waits in the queue.

    Each ticket is shown as it is afterwards. The exit code is 0 if all are answered, 1 if one has failed, 5 if one went back to
    be tried later. May be interrupted at any time: what was not answered stays in the queue.
    """
    with _client(config, path) as client, waiting("asking"):
        tickets = client.drain_queue(concurrency=concurrency, limit=limit)
    if as_json:
        from llmkit.cli.documents import ticket_document

        write_json([ticket_document(ticket) for ticket in tickets])
    elif tickets or not watched():
        _table(tickets)
    else:
        line("nothing waits to be asked")
    statuses = {str(ticket.status) for ticket in tickets}
    return ExitCode.FAILED if "failed" in statuses else ExitCode.LATER if statuses - {"done"} else ExitCode.OK


@command.command("purge")
@click.option("--status", "statuses", type=click.Choice(("queued", "done", "failed")), multiple=True,
              help="Only these. Default done and failed. Repeatable.")  # fmt: skip
@click.option("--older-than", type=click.FloatRange(0), default=0.0, metavar="DAYS", help="Only what has not changed for so long.")
@config_option
@queue_option
@json_option
@debug_option
def purge(statuses: tuple[str, ...], older_than: float, config: str | None, path: str | None, as_json: bool) -> int:
    """Delete tickets that are over."""
    with _client(config, _there(path)) as client:
        deleted = client.purge_queue(older_than=older_than * 86_400, statuses=statuses or ("done", "failed"))
    if as_json:
        write_json({"deleted": deleted})
    else:
        line(f"{deleted} deleted")
    return ExitCode.OK


def _there(path: str | None) -> str | None:
    """A queue that somebody names in order to look at it exists; only ``drain`` may come before the first ticket."""
    if path is not None and not os.path.exists(path):
        from llmkit.errors import ConfigError

        raise ConfigError(f"the queue {path!r}: there is no such file")
    return path


def _client(config: str | None, path: str | None) -> Client:
    from llmkit.client import Client

    if path is None:
        return make_client(config, None, need_model=False)
    if config is None:
        return Client(queue=path)
    import attrs

    from llmkit.config import read_config

    return Client.from_settings(attrs.evolve(read_config(config), queue=path))


def _when(seconds: float) -> str:
    local = datetime.fromtimestamp(seconds, timezone.utc).astimezone()
    return f"{local:%Y-%m-%d %H:%M}" if watched() else local.isoformat("T", "seconds")


def _table(tickets: Sequence[Ticket]) -> None:
    rows = []
    for ticket in tickets:
        why = " ".join(ticket.why.split())
        asks = None if ticket.call is None else ticket.call.model or ticket.call.instance or ticket.call.task
        sent = "maybe" if ticket.maybe_sent_before else "no"
        row = [ticket.id, ticket.status, _when(ticket.created), ticket.attempts, sent]
        rows.append([*row, why if len(why) <= MOST_WHY else f"{why[:MOST_WHY]}…"] if watched() else [*row, asks, why])
    columns = ["id", "status", "created", "tries", "sent"]
    table([*columns, "why"] if watched() else [*columns, "asks", "why"], rows, ["tries"])


def _facts(ticket: Ticket) -> list[tuple[str, Any]]:
    call = ticket.call
    facts = [
        ("id", ticket.id),
        ("status", ticket.status),
        ("created", _when(ticket.created)),
        ("changed", _when(ticket.changed)),
        ("attempts", f"{ticket.attempts} of {ticket.max_attempts}"),
        ("sent before", "maybe" if ticket.maybe_sent_before else "no"),
    ]
    if ticket.key is not None:
        facts.append(("key", ticket.key))
    if ticket.status == "queued":
        facts.append(("not before", _when(ticket.not_before)))
    if call is not None:
        facts += [(name, value) for name in ("model", "instance", "task") if (value := getattr(call, name)) is not None]
        facts.append(("prompt", " ".join(call.messages[-1].text.split()) if call.messages else ""))
    if ticket.why:
        facts.append(("why", " ".join(ticket.why.split())))
    return facts
