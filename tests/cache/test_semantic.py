"""Answers to similar questions: embedding functions of both colours, and such as do harm."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from typing import Any

import pytest

from llmkit import AsyncClient, Client, ConfigError, RequestTimeout, SemanticCache
from tests.cache.conftest import Vendor
from tests.support.colours import Colour


async def vector(text: str) -> list[float]:
    await asyncio.sleep(0.001)
    return [float(text.lower().count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz"]


class Embedder:
    async def __call__(self, text: str) -> list[float]:
        return await vector(text)


@pytest.mark.parametrize("embed", [vector, Embedder(), functools.partial(vector)], ids=["function", "object", "partial"])
def test_an_async_function_is_awaited_by_an_async_client(vendor: Vendor, embed: Any):
    async def ask() -> None:
        async with AsyncClient([vendor.instance()], cache=SemanticCache(embed), plugins=[]) as client:
            first = await client.generate("How tall is it?")
            again = await client.generate("how TALL is it")
            assert (again.text, again.cached, vendor.calls) == (first.text, True, 1)
            assert not (await client.generate("Why?")).cached
            async with client.stream("how tall is IT") as stream:
                assert await stream.text() == first.text

    asyncio.run(ask())


def test_a_sync_client_says_that_it_cannot_await_one():
    with pytest.raises(ConfigError, match="AsyncClient"):
        Client(cache=SemanticCache(vector), plugins=[])
    other = AsyncClient(cache=SemanticCache(vector), plugins=[])
    with pytest.raises(ConfigError, match="AsyncClient"):
        other.as_sync()


def test_an_async_function_that_hangs_ends_with_the_call(vendor: Vendor):
    async def hang(text: str) -> list[float]:
        await asyncio.sleep(60)
        return [1.0]

    async def ask() -> None:
        async with AsyncClient([vendor.instance()], cache=SemanticCache(hang), plugins=[]) as client:
            with pytest.raises(RequestTimeout):
                await client.generate("Hi", timeout=0.2)

    started = time.monotonic()
    asyncio.run(ask())
    assert time.monotonic() - started < 5
    assert vendor.calls == 0


def test_an_async_function_that_fails_is_reported(vendor: Vendor):
    async def fail(text: str) -> list[float]:
        raise RuntimeError("no vector today")

    async def ask() -> None:
        async with AsyncClient([vendor.instance()], cache=SemanticCache(fail), plugins=[]) as client:
            with pytest.warns(RuntimeWarning, match="no vector today"):
                assert not (await client.generate("Hi")).cached

    asyncio.run(ask())


def test_a_plain_function_that_gives_a_coroutine_is_told_what_to_do(colour: Colour, vendor: Vendor):
    client = colour.real([vendor.instance()], cache=SemanticCache(lambda text: vector(text)))
    with pytest.warns(RuntimeWarning, match="the async function itself"):
        assert not client.generate("Hi").cached


def test_vectors_are_looked_through_in_a_thread(vendor: Vendor):
    """A thousand vectors of 1,536 numbers are a tenth of a second of work, which is not an event loop's to do."""
    threads = []

    class Watched(SemanticCache):
        def find(self, *given: Any) -> Any:
            threads.append(threading.get_ident())
            return super().find(*given)

    async def ask() -> None:
        async with AsyncClient([vendor.instance()], cache=Watched(vector), plugins=[]) as client:
            await client.generate("one")

    asyncio.run(ask())
    assert threads
    assert threading.get_ident() not in threads
