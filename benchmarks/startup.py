"""CPU of ``import llmkit``, and of a fresh process to its first answer: ``python benchmarks/startup.py [rounds]``."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys

from common import PAYLOAD, show, vendor

CASES = {
    "bare interpreter": "pass",
    "import llmkit": "import llmkit",
    "requests": """
import requests
with requests.Session() as session:
    assert session.post("{url}/chat/completions", json={payload}, headers={{"Authorization": "Bearer k"}}).json()["choices"]
""",
    "llmkit.Client": """
import llmkit
with llmkit.Client([llmkit.Instance("openai", "gpt-4o-mini", api_key="k", base_url="{url}")]) as client:
    assert client.generate("What is the capital of France?").text
""",
    "aiohttp": """
import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession() as session:
        reply = await session.post("{url}/chat/completions", json={payload}, headers={{"Authorization": "Bearer k"}})
        assert (await reply.json())["choices"]
asyncio.run(main())
""",
    "llmkit.AsyncClient": """
import asyncio, llmkit
async def main():
    async with llmkit.AsyncClient([llmkit.Instance("openai", "gpt-4o-mini", api_key="k", base_url="{url}")]) as client:
        assert (await client.generate("What is the capital of France?")).text
asyncio.run(main())
""",
}
MODULES = "import sys; before = len(sys.modules); import llmkit; print(len(sys.modules) - before)"


def cpu(code: str) -> float:
    """Milliseconds of CPU that a new interpreter takes for ``code``; compiled files are kept, as an installed package has them."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, env=environ)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def main(count: int) -> None:
    with vendor() as url:
        codes = {name: code.format(url=url, payload=PAYLOAD) if "{url}" in code else code for name, code in CASES.items()}
        times: dict[str, list[float]] = {name: [] for name in codes}
        for turn in range(count + 1):
            for name, code in codes.items():
                taken = cpu(code)
                if turn:
                    times[name].append(taken)
    medians = {name: statistics.median(values) for name, values in times.items()}
    show("fresh processes", medians, "bare interpreter", "ms CPU")
    print(f"  import llmkit over the bare interpreter: {medians['import llmkit'] - medians['bare interpreter']:.1f} ms, ", end="")
    print(subprocess.run([sys.executable, "-c", MODULES], capture_output=True, text=True, check=True).stdout.strip(), "modules")
    print(f"  first answer, sync:  {medians['llmkit.Client'] / medians['requests']:.2f}x requests")
    print(f"  first answer, async: {medians['llmkit.AsyncClient'] / medians['aiohttp']:.2f}x aiohttp")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
