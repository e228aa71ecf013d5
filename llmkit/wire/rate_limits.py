"""What a vendor's headers say of its rate limits: how much is allowed, how much is left, and when all of it is back.

Most vendors send them with every answer, in a few families of names:

- ``x-ratelimit-limit-requests``, ``-remaining-``, ``-reset-``, and the same for ``tokens``, with resets such as ``6m0s`` or
  ``17ms``: OpenAI (https://platform.openai.com/docs/guides/rate-limits), Groq, whose requests are counted by the day
  (https://console.groq.com/docs/rate-limits), xAI and others, without a reset. Azure adds ``x-ratelimit-renewalperiod-requests``,
  the seconds the limit is for; its resets are in seconds or in milliseconds, and where it knows nothing it says -1
  (https://learn.microsoft.com/en-us/answers/questions/5625878/azure-openai-responses-api-x-ratelimit-headers-val).
- ``anthropic-ratelimit-requests-limit``, ``-remaining``, ``-reset`` with a time as RFC 3339 writes it; the same for ``tokens``,
  ``input-tokens`` and ``output-tokens``, all for a minute (https://docs.anthropic.com/en/api/rate-limits).
- ``x-ratelimit-limit-req-minute``, ``-req-10-second``, ``-tokens-minute`` at Mistral
  (https://docs.mistral.ai/deployment/laplateforme/tier/), without a reset.
- ``x-ratelimit-limit``, ``-remaining``, ``-reset`` for requests: Together, whose limits are for a second or more
  (https://docs.together.ai/docs/rate-limits), and OpenRouter, on its 429s, with the reset as Unix time in milliseconds
  (https://openrouter.ai/docs/api-reference/limits).
- ``x-trial-endpoint-call-limit`` and ``-remaining`` for trial keys of Cohere, by the minute
  (https://docs.cohere.com/docs/rate-limits).

DeepSeek, Google, Ollama and vLLM send none.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from functools import lru_cache
from typing import NamedTuple

import attrs

from llmkit.values.base import Value
from llmkit.wire.retry_after import duration, number, rfc3339, seconds_until

MOST = 1e15
"""A larger limit is taken for rubbish."""
LEAST = 1e-6
"""And a smaller one. Less than 1 is a limit: Together tells 0.1 requests a second of some models."""
EPOCH = 1e8
"""A larger reset is no number of seconds but a Unix time, and one 1000 times as large is one in milliseconds."""


@attrs.frozen(slots=False, eq=False, repr=False)
class Quota(Value):
    """One limit of a vendor's."""

    limit: float
    remaining: float
    reset: float | None = None
    """Seconds, from the answer on, until nothing of it is used; None where the vendor does not say."""
    window: float | None = None
    """Seconds that the limit is for, where the vendor says or documents it."""


@attrs.frozen(slots=False, eq=False, repr=False)
class RateLimits(Value):
    """What one answer's headers said. None where they say nothing of a kind."""

    requests: Quota | None = None
    tokens: Quota | None = None
    input_tokens: Quota | None = None
    output_tokens: Quota | None = None

    @property
    def tightest_tokens(self) -> Quota | None:
        """Of the limits on tokens the one of which the smallest part is left."""
        if self.input_tokens is None and self.output_tokens is None:
            return self.tokens
        quotas = [quota for quota in (self.tokens, self.input_tokens, self.output_tokens) if quota is not None]
        return min(quotas, key=lambda quota: quota.remaining / quota.limit, default=None)


class Row(NamedTuple):
    """The headers of one limit."""

    kind: str
    """The field of :class:`RateLimits`."""
    remaining: str
    limit: str
    reset: str = ""
    window: float | None = None
    period: str = ""
    """The header that tells the window's length in seconds."""


def _row(kind: str, pattern: str, name: str, window: float | None = None, period: str = "") -> Row:
    remaining, limit, reset = [pattern.format(word, name) for word in ("remaining", "limit", "reset")]
    return Row(kind, remaining, limit, reset, window, period)


_PERIOD = "x-ratelimit-renewalperiod-"
_OPENAI = tuple([_row(kind, "x-ratelimit-{}-{}", kind, None, _PERIOD + kind) for kind in ("requests", "tokens")])
_ANTHROPIC = tuple([
    _row(name.replace("-", "_"), "anthropic-ratelimit-{1}-{0}", name, 60.0)
    for name in ("requests", "tokens", "input-tokens", "output-tokens")
])  # fmt: skip
_MISTRAL = (
    _row("requests", "x-ratelimit-{}-{}", "req-minute", 60.0),
    _row("requests", "x-ratelimit-{}-{}", "req-10-second", 10.0),
    _row("tokens", "x-ratelimit-{}-{}", "tokens-minute", 60.0),
)
_PLAIN = (
    Row("requests", "x-ratelimit-remaining", "x-ratelimit-limit", "x-ratelimit-reset"),
    _row("tokens", "x-ratelimit-{}-{}", "tokens", 1.0),
)
_COHERE = (Row("requests", "x-trial-endpoint-call-remaining", "x-trial-endpoint-call-limit", window=60.0),)

FAMILIES: Mapping[str, tuple[Row, ...]] = {
    # Together's plain names come with tokens of the second, in names that elsewhere mean the minute, so they are looked for first
    "x-ratelimit-remaining": _PLAIN,
    "x-ratelimit-remaining-requests": _OPENAI,
    "x-ratelimit-remaining-tokens": _OPENAI,
    "anthropic-ratelimit-requests-remaining": _ANTHROPIC,
    "anthropic-ratelimit-tokens-remaining": _ANTHROPIC,
    "x-ratelimit-remaining-req-minute": _MISTRAL,
    "x-ratelimit-remaining-tokens-minute": _MISTRAL,
    "x-ratelimit-remaining-req-10-second": _MISTRAL,
    "x-trial-endpoint-call-remaining": _COHERE,
}
"""The limits that a reply tells, by a header that each family is known by."""
_MARKS = tuple(FAMILIES)


def rate_limits(headers: Mapping[str, str]) -> RateLimits | None:
    """What a reply's headers, with names in lower case, say of rate limits; None where they say nothing that makes sense. Of two
    limits of one kind, such as a minute's and ten seconds', the one of which less is left counts."""
    for mark in _MARKS:
        if mark in headers:
            break
    else:
        return None
    found: dict[str, Quota] = {}
    for kind, remaining_name, limit_name, reset_name, window, period in FAMILIES[mark]:
        remaining, limit = _amount(headers.get(remaining_name)), _amount(headers.get(limit_name))
        if remaining is None or limit is None or limit < LEAST:
            continue
        if period and period in headers:
            window = number(headers[period]) or None
        reset = headers.get(reset_name)
        quota = Quota(limit, remaining, _reset(reset, headers) if reset else None, window)
        other = found.get(kind)
        if other is None or remaining / limit < other.remaining / other.limit:
            found[kind] = quota
    return RateLimits(**found) if found else None


def _amount(text: str | None) -> float | None:
    if text is None or not text.isascii() or "_" in text:
        return None
    try:
        amount = float(text)
    except ValueError:
        return None
    return amount if 0 <= amount <= MOST else None


def _reset(text: str, headers: Mapping[str, str]) -> float | None:
    """Seconds until a limit is whole again; one that was so when the reply was sent has none left."""
    if text.endswith("s"):
        return _duration(text)
    if "T" in text:
        return _moment(text, headers.get("date", ""))
    amount = _amount(text)
    if amount is None:
        return duration(text)
    if amount < EPOCH:
        return amount
    since = datetime.fromtimestamp(amount / 1000 if amount > EPOCH * 1000 else amount, timezone.utc) if amount < 1e14 else None
    return seconds_until(since, headers)


_duration = lru_cache(maxsize=1024)(duration)
"""Under a light load the resets are the same few texts again and again."""


@lru_cache(maxsize=64)
def _moment(text: str, date: str) -> float | None:
    """Seconds from ``date`` to ``text``. The four limits of a reply mostly name the same moment, and so do replies that come
    within a second."""
    return seconds_until(rfc3339(text), {"date": date})
