"""The books for other programs: JSON, CSV, and Prometheus' text format with flyllm's metric names. Pure functions."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from llmkit.observe.ledger import BUCKETS
from llmkit.observe.lines import COUNTS
from llmkit.observe.rows import UsageRow
from llmkit.values.money import dollars
from llmkit.values.usage import Usage
from llmkit.wire.json import dump_json

if TYPE_CHECKING:
    from llmkit.observe.ledger import Row

TOKENS = tuple(field.name for field in attrs.fields(Usage) if field.name != "estimated")
LABELS = ("start", "instance", "provider", "model", "key", "task", "tag")
NUMBERS = ("calls", "errors", "interrupted", "cache_hits", "estimated")
MONEY = ("cost", "unpriced", "partial_cost", "partial_unpriced", "prompt_cache_saved")


def document(row: UsageRow) -> dict[str, Any]:
    """A row as plain data; costs are text, since JSON's numbers would round them."""
    return {
        **{name: getattr(row, name) for name in LABELS if getattr(row, name) not in ("", None)},
        **{name: getattr(row, name) for name in NUMBERS},
        **{name: getattr(row.usage, name) for name in TOKENS},
        **{f"partial_{name}": getattr(row.partial_usage, name) for name in TOKENS},
        **{name: _plain(getattr(row, name)) for name in MONEY},
    }


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int) else str(value)


def to_json(rows: Iterable[UsageRow]) -> str:
    """The rows as a JSON list of objects. Labels by which they are not grouped are left out."""
    return dump_json([document(row) for row in rows]).decode()


def to_csv(rows: Sequence[UsageRow]) -> str:
    """The rows as CSV, with a head and the same columns for every grouping. What is not known is empty.

    A label that a spreadsheet would take for a formula is put behind an apostrophe
    (https://owasp.org/www-community/attacks/CSV_Injection).
    """
    columns = [*LABELS, *NUMBERS, *TOKENS, *[f"partial_{name}" for name in TOKENS], *MONEY]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in document(row).items()})
    return text.getvalue()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


# ----------------------------------------------------------------------------------------------- Prometheus


@attrs.define
class _Family:
    """Samples of one metric."""

    kind: str
    help: str
    samples: dict[tuple[tuple[str, str], ...], Any] = attrs.field(factory=dict)

    def add(self, number: Any, **labels: str) -> None:
        place = tuple(labels.items())
        self.samples[place] = self.samples.get(place, 0) + number


def to_prometheus(
    rows: Iterable[Row], retries: Mapping[str, int] | None = None, healthy: Mapping[str, bool] | None = None
) -> str:
    """The books in Prometheus' text format, version 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).

    Labels are the names of configured providers, models and tasks; keys and tags are none, since anything may stand in a tag.
    ``llm_requests_total`` and ``llm_request_duration_seconds`` count tries, failed ones included.

    :param rows: :meth:`~llmkit.observe.ledger.Ledger.kept`.
    :param retries: for each provider, how often a failed try was made again on the same instance.
    :param healthy: for each provider, whether it can serve a call now.
    """
    families = _families()
    times: dict[tuple[tuple[str, str], ...], tuple[list[int], list[float]]] = {}
    for row in rows:
        _count(families, row)
        place = (("provider", row.provider), ("model", row.model), ("task", row.task or "default"))
        buckets, seconds = times.setdefault(place, ([0] * len(row.buckets), [0.0]))
        buckets[:] = [one + other for one, other in zip(buckets, row.buckets, strict=True)]
        seconds[0] += row.seconds
    for provider, count in (retries or {}).items():
        families["llm_retries_total"].add(count, provider=provider)
    for provider, well in (healthy or {}).items():
        families["llm_provider_healthy"].add(int(well), provider=provider)
    lines = []
    for name, family in families.items():
        if family.samples:
            lines += _head(name, family.kind, family.help)
            lines += [f"{name}{_labels(labels)} {number}" for labels, number in family.samples.items()]
    return "\n".join([*lines, *_histogram(times), ""])


def _families() -> dict[str, _Family]:
    counters = {
        "llm_requests_total": "Tries, failed ones included.",
        "llm_tokens_prompt_total": "Prompt tokens of whole answers.",
        "llm_tokens_completion_total": "Completion tokens of whole answers.",
        "llm_tokens_cache_read_total": "Prompt tokens that the vendor read from its cache.",
        "llm_tokens_cache_write_total": "Prompt tokens that the vendor wrote to its cache.",
        "llm_tokens_reasoning_total": "Completion tokens spent on reasoning.",
        "llm_tokens_partial_total": "Tokens of streams that were interrupted.",
        "llm_cost_dollars_total": "US dollars for whole answers whose price is known.",
        "llm_unpriced_requests_total": "Whole answers whose price is not known.",
        "llm_cache_hits_total": "Answers from the client's own cache.",
        "llm_streams_interrupted_total": "Streams that broke or were left.",
        "llm_errors_total": "Failed tries.",
        "llm_retries_total": "Failed tries that were made again on the same instance.",
        "llm_rate_limits_total": "Tries that were rate limited.",
    }
    families = {name: _Family("counter", said) for name, said in counters.items()}
    families["llm_provider_healthy"] = _Family("gauge", "1 if an instance of the provider can serve a call now, else 0.")
    return families


_BY_MODEL = {
    "prompt_tokens": "llm_tokens_prompt_total",
    "completion_tokens": "llm_tokens_completion_total",
    "cache_read_tokens": "llm_tokens_cache_read_total",
    "cache_write_tokens": "llm_tokens_cache_write_total",
    "reasoning_tokens": "llm_tokens_reasoning_total",
    "partial_total_tokens": "llm_tokens_partial_total",
    "unpriced": "llm_unpriced_requests_total",
    "cache_hits": "llm_cache_hits_total",
    "interrupted": "llm_streams_interrupted_total",
}


def _count(families: Mapping[str, _Family], row: Row) -> None:
    counts = dict(zip(COUNTS, tuple(row.counts), strict=True))
    model = {"provider": row.provider, "model": row.model}
    tries = counts["calls"] + counts["errors"] + row.left
    families["llm_requests_total"].add(tries, **model, task=row.task or "default")
    for name, metric in _BY_MODEL.items():
        families[metric].add(counts[name], **model)
    if counts["calls"] > counts["unpriced"]:
        families["llm_cost_dollars_total"].add(dollars(counts["cost"]), **model)
    for kind, count in dict(row.kinds).items():
        word = kind.lower().removeprefix("llm_")
        families["llm_errors_total"].add(count, **model, error_type=word)
        if word == "rate_limit":
            families["llm_rate_limits_total"].add(count, provider=row.provider)


def _head(name: str, kind: str, said: str) -> list[str]:
    return [f"# HELP {name} {said}", f"# TYPE {name} {kind}"]


def _histogram(times: Mapping[tuple[tuple[str, str], ...], tuple[list[int], list[float]]]) -> list[str]:
    name = "llm_request_duration_seconds"
    lines = _head(name, "histogram", "How long tries took.") if times else []
    for labels, (buckets, seconds) in times.items():
        total = 0
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), buckets, strict=True):
            total += count
            lines.append(f"{name}_bucket{_labels((*labels, ('le', bound)))} {total}")
        lines.append(f"{name}_sum{_labels(labels)} {seconds[0]!r}")
        lines.append(f"{name}_count{_labels(labels)} {total}")
    return lines


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
