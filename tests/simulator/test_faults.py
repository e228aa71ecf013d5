"""Each fault as a client sees it, and the rules by which faults happen."""

from __future__ import annotations

import email.utils
import json
import time

import pytest
import requests

from llmkit.errors import ConfigError
from llmkit.simulator import Fault
from llmkit.simulator.faults import DEFAULTS, kind_of
from tests.simulator.wires import chat, headers, hear

ANY = ("openai", "anthropic", "google", "ollama", "cohere")
ENDS = {
    "openai": b"[DONE]",
    "anthropic": b"message_stop",
    "google": b'"finishReason"',
    "ollama": b'"done":true',
    "cohere": b"message-end",
}


def ask(simulator, vendor: str, fault: str, stream: bool = False, text: str = "one two three four") -> requests.Response:
    url, body = chat(simulator.base_url(vendor), vendor, text, stream)
    session = requests.Session()
    session.trust_env = False
    with session:
        faulty = {**headers(vendor), "x-simulate-fault": fault}
        return session.post(url, json=body, headers=faulty, allow_redirects=False, timeout=20)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 501, 503, 504, 529])
@pytest.mark.parametrize("vendor", ANY)
def test_any_status(simulator, vendor, status):
    """A status alone gives the vendor's error body with that status, streamed or not."""
    for stream in (False, True):
        reply = ask(simulator, vendor, str(status), stream)
        assert reply.status_code == status
        assert reply.json()


@pytest.mark.parametrize(("fault", "vendor", "status", "code"), [
    ("quota", "openai", 429, "insufficient_quota"),
    ("quota", "anthropic", 402, "billing_error"),
    ("quota", "google", 429, "RESOURCE_EXHAUSTED"),
    ("context_length", "openai", 400, "context_length_exceeded"),
    ("content_filter", "azure_openai", 400, "ResponsibleAIPolicyViolation"),
    ("content_filter", "cohere", 498, "blocked input"),
    ("overloaded", "anthropic", 529, "overloaded_error"),
    ("overloaded", "google", 503, "UNAVAILABLE"),
    ("model", "azure_openai", 404, "DeploymentNotFound"),
    ("model", "mistral", 400, "invalid_model"),
    ("authentication", "google", 400, "API_KEY_INVALID"),
])  # fmt: skip
def test_named_errors(simulator, fault, vendor, status, code):
    reply = ask(simulator, vendor, fault)
    assert (reply.status_code, code in reply.text) == (status, True)


def test_message_of_an_error(simulator):
    assert ask(simulator, "openai", "500;message=Out of cheese").json()["error"]["message"] == "Out of cheese"


def test_retry_after_in_three_forms(simulator):
    assert ask(simulator, "openai", "429;retry-after=86400").headers["retry-after"] == "86400"
    assert ask(simulator, "openai", "429;retry-after-ms=250").headers["retry-after-ms"] == "250"
    reply = ask(simulator, "openai", "503;retry-date=30")
    until = email.utils.parsedate_to_datetime(reply.headers["retry-after"])
    sent = email.utils.parsedate_to_datetime(reply.headers["date"])
    assert 29 <= (until - sent).total_seconds() <= 32


def test_gateway_page(simulator):
    reply = ask(simulator, "openai", "502")
    assert (reply.status_code, reply.headers["content-type"]) == (502, "text/html")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", ["reset", "eof", "reset_body", "drop:2"])
@pytest.mark.parametrize("vendor", ANY)
def test_broken_connections(simulator, vendor, fault, stream):
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        ask(simulator, vendor, fault, stream)


@pytest.mark.parametrize("vendor", ANY)
def test_cut(simulator, vendor):
    """The stream ends as HTTP wants it, after two content events and without what would complete it."""
    whole = ask(simulator, vendor, "cut:2", stream=True)
    assert whole.status_code == 200
    assert b" two" in whole.content
    assert b" three" not in whole.content
    assert ENDS[vendor] not in whole.content
    with pytest.raises(ValueError, match=r"(Expecting|Unterminated|Extra|Invalid)"):
        json.loads(ask(simulator, vendor, "cut").content)


@pytest.mark.parametrize("vendor", ANY)
def test_drop_delivers_the_prefix(simulator, vendor):
    url, body = chat(simulator.base_url(vendor), vendor, "one two three four", True)
    with requests.post(url, json=body, headers={**headers(vendor), "x-simulate-fault": "drop:2"}, stream=True) as reply:
        got: list[bytes] = []
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            got.extend(reply.iter_content(None))
    assert b" two" in b"".join(got)
    assert b" three" not in b"".join(got)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", ["stall:0.3", "stall_first:0.3", "stall_mid:0.3"])
@pytest.mark.parametrize("vendor", ["openai", "ollama"])
def test_stalls_are_in_the_right_place(simulator, vendor, fault, stream):
    """Before the headers, before the body, in the middle of it; the answer is whole in the end."""
    url, body = chat(simulator.base_url(vendor), vendor, "one two three", stream)
    began = time.monotonic()
    with requests.post(url, json=body, headers={**headers(vendor), "x-simulate-fault": fault}, stream=True) as reply:
        head = time.monotonic() - began
        pieces = reply.raw.stream(1)
        got = next(pieces)
        first = time.monotonic() - began
        got += b"".join(pieces)
        end = time.monotonic() - began
    pauses = [head, first - head, end - first]
    assert pauses.index(max(pauses)) == ["stall:0.3", "stall_first:0.3", "stall_mid:0.3"].index(fault)
    assert max(pauses) > 0.25
    assert hear(vendor, got, stream).text == "one two three"


def test_slow(simulator):
    """One byte at a time: some four hundred of them, with a pause between any two."""
    began = time.monotonic()
    reply = ask(simulator, "openai", "slow:0.001", text="hi")
    assert time.monotonic() - began > 0.001 * len(reply.content) * 0.9
    assert reply.json()["choices"][0]["message"]["content"] == "hi"


@pytest.mark.parametrize("vendor", ANY)
def test_garbage(simulator, vendor):
    with pytest.raises(ValueError, match=r"(Expecting|Unterminated|Extra|Invalid)"):
        json.loads(ask(simulator, vendor, "garbage").content)
    raw = ask(simulator, vendor, "garbage", stream=True).content
    lines = [line.removeprefix(b"data: ") for line in raw.splitlines() if line.startswith((b"data: ", b"{"))]
    broken = [line for line in lines if line != b"[DONE]" and not _is_json(line)]
    assert len(broken) == 1
    assert ENDS[vendor] in raw


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_wrong_bodies(simulator, stream):
    assert ask(simulator, "openai", "empty", stream).content == b""
    assert ask(simulator, "openai", "html", stream).text.startswith("<html>")
    assert ask(simulator, "openai", "wrong_shape", stream).json() == {"unexpected": [1, 2, 3]}
    reply = ask(simulator, "openai", "error_in_200", stream)
    assert (reply.status_code, set(reply.json())) == (200, {"error"})
    reply = ask(simulator, "openai", "redirect", stream)
    assert (reply.status_code, reply.headers["location"]) == (307, "http://elsewhere.invalid/")
    assert len(ask(simulator, "openai", "huge:3000000", stream).content) > 3_000_000


@pytest.mark.parametrize(("vendor", "sign"), [
    ("openai", b'data: {"error":'), ("groq", b"event: error\ndata: "), ("openrouter", b'"finish_reason":"error"'),
    ("anthropic", b"event: error\ndata: "), ("google", b'data: {"error":'), ("ollama", b'{"error":"server busy'),
    ("cohere", b'"finish_reason":"ERROR"'),
])  # fmt: skip
def test_error_in_the_stream(simulator, vendor, sign):
    """After one content event, in the vendor's own form, and nothing after it."""
    raw = ask(simulator, vendor, "error_event:1", stream=True).content
    assert b"one" in raw
    assert b" two" not in raw
    assert sign in raw.strip().splitlines(keepends=True)[-2] + raw.strip().splitlines()[-1]
    assert ask(simulator, vendor, "error_event").status_code >= 500


def test_rules_choose_by_vendor_model_and_key(make, http):
    one = make()
    one.fail(500, vendor="openai", model="m1", key="k1", times=2)

    def status(vendor: str = "openai", model: str = "m1", key: str = "k1") -> int:
        url, body = chat(one.base_url(vendor), vendor, "hi", model=model)
        return http.post(url, json=body, headers=headers(vendor, key)).status_code

    assert [status(vendor="groq"), status(model="m2"), status(key="k2")] == [200, 200, 200]
    assert [status(), status(), status()] == [500, 500, 200]
    one.fail("overloaded")
    assert status(key="k2") == 503
    one.heal()
    assert status() == 200


def test_rate_is_replayed_from_the_seed(make, http):
    """Whether a fault happens depends on the seed, the key and the number of its request, and on nothing else."""

    def run(seed: int, keys: tuple[str, ...]) -> dict[str, list[int]]:
        one = make(seed=seed)
        one.fail(503, rate=0.3)
        got: dict[str, list[int]] = {}
        for _ in range(30):
            for key in keys:
                url, body = chat(one.base_url("openai"), "openai", "hi")
                got.setdefault(key, []).append(http.post(url, json=body, headers=headers("openai", key)).status_code)
        return got

    first = run(7, ("a", "b"))
    assert run(7, ("b",))["b"] == first["b"]
    assert first["a"] != first["b"]
    assert run(8, ("a",))["a"] != first["a"]
    failed = sum(statuses.count(503) for statuses in first.values())
    assert 8 <= failed <= 30


@pytest.mark.parametrize("spec", ["nonsense", "299", "600", "cut:x", "cut:-1", "stall:nan", "429;wait=5"])
def test_wrong_specs(make, spec):
    with pytest.raises(ConfigError):
        Fault.parse(spec)
    with pytest.raises(ConfigError):
        make(faults=[spec])


def test_wrong_spec_in_a_request(simulator):
    reply = ask(simulator, "openai", "nonsense")
    assert (reply.status_code, "unknown fault" in reply.text) == (400, True)


@pytest.mark.parametrize("word", DEFAULTS)
def test_every_fault_has_a_default(word):
    assert Fault.parse(word).number == DEFAULTS[word]


def test_kinds_of_statuses():
    assert [kind_of(status) for status in (400, 404, 409, 429, 501, 529)] == [
        "invalid", "model", "invalid", "rate_limit", "server", "overloaded",
    ]  # fmt: skip
