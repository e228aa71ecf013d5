"""Server-sent events by the HTML standard's rules, however the bytes are cut:
https://html.spec.whatwg.org/multipage/server-sent-events.html"""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmkit.errors import ResponseTooLarge
from llmkit.wire.sse import MOST_EVENT, SSEDecoder


def read(pieces: Iterable[bytes]) -> list[tuple[str, bytes]]:
    decoder = SSEDecoder()
    found = [item for piece in pieces for item in decoder.feed(piece)]
    found += decoder.finish()
    return [(event, data) for event, data in found]


def cut(body: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(body) + 1) for place in places}), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"data: a\n\n", [("", b"a")]),
        (b"data: a\n\ndata: b\n\n", [("", b"a"), ("", b"b")]),
        (b"data: a\r\n\r\n", [("", b"a")]),
        (b"data: a\r\r", [("", b"a")]),
        (b"data: a\r\n\rdata: b\n\r", [("", b"a"), ("", b"b")]),
        (b"data:a\n\n", [("", b"a")]),
        (b"data:  a\n\n", [("", b" a")]),
        (b"data\n\n", [("", b"")]),
        (b"data:\ndata:\n\n", [("", b"\n")]),
        (b"data: a\ndata: b\n\n", [("", b"a\nb")]),
        (b"event: ping\ndata: {}\n\n", [("ping", b"{}")]),
        (b"data: {}\nevent: late\n\n", [("late", b"{}")]),
        (b"event: lost\n\ndata: a\n\n", [("", b"a")]),
        (b"event: x\ndata: a\n\ndata: b\n\n", [("x", b"a"), ("", b"b")]),
        (b": comment\n\ndata: a\n\n", [("", b"a")]),
        (b"data: a\n: in the middle\ndata: b\n\n", [("", b"a\nb")]),
        (b"id: 7\n\ndata: a\n\n", [("", b"a")]),
        (b"id: 7\nretry: 10\ndata: a\n\n", [("", b"a")]),
        (b"unknown: field\ndata: a\n\n", [("", b"a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("", b"a")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
        (b"\n\n\n\ndata: a\n\n\n\n", [("", b"a")]),
        (b"data: a", [("", b"a")]),
        (b"data: a\n", [("", b"a")]),
        (b"data: a\r", [("", b"a")]),
        (b"data: a\ndata: b", [("", b"a\nb")]),
        ("data: a\u2028b\u0085c\x0bd\x0ce\n\n".encode(), [("", "a\u2028b\u0085c\x0bd\x0ce".encode())]),
        (b"", []),
        (b"\xef", []),
        (b": only a comment", []),
    ],
)
def test_what_a_stream_means_whole_and_byte_by_byte(body: bytes, expected: list[tuple[str, bytes]]) -> None:
    assert read([body]) == expected
    assert read([body[position : position + 1] for position in range(len(body))]) == expected


LINES = st.sampled_from(
    [
        b"data: a",
        b"data:",
        b"data",
        b"data: \xe2\x80\xa8",
        b"event: e",
        b"event:",
        b"id: 1",
        b": c",
        b":",
        b"",
        b"",
        b"data: [DONE]",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
BODIES = st.builds(
    lambda bom, lines, last: bom + b"".join([line + end for line, end in lines]) + last,
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.lists(st.tuples(LINES, ENDS), max_size=20),
    st.sampled_from([b"", b"data: cut", b"da"]),
)


def by_the_standard(body: bytes) -> list[tuple[str, bytes]]:
    """The standard's algorithm, written plainly over the whole stream; an event at the end counts without its blank line."""
    body = body.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n") + b"\n\n"
    found, data, event = [], [], ""
    for line in body.split(b"\n"):
        name, _, value = line.partition(b":")
        if not line:
            if data:
                found.append((event, b"\n".join(data)))
            data, event = [], ""
        elif name == b"data":
            data.append(value.removeprefix(b" "))
        elif name == b"event":
            event = value.removeprefix(b" ").decode()
    return found


@given(BODIES, st.lists(st.integers(0, 10_000), max_size=8))
@example(b"data: a\r\n\r\n", [8])
@example(b"data: a\n\ndata: b\n\n", [8])
def test_any_cut_of_any_stream_gives_what_the_standard_says(body: bytes, places: list[int]) -> None:
    assert read(cut(body, places)) == by_the_standard(body)


@given(st.binary(max_size=200), st.lists(st.integers(0, 10_000), max_size=8))
def test_any_bytes_at_all_do_not_depend_on_the_cut(body: bytes, places: list[int]) -> None:
    assert read(cut(body, places)) == read([body])


def test_the_decoder_forgets_nothing_between_events_and_keeps_nothing_after_finish() -> None:
    decoder = SSEDecoder()
    assert [tuple(item) for item in decoder.feed(b"event: a\ndata: 1\n")] == []
    assert [tuple(item) for item in decoder.feed(b"\n")] == [("a", b"1")]
    assert decoder.finish() == []
    assert decoder.finish() == []


PIECE = b"x" * 65536


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"data: ", PIECE),
        (b"event: e\ndata: ", PIECE),
        (b": ", PIECE),
        (b"", b"data: " + PIECE[:1000] + b"\n"),
        (b"\r\n", PIECE),
    ],
    ids=["line", "named", "comment", "many lines", "crlf"],
)
def test_a_line_or_event_above_the_cap_is_refused_quickly(start: bytes, piece: bytes) -> None:
    pieces = [start] + [piece] * (17 * 1024 * 1024 // len(piece) + 1)
    began = time.perf_counter()
    with pytest.raises(ResponseTooLarge):
        read(pieces)
    assert time.perf_counter() - began < 1


def test_an_event_above_the_cap_in_one_piece_is_refused_too() -> None:
    with pytest.raises(ResponseTooLarge):
        SSEDecoder().feed(b"data: " + b"x" * (MOST_EVENT + 1) + b"\n\n")


def test_a_long_event_below_the_cap_comes_whole_and_quickly() -> None:
    decoder = SSEDecoder()
    began = time.perf_counter()
    found = decoder.feed(b"data: ")
    for _ in range(15 * 16):
        found += decoder.feed(PIECE)
    found += decoder.feed(b"\n\n")
    assert time.perf_counter() - began < 1
    assert [(event, len(data)) for event, data in found] == [("", 15 * 1024 * 1024)]
