"""JSON that is not trusted."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.errors import InvalidRequestError, InvalidResponseError
from llmkit.wire.json import MOST_DEPTH, dump_json, parse_json, parse_object, tool_arguments

FINITE = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | FINITE | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_dumped_comes_back(value: Any) -> None:
    assert parse_json(dump_json(value)) == value
    assert parse_json(json.dumps(value)) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"NaN",
        b"[Infinity]",
        b'{"a": -Infinity}',
        b"1e999",
        b"[-1e999]",
        b"1" * 400,
        b"1" * 5000,
        b"{",
        b'{"a"}',
        b"{'a': 1}",
        b"<html>",
        b"\xff\xfe{\x00}\x00",
        b"[1,]",
        b'"\\x"',
        b"nul",
        b"{} {}",
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidResponseError) as caught:
        parse_json(body)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("body", [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000, b"[" * 201 + b"]" * 201])
def test_deep_nesting_is_refused_quickly(body: bytes) -> None:
    began = time.perf_counter()
    with pytest.raises(InvalidResponseError):
        parse_json(body)
    assert time.perf_counter() - began < 1


def test_nesting_at_the_limit_and_many_brackets_in_text_are_accepted() -> None:
    assert parse_json(b"[" * MOST_DEPTH + b"]" * MOST_DEPTH)
    assert parse_json(dump_json({"text": "[" * 10_000})) == {"text": "[" * 10_000}
    assert len(parse_json(b"[" + b"[]," * 5000 + b"[]]")) == 5001


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'"\\ud800"', "\ufffd"),
        (b'"\\udc00x"', "\ufffdx"),
        (b'"\\ud83d\\ude00 \\ud800"', "\U0001f600 \ufffd"),
        (b'{"\\ud800": ["\\udfff"]}', {"\ufffd": ["\ufffd"]}),
        (b'"\xff"', "\ufffd"),
        (b'"caf\xc3"', "caf\ufffd"),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('\ufeff{"a": 1}', {"a": 1}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'{"a": "\\ud800", "a": 2}', {"a": 2}),
        (b"18446744073709551615", 2**64 - 1),
    ],
)
def test_broken_encodings_are_mended_and_odd_documents_accepted(body: bytes | str, expected: Any) -> None:
    value = parse_json(body)
    assert value == expected
    dump_json(value)


@pytest.mark.parametrize("digits", [b"1" * 30, b"-" + b"9" * 300])
@pytest.mark.parametrize("fault", [b"", b', "\xff"'], ids=["clean", "broken encoding"])
def test_huge_whole_numbers_are_finite_floats(digits: bytes, fault: bytes) -> None:
    value = parse_json(b"[" + digits + fault + b"]")[0]
    assert type(value) is float
    assert math.isfinite(value)


@given(st.binary(max_size=60))
def test_any_bytes_are_json_or_a_typed_error(body: bytes) -> None:
    try:
        value = parse_json(body)
    except InvalidResponseError:
        return
    dump_json(value)


def test_an_object_is_an_object() -> None:
    assert parse_object(b'{"a": 1}') == {"a": 1}
    for body in (b"[]", b"null", b'"text"', b"1"):
        with pytest.raises(InvalidResponseError):
            parse_object(body)


def test_errors_show_a_short_excerpt_without_keys() -> None:
    with pytest.raises(InvalidResponseError) as caught:
        parse_json(b"<html> sk-proj-abcdefghijklmnop " + b"x" * 10_000)
    assert "sk-proj" not in str(caught.value)
    assert "<html>" in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"a": 1}, ({"a": 1}, True)),
        ('{"a": 1}', ({"a": 1}, True)),
        ("", ({}, True)),
        (None, ({}, True)),
        ("null", ({}, True)),
        ('{"a": ', ({}, False)),
        ("[1]", ({}, False)),
        ('{"a": "\ud800"}', ({"a": "\ufffd"}, True)),
    ],
)
def test_tool_arguments(raw: Any, expected: tuple[dict[str, Any], bool]) -> None:
    assert tool_arguments(raw) == expected


@pytest.mark.parametrize("value", [{"a": object()}, {1: 2}, "\ud800", 2**64])
def test_what_has_no_json_form_is_a_typed_error(value: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        dump_json(value)
    assert caught.value.__context__ is None
