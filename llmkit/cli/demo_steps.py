"""The pieces from which both demos are put together: headings, one line for an answer, tables of tries and of tokens."""

from __future__ import annotations

from typing import Any

from llmkit.cli.output import console, line, safe, table, watched, write
from llmkit.client import Client
from llmkit.values.completion import Completion
from llmkit.values.usage import Usage


def heading(number: int, title: str) -> None:
    """Begin a step."""
    if watched():
        from rich.rule import Rule
        from rich.text import Text

        console().print()
        console().print(Rule(Text(f" {number}. {title} ", "bold"), align="left", style="cyan"))
    else:
        line()
        line(f"== {number}. {title}")


def toml(text: str) -> None:
    """Show a configuration."""
    if watched():
        from rich.syntax import Syntax

        console().print(Syntax(text.strip(), "toml", theme="ansi_dark", background_color="default"))
    else:
        line(text.strip())


def said(title: str, prompt: str, answer: Completion) -> None:
    """One question: who answered, with which key, what it took, what came."""
    from rich.text import Text

    used = answer.usage or Usage()
    label = answer.attempts[-1].key if answer.attempts else "#none"
    key = "no key" if label.endswith("#none") else f"key {label}"
    seconds = answer.timing.total if answer.timing else 0.0
    console().print(
        Text.assemble(
            (f"{title:<10}", "bold cyan"),
            ("→ ", "dim"),
            (f"{answer.instance}", "green"),
            (f"  {answer.model}  {key}  {used.total_tokens} tokens  {seconds * 1000:.0f} ms", "dim"),
        ),
        soft_wrap=True,
    )
    line(f"  you    {prompt}", "dim")
    line(f"  model  {answer.text.strip()}")


def stream(client: Client, prompt: str, **options: Any) -> Completion:
    """Print an answer as it arrives."""
    line(f"  you    {prompt}", "dim")
    write("  model  ")
    with client.stream(prompt, **options) as answer:
        for event in answer:
            write(event.text)
        whole = answer.completion()
    write("\n")
    timing = whole.timing
    first = "" if timing is None or timing.first_event is None else f", first words after {timing.first_event * 1000:.0f} ms"
    total = 0.0 if timing is None else timing.total
    line(f"  {whole.instance}, {total:.1f} s{first}, finish reason: {whole.finish_reason}", "dim")
    return whole


def attempts(answer: Completion) -> None:
    """Every try of a call."""
    rows = []
    for number, attempt in enumerate(answer.attempts, 1):
        error = attempt.error
        status = "" if error is None or error.status is None else f" (HTTP {error.status})"
        outcome = "answered" if error is None else f"{type(error).__name__}{status}"
        rows.append([number, attempt.instance, attempt.key, f"{attempt.seconds * 1000:.0f} ms", outcome])
    table(["try", "instance", "key", "time", "outcome"], rows, ["try", "time"])


def books(client: Client) -> None:
    """What each instance was used for, and the sum."""
    rows: list[list[Any]] = []
    total = Usage()
    calls = errors = 0
    for row in client.usage():
        used = row.usage
        total, calls, errors = total + used, calls + row.calls, errors + row.errors
        rows.append([safe(row.instance), row.calls, row.errors, used.prompt_tokens, used.completion_tokens, used.total_tokens])
    rows.append(["total", calls, errors, total.prompt_tokens, total.completion_tokens, total.total_tokens])
    columns = ["instance", "calls", "failed tries", "tokens in", "tokens out", "tokens"]
    table(columns, rows, columns[1:])
