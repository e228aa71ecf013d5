"""What the catalogue takes: ``python benchmarks/catalog.py``. CPU time, the least of many rounds; nothing is sent."""

from __future__ import annotations

import gzip
import time
import timeit
from collections.abc import Callable
from pathlib import Path

import llmkit.catalog
from llmkit import ModelRequest, Usage
from llmkit.catalog.facts import VENDORS, read
from llmkit.catalog.store import Catalog
from llmkit.values.model_requests import resolve


def least(work: Callable[[], object], rounds: int = 30) -> float:
    """Milliseconds."""
    found = []
    for _ in range(rounds):
        before = time.process_time()
        work()
        found.append(time.process_time() - before)
    return min(found) * 1e3


def each(work: Callable[[], object]) -> float:
    """Microseconds."""
    return min(timeit.repeat(work, number=20_000, repeat=9)) / 20_000 * 1e6


def main() -> None:
    """Print the figures."""
    catalog = Catalog()
    models = list(catalog.models())
    files = sorted(Path(llmkit.catalog.__file__).parent.joinpath("data").glob("*.json"))
    size = len(gzip.compress(b"".join(path.read_bytes() for path in files), 9))
    print(f"{len(models)} models, {size / 1e3:.0f} kB compressed")
    print(f"one vendor's file (OpenAI)      {least(lambda: read('openai')):8.2f} ms")
    print(f"every file                      {least(lambda: [read(vendor) for vendor in VENDORS]):8.2f} ms")
    print(f"every model as a value          {least(lambda: list(Catalog().models())):8.2f} ms")
    print(f"the first price of a process    {least(lambda: Catalog().price_of('openai', 'gpt-4o')):8.2f} ms")
    print(f"a price that was asked before   {each(lambda: catalog.price_of('openai', 'gpt-4o')):8.2f} us")
    price, tiered = catalog.price_of("openai", "gpt-4o"), catalog.price_of("anthropic", "claude-haiku-5-5")
    assert price is not None
    assert tiered is not None
    plain, cached = Usage(1000, 200, 1200), Usage(200_000, 200, 200_200, 800, 100, 100)
    print(f"units of plain usage            {each(lambda: price.units(plain)):8.2f} us")
    print(f"units with cache and a tier     {each(lambda: tiered.units(cached)):8.2f} us")
    wanted = ModelRequest(capabilities=["tools", "vision"], min_context=200_000)
    candidates = [(info.id, info) for info in models]
    print(f"all models in order             {least(lambda: resolve(wanted, candidates)):8.2f} ms")


if __name__ == "__main__":
    main()
