"""Count a prompt before sending it, make a long conversation fit, and say what was left out.

Runs without a key: counting OpenAI's tokens needs no network.
"""

from __future__ import annotations

import llmkit
from llmkit import ContextLengthError, Message, Tool, ToolCall

MODEL = "openai/gpt-4o-mini"
ROOM = 500
"""Tokens that the prompt may have."""


def conversation() -> list[Message]:
    """Some turns, with a tool's long answer in the middle."""
    call = ToolCall("call_1", "read_page", {"url": "https://example.com"})
    return [
        Message.system("You are a librarian. Answer in one sentence."),
        Message.user("What do you know about whales? " * 20),
        Message.assistant("They are mammals. " * 20),
        Message.user("Read this page, please."),
        Message.assistant(call),
        Message.tool(call, "A page about whales. " * 400),
        Message.assistant("It says that whales are mammals."),
        Message.user("And how long do they live?"),
    ]


def main() -> None:
    """Count, fit, tell."""
    messages = conversation()
    tools = [Tool("read_page", "Read a web page.", {"type": "object", "properties": {"url": {"type": "string"}}})]
    count = llmkit.count_tokens(messages, MODEL, tools=tools)
    print(f"{count} tokens ({count.by})")
    try:
        fitted = llmkit.optimize_prompt(messages, MODEL, ROOM, tools=tools)
    except ContextLengthError as error:
        print(f"even the least is too much: {error}")
        return
    print(f"{fitted.after} tokens after leaving out:")
    for said in fitted.removed:
        print(f"- {said}")
    print(f"{len(fitted.messages)} of {len(messages)} messages are left, the first: {fitted.messages[0].text}")


if __name__ == "__main__":
    main()
