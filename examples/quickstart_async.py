"""Three questions at once, async.

Needs a key: ``OPENAI_API_KEY=sk-... python quickstart_async.py``.
"""

from __future__ import annotations

import asyncio

from llmkit import AsyncClient, Instance

QUESTIONS = ("Why is the sky blue?", "Why is the sea salt?", "Why is grass green?")


async def main() -> None:
    """Ask all of them and print the answers in the order of the questions."""
    async with AsyncClient([Instance("openai", "gpt-4o-mini")], timeout=30) as client:
        answers = await asyncio.gather(*(client.generate(question, max_tokens=100) for question in QUESTIONS))
    for question, answer in zip(QUESTIONS, answers, strict=True):
        print(f"{question}\n  {answer.text}")


if __name__ == "__main__":
    asyncio.run(main())
