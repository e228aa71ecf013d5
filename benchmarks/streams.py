"""CPU of one streamed chunk as a typed event, 2,000 in one write: ``python benchmarks/streams.py [rounds]``."""

from __future__ import annotations

import asyncio
import json
import sys

import aiohttp
import requests
from common import PAYLOAD, rounds, show, vendor
from server import CHUNKS

from llmkit import Client, Instance

HEADERS = {"Authorization": "Bearer sk-benchmark", "Content-Type": "application/json"}
BODY = b'{"model":"m","messages":[],"stream":true}'


def main(count: int) -> None:
    assert PAYLOAD
    loop = asyncio.new_event_loop()
    with vendor() as url:
        instance = Instance("openai", "gpt-4o-mini", api_key="sk-benchmark", base_url=url)
        client, session = Client([instance]), requests.Session()
        aclient = client.as_async()

        def lines() -> int:
            with session.post(f"{url}/chat/completions", data=BODY, headers=HEADERS, stream=True) as reply:
                chunks = [json.loads(line[6:]) for line in reply.iter_lines() if line[6:7] == b"{"]
                texts = [chunk["choices"][0]["delta"].get("content") for chunk in chunks]
            assert len(texts) == CHUNKS + 1
            return CHUNKS

        def ours() -> int:
            with client.stream("Hi") as stream:
                texts = [event.text for event in stream if event.type == "text"]
            assert len(texts) == CHUNKS
            return CHUNKS

        async def aio_lines() -> None:
            async with aiohttp.ClientSession() as aio, aio.post(f"{url}/chat/completions", data=BODY, headers=HEADERS) as reply:
                texts = [json.loads(line[6:]) async for line in reply.content if line[6:7] == b"{"]
            assert len(texts) == CHUNKS + 1

        async def aio_ours() -> None:
            async with aclient.stream("Hi") as stream:
                texts = [event.text async for event in stream if event.type == "text"]
            assert len(texts) == CHUNKS

        def run(once: object) -> int:
            loop.run_until_complete(once())  # type: ignore[operator]
            return CHUNKS

        contestants = {
            "requests.iter_lines + json": lines,
            "llmkit.Client": ours,
            "aiohttp lines + json": lambda: run(aio_lines),
            "llmkit.AsyncClient": lambda: run(aio_ours),
        }
        show("streams", rounds(contestants, count), "requests.iter_lines + json", "us CPU per chunk")
        loop.run_until_complete(aclient.close())
        client.close()
        session.close()
    loop.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
