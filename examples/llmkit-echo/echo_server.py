"""The echo server, to try the provider with: ``python echo_server.py [port]``."""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class EchoHandler(BaseHTTPRequestHandler):
    """``POST /echo``, whole or in pieces."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Say it back."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/echo":
            return self.answer(404, {"error": {"message": f"there is no {self.path}", "code": "not_found_error"}})
        words = asked["say"].split()
        said = words[: asked.get("most_words", len(words))]
        why = "done" if len(said) == len(words) else "most_words"
        counts = {"heard_words": len(words), "said_words": len(said), "why": why}
        if not asked.get("pieces"):
            return self.answer(200, {"said": " ".join(said), **counts})
        pieces: list[dict[str, Any]] = [{"piece": f" {word}" if position else word} for position, word in enumerate(said)]
        return self.stream([*pieces, counts])

    def answer(self, status: int, document: dict[str, Any]) -> None:
        """A whole answer."""
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, documents: list[dict[str, Any]]) -> None:
        """One JSON object a line, each sent as soon as it is there."""
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for document in documents:
            line = json.dumps(document).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        """Quiet."""


def serve(port: int = 8765) -> ThreadingHTTPServer:
    """A server on loopback that is ready to ``serve_forever()``; port 0 picks a free one."""
    return ThreadingHTTPServer(("127.0.0.1", port), EchoHandler)


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:2])).serve_forever()
