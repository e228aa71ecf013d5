"""A web service with one client for all of its requests.

``OPENAI_API_KEY=sk-... python service.py [port]``, then ``curl 'http://127.0.0.1:8080/ask?q=Hello'``, ``/stream?q=...`` and
``/health``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator

from aiohttp import web

from llmkit import AsyncClient, Instance, InvalidRequestError, LLMError, RateLimitError, StreamInterrupted

CLIENT = web.AppKey("client", AsyncClient)


async def client(app: web.Application) -> AsyncIterator[None]:
    """One client from start to end: connections, keys' states and books live as long as the service."""
    instances = [Instance("openai", "gpt-4o-mini", max_concurrency=200)]
    async with AsyncClient(instances, timeout=60, pool_size=200, max_pending=1000) as made:
        await made.warm_up()
        app[CLIENT] = made
        yield


def refused(error: LLMError) -> web.Response:
    """A failure as a reply; the facts are attributes, and none is a key."""
    status = 400 if isinstance(error, InvalidRequestError) else 429 if isinstance(error, RateLimitError) else 502
    headers = {} if error.retry_after is None else {"Retry-After": str(round(error.retry_after))}
    return web.json_response({"error": error.code, "message": error.message}, status=status, headers=headers)


async def ask(request: web.Request) -> web.Response:
    """A whole answer. Where the browser goes away, aiohttp may cancel this task, and the call ends with it."""
    try:
        answer = await request.app[CLIENT].generate(request.query.get("q", ""), max_tokens=300)
    except LLMError as error:
        return refused(error)
    return web.json_response({"text": answer.text, "instance": answer.instance, "tries": len(answer.attempts)})


async def stream(request: web.Request) -> web.StreamResponse:
    """An answer as server-sent events. Nothing is sent before the first content, so a refusal still has its own status."""
    try:
        async with request.app[CLIENT].stream(request.query.get("q", ""), max_tokens=300) as answer:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            try:
                async for event in answer:
                    if event.text:
                        await response.write(b"data: " + json.dumps(event.text).encode() + b"\n\n")
                await response.write(b"event: done\ndata: {}\n\n")
            except StreamInterrupted as cut:
                await response.write(b"event: error\ndata: " + json.dumps(str(cut.code)).encode() + b"\n\n")
            return response
    except LLMError as error:
        return refused(error)


async def health(request: web.Request) -> web.Response:
    """Which instances and keys can work."""
    states = await request.app[CLIENT].health()
    return web.json_response(
        [
            {
                "instance": state.name,
                "status": state.status,
                "seconds_left": state.seconds_left,
                "in_flight": state.in_flight,
                "keys": {key.label: key.status for key in state.keys},
            }
            for state in states
        ]
    )


def make_app() -> web.Application:
    """The application."""
    app = web.Application()
    app.cleanup_ctx.append(client)
    app.add_routes([web.get("/ask", ask), web.get("/stream", stream), web.get("/health", health)])
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=int(sys.argv[1]) if len(sys.argv) > 1 else 8080)
