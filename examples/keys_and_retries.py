"""Several keys in rotation, a failure that is retried, and the story of each call.

Needs keys: ``OPENAI_API_KEYS=sk-one,sk-two python keys_and_retries.py``.
"""

from __future__ import annotations

from tenacity import Retrying, stop_after_attempt, stop_after_delay, wait_fixed, wait_random

import llmkit
from llmkit import Client, Instance, LLMError

POLICY = Retrying(
    stop=stop_after_attempt(4) | stop_after_delay(20),
    wait=wait_fixed(0.1) + wait_random(0, 0.2),
)
"""Four tries or twenty seconds, whichever comes first; tenacity's parts compose with ``|``, ``&`` and ``+``."""


def tell(client: Client, question: str) -> None:
    """Ask, and say which key was used and what went wrong on the way."""
    try:
        answer = client.generate(question, max_tokens=50)
    except LLMError as error:
        print(f"failed: {error.code}: {error}")
        return
    print(answer.text)
    for attempt in answer.attempts:
        outcome = "answered" if attempt.error is None else f"{attempt.error.code}: {attempt.error.message}"
        print(f"  key {attempt.key}, {attempt.seconds:.2f} s, {outcome}")


tries = 0


@llmkit.retry(max_retries=2, initial_delay=0.05)
def fetch() -> str:
    """A function of one's own with the retries that calls have: it fails once."""
    global tries
    tries += 1
    if tries == 1:
        raise ConnectionError("the line went dead")
    return f"fetched at try {tries}"


def main() -> None:
    """Ask a few times; the keys take turns."""
    with Client([Instance("openai", "gpt-4o-mini", max_concurrency_per_key=5)], retries=POLICY, timeout=60) as client:
        for number in range(4):
            tell(client, f"A fact about the number {number}")
        for state in client.health():
            for key in state.keys:
                print(f"{key.label}: {key.status}, {key.uses} uses")
    print(fetch())


if __name__ == "__main__":
    main()
