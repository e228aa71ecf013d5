"""The model asks for a tool, the program runs it, the model answers.

Needs a key: ``ANTHROPIC_API_KEY=sk-... python tools.py``.
"""

from __future__ import annotations

from llmkit import Client, Instance, Message, Tool, ToolCall

WEATHER = Tool(
    "weather",
    "The weather in a city, now.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
MOST_TURNS = 5
"""A model that never stops asking is stopped."""


def run(call: ToolCall) -> Message:
    """Run one call. What is wrong with it is told to the model, which may then do better."""
    if not call.valid:
        return Message.tool(call, "the arguments were no JSON object", is_error=True)
    if call.name != WEATHER.name:
        return Message.tool(call, f"there is no tool {call.name}", is_error=True)
    return Message.tool(call, f"rain in {call.arguments.get('city', 'an unknown city')}")


def main() -> None:
    """Ask, run what is asked for, and ask again until there is an answer."""
    messages = [Message.user("What is the weather in Cardiff?")]
    with Client([Instance("anthropic", "claude-3-5-haiku-latest")]) as client:
        for _ in range(MOST_TURNS):
            answer = client.generate(messages, tools=[WEATHER], max_tokens=200)
            messages.append(answer.message)
            if not answer.tool_calls:
                break
            for call in answer.tool_calls:
                print(f"-> {call.name}({dict(call.arguments)})")
                messages.append(run(call))
    print(answer.text)


if __name__ == "__main__":
    main()
