"""Recorded replies from a real server on this machine, through real clients in both colours.

Each reply comes as a network may bring it: in HTTP chunks cut at random places, compressed or not, and event streams also with
CRLF and comments. Cut short, dropped or ended early, none is believed.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest

from llmkit.errors import LLMError, StreamInterrupted
from llmkit.plugins.registry import REGISTRY
from llmkit.values.events import CONTENT_EVENTS, Event
from llmkit.values.instances import Instance
from llmkit.values.models import ModelList
from llmkit.values.other_calls import ModelsCall
from llmkit.wire.fold import fold
from tests.support.faultserver import Behaviour, FaultServer, Seen, Wire, chunk, head, reply

from .asked import KEY, call_for, instance_for
from .cases import CASES, Case, needs_recordings
from .colours import COLOURS, Colour
from .compare import Result, differences
from .listed import verdict
from .replay import decode, provider, said_to_end, scattered, with_comments, with_line_ends

needs_recordings()

PROVIDERS = sorted({case.provider for case in CASES})
ANSWERED = [case for case in CASES if case.expected["outcome"] == "ok"]
both_colours = pytest.mark.parametrize("colour", COLOURS, ids=[colour.name for colour in COLOURS])
every_provider = pytest.mark.parametrize("name", PROVIDERS)


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    """One server for every test here."""
    for name in set(PROVIDERS) - set(REGISTRY.names()):  # where llmkit is run from its checkout, without being installed
        REGISTRY.register(provider(name))
    with FaultServer() as running:
        yield running


# ------------------------------------------------------------------------------------------------- ways to be answered


def _head(case: Case, **more: str) -> bytes:
    kind = case.headers.get("content-type")
    told = {"Content-Type": kind} if kind else {}
    return head(case.status, {**told, **{name.replace("_", "-"): value for name, value in more.items()}})


def in_chunks(case: Case, body: bytes, then: str = "end", **more: str) -> Behaviour:
    """``body`` in HTTP chunks, each sent for itself; ``then`` its end, or a dropped connection."""
    pieces = [chunk(piece) for piece in scattered(case, body, 5) if piece]

    def behave(wire: Wire) -> None:
        wire.send(_head(case, Transfer_Encoding="chunked", **more))
        for piece in pieces:
            wire.send(piece)
        if then == "end":
            wire.send(chunk(b""))
        else:
            wire.fin()

    return behave


def plain(case: Case) -> Behaviour:
    """As it was recorded, in chunks."""
    return in_chunks(case, case.body)


def compressed(case: Case) -> Behaviour:
    """Compressed with gzip, in chunks."""
    return in_chunks(case, gzip.compress(case.body, 1), Content_Encoding="gzip")


def respelled(case: Case) -> Behaviour:
    """With CRLF, and comments where it is an event stream; other replies whole and compressed, with their length."""
    if case.sse:
        return in_chunks(case, with_line_ends(with_comments(case, case.body), b"\r\n"))
    body = gzip.compress(case.body, 1)
    return lambda wire: wire.send(_head(case, Content_Encoding="gzip", Content_Length=str(len(body))) + body)


def _short(case: Case) -> bytes:
    end = said_to_end(case) if case.streamed else len(case.body.rstrip())
    return case.body[: case.random("served").randrange(end // 2, end)]


def dropped(case: Case) -> Behaviour:
    """The connection goes in the middle of the reply."""
    return in_chunks(case, _short(case), then="drop")


def ended_early(case: Case) -> Behaviour:
    """The reply ends in good order, before the vendor says so."""
    return in_chunks(case, _short(case))


def shorter_than_told(case: Case) -> Behaviour:
    """The connection is closed before as many bytes came as the reply's head told."""
    body = _short(case)

    def behave(wire: Wire) -> None:
        wire.send(_head(case, Content_Length=str(len(case.body))) + body)
        wire.fin()

    return behave


def cut_in_compression(case: Case) -> Behaviour:
    """The reply ends in good order, but within its compressed data."""
    body = gzip.compress(case.body, 1)
    return in_chunks(case, body[: case.random("compression").randrange(len(body) // 2, len(body) - 8)], Content_Encoding="gzip")


DOCUMENT_WAYS: list[Callable[[Case], Behaviour]] = [dropped, ended_early, shorter_than_told, cut_in_compression]


# --------------------------------------------------------------------------------------------------------------- asking


def _served(case: Case, server: FaultServer, answer: Callable[[Case], Behaviour]) -> Instance:
    """An instance for one case alone, at the server's path for it."""
    call = call_for(case)
    instance = instance_for(case, f"{server.url}/{case.id}")
    url = (instance.base_url or "").translate({ord("<"): None, ord(">"): None})  # the recordings' marks for what they hide
    instance = attrs.evolve(instance, name=case.id, base_url=url, options=getattr(call, "options", instance.options))
    server.on(_path(case, call, instance), answer(case))
    page = decode(case) if isinstance(call, ModelsCall) else None
    if isinstance(call, ModelsCall) and isinstance(page, ModelList) and page.next_page:
        server.on(_path(case, attrs.evolve(call, page=page.next_page), instance), reply(b'{"models": []}'))
    return instance


def _path(case: Case, call: Any, instance: Instance) -> str:
    url = urlsplit(provider(case.provider).encode(call, instance).url)
    return f"{url.path}?{url.query}" if url.query else url.path


async def _ask(client: Any, case: Case) -> Result:
    call: Any = call_for(case)
    try:
        if case.kind == "models":
            return ModelList(tuple(await client.list_models(case.id)))
        if case.kind == "embeddings":
            return await client.embed(call.texts, instance=case.id, dimensions=call.dimensions, extra=call.extra)  # type: ignore[no-any-return]
        if not case.stream:
            return await client.generate(call.messages, instance=case.id)  # type: ignore[no-any-return]
        async with client.stream(call.messages, instance=case.id) as stream:
            async for _ in stream:
                pass
            return await stream.completion()  # type: ignore[no-any-return]
    except LLMError as error:
        return error


def replayed(
    cases: list[Case], server: FaultServer, colour: Colour, answer: Callable[[Case], Behaviour]
) -> list[tuple[Case, Result]]:
    """What a client of ``colour`` makes of every case."""

    async def ask_each() -> list[tuple[Case, Result]]:
        async with client:
            return [(case, await _ask(client, case)) for case in cases]

    instances = [_served(case, server, answer) for case in cases]
    client = colour.client(instances, retries=0, on_unsupported="drop", unavailable="fail", environ={}, plugins=[])
    return colour.run(ask_each())  # type: ignore[no-any-return]


@both_colours
@every_provider
@pytest.mark.parametrize("answer", [plain, compressed, respelled])
def test_served(name: str, answer: Callable[[Case], Behaviour], colour: Colour, server: FaultServer) -> None:
    """The normalised result is the expected one in both colours, whatever the way."""
    cases = [case for case in CASES if case.provider == name]
    results = replayed(cases, server, colour, answer)
    wrong = [said for case, result in results if (said := verdict(case, "decode", differences(case, result)))]
    assert len(results) == len(cases)
    wrong += [f"the key came {count} times in {seen.path}" for seen in server.requests if (count := _keys(seen)) != 1]
    server.requests.clear()
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def _keys(seen: Seen) -> int:
    """In how many headers the key stands; more than any number where it stands elsewhere."""
    elsewhere = KEY in seen.path or KEY.encode() in seen.body
    return 1_000 * elsewhere + sum(KEY in value for value in seen.headers.values())


@both_colours
@every_provider
@pytest.mark.parametrize("answer", [dropped, ended_early])
def test_cut_short(name: str, answer: Callable[[Case], Behaviour], colour: Colour, server: FaultServer) -> None:
    """No stream that lost its end looks complete; where content was delivered the error says so, and holds it."""
    cases = [case for case in ANSWERED if case.provider == name and case.streamed]
    believed, lost = [], []
    for case, result in replayed(cases, server, colour, answer):
        came = _delivered(case)
        if not isinstance(result, LLMError):
            believed.append(case.id)
        elif bool(came) != isinstance(result, StreamInterrupted) or (came and not _holds(result, came)):
            lost.append(f"{case.id}: {result!r}")
    assert believed == []
    assert lost == []


@both_colours
@every_provider
@pytest.mark.parametrize("answer", DOCUMENT_WAYS)
def test_documents_cut_short(name: str, answer: Callable[[Case], Behaviour], colour: Colour, server: FaultServer) -> None:
    """A whole reply that lost its end is an error too. Every fourth case, each way others; the direct tests have them all."""
    documents = [case for case in ANSWERED if case.provider == name and not case.streamed]
    cases = documents[DOCUMENT_WAYS.index(answer) :: len(DOCUMENT_WAYS)]
    results = replayed(cases, server, colour, answer)
    assert [case.id for case, result in results if not isinstance(result, LLMError)] == []


def _delivered(case: Case) -> list[Event]:
    """The content that came of a case cut short."""
    decoder = provider(case.provider).decoder(call_for(case), case.headers)  # type: ignore[arg-type]
    return [event for event in decoder.feed(_short(case)) if isinstance(event, CONTENT_EVENTS)]


def _holds(error: LLMError, came: list[Event]) -> bool:
    """Whether the error has all the text that came."""
    partial = getattr(error, "partial", None)
    return partial is not None and partial.text.startswith(fold(came).text)
