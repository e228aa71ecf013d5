"""``llmkit usage``: what the books on disk say."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import click

from llmkit.cli.codes import ExitCode
from llmkit.cli.output import line, note, table, watched
from llmkit.cli.state import config_option, debug_option, json_option

if TYPE_CHECKING:
    from llmkit.observe.lines import Line
    from llmkit.observe.rows import UsageRow

_AGO = re.compile(r"(\d{1,6})([mhdw])")
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
GROUPS = ("instance", "key", "model", "provider", "task", "tag", "hour", "day", "total")
_COLUMNS = ("calls", "errors", "interrupted", "cache hits", "prompt", "completion", "total", "cached", "reasoning", "cost (usd)")

_RARE = ("interrupted", "cache hits", "cached", "reasoning")
"""Left out on a terminal where all of them are 0."""


@click.command("usage")
@click.argument("file", required=False)
@config_option
@click.option("--by", type=click.Choice(GROUPS), default="model", show_default=True, help="What the rows stand for.")
@click.option("--since", metavar="WHEN", help="30m, 24h, 7d, 4w ago, or a date such as 2026-01-31 (UTC).")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--html", "page", metavar="PATH", help="Write one HTML file with tables and pictures instead.")
@click.option("--plot/--no-plot", default=None, help="Draw bars. Default: on a terminal.")
@debug_option
def command(
    file: str | None,
    config: str | None,
    by: str,
    since: str | None,
    as_json: bool,
    as_csv: bool,
    page: str | None,
    plot: bool | None,
) -> int:
    """Show what was used and spent, from a usage database.

    FILE is what a client was given as usage_db; without it, -c names the configuration that does. A cost with a + leaves out
    calls whose price is not known.
    """
    from llmkit.catalog import price_of
    from llmkit.observe.export import to_csv, to_json
    from llmkit.observe.report import by_weight
    from llmkit.observe.rows import grouped, saving_at

    lines = _lines(file, config, since)
    if page is not None:
        _write_page(page, lines, since)
        return ExitCode.OK
    grouping = None if by == "total" else by
    rows = by_weight(grouped(lines, grouping, saving_at(price_of)))
    if as_json or as_csv:
        sys.stdout.write(to_json(rows) + "\n" if as_json else to_csv(rows))
        return ExitCode.OK
    _show(rows, grouping)
    if watched() if plot is None else plot:
        _draw(lines, rows, grouping)
    return ExitCode.OK


def _lines(file: str | None, config: str | None, since: str | None) -> list[Line]:
    from llmkit.observe.store import UsageStore

    if file is None and config is not None:
        from llmkit.config import read_config

        file = read_config(config).usage_db
        if file is None:
            raise click.UsageError(f"{config} names no usage_db")
    if file is None:
        raise click.UsageError("which books? Give FILE, or -c FILE of a configuration that names a usage_db")
    return UsageStore(file).lines(_when(since))


def _when(since: str | None) -> float:
    """The Unix time that ``--since`` means.

    :raises click.BadParameter: if it is no time.
    """
    import time
    from datetime import datetime, timezone

    if since is None:
        return 0.0
    ago = _AGO.fullmatch(since)
    if ago is not None:
        return time.time() - int(ago[1]) * _SECONDS[ago[2]]
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        raise click.BadParameter(f"{since!r} is neither 7d, 24h nor a date", param_hint="--since") from None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)).timestamp()


def _show(rows: list[UsageRow], by: str | None) -> None:
    from llmkit.observe.table import label, labels, money, savings

    named = labels(by)
    cells: list[list[Any]] = [
        [
            *[label(row, name, by) for name in named],
            *(row.calls, row.errors, row.interrupted, row.cache_hits, row.usage.prompt_tokens, row.usage.completion_tokens),
            *(row.usage.total_tokens, row.usage.cache_read_tokens, row.usage.reasoning_tokens, money(row)),
        ]
        for row in rows
    ]
    columns = [*["when" if name == "start" else name for name in named], *_COLUMNS]
    if watched():  # eighty characters are soon full
        kept = [at for at, name in enumerate(columns) if name not in _RARE or any(row[at] for row in cells)]
        columns, cells = [columns[at] for at in kept], [[row[at] for at in kept] for row in cells]
    table(columns, cells, _COLUMNS)
    if by != "tag" and (said := savings(rows)):
        note(said)
    if by != "tag" and (unpriced := sum(row.unpriced for row in rows)):
        note(f"The price of {unpriced} of the calls is not known; the cost leaves them out.")


def _draw(lines: list[Line], rows: list[UsageRow], by: str | None) -> None:
    from llmkit.observe.report import bars, by_weight
    from llmkit.observe.rows import grouped

    fine = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    line()
    line(bars(rows, by, fine))
    if by not in ("hour", "day"):
        period = "day" if len(grouped(lines, "day")) > 1 else "hour"
        line()
        line(bars(by_weight(grouped(lines, period)), period, fine))


def _write_page(page: str, lines: list[Line], since: str | None) -> None:
    from llmkit.observe.report import to_html

    title = "llmkit usage" if since is None else f"llmkit usage since {since}"
    try:
        with open(page, "w", encoding="utf-8", newline="\n") as opened:
            opened.write(to_html(lines, title))
    except OSError as problem:
        raise click.ClickException(f"{page}: {problem.strerror or problem}") from None
