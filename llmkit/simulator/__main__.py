"""``python -m llmkit.simulator``: a simulator in the foreground."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from llmkit.errors import ConfigError
from llmkit.simulator.limits import Limit
from llmkit.simulator.server import run


def limit(text: str) -> tuple[str, Limit]:
    """``KEY=N`` (requests per minute) or ``KEY=N/SECONDS``."""
    key, _, given = text.rpartition("=")
    requests, _, seconds = given.partition("/")
    if not key:
        raise ValueError(text)
    return key, (int(requests), float(seconds)) if seconds else int(requests)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one; the exit code is 2 for settings that are wrong."""
    parser = argparse.ArgumentParser("python -m llmkit.simulator", description="A server that speaks every vendor's wire.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8089, help="0 for a free one (default: 8089)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS", help="before every answer")
    parser.add_argument("--token-rate", type=float, metavar="TOKENS", help="tokens a second (default: no limit)")
    per_minute = "requests per minute, or per so many seconds; KEY may be *"
    parser.add_argument("--rate-limit", type=limit, action="append", default=[], metavar="KEY=N[/SECONDS]", help=per_minute)
    parser.add_argument("--fault", action="append", default=[], metavar="SPEC", help="such as 429;retry-after=1, cut:3, reset")
    given = parser.parse_args(arguments)
    try:
        run(
            given.host,
            given.port,
            seed=given.seed,
            latency=given.latency,
            token_rate=given.token_rate,
            rate_limits=dict(given.rate_limit),
            faults=given.fault,
            say=_say,
        )
    except (ConfigError, OSError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
