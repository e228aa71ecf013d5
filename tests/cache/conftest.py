"""Both colours, no keys from outside, and a vendor that counts."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from llmkit import Instance
from tests.core.conftest import colour, no_keys_from_outside
from tests.support.redis_server import RedisServer, redis_server

__all__ = ["colour", "no_keys_from_outside"]


class Vendor(ThreadingHTTPServer):
    """Answers with its prompt and the number of the call, after ``delay`` seconds; the first ``failing`` calls get a 400."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.delay = 0.0
        self.failing = 0
        self.calls = 0
        self.lock = threading.Lock()

    def instance(self) -> Instance:
        return Instance("openai", "m", api_key="sk-1", base_url=f"http://127.0.0.1:{self.server_address[1]}/v1")


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        vendor: Vendor = self.server  # type: ignore[assignment]
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with vendor.lock:
            vendor.calls += 1
            number = vendor.calls
            fails = number <= vendor.failing
        time.sleep(vendor.delay)
        text = f"{asked['messages'][-1]['content']} {number}"
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        said = {"error": {"message": "no"}} if fails else {"id": "c", "model": "m", "choices": [choice], "usage": usage}
        body = json.dumps(said).encode()
        with contextlib.suppress(OSError):
            head = f"HTTP/1.1 {'400 Bad Request' if fails else '200 OK'}\r\nContent-Length: {len(body)}\r\n\r\n"
            self.wfile.write(head.encode() + body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    made = Vendor()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that the test may harm."""
    pytest.importorskip("redis", reason="the extra redis is not installed")
    with redis_server(tmp_path) as server:
        yield server
