"""Answers from the cache: the same question is asked once, streams are replayed, similar calls at a time share one.

Needs a key: ``OPENAI_API_KEY=sk-... python cache.py``.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from llmkit import Client

MODEL = "openai/gpt-4o-mini"
QUESTION = "Why is the sky blue? One sentence."


def main() -> None:
    """Ask the same in every way there is, and show what reached the vendor."""
    with Client(cache="memory", default_model=MODEL) as client:
        first = client.generate(QUESTION, temperature=0)
        print("asked: ", first.text, "| cached:", first.cached)
        again = client.generate(QUESTION, temperature=0)
        print("again: ", again.text, "| cached:", again.cached, "| cost:", again.cost)
        with client.stream(QUESTION, temperature=0) as stream:
            print("stream:", "".join(event.text for event in stream))
        with ThreadPoolExecutor(8) as pool:
            texts = set(pool.map(lambda _: client.generate("Why is grass green?").text, range(8)))
        stats = client.cache.stats
        print(f"{len(texts)} text for 8 threads; {stats.misses} calls to the vendor, {stats.hits + stats.shared} from the cache")


if __name__ == "__main__":
    main()
