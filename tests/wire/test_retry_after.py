"""How long vendors ask to wait. The table of plain values is the one that the OpenAI SDK tests itself with
(https://github.com/openai/openai-python/blob/main/tests/test_client.py), with dates judged against the reply's own Date."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.wire.retry_after import MOST_SECONDS, duration, retry_after

DATE = "Fri, 29 Sep 2023 16:26:37 GMT"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("20", 20.0),
        ("0", 0.0),
        ("60", 60.0),
        ("61", 61.0),
        ("1.5", 1.5),
        (" 20 ", 20.0),
        ("-10", None),
        ("", None),
        ("soon", None),
        ("inf", None),
        ("-inf", None),
        ("nan", None),
        ("1e35", None),
        ("99999999999999999999999999999999999", None),
        ("1_000", None),
        ("١٢", None),
        ("Fri, 29 Sep 2023 16:26:57 GMT", 20.0),
        ("Fri, 29 Sep 2023 16:26:37 GMT", 0.0),
        ("Fri, 29 Sep 2023 16:26:27 GMT", None),
        ("Fri, 29 Sep 2023 16:27:37 GMT", 60.0),
        ("Fri, 29 Sep 2023 18:26:57 +0200", 20.0),
        ("Zun, 29 Sep 2023 16:26:27 GMT", None),
        ("Fri, 99 Sep 2023 16:26:57 GMT", None),
        ("Fri, 29 Sep 99999 16:26:57 GMT", None),
        ("2023-09-29", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value, "date": DATE}) == seconds


@pytest.mark.parametrize("skew", [-3600, 0, 3600])
def test_a_date_is_judged_against_the_servers_clock_not_ours(skew: int) -> None:
    sent = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=skew)
    headers = {
        "date": format_datetime(sent, usegmt=True),
        "retry-after": format_datetime(sent + timedelta(seconds=30), usegmt=True),
    }
    assert retry_after(headers) == 30.0


def test_a_date_without_the_replys_own_date_says_nothing() -> None:
    assert retry_after({"retry-after": "Fri, 29 Sep 2023 16:26:57 GMT"}) is None
    assert retry_after({"retry-after": "Fri, 29 Sep 2023 16:26:57 GMT", "date": "rubbish"}) is None


@pytest.mark.parametrize("name", ["retry-after-ms", "x-ms-retry-after-ms"])
def test_milliseconds_come_first(name: str) -> None:
    assert retry_after({name: "1500", "retry-after": "20"}) == 1.5
    assert retry_after({name: "rubbish", "retry-after": "20"}) == 20.0
    assert retry_after({name: "-1"}) is None


def test_no_header_is_no_wait() -> None:
    assert retry_after({}) is None
    assert retry_after({"date": DATE}) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360.0),
        ("1h2m3s", 3723.0),
        ("1d", 86400.0),
        ("17ms", 0.017),
        ("1.5s", 1.5),
        ("2m59.56s", 179.56),
        ("1s500ms", 1.5),
        ("34s", 34.0),
        ("0s", 0.0),
        (" 34s ", 34.0),
        ("", None),
        (None, None),
        ("34", None),
        ("s", None),
        ("-1s", None),
        ("1s1m", None),
        ("1 s", None),
        ("٣s", None),
        ("9" * 400 + "s", None),
    ],
)
def test_durations(text: str | None, seconds: float | None) -> None:
    assert duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "17ms"}, 0.017),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "7.66"}, 7.66),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "6m0s"}, None),
        ({"x-ratelimit-reset-requests": "6m0s"}, None),
        ({"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "2023-09-29T16:27:07Z"}, 30.0),
        ({"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": "2023-09-29T16:27:07.123Z"}, 30.0),
        (
            {
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2023-09-29T18:27:07+02:00",
            },
            30.0,
        ),
        (
            {
                "anthropic-ratelimit-output-tokens-remaining": "0",
                "anthropic-ratelimit-output-tokens-reset": "2023-09-29T16:00:00Z",
            },
            None,
        ),
        ({"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "tomorrow"}, None),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "3s",
            },
            3.0,
        ),
        ({"retry-after": "2", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 2.0),
        ({"retry-after": "-2", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
    ],
)
def test_the_reset_of_a_limit_of_which_nothing_remains(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after({**headers, "date": DATE}) == (None if seconds is None else pytest.approx(seconds))


NAMES = ["retry-after", "retry-after-ms", "date", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"]
NAMES += ["anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"]
ODD = st.text(max_size=40) | st.sampled_from(["0", DATE, "2023-09-29T16:27:07Z", "6m0s", "Fri, 29 Sep 2023 16:26:57 -9999"])


@given(st.dictionaries(st.sampled_from(NAMES), ODD))
def test_whatever_the_headers_say_the_answer_is_none_or_a_sane_number(headers: dict[str, str]) -> None:
    seconds = retry_after(headers)
    assert seconds is None or 0 <= seconds <= MOST_SECONDS
