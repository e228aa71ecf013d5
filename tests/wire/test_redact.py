"""No key survives in what errors show."""

from __future__ import annotations

import base64
import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.wire.redact import MOST_BODY, excerpt, redact

ALNUM = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def after(prefix: str, alphabet: str = ALNUM, low: int = 20, high: int = 60) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=low, max_size=high).map(lambda rest: prefix + rest)


PREFIXES = [
    "sk-",
    "sk-proj-",
    "sk-ant-api03-",
    "sk-or-v1-",
    "gsk_",
    "xai-",
    "pplx-",
    "hf_",
    "tgp_v1_",
    "csk-",
    "fw_",
    "nvapi-",
    "r8_",
]
PREFIXED = st.one_of([after(prefix) for prefix in PREFIXES] + [after("AIza", ALNUM + "-_", 35, 35)])
OPAQUE = st.text(ALNUM, min_size=32, max_size=64).filter(lambda key: any(c.isdigit() for c in key))
"""Keys without a prefix, as of Mistral, Cohere, Azure and Together."""

SENTENCES = [
    "Incorrect API key provided: {}.",
    "invalid key {}",
    '{{"error": {{"message": "bad key \\"{}\\"", "type": "auth"}}}}',
    "headers: x-api-key: {}, accept: json",
    "Authorization: Bearer {}",
    "GET /v1/models?key={}&alt=sse",
    "line one\\n{}\\nline three",
    "line one\n{}\nline three",
    "\\u0022{}\\u0022",
    "<b>{}</b>",
    "{}",
]


@given(PREFIXED, st.sampled_from(SENTENCES))
def test_a_key_with_a_known_prefix_never_survives(key: str, sentence: str) -> None:
    for form in (key, quote(key, safe=""), key[:12], key[:8] + "*" * 12 + key[-4:]):
        text = sentence.format(form)
        assert form not in redact(text)
        assert form not in excerpt(text.encode())


@given(PREFIXED, st.sampled_from(SENTENCES))
def test_nor_does_it_in_base64(key: str, sentence: str) -> None:
    for form in (base64.b64encode(key.encode()).decode(), base64.urlsafe_b64encode(key.encode()).decode()):
        assert form[:16] not in redact(sentence.format(form))


@given(OPAQUE, st.sampled_from(SENTENCES))
def test_a_long_key_without_a_prefix_never_survives(key: str, sentence: str) -> None:
    assert key not in redact(sentence.format(key))
    assert key[:20] not in excerpt(sentence.format(key).encode())


@given(st.text(ALNUM, min_size=8, max_size=20))
def test_a_short_key_survives_nowhere_it_is_named(key: str) -> None:
    """Standing alone, a short text without a prefix cannot be told from any other word."""
    for sentence in ("x-api-key: {}", '"api_key": "{}"', "api_key={}", "Bearer {}", "Incorrect API key provided: {}"):
        assert key not in redact(sentence.format(key))
    assert key not in redact(f"https://user:{key}@host/v1")
    assert key not in redact(f"https://host/v1?alt=sse&key={key}")


@pytest.mark.parametrize(
    "key", ["AKIAIOSFODNN7EXAMPLE", "ya29.a0AfH6SMBx", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP"]
)
def test_keys_of_clouds_and_tokens(key: str) -> None:
    assert redact(f"bad credentials {key} given") == "bad credentials [redacted] given"


@pytest.mark.parametrize(
    "text",
    [
        "model claude-3-5-sonnet-20241022 not found",
        "model 'registry.ollama.ai/library/deepseek-r1-distill-qwen-32b:latest' not found, try pulling it first",
        "The model `accounts/fireworks/models/llama-v3p1-405b-instruct-long-context` does not exist",
        "see https://docs.cohere.com/docs/migrating-from-cogenerate-to-cochat for details",
        "tool_use ids were found without tool_result blocks: toolu_01A09q90qw90lq917835lq9",
        "request id 550e8400-e29b-41d4-a716-446655440000",
        "No tool call found for call_AbC123dEf456gHi789jKl012",
        "API key not valid. Please pass a valid API key.",
        "You can find your API key at https://platform.openai.com/account/api-keys.",
        "maximum context length is 128000 tokens, however you requested 130000",
        "Internationalizationalisticallyincomprehensible",
    ],
)
def test_what_helps_people_is_left_alone(text: str) -> None:
    assert redact(text) == text


@given(st.binary(max_size=300))
def test_excerpts_can_always_be_shown(body: bytes) -> None:
    shown = excerpt(body)
    assert all(c.isprintable() or c == "\n" for c in shown)
    json.dumps(shown).encode()


def test_excerpts_escape_control_characters_and_are_short() -> None:
    assert excerpt(b"a\x1b[31mred\x00") == "a\\x1b[31mred\\x00"
    assert len(excerpt(b"word " * 100_000)) == MOST_BODY


@pytest.mark.parametrize(
    "unit", ["a", "a-", "ab/", "aB1", "sk-", "%41", "Bearer ", "api key: ", "key-", "eyJ.", "://a:", "\\n", "aB1 "]
)
def test_no_text_takes_long(unit: str) -> None:
    text = unit * (20_000 // len(unit))
    began = time.perf_counter()
    redact(text)
    redact(text + "!")
    assert time.perf_counter() - began < 0.5
