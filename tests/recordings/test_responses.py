"""The Responses dialect against recorded answers of OpenAI, Azure, xAI, DeepSeek, OpenRouter and Bedrock.

Their providers speak chat completions, so these exchanges are out of scope of the other tests here. What is tested is the reading
of the dialect, which Perplexity's Agent API shares.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from llmkit.errors import InvalidResponseError, LLMError
from llmkit.values.events import Event
from llmkit.wire.fold import fold
from llmkit.wire.http import HttpReply
from llmkit.wire.json import parse_object
from llmkit_providers._dialects.responses import Responses
from llmkit_providers.openai import OpenAI

from .cases import EVERY_CASE, OUT_OF_SCOPE, Case, each, needs_recordings
from .compare import Result, differences
from .replay import bytewise, scattered, with_comments, with_line_ends

needs_recordings()

DIALECT = Responses(OpenAI())
ENDS = re.compile(rb'^data:.*"type" ?: ?"response\.(completed|incomplete|failed)".*[^\s]', re.MULTILINE)
"""The terminal event's data."""

OTHERWISE = {
    "openai-6981b2e1f09a": "a background run that has not begun is no answer, but an error that says so",
    "openai-c3c9eada0938": "custom tools, whose input is any text, are OpenAI's alone",
}
"""What differs on purpose."""

CASES = [case for case in EVERY_CASE if case.kind == "responses"]
STREAMS = [case for case in CASES if case.stream and case.status == 200]
DOCUMENTS = [case for case in CASES if not case.stream and case.expected["outcome"] == "ok"]


def read(case: Case, pieces: Iterable[bytes] | None = None) -> Result:
    """What the dialect makes of a reply; an error is returned, not raised."""
    try:
        if case in STREAMS:
            return _stream(case, [case.body] if pieces is None else pieces)
        body = case.body if pieces is None else b"".join(pieces)
        if case.status != 200:
            return DIALECT.vendor.error(HttpReply(case.status, case.headers, body))
        document = parse_object(body)
        DIALECT.check(document, case.headers)
        return DIALECT.completion(document)
    except LLMError as error:
        return error


def _stream(case: Case, pieces: Iterable[bytes]) -> Result:
    decoder = DIALECT.decoder(case.headers)
    events: list[Event] = []
    for piece in pieces:
        events += decoder.feed(piece)
    events += decoder.finish()
    return fold(events, "openai") if decoder.complete else InvalidResponseError("the stream ended before its end")


def test_all_are_read() -> None:
    """Those that the other tests leave out."""
    assert len(CASES) == OUT_OF_SCOPE["responses"]
    assert len(STREAMS) > 100
    assert {*OTHERWISE} <= {case.id for case in CASES}


@each(CASES)
def test_whole(case: Case) -> None:
    """The normalised result is the expected one."""
    found = differences(case, read(case))
    assert bool(found) is (case.id in OTHERWISE), found


@each(STREAMS)
def test_in_pieces(case: Case) -> None:
    """Byte by byte, cut at random, with CRLF, with comments: the same."""
    whole = read(case)
    assert not isinstance(whole, LLMError)
    for pieces in (bytewise(case.body), scattered(case, case.body, 40), [with_line_ends(case.body, b"\r\n")]):
        assert read(case, pieces) == whole
    assert read(case, bytewise(with_comments(case, case.body))) == whole


@each(STREAMS)
def test_a_stream_cut_short_is_not_complete(case: Case) -> None:
    """Cut anywhere up to the last byte of its terminal event's data."""
    end = ENDS.search(case.body)
    assert end is not None
    chance = case.random("cuts")
    within = [chance.randrange(*end.span()), end.end() - 1]
    for place in {0, end.start(), *within, *[chance.randrange(end.start()) for _ in range(6)]}:
        assert isinstance(read(case, [case.body[:place]]), LLMError), f"believed {place} of {len(case.body)} bytes"


@pytest.mark.parametrize("share", [1, 2])
def test_documents_cut_short(share: int) -> None:
    """A whole reply that lost its end is no answer."""
    for case in DOCUMENTS:
        body = case.body.strip()
        assert isinstance(read(case, [body[: share * len(body) // 2 - 1]]), LLMError), case.id
