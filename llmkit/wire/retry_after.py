"""How long a vendor asks to wait, in whichever of its dialects, as seconds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timezone

MOST_SECONDS = 400 * 24 * 3600.0
"""A longer wait is taken for rubbish."""

_DURATION = "".join([rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in ("d", "h", "m(?!s)", "s", "ms")])
_UNITS = (86400.0, 3600.0, 60.0, 1.0, 0.001)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait before the next request, from a reply's headers; None where they say nothing believable.

    In this order: ``retry-after-ms`` and ``x-ms-retry-after-ms`` (OpenAI, Azure), ``retry-after`` as seconds or as an HTTP
    date (RFC 9110, section 10.2.3; the date is judged against the reply's own ``Date``, so a wrong local clock does not
    matter), then the reset time of a rate limit of which nothing remains (``x-ratelimit-reset-requests: 6m0s`` at OpenAI and
    Groq, ``anthropic-ratelimit-requests-reset: 2025-01-01T00:00:00Z`` at Anthropic).
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        if (seconds := number(headers.get(name), 0.001)) is not None:
            return seconds
    given = headers.get("retry-after")
    if given is not None:
        seconds = number(given, 1.0)
        if seconds is None:
            seconds = seconds_until(_http_date(given), headers)
        if seconds is not None:
            return seconds
    return _limit_reset(headers)


def duration(text: str | None) -> float | None:
    """Seconds in a text such as ``6m0s``, ``17ms``, ``1.5s`` or ``34s``; None if it is no duration."""
    found = re.fullmatch(_DURATION, text.strip(), re.ASCII) if text and text.strip() else None
    if found is None:
        return None
    seconds = sum(float(number) * unit for number, unit in zip(found.groups(), _UNITS, strict=True) if number)
    return seconds if 0 <= seconds <= MOST_SECONDS else None


def number(text: str | None, unit: float = 1.0) -> float | None:
    """A plain number of so many seconds each, as seconds; None if it is none, negative, or beyond belief."""
    try:
        value = float(text or "") * unit
    except ValueError:
        return None
    if text is None or "_" in text or not text.isascii():  # Python's numbers, not HTTP's
        return None
    return value if math.isfinite(value) and 0 <= value <= MOST_SECONDS else None


def _http_date(text: str | None) -> datetime | None:
    if not text:
        return None
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=timezone.utc)


def seconds_until(moment: datetime | None, headers: Mapping[str, str]) -> float | None:
    """Seconds from the reply's own Date to ``moment``."""
    sent = _http_date(headers.get("date"))
    if moment is None or sent is None:
        return None
    seconds = (moment - sent).total_seconds()
    return seconds if 0 <= seconds <= MOST_SECONDS else None


LIMITS = tuple(
    (pattern.format("remaining", kind), pattern.format("reset", kind))
    for pattern, kinds in (
        ("x-ratelimit-{}-{}", ("requests", "tokens")),
        ("anthropic-ratelimit-{1}-{0}", ("requests", "tokens", "input-tokens", "output-tokens")),
    )
    for kind in kinds
)
"""Pairs of headers: what remains of a limit, and when it is whole again."""


def _limit_reset(headers: Mapping[str, str]) -> float | None:
    waits = []
    for remaining, reset in LIMITS:
        if headers.get(remaining, "").strip() != "0" or reset not in headers:
            continue
        text = headers[reset]
        wait = duration(text)
        if wait is None:
            wait = number(text, 1.0)
        if wait is None:
            wait = seconds_until(rfc3339(text), headers)
        if wait is not None:
            waits.append(wait)
    return max(waits, default=None)


def rfc3339(text: str) -> datetime | None:
    """The moment in a text such as ``2025-01-01T00:00:00Z``, to the second; None if it is none."""
    try:
        moment = datetime.fromisoformat(re.sub(r"\.\d+", "", text.strip()).replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
