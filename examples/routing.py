"""Several vendors from one file, each question to an instance that does its kind of work.

Needs three keys: OPENAI_API_KEY, ANTHROPIC_API_KEY, MISTRAL_API_KEY. The file is ``several_vendors.toml``.
"""

from __future__ import annotations

from pathlib import Path

from llmkit import Client

FILE = Path(__file__).with_name("several_vendors.toml")
QUESTIONS = (
    ("summary", "Summarise: the meeting was moved to Friday."),
    ("summary", "Summarise: rain all week, sun on Sunday."),
    ("translate", "Good morning, in Welsh?"),
    ("translate", "Thank you, in Basque?"),
)


def main() -> None:
    """Route by task, then take one instance out and route again."""
    with Client.from_config(FILE) as client:
        for task, question in QUESTIONS:
            answer = client.generate(question, task=task)
            print(f"{task:<10} {answer.instance:<8} {answer.text}")
        client.disable("claude")
        print("without claude:")
        answer = client.generate("Good evening, in Welsh?", task="translate")
        print(f"{'translate':<10} {answer.instance:<8} {answer.text}")
        client.print_token_usage()


if __name__ == "__main__":
    main()
