"""Limits on keys as the server counts them, and what its headers tell of them."""

from __future__ import annotations

import threading
import time

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.errors import ConfigError
from llmkit.simulated import Refusal
from llmkit.simulator import Simulator
from llmkit.simulator.limits import KeyLimits, Meter, key_limits
from llmkit.wire.rate_limits import Quota, rate_limits
from llmkit.wire.retry_after import retry_after
from tests.policy.windows import held, most_in_any
from tests.simulator.wires import chat, headers


def say(one: Simulator, text: str = "one two three", vendor: str = "openai", key: str = "k") -> requests.Response:
    url, body = chat(one.base_url(vendor), vendor, text)
    return requests.post(url, json=body, headers=headers(vendor, key), timeout=30)


def told(reply: requests.Response):
    return rate_limits({name.lower(): value for name, value in reply.headers.items()})


# what each says of 10 requests and 1000 tokens a minute, after one request of 6 tokens
FORMS = {
    "openai": (Quota(10, 9, 6.0), Quota(1000, 994, 0.36)),
    "groq": (Quota(10, 9, 6.0), Quota(1000, 994, 0.36)),
    "azure_openai": (Quota(10, 9, 6.0, 60.0), Quota(1000, 994, 0.0, 60.0)),
    "xai": (Quota(10, 9), Quota(1000, 994)),
    "mistral": (Quota(10, 9, None, 60.0), Quota(1000, 994, None, 60.0)),
    "together": (Quota(10, 9, 6.0), None),
    "openrouter": None,
    "anthropic": (Quota(10, 9, pytest.approx(6.5, abs=1), 60.0), Quota(1000, 994, pytest.approx(1, abs=1), 60.0)),
    "cohere": (Quota(10, 9, None, 60.0), None),
    "deepseek": None,
    "perplexity": None,
    "google": None,
    "ollama": None,
}


@pytest.mark.parametrize("vendor", FORMS)
def test_each_vendor_tells_in_its_own_form(make, vendor):
    one = make(rate_limits={"*": {"rpm": 10, "tpm": 1000}})
    limits = told(say(one, vendor=vendor))
    if FORMS[vendor] is None:
        assert limits is None
    else:
        assert (limits.requests, limits.tokens) == FORMS[vendor]


def test_groq_tells_the_days_requests_and_openrouter_only_what_is_used_up(make):
    one = make(rate_limits={"*": {"rpm": 2, "rpd": 500}})
    assert told(say(one, vendor="groq")).requests == Quota(500, 499, pytest.approx(172.8))
    assert told(say(one, vendor="openai")).requests.limit == 2
    say(one, vendor="openrouter")
    assert told(say(one, vendor="openrouter")).requests == Quota(2, 0, pytest.approx(60, abs=1.5))


@pytest.mark.parametrize("vendor", ["openai", "anthropic", "cohere", "google", "ollama"])
def test_tokens_of_a_minute(make, vendor):
    """A prompt without room is refused, and told when to come back; and then it has room."""
    one = make(rate_limits={"*": {"tpm": 10, "minute": 1.0}})
    assert say(one, vendor=vendor).status_code == 200  # three words in, three out
    refused = say(one, "a prompt of five words", vendor)
    assert refused.status_code == 429
    assert 0 < retry_after({name.lower(): value for name, value in refused.headers.items()}) <= 1
    time.sleep(1.05)
    assert say(one, "a prompt of five words", vendor).status_code == 200
    assert one.traffic.most(1.0, "tokens", vendor=vendor) == 10
    assert [arrival.kind for arrival in one.traffic.arrivals(vendor=vendor)] == ["ok", "rate_limit", "ok"]


def test_a_day_has_1440_minutes(make):
    one = make(rate_limits={"*": {"rpm": 100, "rpd": 2, "minute": 0.001}})
    assert [say(one).status_code for _ in range(3)] == [200, 200, 429]


def test_requests_at_once(make):
    one = make(rate_limits={"k": {"concurrency": 2}}, latency=0.3)
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(say(one).status_code)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 200, 429, 429, 429]
    assert say(one).status_code == 200
    assert say(one, key="another").status_code == 200


@pytest.mark.parametrize("limit", [{"rps": 1}, {"rpm": 1, "tokens": 5}])
def test_a_limit_that_is_none(limit):
    with pytest.raises(ConfigError, match=r"rate_limits: no limit .*there are rpm"):
        Simulator(rate_limits={"k": limit})


def test_limits_in_short():
    assert key_limits(5) == KeyLimits(rpm=5)
    assert key_limits((3, 1.0)) == KeyLimits(rpm=3, minute=1.0)
    assert key_limits({"tpm": 9}) == key_limits(KeyLimits(tpm=9)) == KeyLimits(tpm=9)


def test_the_traffic_is_there_to_prove_and_to_draw(make):
    one = make()
    for text in ("a", "a b", "a b c"):
        say(one, text, key="k1")
    say(one, key="k2", vendor="anthropic")
    traffic = one.traffic
    assert traffic.most(60.0) == 4
    assert traffic.most(60.0, "tokens", key="k1") == 12
    assert traffic.most(1e-9, "tokens") == 6
    times, requests_ = traffic.curve(60.0, key="k1")
    assert requests_ == [1, 2, 3, 2, 1, 0]
    assert times[0] == 0
    assert times[-1] == pytest.approx(60 + times[2])
    assert traffic.curve(key="nobody") == ([], [])
    rows = requests.get(f"{one.url}/_simulator/traffic", timeout=30).json()
    assert rows == traffic.rows()
    assert [row["tokens"] for row in rows] == [2, 4, 6, 6]
    assert set(rows[0]) == {"at", "vendor", "key", "model", "tokens", "kind"}
    with pytest.raises(ValueError, match="requests"):
        traffic.most(of="calls")
    requests.delete(f"{one.url}/_simulator/ledger", timeout=30)
    assert traffic.rows() == []


CALLS = st.lists(st.tuples(st.floats(0, 40), st.integers(0, 120)), max_size=60)


@given(CALLS)
@settings(deadline=None)
def test_the_server_counts_to_the_request_and_to_the_token(calls: list[tuple[float, int]]):
    """What it lets in stays within the limits in any window; what it refuses would not, and has room when it says."""
    meter = Meter(KeyLimits(rpm=6, tpm=300, rpd=20, minute=60.0))
    now, came, used = 0.0, [], []
    for pause, tokens in calls:
        now += pause
        try:
            meter.arrive(now, 0)
        except Refusal as refusal:
            later = now + refusal.retry_after + 1e-6
            assert held(came, 60.0, now) == 6 or held(came, 86400.0, now) == 20
            assert held(came, 60.0, later) < 6
            continue
        came.append((now, 1))
        try:
            meter.read(tokens, now)
        except Refusal as refusal:
            assert held(used, 60.0, now) + tokens > 300
            assert held(used, 60.0, now + refusal.retry_after + 1e-6) + tokens <= 300
            continue
        meter.book("tokens", tokens, now)
        used.append((now, tokens))
    assert most_in_any(came, 60.0) <= 6
    assert most_in_any(came, 86400.0) <= 20
    assert most_in_any(used, 60.0) <= 300
