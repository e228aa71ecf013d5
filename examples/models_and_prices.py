"""Which model, and what did it cost? Models chosen by what is wanted of them.

Needs two keys: OPENAI_API_KEY, ANTHROPIC_API_KEY.
"""

from __future__ import annotations

from llmkit import Client, Instance, ModelRequest, list_available_models

QUESTION = "Why is the sky blue? One sentence."


def main() -> None:
    """Look at the catalogue, then let calls choose among three instances."""
    print("the cheapest that see and use tools:")
    for info in list_available_models(["tools", "vision"], min_token_limit=500_000, order="cheapest")[:3]:
        assert info.price is not None
        print(f"  {info.provider}/{info.id}: reads {info.context_window:,} tokens")
    instances = [
        Instance("openai", "gpt-4o"),
        Instance("openai", "gpt-4o-mini"),
        Instance("anthropic", "claude-haiku-4-5"),
    ]
    with Client(instances) as client:
        print(client.select_models("cheapest"))
        for wanted in ("cheapest", "balanced", ModelRequest(capabilities=["reasoning"])):
            answer = client.generate(QUESTION, model=wanted)
            print(f"{answer.instance}: {answer.cost} dollars for {answer.usage.total_tokens if answer.usage else 0} tokens")


if __name__ == "__main__":
    main()
