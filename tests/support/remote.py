"""A simulator in a process of its own, so that what it costs is not taken for what llmkit costs."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from tests.support.vendors import ROOT

CODE = """
import json, sys
from tests.support.vendors import simulator
made = simulator(**json.loads(sys.argv[1]))
try:
    made.serve(lambda made: print(made.url, flush=True))
except KeyboardInterrupt:
    pass
"""


class Remote:
    """A running simulator."""

    def __init__(self, url: str) -> None:
        self.url = url

    def base_url(self, vendor: str = "openai") -> str:
        """Where one of the vendors whose root ends in ``/v1`` is."""
        return f"{self.url}/{vendor}/v1"

    def _control(self, method: str, what: str, given: Any = None) -> Any:
        body = None if given is None else json.dumps(given).encode()
        request = urllib.request.Request(f"{self.url}/_simulator/{what}", body, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with contextlib.closing(opener.open(request, timeout=10)) as reply:
            return json.loads(reply.read())

    def books(self) -> dict[str, Any]:
        """The sums over all accounts, and under ``served`` every text that was answered whole."""
        snapshot = self._control("GET", "ledger")
        return {**snapshot["total"], "served": [text for account in snapshot["accounts"] for text in account["served"]]}

    def clear(self) -> None:
        """Forget calls and faults."""
        self._control("DELETE", "ledger")
        self._control("DELETE", "faults")

    def fail(self, *rules: dict[str, Any]) -> None:
        """Let calls fail by these rules, from the first on."""
        self._control("POST", "faults", list(rules))

    def idle(self, within: float = 0.5) -> bool:
        """Whether nothing is in flight, now or a little later."""
        until = time.monotonic() + within
        while self.books()["in_flight"]:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True


@contextlib.contextmanager
def remote(**settings: Any) -> Iterator[Remote]:
    """Start a simulator with these settings, and stop it at the end."""
    command = [sys.executable, "-c", CODE, json.dumps(settings)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Remote(process.stdout.readline().strip())
        finally:
            process.terminate()
            process.wait(10)
