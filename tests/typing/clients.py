"""Programs over both clients, as mypy --strict and pyright strict accept them; each refusal is marked."""

from __future__ import annotations

from decimal import Decimal

from typing_extensions import assert_type

import llmkit
from llmkit import (
    AsyncClient,
    Client,
    Completion,
    Embeddings,
    Instance,
    LLMError,
    Message,
    ModelInfo,
    Request,
    Task,
    Timeouts,
    TokenCount,
    Tool,
)


def sync(client: Client) -> None:
    """Every kind of call, sync."""
    assert_type(client.generate("Hi"), Completion)
    client.generate([Message.system("Be short."), "Hi"], task="summary", max_tokens=5, temperature=0.3, stop=["END"])
    client.generate("Hi", tools=[Tool("weather")], tool_choice="auto", response_model="json", tags=["x"], extra={"user": "me"})
    with client.stream("Hi", timeout=3) as stream:
        for event in stream:
            assert_type(event.text, str)
            if event.type == "reasoning":
                assert_type(event.reasoning, str)
        assert_type(stream.completion(), Completion)
    for result in client.batch(["one", Request("two", max_tokens=3)], concurrency=2):
        text = str(result) if isinstance(result, LLMError) else result.text
        assert_type(text, str)
    assert_type(client.embed(["one", "two"], model="openai/text-embedding-3-small"), Embeddings)
    assert_type(client.list_models(), list[ModelInfo])
    assert_type(client.count_tokens(["one"], "openai/gpt-4o", tools=[Tool("weather")], exact=True), TokenCount)
    assert_type(llmkit.count_tokens("one", "gpt-4o") + 1, int)
    assert_type(llmkit.optimize_prompt("one", "gpt-4o", 100).removed, tuple[str, ...])
    assert_type(client.get_provider_count(), int)
    assert_type(client.instances, tuple[Instance, ...])
    assert_type(client.as_async(), AsyncClient)
    client.close()


async def both(client: AsyncClient) -> None:
    """The same calls, async."""
    assert_type(await client.generate("Hi"), Completion)
    async with client.stream("Hi") as stream:
        async for event in stream:
            assert_type(event.text, str)
        assert_type(await stream.completion(), Completion)
    for result in await client.batch(["one", Request("two")], concurrency=2):
        text = str(result) if isinstance(result, LLMError) else result.text
        assert_type(text, str)
    assert_type(await client.embed("one"), Embeddings)
    assert_type(await client.count_tokens("one"), TokenCount)
    assert_type(client.as_sync(), Client)
    await client.close()


def made() -> Client:
    """The ways to a client."""
    Client.from_config("llmkit.toml")
    assert_type(Client.from_config_str(""), Client)
    assert_type(AsyncClient.from_env(), AsyncClient)
    return Client(
        [Instance("openai", "gpt-4o-mini", api_key="sk-one", tasks=["summary"])],
        tasks=[Task("summary", max_tokens=500)],
        strategy="lru",
        retries=3,
        timeout=60,
        timeouts=Timeouts(connect=3),
        fallbacks=["anthropic/claude-3-5-haiku-latest"],
    )


def shared() -> Decimal | None:
    """The functions of the package."""
    with llmkit.stream("openai/gpt-4o-mini", "Hi") as stream:
        print("".join(event.text for event in stream))
    llmkit.set_client(llmkit.get_client())
    return llmkit.generate("openai/gpt-4o-mini", "Hi", max_tokens=5).cost


async def shared_async() -> str:
    """The same, async."""
    async with llmkit.astream("openai/gpt-4o-mini", "Hi") as stream:
        print("".join([event.text async for event in stream]))
    return (await llmkit.agenerate("openai/gpt-4o-mini", "Hi")).text


class Plugin:
    """A hook takes the arguments it names."""

    @llmkit.hookimpl
    def llmkit_error(self, error: LLMError) -> None:
        """An observer."""


def refused(client: Client) -> None:
    """What neither checker lets pass."""
    client.generate()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.generate("Hi", max_tokens="many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.generate("Hi", max_token=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.generate("Hi").txt  # type: ignore[attr-defined]  # pyright: ignore
    Client("gpt-4o-mini")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Client([], retires=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    for event in client.stream("Hi"):
        event.reasoning  # type: ignore[union-attr]  # pyright: ignore
