"""Programs over both clients, as mypy --strict and pyright strict accept them; each refusal is marked."""

from __future__ import annotations

from decimal import Decimal

from typing_extensions import assert_type

import llmkit
from llmkit import (
    AsyncClient,
    CallQueued,
    Client,
    Completion,
    Degrade,
    Embeddings,
    Hedge,
    Instance,
    LLMError,
    Message,
    ModelInfo,
    ModelRequest,
    Queue,
    Reject,
    Request,
    Secondary,
    Selection,
    Task,
    Ticket,
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
    assert_type(client.race("Hi", models=["openai/gpt-4o-mini", "anthropic/claude-3-5-haiku-latest"], max_tokens=5), Completion)
    client.race("Hi", instances=["one", "two"])
    client.generate("Hi", hedge=0.5)
    client.stream("Hi", resume="continue")
    client.stream("Hi", resume=False)
    client.generate("Hi", hedge=Hedge("p95", max_extra=0.2))
    client.batch(["one"], progress=True)
    client.generate("Hi", model="cheapest", task=None)
    client.generate("Hi", model=ModelRequest(capabilities=["tools"], min_context=100_000))
    assert_type(client.select_models("fast"), Selection)
    assert_type(client.get_model_info("gpt-4o"), ModelInfo | None)
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
    assert_type(await client.race("Hi", models=["openai/gpt-4o-mini"]), Completion)
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
        fallback=[Degrade(max_tokens=200, drop=["tools"]), "queue"],
        context_fallbacks=["openai/gpt-4.1"],
        queue="queue.sqlite",
    )


def later(client: Client) -> str:
    """What waits."""
    try:
        answer = client.generate("Hi", fallback=Queue(delay=5))
        assert_type(answer.fallback, str | None)
        client.generate("Hi", fallback={"type": "reject", "text": "no"})
        client.generate("Hi", fallback=[Secondary(["openai/m"]), Reject("no"), Reject(error="no"), Reject(error=LLMError("no"))])
    except CallQueued as queued:
        assert_type(queued.ticket, Ticket | None)
    assert_type(client.queue("Hi", key="one", max_tokens=5), Ticket)
    for ticket in client.drain_queue(progress=lambda number, ticket: print(number, ticket.status)):
        assert_type(ticket.completion, Completion | None)
    client.drain_queue(limit="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return client.tickets("queued")[0].why


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
