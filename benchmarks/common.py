"""What the benchmarks share: a vendor in another process, CPU time, rounds that take turns."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).parent
PAYLOAD = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "What is the capital of France?"}]}


@contextlib.contextmanager
def vendor(latency: float = 0.0) -> Iterator[str]:
    """The base URL of a vendor in a process of its own."""
    command = [sys.executable, str(HERE / "server.py"), str(latency)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.kill()
        process.wait()


def rounds(contestants: dict[str, Callable[[], int]], count: int) -> dict[str, float]:
    """Microseconds of CPU per call (median of ``count`` rounds); the contestants take turns, so that a busy machine is
    unkind to all of them alike. Each returns how many calls it made."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run()
    for _ in range(count):
        for name, run in contestants.items():
            begun = time.process_time()
            calls = run()
            times[name].append((time.process_time() - begun) / calls * 1e6)
    return {name: statistics.median(values) for name, values in times.items()}


def show(title: str, micros: dict[str, float], reference: str, unit: str = "us CPU per call") -> None:
    """One line per contestant, as a multiple of ``reference``."""
    print(f"{title} ({unit}; {os.cpu_count()} cores, Python {sys.version.split()[0]})")
    for name, value in micros.items():
        print(f"  {name:<28}{value:>9.1f}   {value / micros[reference]:.2f}x")
