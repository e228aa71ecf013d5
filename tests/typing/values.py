"""User code over the values that mypy --strict and pyright strict accept; each refusal is marked, and a mark without a refusal
is an error in both."""

from __future__ import annotations

from decimal import Decimal

from typing_extensions import assert_type

from llmkit import (
    Completion,
    ErrorCode,
    FinishReason,
    Image,
    Instance,
    JsonSchema,
    LLMError,
    Message,
    ModelInfo,
    ModelRequest,
    Options,
    Price,
    StreamInterrupted,
    Task,
    Text,
    Timeouts,
    Tool,
    ToolCall,
    Usage,
    find_alternative_model,
    get_model_info,
    list_available_models,
    select_models,
)


def messages() -> list[Message]:
    """Content is text, a part, or both in a list."""
    return [
        Message.system("You answer in one sentence."),
        Message.user("What is this?", Image(url="https://example.org/cat.png")),
        Message.assistant("A cat."),
        Message("user", "And now?"),
        Message("user", [Text("And"), "now?"]),
        Message.tool("call_1", "rain", is_error=False),
    ]


def instances() -> list[Instance]:
    """Keys are text; numbers are numbers."""
    return [
        Instance("openai", "gpt-4o-mini", api_key="sk-one", rpm=500, tasks=["summary"]),
        Instance("openai", "gpt-4o-mini", api_keys=["sk-one", "sk-two"], options={"temperature": 0.2}),
        Instance("ollama", "llama3.2", base_url="http://localhost:11434", headers={"X-Team": "one"}),
    ]


def read(completion: Completion) -> str:
    """What an answer holds, and what may be missing."""
    assert_type(completion.text, str)
    assert_type(completion.tool_calls, tuple[ToolCall, ...])
    assert_type(completion.finish_reason, FinishReason)
    assert_type(completion.usage, Usage | None)
    assert_type(completion.cost, Decimal | None)
    if completion.usage is not None:
        assert_type(completion.usage.prompt_tokens, int)
    return completion.message.text


def handle(error: LLMError) -> float | None:
    """The facts of an error."""
    assert_type(error.code, ErrorCode)
    assert_type(error.status, int | None)
    if isinstance(error, StreamInterrupted):
        assert_type(error.partial, Completion | None)
    return error.retry_after


options = Options(temperature=0.2, stop="END", tools=[Tool("weather")], response_format=JsonSchema({"type": "object"}))
task = Task("summary", max_tokens=500, temperature=0.3)
timeouts = Timeouts(connect=3, idle=15.5)

Message("robot", "Hi")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Message.user(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Instance("openai")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Instance("openai", "gpt-4o-mini", rpm="many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Instance("openai", "gpt-4o-mini", modle="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Options(temperature="hot")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
options.temperature = 0.5  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def refused(completion: Completion) -> int:
    """Usage may be missing; a completion does not change."""
    completion.text = ""  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    return completion.usage.total_tokens  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]


def models() -> None:
    """Facts, prices and choices."""
    assert_type(get_model_info("gpt-4o"), ModelInfo | None)
    assert_type(list_available_models(["tools"], 100_000, order="cheapest"), list[ModelInfo])
    assert_type(find_alternative_model("gpt-4o", "cost"), ModelInfo | None)
    assert_type(select_models(ModelRequest(capabilities=["tools"], min_context=5)).fallbacks, tuple[str, ...])
    price = Price.of(input="2.5", output=10, tiers={200_000: Price.of(input=5, output=20)})
    assert_type(price.units(Usage(1, 1)), int | None)
    assert_type(price.cost(Usage(1, 1)), Decimal | None)
    get_model_info(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
