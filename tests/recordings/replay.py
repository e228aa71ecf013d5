"""A recorded reply through its provider, in pieces of any size, without a network."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path
from typing import Any

from llmkit.errors import InvalidResponseError, LLMError
from llmkit.provider import Provider
from llmkit.values.calls import Call
from llmkit.values.events import Event
from llmkit.wire.fold import fold
from llmkit.wire.http import HttpReply

from .asked import call_for
from .cases import Case
from .compare import Result

SETUP = Path(__file__).resolve().parents[2] / "setup.cfg"


@functools.cache
def provider(name: str) -> Provider:
    """The built-in provider ``name``, as ``setup.cfg`` declares it: nothing need be installed."""
    declared = ConfigParser()
    declared.read(SETUP)
    lines = declared["options.entry_points"]["llmkit.providers"].split("\n")
    places = dict(line.replace(" ", "").split("=") for line in lines if line)
    module, _, attribute = places[name].partition(":")
    made: Provider = getattr(import_module(module), attribute)()
    return made


def decode(case: Case, pieces: Iterable[bytes] | None = None) -> Result:
    """What llmkit makes of the reply, whole or in ``pieces``; an error is returned, not raised."""
    call = call_for(case)
    try:
        return _decode_stream(case, call, pieces) if case.streamed else _decode_whole(case, call, pieces)
    except LLMError as error:
        return error


def _decode_whole(case: Case, call: Call[Any], pieces: Iterable[bytes] | None) -> Any:
    reply = HttpReply(case.status, case.headers, case.body if pieces is None else b"".join(pieces))
    vendor = provider(case.provider)
    if 200 <= case.status < 300:
        return vendor.decode(call, reply)
    return vendor.error(reply)


def _decode_stream(case: Case, call: Call[Any], pieces: Iterable[bytes] | None) -> Result:
    decoder = provider(case.provider).decoder(call, case.headers)  # type: ignore[arg-type]
    events: list[Event] = []
    error: LLMError | None = None
    try:
        for piece in [case.body] if pieces is None else pieces:
            events += decoder.feed(piece)
        events += decoder.finish()
    except LLMError as problem:
        error = problem
    if error is None and not decoder.complete:
        error = InvalidResponseError("the stream ended before its end")
    completion = fold(events, case.provider)
    if error is None:
        return completion
    vars(error)["partial"] = completion
    return error


# ----------------------------------------------------------------------------------------------- the same, sent otherwise


SMALL = 100_000
"""Bodies up to this many bytes are fed byte by byte; longer ones in pieces that make about as many."""


def bytewise(body: bytes) -> Iterator[bytes]:
    """``body`` one byte at a time."""
    step = -(-len(body) // SMALL) or 1
    return (body[at : at + step] for at in range(0, len(body), step))


def scattered(case: Case, body: bytes, cuts: int) -> list[bytes]:
    """``body`` cut at ``cuts`` random places, empty pieces among them."""
    chance = case.random("scattered")
    places = sorted(chance.randrange(len(body) + 1) for _ in range(cuts))
    return [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]


def with_line_ends(body: bytes, end: bytes) -> bytes:
    """``body`` with every line ending in ``end``."""
    return body.replace(b"\r\n", b"\n").replace(b"\n", end)


def with_comments(case: Case, body: bytes) -> bytes:
    """An event stream with comments and other things a reader must pass over, and with data in two lines, which are one text."""
    chance = case.random("comments")
    lines = []
    for line in with_line_ends(body, b"\n").split(b"\n"):
        if line.startswith((b"data: {", b"data:{")) and chance.random() < 0.3:
            brace = line.index(b"{") + 1
            lines += [line[:brace], b"data: " + line[brace:]]
        else:
            lines.append(line)
        if chance.random() < 0.3:
            lines.append(chance.choice([b": keep-alive", b":", b"retry: 3000", b"id: 7", b": data: {}", b"unknown field"]))
        if not line and chance.random() < 0.2:
            lines.append(b"")
    return b"\n".join([b": hello", b"", *lines])


# ------------------------------------------------------------------------------------------------------------ cut short

ENDS = {
    "openai": rb'(?<!\\)"finish_reason"\s*:\s*"|\[DONE\]|(?<!\\)"error"\s*:\s*\{',
    "anthropic": rb'(?<!\\)"stop_reason"\s*:\s*"|message_stop|^event: error',
    "gemini": rb'(?<!\\)"(finishReason|finish_reason|blockReason)"',
    "ollama": rb'(?<!\\)"done"\s*:\s*true|(?<!\\)"done_reason"',
    "cohere": rb'(?<!\\)"(finish_reason|finishReason)"\s*:\s*"|message-end|\[DONE\]',
}
"""Where, at the earliest, each vendor says that the answer is whole."""


def said_to_end(case: Case) -> int:
    """The first byte of what tells that the stream is complete: cut there or before, it is not."""
    found = re.search(ENDS[case.wire], case.body, re.MULTILINE)
    return found.start() if found else len(case.body)


def cuts(case: Case) -> list[int]:
    """Places to cut a stream at: before the vendor says that it is complete, and within that very line."""
    chance = case.random("cuts")
    end = said_to_end(case)
    line = len(case.body[: case.body.find(b"\n", end) % (len(case.body) + 1)].rstrip())
    within = [chance.randrange(end, line), line - 1] if line > end else []
    return sorted({0, end, *within, *[chance.randrange(end + 1) for _ in range(6)]})
