"""Budgets in calls of both colours: what is refused is never sent, and what was held is always settled."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmkit import (
    AllInstancesFailed,
    Budget,
    BudgetExceededError,
    Client,
    ConfigError,
    InvalidRequestError,
    LLMError,
    Request,
    ServerError,
    StreamInterrupted,
)
from llmkit.errors import RequestTimeout
from llmkit.flow.budgeted import estimate
from llmkit.policy.routes import NOTHING_TRIED
from llmkit.wire.http import HttpReply
from tests.support.colours import Both, Colour, answer, chat, chunks, one_after_another, openai, refusal, sent

EACH = 3
"""Tokens of each scripted answer."""


def used(client: Both) -> Any:
    (state,) = client.budgets()
    assert not state.held, "an estimate was left behind"
    return state.used


def test_a_hard_budget_refuses_before_sending(colour: Colour):
    client = colour.scripted(answer(), [openai()], budget=Budget(tokens=100, name="small"))
    for _ in range(3):
        client.generate("q", max_tokens=10)
    with pytest.raises(BudgetExceededError) as caught:
        client.generate("q", max_tokens=95)
    error = caught.value
    assert (error.budget, error.limit, error.used, error.held) == ("small", 100, 3 * EACH, 0)
    assert error.needed > 95
    assert error.code == "BUDGET_EXCEEDED"
    assert len(sent(client)) == 3
    assert client.usage()[0].errors == 0, "what was never sent is no error of the instance"
    assert client.health()[0].keys[0].status == "healthy"
    client.generate("q", max_tokens=10)
    with pytest.raises(BudgetExceededError), client.stream("q", max_tokens=95):
        pass
    assert used(client) == 4 * EACH


def test_money(colour: Colour, caplog: pytest.LogCaptureFixture):
    """Books have the cost; a budget in dollars sees it; an unknown price is told of."""
    client = colour.scripted(answer("a b"), [openai(), openai(model="unknown")], budget=Budget(usd="0.001"))
    cost = Decimal("0.00000135")  # 1 prompt token and 2 completion tokens at 0.15 and 0.60 dollars a million
    client.generate("q", model="openai/m")
    with client.stream("q", model="openai/m") as stream:
        list(stream)
    assert used(client) == client.total_usage().cost == 2 * cost
    for _ in range(2):
        client.generate("q", model="openai/unknown")
    assert len([said for said in caplog.messages if "cannot see calls of openai/unknown" in said]) == 1
    with pytest.raises(BudgetExceededError, match=r"0\.001 USD per client a day.*this call needs about 0\.006"):
        client.generate("q", model="openai/m", max_tokens=10_000)


@pytest.mark.parametrize(
    ("reply", "error", "stands"),
    [
        (refusal(400), InvalidRequestError, False),
        (refusal(500), ServerError, False),
        (RequestTimeout("late", ambiguous=True), RequestTimeout, True),
        (HttpReply(200, {}, b"rubbish"), LLMError, True),
    ],
)
def test_what_failed_is_given_back_unless_it_may_be_billed(colour: Colour, reply: Any, error: type[LLMError], stands: bool):
    client = colour.scripted(lambda request: reply, [openai()], budget=Budget(tokens=1000), retries=0)
    with pytest.raises(error):
        client.generate("q", max_tokens=100)
    assert (used(client) > 100) is stands


@pytest.mark.parametrize("room", [True, False])
def test_what_resumes_a_stream_is_within_the_budget(colour: Colour, room: bool):
    """The interrupted try told nothing, so its estimate stands; the next one is not sent where the rest does not suffice."""
    replies = one_after_another(chunks("one ", end=()), chunks("two"))
    client = colour.scripted(replies, [openai(), openai(model="n")], budget=Budget(tokens=500 if room else 150))
    stream = client.stream("q", max_tokens=100, resume="continue")
    if room:
        with stream:
            assert "".join(event.text for event in stream) == "one two"
        assert 100 + EACH < used(client) < 120
    else:
        with pytest.raises(StreamInterrupted) as caught, stream:
            list(stream)
        assert isinstance(caught.value.__cause__, (BudgetExceededError, AllInstancesFailed))
        assert "budget" in caught.value.message
        assert 100 < used(client) < 120
    assert len(sent(client)) == (2 if room else 1)


def test_interrupted_streams_are_settled(colour: Colour):
    """With what the vendor told, else with the estimate; also those that their reader left."""
    broken = chunks("a", ConnectionResetError(), end=())
    client = colour.scripted(one_after_another(broken, answer("a b c d")), [openai()], budget=Budget(tokens=1000))
    with pytest.raises(LLMError), client.stream("q", max_tokens=100) as stream:
        list(stream)
    first = used(client)
    assert 100 < first < 120
    with client.stream("q", max_tokens=100) as stream:
        next(stream)
    assert 100 < used(client) - first < 120
    with client.stream("q", max_tokens=100) as stream:
        list(stream)
    assert used(client) == 2 * first + EACH


def test_a_vendor_that_says_nothing_leaves_the_estimate(colour: Colour):
    client = colour.scripted(lambda request: chat(usage=None), [openai()], budget=Budget(tokens=1000))
    client.generate("q", max_tokens=100)
    assert 100 < used(client) < 120


def test_soft_budgets(colour: Colour):
    """Warn once; then the smaller model takes over, and what it uses counts on."""
    budget = [Budget(tokens=5, mode="warn"), Budget(tokens=6, mode="degrade", model="openai/small")]
    client = colour.scripted(answer("a b"), [openai(model="big"), openai(model="small")], budget=budget, default_model="openai/big")
    with pytest.warns(RuntimeWarning, match="5 tokens per client a day") as caught:
        for _ in range(3):
            client.generate("q", max_tokens=1)
        with client.stream("q", max_tokens=1) as stream:
            list(stream)
    assert len(caught) == 1
    assert {row.model: row.calls for row in client.usage()} == {"big": 2, "small": 2}
    assert {state.used for state in client.budgets()} == {12}
    assert client.generate("q", instance="openai/big", max_tokens=1).instance == "openai/small"


def test_a_smaller_model_must_be_servable():
    with pytest.raises(ConfigError, match="nobodys-model"):
        Client([openai()], budget=Budget(tokens=5, mode="degrade", model="nobodys-model"), plugins=[])


def test_a_key_that_is_used_up_gives_way_to_the_next(colour: Colour):
    """Without a pause and without counting as a retry; a call that is too large for what is left harms no smaller one."""
    keys = [f"sk-{number}-0123456" for number in range(8)]
    client = colour.scripted(answer(), [openai(*keys)], budget=Budget(tokens=30, per="key"), retries=0)
    with pytest.raises(BudgetExceededError, match="per key"):
        client.generate("q", max_tokens=50)
    with pytest.raises(BudgetExceededError, match="per key"):
        for _ in range(1000):
            client.generate("q", max_tokens=1)
    assert [state.used for state in client.budgets()] == [27] * 8, "nine calls of three tokens, each with an estimate of six"
    assert len(sent(client)) == 8 * 9
    assert client.usage()[0].errors == 0
    assert {key.status for key in client.health()[0].keys} == {"healthy"}
    assert client.runtime.clock == 0


def test_an_instance_that_is_used_up_gives_way(colour: Colour):
    client = colour.scripted(answer(), [openai(name="a"), openai(name="b")], budget=Budget(tokens=10, per="instance"))
    done = [client.generate("q", max_tokens=1).instance for _ in range(4)]
    assert sorted(done) == ["a", "a", "b", "b"]
    with pytest.raises((AllInstancesFailed, BudgetExceededError)):
        client.generate("q", max_tokens=5)
    assert len(sent(client)) == 4


def test_tasks_and_tags(colour: Colour):
    budget = [Budget(tokens=10, per="tag", only=["night"]), Budget(tokens=11, per="task")]
    client = colour.scripted(answer(), [openai(tasks=["t"])], budget=budget)
    for _ in range(5):
        client.generate("q", max_tokens=1, tags=["day"])
    client.generate("q", max_tokens=1, tags=["night"])
    with pytest.raises(BudgetExceededError, match="of tag 'night'"):
        client.generate("q", max_tokens=4, tags=["day", "night"])
    with pytest.raises(BudgetExceededError, match="of task 't'"):
        client.generate("q", max_tokens=11, task="t")


def test_embeddings_count_and_model_lists_do_not(colour: Colour):
    def script(request: Any) -> HttpReply:
        if request.url.endswith("/embeddings"):
            return HttpReply(200, {}, b'{"data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 7}}')
        return HttpReply(200, {}, b'{"object": "list", "data": [{"id": "m1"}]}')

    client = colour.scripted(script, [openai()], budget=Budget(tokens=20))
    client.embed("some text")
    assert used(client) == 7
    client.list_models()
    client.request("openai/m", "GET", "/models")
    assert used(client) == 7
    with pytest.raises(BudgetExceededError):
        client.embed("long " * 100)


def test_a_batch_stops_where_the_money_does(colour: Colour):
    client = colour.scripted(answer(), [openai()], budget=Budget(tokens=30))
    answers = client.batch([Request("q", max_tokens=1)] * 20, concurrency=1)
    refused = [answer for answer in answers if isinstance(answer, BudgetExceededError)]
    assert len(refused) == 20 - len(sent(client)) > 0
    assert used(client) <= 30


def test_cancelled_calls_are_settled():
    """A task that is cancelled while the vendor works leaves its estimate spent, and nothing held."""
    from llmkit.testing import ScriptedRuntime
    from tests.support.colours import ScriptedAsyncClient

    class Slow(ScriptedRuntime):
        async def send(self, *given: Any) -> HttpReply:
            await asyncio.sleep(30)
            raise AssertionError

    async def main() -> tuple[int, int]:
        client = ScriptedAsyncClient(Slow(answer()), [openai()], budget=Budget(tokens=1000))
        task = asyncio.create_task(client.generate("q", max_tokens=100))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        held = client.budgets()[0].held
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (state,) = client.budgets()
        await client.close()
        return held, state.used if not state.held else -1

    held, spent = asyncio.run(main())
    assert held == spent > 100


def test_warnings_that_are_errors_hold_nothing(colour: Colour):
    """pytest's ``-W error``: the call ends with the warning, and the budget is as it was."""
    client = colour.scripted(answer(), [openai()], budget=Budget(tokens=3, mode="warn"))
    with pytest.raises(RuntimeWarning):
        client.generate("q", max_tokens=10)
    assert used(client) == 0
    client.generate("q", max_tokens=10)
    assert client.in_flight() == 0


def test_a_restarted_process_knows_what_was_spent(colour: Colour, tmp_path: Path):
    """Also one with another limit, and one that runs beside it."""
    from llmkit.testing import ScriptedRuntime

    def client(**settings: Any) -> Both:
        return colour.scripted(answer(), [openai()], usage_db=tmp_path / "u.db", **settings)

    first = client(budget=Budget(tokens=20, window=None))
    assert isinstance(first.runtime, ScriptedRuntime)
    for _ in range(3):
        first.generate("q", max_tokens=1)
    first.close()
    second = client(budget=Budget(tokens=12, window=None))
    beside = client(budget=Budget(tokens=12, window=None))
    assert used(second) == used(beside) == 9
    with pytest.raises(BudgetExceededError):
        second.generate("q", max_tokens=4)
    second.close()
    beside.core.writer.flush()
    assert used(beside) == used(second)


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("The quick brown fox jumps over the lazy dog. " * 20, 201),
        ("def add(left: int, right: int) -> int:\n    return left + right\n" * 10, 190),
        ("自然语言处理是人工智能领域的一个重要方向。" * 20, 240),
    ],
)
def test_estimates_are_near_and_on_the_cautious_side(colour: Colour, text: str, counted: int):
    """Beside the counts of OpenAI's o200k_base: not below, and not above two and a half times."""
    client = colour.scripted(answer(), [openai()])
    call = client.client._chat_call(text, {"max_tokens": 5})
    lease = client.core.router.admit(call, NOTHING_TRIED, 0.0, object)
    guessed = estimate(client.client._kit, call, lease, 0)
    client.core.router.release(lease, 0.0)
    assert counted <= guessed.prompt_tokens <= 2.5 * counted
    assert (guessed.completion_tokens, guessed.estimated) == (5, True)


def test_what_is_off_is_not_there(colour: Colour):
    client = colour.scripted(answer(), [openai()])
    assert client.budgets() == ()
    assert client.client._kit.budgets is None
    with pytest.raises(ConfigError, match="budget"):
        Client(budget=5, plugins=[])
