"""One question, its answer, and what it took.

Needs a key: ``OPENAI_API_KEY=sk-... python quickstart_sync.py``.
"""

from __future__ import annotations

import llmkit


def main() -> None:
    """Ask once and show what an answer holds."""
    answer = llmkit.generate("openai/gpt-4o-mini", "Why is the sky blue? One sentence.", max_tokens=100, timeout=30)
    print(answer.text)
    print(f"model: {answer.model}, finish reason: {answer.finish_reason}")
    if answer.usage is not None:
        print(f"tokens: {answer.usage.prompt_tokens} in, {answer.usage.completion_tokens} out")
    print(f"tries: {len(answer.attempts)}")


if __name__ == "__main__":
    main()
