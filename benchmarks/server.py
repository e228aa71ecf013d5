"""A vendor that costs next to nothing: answers a chat completion, or 2,000 stream chunks in one write.

Runs in a process of its own: ``python benchmarks/server.py [seconds of latency]`` prints its port.
"""

from __future__ import annotations

import asyncio
import json
import sys

CHUNKS = 2000
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "The capital of France is Paris. " * 12, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 14,
            "completion_tokens": 80,
            "total_tokens": 94,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    }
).encode()
CHUNK = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "gpt-4o-mini",
    "service_tier": "default",
    "system_fingerprint": "fp_1",
    "choices": [{"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}],
}
LAST = b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
STREAM = (b"data: " + json.dumps(CHUNK).encode() + b"\n\n") * CHUNKS + LAST


def reply(kind: bytes, body: bytes) -> bytes:
    """A whole HTTP reply, with as many headers as OpenAI sends."""
    more = b"".join(b"x-header-%d: value-%d\r\n" % (number, number) for number in range(14))
    length = str(len(body)).encode()
    fields = more + b"x-request-id: r1\r\ncontent-type: " + kind + b"\r\ncontent-length: " + length
    return b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n" + body


WHOLE = reply(b"application/json", ANSWER)
PIECES = reply(b"text/event-stream", STREAM)


class Vendor(asyncio.Protocol):
    """One connection."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n")[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            answer = PIECES if b'"stream":true' in body else WHOLE
            if self.latency:
                asyncio.get_running_loop().call_later(self.latency, self.transport.write, answer)
            else:
                self.transport.write(answer)


async def main() -> None:
    latency = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    server = await asyncio.get_running_loop().create_server(lambda: Vendor(latency), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
