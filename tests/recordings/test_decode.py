"""What llmkit makes of recorded replies, however the network brings them, and that it believes no reply that was cut short."""

from __future__ import annotations

import pytest

from llmkit.errors import LLMError

from .asked import call_for
from .cases import CASES, Case, each, needs_recordings
from .compare import differences
from .listed import check
from .replay import bytewise, cuts, decode, provider, said_to_end, scattered, with_comments, with_line_ends

needs_recordings()

STREAMS = [case for case in CASES if case.streamed]
EVENT_STREAMS = [case for case in STREAMS if case.sse]
LINE_STREAMS = [case for case in STREAMS if case.wire == "ollama"]
ANSWERED = [case for case in STREAMS if case.expected["outcome"] == "ok"]
DOCUMENTS = [case for case in CASES if not case.streamed and case.expected["outcome"] == "ok"]


@each(CASES)
def test_whole(case: Case) -> None:
    """The normalised result is the expected one."""
    check(case, "decode", differences(case, decode(case)))


@each(STREAMS)
def test_byte_by_byte(case: Case) -> None:
    """A body of up to 100 kB comes one byte at a time, a longer one in about as many pieces; the result is the same."""
    assert_same(case, bytewise(case.body))


@each(STREAMS)
def test_cut_at_random_places(case: Case) -> None:
    """Pieces of any size, empty ones too, change nothing."""
    assert_same(case, scattered(case, case.body, 3))
    assert_same(case, scattered(case, case.body, 40))


@each([*EVENT_STREAMS, *LINE_STREAMS])
def test_other_line_ends(case: Case) -> None:
    """LF and CRLF mean the same, whole and in pieces; in event streams CR does too."""
    for end in (b"\n", b"\r\n", b"\r") if case.sse else (b"\n", b"\r\n"):
        body = with_line_ends(case.body, end)
        assert_same(case, [body])
        assert_same(case, scattered(case, body, 40))


@each(EVENT_STREAMS)
def test_comments_between_events(case: Case) -> None:
    """Comments, blank lines, ids, unknown fields and data in two lines change nothing, whatever ends the lines."""
    body = with_comments(case, case.body)
    assert_same(case, [body])
    assert_same(case, scattered(case, body, 40))
    assert_same(case, bytewise(with_line_ends(body, b"\r\n")))


@each(ANSWERED)
def test_a_stream_cut_short_is_not_complete(case: Case) -> None:
    """Cut anywhere before the vendor says that it is done, up to the byte before: the decoder does not say complete."""
    call = call_for(case)
    assert said_to_end(case) < len(case.body)
    for place in cuts(case):
        decoder = provider(case.provider).decoder(call, case.headers)  # type: ignore[arg-type]
        try:
            decoder.feed(case.body[:place])
            assert not decoder.complete, f"complete while byte {place} of {len(case.body)} was still to come"
            decoder.finish()
        except LLMError:
            pass
        assert not decoder.complete, f"complete although it ended at byte {place} of {len(case.body)}"


@each(DOCUMENTS)
def test_a_document_cut_short_is_an_error(case: Case) -> None:
    """A whole reply that lost its end is no answer."""
    chance = case.random("cut document")
    body = case.body.strip()
    for place in {0, 1, len(body) - 1, chance.randrange(len(body))}:
        assert isinstance(decode(case, [body[:place]]), LLMError), f"believed {place} of {len(body)} bytes"


def assert_same(case: Case, pieces: object) -> None:
    """The pieces decode to what the whole body does."""
    whole, pieced = decode(case), decode(case, pieces)  # type: ignore[arg-type]
    if isinstance(whole, LLMError):
        assert type(pieced) is type(whole)
        assert str(pieced) == str(whole)
        assert getattr(pieced, "partial", None) == getattr(whole, "partial", None)
    else:
        assert pieced == whole


@pytest.mark.parametrize("dialect", sorted({case.wire for case in STREAMS}))
def test_every_wire_is_streamed(dialect: str) -> None:
    """The tests above mean something for each wire."""
    assert len([case for case in STREAMS if case.wire == dialect]) > 10
