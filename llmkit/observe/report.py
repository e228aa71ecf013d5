"""Stored books as pictures: bars for a terminal, and one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from html import escape

from llmkit.observe.lines import Line
from llmkit.observe.rows import By, UsageRow, grouped
from llmkit.observe.table import NUMBERS, label, labels, money, rounded

WIDTH = 40
"""Characters of the longest bar."""
EIGHTHS = " ▏▎▍▌▋▊▉█"


def by_weight(rows: Sequence[UsageRow]) -> list[UsageRow]:
    """Rows with what cost most first, then what used most tokens; hours and days stay in order."""
    if rows and rows[0].start is not None:
        return sorted(rows, key=lambda row: row.start or 0)
    return sorted(rows, key=lambda row: (row.cost or Decimal(0), row.usage.total_tokens), reverse=True)


def measure(rows: Sequence[UsageRow]) -> tuple[str, list[Decimal], list[str]]:
    """What to draw: its name, the values, and how they are written. Dollars where any are known, else tokens."""
    if any(row.cost for row in rows):
        return "cost (USD)", [row.cost or Decimal(0) for row in rows], [money(row) for row in rows]
    totals = [row.usage.total_tokens for row in rows]
    return "tokens", [Decimal(total) for total in totals], [f"{total:,}" for total in totals]


def named(row: UsageRow, by: By) -> str:
    """A row's labels in one piece; an instance or a key says all by its name."""
    if by in ("instance", "key"):
        return label(row, str(by), by)
    return " ".join([label(row, name, by) for name in labels(by) if name != "provider"]) or "all"


def bars(rows: Sequence[UsageRow], by: By, fine: bool = True) -> str:
    """A bar for each row.

    :param fine: False draws with ``#`` alone, for terminals without block characters.
    """
    title, values, written = measure(rows)
    most = max(values, default=Decimal(0)) or Decimal(1)
    names = [named(row, by) for row in rows]
    width = max([len(name) for name in names], default=0)
    lines = [title]
    for name, value, said in zip(names, values, written, strict=True):
        eighths = int(value * WIDTH * 8 / most)
        drawn = "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip() if fine else "#" * round(eighths / 8)
        lines.append(f"{name:<{width}}  {drawn}{' ' if drawn else ''}{said}")
    return "\n".join(lines)


# ----------------------------------------------------------------------------------------------- HTML

STYLE = """body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}td,th{padding:.3rem .6rem;border-bottom:1px solid #ddd;
text-align:right}td:first-child,th:first-child{text-align:left;overflow-wrap:anywhere}.figures{display:flex;flex-wrap:wrap;gap:2rem}
.figures b{display:block;font-size:1.6rem}
svg{width:100%;height:auto}rect{fill:#3b6ea5}text{font:11px system-ui,sans-serif;fill:#555}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#1b1b1b}td,th{border-color:#444}rect{fill:#7fb0e6}text{fill:#aaa}}"""
SECTIONS: tuple[tuple[str, str], ...] = (
    ("Models", "model"),
    ("Instances", "instance"),
    ("Keys", "key"),
    ("Tasks", "task"),
    ("Tags", "tag"),
)


def to_html(lines: Sequence[Line], title: str = "llmkit usage") -> str:
    """A whole page: figures, a picture by day (by hour where there is one day), and a table for each way of grouping. It loads
    nothing, and holds no script."""
    total = grouped(lines, None)[0]
    period = "day" if len(grouped(lines, "day")) > 1 else "hour"
    parts = [_figures(total), _chart(by_weight(grouped(lines, period)), period)]
    parts += [_section(heading, by_weight(grouped(lines, by)), by) for heading, by in SECTIONS]
    note = f"<p>The price of {total.unpriced:,} calls is not known; the cost leaves them out.</p>" if total.unpriced else ""
    said = escape(title)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{said}</title><style>{STYLE}</style></head><body><h1>{said}</h1>{''.join(parts)}{note}</body></html>\n"
    )


def _figures(total: UsageRow) -> str:
    figures = {
        "Cost (USD)": money(total),
        "Calls": f"{total.calls:,}",
        "Tokens": f"{total.usage.total_tokens:,}",
        "Errors": f"{total.errors:,}",
        "Interrupted streams": f"{total.interrupted:,}",
        "Cache hits": f"{total.cache_hits:,}",
    }
    return '<div class="figures">' + "".join(f"<div><b>{said}</b>{name}</div>" for name, said in figures.items()) + "</div>"


def _chart(rows: Sequence[UsageRow], period: str) -> str:
    title, values, written = measure(rows)
    most = max(values, default=Decimal(0)) or Decimal(1)
    step = 960 / max(len(rows), 1)
    drawn = []
    for number, (row, value, said) in enumerate(zip(rows, values, written, strict=True)):
        height = float(value * 180 / most)
        name = escape(f"{named(row, period)}: {said}")
        place = f'x="{20 + number * step:.1f}" y="{190 - height:.1f}" width="{step * 0.8:.1f}" height="{height:.1f}"'
        drawn.append(f"<rect {place}><title>{name}</title></rect>")
    ends = ""
    if rows:
        first, last = escape(named(rows[0], period)), escape(named(rows[-1], period))
        top = rounded(most) if title.startswith("cost") else f"{int(most):,}"
        ends = f'<text x="20" y="10">{top}</text><text x="20" y="208">{first}</text>'
        ends += f'<text x="980" y="208" text-anchor="end">{last}</text>' if len(rows) > 1 else ""
    return f'<h2>{escape(title)} by {period}</h2><svg viewBox="0 0 1000 215" role="img">{"".join(drawn)}{ends}</svg>'


def _section(heading: str, rows: Sequence[UsageRow], by: str) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in (by, *[title for title, _, _ in NUMBERS]))
    body = "".join(
        f"<tr><td>{escape(named(row, by))}</td>{''.join(f'<td>{escape(str(cell(row)))}</td>' for _, _, cell in NUMBERS)}</tr>"
        for row in rows
    )
    return f"<h2>{heading}</h2><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
