"""Two ways to be quicker than one model: ask several at once, or ask again when the first is late.

Needs two keys: ``OPENAI_API_KEY=sk-... ANTHROPIC_API_KEY=sk-... python race.py``.
"""

from __future__ import annotations

from llmkit import AllInstancesFailed, CallCancelled, Client, Completion, Hedge, Instance

INSTANCES = [
    Instance("openai", "gpt-4o-mini", name="gpt"),
    Instance("anthropic", "claude-3-5-haiku-latest", name="claude", options={"max_tokens": 100}),
]


def tell(answer: Completion) -> None:
    """What each try came to."""
    for attempt in answer.attempts:
        outcome = "called off" if isinstance(attempt.error, CallCancelled) else str(attempt.error or "answered")
        print(f"  {attempt.instance:8} {outcome}")


def main() -> None:
    """Race once, then hedge a few calls."""
    with Client(INSTANCES, hedge=Hedge("p95", max_extra=0.1)) as client:
        try:
            answer = client.race("Seven times eight?", instances=["gpt", "claude"])
        except AllInstancesFailed as error:
            print("nobody answered:", *error.failures, sep="\n  ")
            return
        print(f"race: {answer.text}")
        tell(answer)
        for number in range(3):
            answer = client.generate(f"What is {number} times eight?", hedge=2.0)
            print(f"hedged: {answer.text}")
            tell(answer)


if __name__ == "__main__":
    main()
