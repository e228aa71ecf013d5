"""What vendors' headers say of their rate limits."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.wire.rate_limits import FAMILIES, MOST, Quota, RateLimits, rate_limits
from llmkit.wire.retry_after import MOST_SECONDS

DATE = "Fri, 29 Sep 2023 16:26:37 GMT"


def xrl(**given: str) -> dict[str, str]:
    return {f"x-ratelimit-{name.replace('_', '-')}": value for name, value in given.items()}


def anthropic(**given: str) -> dict[str, str]:
    return {f"anthropic-ratelimit-{name.replace('_', '-')}": value for name, value in given.items()}


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        ({}, None),
        ({"retry-after": "3"}, None),
        (  # OpenAI
            xrl(limit_requests="5000", remaining_requests="4999", reset_requests="12ms")
            | xrl(limit_tokens="160000", remaining_tokens="159976", reset_tokens="6m0s"),
            RateLimits(Quota(5000, 4999, 0.012), Quota(160000, 159976, 360.0)),
        ),
        (xrl(limit_tokens="10", remaining_tokens="9"), RateLimits(tokens=Quota(10, 9))),  # xAI: no reset
        (  # Groq
            xrl(limit_requests="14400", remaining_requests="14398", reset_requests="11.354999999s"),
            RateLimits(Quota(14400, 14398, pytest.approx(11.355))),
        ),
        (  # Azure
            xrl(limit_requests="50", remaining_requests="49", reset_requests="1", renewalperiod_requests="60"),
            RateLimits(Quota(50, 49, 1.0, 60.0)),
        ),
        (xrl(limit_tokens="-1", remaining_tokens="-1", reset_tokens="0"), None),
        (xrl(remaining_requests="119"), None),
        (  # Anthropic
            anthropic(requests_limit="50", requests_remaining="49", requests_reset="2023-09-29T16:26:38Z")
            | anthropic(tokens_limit="100", tokens_remaining="90", tokens_reset="2023-09-29T18:26:57.5+02:00")
            | anthropic(input_tokens_limit="80", input_tokens_remaining="75", input_tokens_reset="2023-09-29T16:20:00Z")
            | anthropic(output_tokens_limit="20", output_tokens_remaining="15", output_tokens_reset="soon"),
            RateLimits(Quota(50, 49, 1.0, 60.0), Quota(100, 90, 20.0, 60.0), Quota(80, 75, None, 60.0), Quota(20, 15, None, 60.0)),
        ),
        (  # Mistral, today and before
            xrl(limit_req_minute="100", remaining_req_minute="92", limit_tokens_minute="100000", remaining_tokens_minute="98466"),
            RateLimits(Quota(100, 92, None, 60.0), Quota(100000, 98466, None, 60.0)),
        ),
        (
            xrl(limit_req_10_second="60", remaining_req_10_second="57", limit_req_minute="100", remaining_req_minute="50"),
            RateLimits(Quota(100, 50, None, 60.0)),
        ),
        (  # Together
            xrl(limit="0.1", remaining="0", reset="10", limit_tokens="1000", remaining_tokens="983"),
            RateLimits(Quota(0.1, 0, 10.0), Quota(1000, 983, None, 1.0)),
        ),
        (xrl(limit="20", remaining="0", reset="1696004807000"), RateLimits(Quota(20, 0, 10.0))),  # OpenRouter
        (xrl(limit="20", remaining="0", reset="1696004807"), RateLimits(Quota(20, 0, 10.0))),
        (  # Cohere
            {"x-trial-endpoint-call-limit": "40", "x-trial-endpoint-call-remaining": "39"},
            RateLimits(Quota(40, 39, None, 60.0)),
        ),
        (xrl(limit_requests="0", remaining_requests="0"), None),
        (xrl(limit_requests="nan", remaining_requests="1"), None),
        (xrl(limit_requests="1_000", remaining_requests="1"), None),
        (
            xrl(limit_requests="REDACTED", remaining_requests="REDACTED", limit_tokens="9", remaining_tokens="1"),
            RateLimits(tokens=Quota(9, 1)),
        ),
    ],
)
def test_headers(headers: dict[str, str], limits: RateLimits | None) -> None:
    assert rate_limits({**headers, "date": DATE}) == limits


def test_a_moment_without_the_replys_own_date_says_nothing() -> None:
    headers = anthropic(requests_limit="50", requests_remaining="49", requests_reset="2023-09-29T16:26:38Z")
    assert rate_limits(headers) == RateLimits(Quota(50, 49, None, 60.0))


NAMES = [*FAMILIES, "date"] + [
    name for rows in FAMILIES.values() for row in rows for name in (row.limit, row.reset, row.period) if name
]
ODD = st.text(max_size=30) | st.sampled_from(
    ["0", "5", "1e300", "-1", "inf", "6m0s", DATE, "2023-09-29T16:27:07Z", "T", "99999999999999"]
)
ODD |= st.floats().map(str) | st.integers().map(str)


@given(st.dictionaries(st.sampled_from(NAMES), ODD))
def test_whatever_the_headers_say_the_limits_are_sane(headers: dict[str, str]) -> None:
    limits = rate_limits(headers)
    if limits is None:
        return
    for quota in (limits.requests, limits.tokens, limits.input_tokens, limits.output_tokens):
        if quota is not None:
            assert 0 < quota.limit <= MOST
            assert 0 <= quota.remaining <= MOST
            assert quota.reset is None or 0 <= quota.reset <= MOST_SECONDS
            assert quota.window is None or 0 < quota.window <= MOST_SECONDS


@pytest.mark.skipif("LLMKIT_RECORDINGS" not in os.environ, reason="LLMKIT_RECORDINGS names no folder of recorded traffic")
def test_recorded_headers() -> None:
    seen = 0
    with (Path(os.environ["LLMKIT_RECORDINGS"]) / "cases.jsonl").open(encoding="utf-8") as cases:
        for line in cases:
            case = json.loads(line)
            headers = {name.lower(): str(value) for name, value in (case.get("response_headers") or {}).items()}
            told = [
                name for name, value in headers.items() if name.endswith(("-remaining", "remaining-requests")) and value.isdecimal()
            ]
            limits = rate_limits(headers)
            limited = any(f"{name.replace('remaining', 'limit')}" in headers for name in told)
            if limited:
                seen += 1
                assert limits is not None, headers
                assert (
                    limits.requests is None
                    or limits.requests.remaining <= 2 * limits.requests.limit
                    or case["vendor"] == "together"
                )
    assert seen > 500
