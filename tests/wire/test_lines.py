"""Newline-delimited JSON, cut anywhere."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.errors import ResponseTooLarge
from llmkit.wire.lines import LineDecoder
from llmkit.wire.sse import MOST_EVENT


def read(pieces: list[bytes]) -> list[bytes]:
    decoder = LineDecoder()
    found = [line for piece in pieces for line in decoder.feed(piece)]
    return found + decoder.finish()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\r\n{"b":2}\r\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\n{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'\n\n{"a":1}\n\n', [b'{"a":1}']),
        (b'\xef\xbb\xbf{"a":1}\n', [b'{"a":1}']),
        ('{"a":"\u2028\u0085"}\n'.encode(), ['{"a":"\u2028\u0085"}'.encode()]),
        (b"", []),
        (b"\r\n", []),
    ],
)
def test_lines_whole_and_byte_by_byte(body: bytes, expected: list[bytes]) -> None:
    assert read([body]) == expected
    assert read([body[position : position + 1] for position in range(len(body))]) == expected


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
def test_any_bytes_do_not_depend_on_the_cut(body: bytes, places: list[int]) -> None:
    edges = [0, *sorted(min(place, len(body)) for place in places), len(body)]
    assert read([body[start:end] for start, end in pairwise(edges)]) == read([body])


def test_finish_gives_the_last_line_once() -> None:
    decoder = LineDecoder()
    decoder.feed(b"{}")
    assert (decoder.finish(), decoder.finish()) == ([b"{}"], [])


def test_a_line_above_the_cap_is_refused_quickly() -> None:
    pieces = [b"x" * 65536] * (17 * 16)
    began = time.perf_counter()
    with pytest.raises(ResponseTooLarge):
        read(pieces)
    assert time.perf_counter() - began < 1
    with pytest.raises(ResponseTooLarge):
        LineDecoder().feed(b"x" * (MOST_EVENT + 1) + b"\n")


def test_a_long_line_below_the_cap_comes_whole() -> None:
    decoder = LineDecoder()
    assert all(decoder.feed(b"x" * 65536) == [] for _ in range(15 * 16))
    assert [len(line) for line in decoder.feed(b"\n")] == [15 * 1024 * 1024]
