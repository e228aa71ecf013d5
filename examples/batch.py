"""Many questions, a few at a time; a failure stands in the place of an answer.

Needs a key: ``OPENAI_API_KEY=sk-... python batch.py``.
"""

from __future__ import annotations

from llmkit import Client, Instance, LLMError, Options, Request

SHORT = Options(max_tokens=60, temperature=0.2)
"""Options are a value: checked when they are made, used as often as you like."""
WORDS = ("Wales", "Basque Country", "Brittany", "Galicia", "Cornwall", "Ireland")


def main() -> None:
    """Ask about each word, first all in order, then as they come."""
    requests = [Request(f"The largest city of {word}?", **SHORT.to_dict()) for word in WORDS]
    requests.append(Request("Too cold", temperature=-1))  # refused before anything is sent
    with Client([Instance("openai", "gpt-4o-mini", max_concurrency=4)]) as client:
        for request, result in zip(requests, client.batch(requests, concurrency=4), strict=True):
            print(f"{request.prompt} -> {f'failed: {result}' if isinstance(result, LLMError) else result.text}")
        print("as they come:")
        for position, result in client.as_completed((f"A poem about {word}" for word in WORDS), concurrency=3):
            print(f"{position}: {f'failed: {result}' if isinstance(result, LLMError) else result.text}")
        client.print_token_usage()


if __name__ == "__main__":
    main()
