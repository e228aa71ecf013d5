"""A stream, printed as it comes, and what to do when it breaks.

Needs a key: ``OPENAI_API_KEY=sk-... python streaming.py``.
"""

from __future__ import annotations

from llmkit import Client, Instance, StreamInterrupted, Timeouts


def main() -> None:
    """Print the pieces, then the whole."""
    timeouts = Timeouts(first_event=30, idle=20)
    with Client([Instance("openai", "gpt-4o-mini")], timeouts=timeouts) as client:
        try:
            with client.stream("Tell me a story of three sentences.", max_tokens=200) as stream:
                for event in stream:
                    print(event.text, end="", flush=True)
                answer = stream.completion()
        except StreamInterrupted as cut:
            got = len(cut.partial.text) if cut.partial is not None else 0
            print(f"\n[cut off after {got} characters: {cut.message}]")
            return
    print(f"\n[{answer.finish_reason}; {answer.usage}]")


if __name__ == "__main__":
    main()
