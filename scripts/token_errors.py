"""Measure how far llmkit's counts are from what vendors reported, over recorded traffic.

.. code-block:: text

    LLMKIT_RECORDINGS=FOLDER python scripts/token_errors.py [--each PATTERN]

Prints the table of ``docs/how-to/count-tokens.md``: for each family of models and kind of prompt the number of recorded calls, how
many were counted to the token, the middle and the 90th percentile of the error in per cent of what the vendor reported, the bias
(the mean error, above 0 where llmkit counts too many), and beside it the middle error of Lloom's formula. ``--each`` prints single
calls of the families whose name fits PATTERN (a regular expression), for fitting.

Calls whose vendor added text of its own unseen (a web search, a tool that it runs itself, a document it fetched) are left out,
and so are families with fewer than five calls of a kind.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from llmkit.tokens.count import count_tokens
from llmkit.tokens.estimate import lloom
from llmkit.tokens.families import family
from llmkit.values.calls import ChatCall
from llmkit.values.tools import Tool
from tests.recordings.asked import call_for
from tests.recordings.cases import CASES, Case

HIDDEN = "web_search_options search_parameters plugins mcp_servers documents functions raw tools container thinking".split()
"""Fields of a request that make the vendor add text of its own."""


FEWEST = 5
"""Calls of a family and kind from which on the table has a line for them."""


class Row(NamedTuple):
    """One recorded call."""

    case: Case
    kind: str
    reported: int
    counted: int
    exact: bool
    lloom: int


def kind_of(call: ChatCall) -> str:
    """What a prompt holds beside text, the rarest first."""
    kinds = {part.type for message in call.messages for part in message.content}
    if kinds & {"image", "audio", "file", "vendor"}:
        return "media"
    if kinds & {"tool_call", "tool_result"} or call.options.tools:
        return "tools"
    return "schema" if call.options.response_format not in (None, "json") else "text"


def rows() -> Iterator[Row]:
    """Every recorded chat whose vendor told what the prompt cost."""
    for case in CASES:
        if case.kind != "chat" or case.expected["outcome"] != "ok" or not case.request:
            continue
        told = [*(case.expected["usage_accept"].get("prompt_tokens") or ()), (case.expected["usage"] or {}).get("prompt_tokens")]
        reported = max([number for number in told if number is not None], default=0)
        call = call_for(case)
        assert isinstance(call, ChatCall)
        extra = call.options.extra or {}
        foreign = any(not isinstance(tool, Tool) for tool in call.options.tools or ())
        if not reported or foreign or any(extra.get(name) for name in HIDDEN):
            continue
        model = case.expected.get("model") or case.model
        model = model if family(model).name != "models not known" else case.model
        texts = "\n".join([part.text for message in call.messages for part in message.content if part.type == "text"])
        counted = count_tokens(call, re.sub(r"\s", "-", model))
        yield Row(case, kind_of(call), reported, int(counted), counted.exact, lloom(texts))


def errors(pairs: list[tuple[int, int]]) -> list[float]:
    """Errors in per cent, sorted by size."""
    return sorted([100 * (counted - reported) / reported for counted, reported in pairs], key=abs)


def main() -> None:
    """Print the table, or single calls."""
    wanted = re.compile(sys.argv[2]) if sys.argv[1:2] == ["--each"] else None
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows():
        model = row.case.expected.get("model") or row.case.model
        found = family(model) if family(model).name != "models not known" else family(row.case.model)
        groups[found.name, row.kind].append(row)
    if wanted:
        for (name, kind), listed in sorted(groups.items()):
            for row in listed if wanted.search(name) else ():
                print(name, kind, row.case.id, row.case.model, "reported", row.reported, "counted", row.counted, row.exact)
        return
    print("| Family | Prompts | Calls | To the token | Median error | 90 % within | Bias | Lloom's formula |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for (name, kind), listed in sorted(groups.items()):
        if len(listed) < FEWEST:
            continue
        sizes = errors([(row.counted, row.reported) for row in listed])
        floor = errors([(row.lloom, row.reported) for row in listed])
        same = sum([row.counted == row.reported for row in listed])
        middle, most = abs(sizes[len(sizes) // 2]), abs(sizes[int(0.9 * (len(sizes) - 1))])
        bias = sum(sizes) / len(sizes)
        print(
            f"| {name} | {kind} | {len(listed)} | {same} | {middle:.1f} % | {most:.1f} % | {bias:+.1f} % "
            f"| {abs(floor[len(floor) // 2]):.0f} % |"
        )


if __name__ == "__main__":
    main()
