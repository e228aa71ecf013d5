"""What was used and spent, by tag and by model, and a limit that outlives the process.

Needs OPENAI_API_KEY. Run it twice: the second run knows what the first has used, until midnight (UTC).
"""

from __future__ import annotations

from llmkit import Budget, BudgetExceededError, Client, Instance

BUDGETS = [
    Budget(tokens=1_000_000, window="month"),
    Budget(tokens=60, per="tag"),
]


def main() -> None:
    """Ask until a tag's tokens are used up."""
    with Client([Instance("openai", "gpt-4o-mini")], budget=BUDGETS, usage_db="usage.db") as client:
        try:
            for number in range(20):
                answer = client.generate(f"Question {number}: one word for rain?", tags=["summary"], max_tokens=20)
                print(f"{answer.text}  tokens: {answer.usage and answer.usage.total_tokens}, dollars: {answer.cost}")
        except BudgetExceededError as error:
            print(f"not sent: {error.message}")
        for row in client.usage("tag"):
            print(f"tag {row.tag}: {row.calls} calls, {row.usage.total_tokens} tokens, {row.cost} dollars")
        for state in client.budgets():
            print(f"{state.name} {state.scope}: {state.used} of {state.limit}")
        client.print_token_usage(by="model")


if __name__ == "__main__":
    main()
