"""Answers from the cache, in both colours: what is kept, for how long, for whom."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmkit import CacheSettings, ConfigError, Instance, InvalidRequestError, LLMError, Message, StreamInterrupted, hookimpl
from llmkit.wire.http import HttpReply
from tests.support.colours import DONE, Colour, chat, chunks, data, openai, refusal, reply_to, sent, streamed


class Counting:
    """Answers with the number of the answer."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, request: Any) -> Any:
        self.count += 1
        return reply_to(request, f"answer number {self.count}")


@pytest.fixture(params=["memory", "sqlite"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory" if request.param == "memory" else f"sqlite:///{tmp_path}/cache.db"


def test_a_second_call_is_answered_from_the_cache(colour: Colour, where: str):
    client = colour.scripted(Counting(), [openai()], cache=where)
    first = client.generate("Hi", temperature=0)
    again = client.generate("Hi", temperature=0, timeout=5, retries=0, tags=["x"])

    assert (first.cached, again.cached) == (False, True)
    assert (again.text, again.usage, again.raw, again.finish_reason) == (first.text, first.usage, first.raw, first.finish_reason)
    assert (again.cost, again.attempts, again.headers) == (Decimal(0), (), {})
    assert len(sent(client)) == 1
    stats = client.client.cache.stats
    assert (stats.hits, stats.misses, stats.entries, stats.hit_rate) == (1, 1, 1, 0.5)


def test_off_by_default(colour: Colour):
    client = colour.scripted(Counting(), [openai()])

    assert [client.generate("Hi").text for _ in range(2)] == ["answer number 1", "answer number 2"]
    with pytest.raises(ConfigError, match="no cache"):
        _ = client.client.cache.stats


@pytest.mark.parametrize(
    "other",
    [
        {"temperature": 0.5},
        {"max_tokens": 5},
        {"system": "Be brief."},
        {"stop": ["x"]},
        {"seed": 1},
        {"extra": {"logprobs": True}},
        {"on_unsupported": "drop"},
        {"response_model": "json"},
    ],
)
def test_what_changes_the_answer_is_another_question(colour: Colour, other: dict[str, Any]):
    client = colour.scripted(Counting(), [openai()], cache="memory")
    client.generate("Hi")

    assert not client.generate("Hi", **other).cached
    assert not client.generate("Hi there").cached


def test_nobody_can_change_what_the_next_gets(colour: Colour):
    def script(request: Any) -> Any:
        call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
        message = {"role": "assistant", "content": '{"b": 2}', "tool_calls": [call]}
        return chat(choices=[{"index": 0, "message": message, "finish_reason": "tool_calls"}])

    client = colour.scripted(script, [openai()], cache="memory")
    ask = {"response_model": "json"}
    client.generate("Hi", **ask)
    taken = client.generate("Hi", **ask)
    assert taken.cached
    taken.raw["id"] = "spoilt"
    taken.parsed["b"] = "spoilt"
    taken.tool_calls[0].arguments["a"] = "spoilt"
    taken.headers["a"] = "spoilt"
    next_ = client.generate("Hi", **ask)

    assert (next_.raw["id"], next_.parsed, next_.tool_calls[0].arguments, next_.headers) == ("c1", {"b": 2}, {"a": 1}, {})


def test_per_request(colour: Colour, where: str):
    client = colour.scripted(Counting(), [openai()], cache=where)

    def said(cache: Any) -> int:
        return int(client.generate("Hi", cache=cache).text.split()[-1])

    assert [said(None), said(False), said(None), said("refresh"), said(None), said(True)] == [1, 2, 1, 3, 3, 3]
    client.runtime.clock += 100
    assert [said(200), said(50), said(None)] == [3, 4, 4]
    client.runtime.clock += 51  # the answer of cache=50 was kept for 50 seconds
    assert said(None) == 5


@pytest.mark.parametrize("wrong", ["yes", 0, -1, float("nan"), [1]])
def test_a_wrong_wish_is_refused_before_anything_is_sent(colour: Colour, wrong: Any):
    client = colour.scripted(Counting(), [openai()], cache="memory")

    with pytest.raises(InvalidRequestError, match="cache: expected"):
        client.generate("Hi", cache=wrong)
    assert sent(client) == []


def test_time_to_live(colour: Colour):
    client = colour.scripted(Counting(), [openai()], cache={"ttl": 10})
    client.generate("Hi")
    client.runtime.clock += 9
    assert client.generate("Hi").cached
    client.runtime.clock += 2

    assert not client.generate("Hi").cached
    assert client.client.cache.stats.expired == 1


def test_failures_and_filtered_answers_are_not_kept(colour: Colour):
    replies = [
        refusal(400, "no"),
        chat(choices=[{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "content_filter"}]),
        chat(choices=[{"index": 0, "message": {"role": "assistant", "content": "cut"}, "finish_reason": "length"}]),
    ]
    client = colour.scripted(lambda request: replies.pop(0), [openai()], cache="memory")
    with pytest.raises(LLMError):
        client.generate("Hi")

    assert client.generate("Hi").finish_reason == "content_filter"
    assert not client.generate("Hi").cached
    assert client.generate("Hi").cached
    assert replies == []


def test_books_and_hooks_know_hits(colour: Colour):
    told: list[bool] = []

    class Plugin:
        @hookimpl
        def llmkit_answer(self, answer: Any) -> None:
            told.append(answer.cached)

    client = colour.scripted(Counting(), [openai()], cache="memory", plugins=[Plugin()])
    client.generate("Hi")
    client.generate("Hi")
    client.stream("Hi").completion()
    row = client.client.usage()[0]

    assert told == [False, True, True]
    assert (row.calls, row.cache_hits, row.usage.total_tokens) == (1, 2, 3)


def test_a_stream_is_kept_whole_and_replayed(colour: Colour, where: str):
    client = colour.scripted(Counting(), [openai()], cache=where)
    with client.stream("Hi") as stream:
        first = "".join(event.text for event in stream)
        whole = stream.completion()
    with client.stream("Hi") as stream:
        events = list(stream)
        replayed = stream.completion()

    assert "".join(event.text for event in events) == first == "answer number 1"
    assert [event.type for event in events] == ["started", "text", "finished", "usage"]
    assert (whole.cached, replayed.cached, replayed.usage) == (False, True, whole.usage)
    assert client.generate("Hi").text == "answer number 1"
    assert client.generate("Hi", cache="refresh").text == client.stream("Hi").text() == "answer number 2"
    assert len(sent(client)) == 2


def test_a_stream_that_breaks_or_is_left_is_not_kept(colour: Colour):
    broken = chunks("one ", "two ", end=())
    replies: list[Any] = [broken, chunks("one ", "two"), chunks("one ", "two")]
    client = colour.scripted(lambda request: replies.pop(0), [openai()], cache="memory")
    with pytest.raises(StreamInterrupted), client.stream("Hi") as stream:
        list(stream)
    with client.stream("Hi") as stream:
        next(stream)
    with client.stream("Hi") as never_read:
        pass

    assert replies == []
    assert client.client.cache.stats.entries == 0
    assert not client.core.cache.flights._flights
    assert never_read.instance == "openai/m"


def test_a_replay_that_is_left_says_so(colour: Colour):
    client = colour.scripted(Counting(), [openai()], cache="memory")
    client.generate("Hi")
    with client.stream("Hi") as stream:
        next(stream)
    stream.close()

    with pytest.raises(StreamInterrupted) as caught:
        stream.completion()
    assert caught.value.partial.text == "answer number 1"


def test_tool_calls_are_replayed(colour: Colour):
    def script(request: Any) -> Any:
        function = {"name": "f", "arguments": '{"a":1}'}
        calls = [{"index": 0, "id": "1", "type": "function", "function": function}]
        finish = data(choices=[{"index": 0, "delta": {}, "finish_reason": "tool_calls"}])
        assert streamed(request)
        return chunks("Well", data(choices=[{"index": 0, "delta": {"tool_calls": calls}}]), end=(finish, DONE))

    client = colour.scripted(script, [openai()], cache="memory")
    first = client.stream("Hi").completion()
    second = client.stream("Hi")
    events = list(second)

    assert [event.type for event in events] == ["started", "text", "tool_call", "finished"]
    assert second.completion().tool_calls == first.tool_calls
    assert first.tool_calls[0].arguments == {"a": 1}


def test_embeddings(colour: Colour, where: str):
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    body = json.dumps({"data": [{"index": 0, "embedding": [0.1, 0.2]}], "model": "m", "usage": usage}).encode()
    client = colour.scripted(lambda request: HttpReply(200, {}, body), [openai()], cache=where)
    first, again = client.embed("Hi"), client.embed("Hi")

    assert (first.cached, again.cached, again.vectors) == (False, True, first.vectors)
    assert not client.embed("Hi", dimensions=2).cached
    assert not client.embed("Hi", cache=False).cached


def test_another_process_finds_what_one_has_kept(colour: Colour, tmp_path: Path):
    url = f"sqlite:///{tmp_path}/cache.db"
    script = Counting()
    one = colour.scripted(script, [openai()], cache=url)
    other = colour.scripted(script, [openai()], cache=url)
    elsewhere = colour.scripted(script, [openai()], cache=CacheSettings(url=url, namespace="b"))
    image = Message.user("What is this?")
    first = one.generate([image])
    found = other.generate([image])

    assert (found.cached, found.text, found.raw, found.usage) == (True, first.text, first.raw, first.usage)
    assert not elsewhere.generate([image]).cached
    assert other.client.cache.stats.second_hits == 1
    assert (tmp_path / "cache.db").stat().st_mode & 0o077 == 0


def test_another_model_or_address_is_another_answer(colour: Colour, tmp_path: Path):
    """The key holds what the call may be answered by, not only the words of the call."""
    url = f"sqlite:///{tmp_path}/cache.db"
    script = Counting()
    made = [
        Instance("openai", "m", api_key="sk-a"),
        Instance("openai", "n", api_key="sk-a"),
        Instance("openai", "m", api_key="sk-a", base_url="https://other.example/v1"),
        Instance("openai", "m", api_key="sk-a", options={"temperature": 1}),
        Instance("openai", "m", api_key="sk-a", headers={"x": "y"}),
    ]
    texts = [colour.scripted(script, [instance], cache=url).generate("Hi").text for instance in made]
    assert len(set(texts)) == len(made)
    assert colour.scripted(script, [Instance("openai", "m", api_key="sk-b", name="x")], cache=url).generate("Hi").cached


def test_an_instance_that_comes_makes_another_question(colour: Colour):
    client = colour.scripted(Counting(), [openai()], cache="memory")
    client.generate("Hi")
    client.client.add_instance(openai(model="n"))
    assert not client.generate("Hi").cached
    client.client.remove_instance("openai/n")
    assert client.generate("Hi").cached


def test_values_of_ones_own(colour: Colour, where: str):
    client = colour.scripted(Counting(), [openai()], cache=where)
    cache = client.client.cache

    def run(value: Any) -> Any:
        return colour.run(value)

    value = {"a": [1, 2]}
    assert run(cache.get("k")) is None
    assert run(cache.get("k", 5)) == 5
    assert run(cache.set("k", value, ttl=10)) is True
    value["a"].append(3)
    run(cache.get("k"))["a"].clear()
    assert run(cache.get("k")) == {"a": [1, 2]}
    client.core.cache.memory.clear()
    assert run(cache.get("k")) == ({"a": [1, 2]} if where != "memory" else None)
    assert run(cache.set("k", "v"))
    assert run(cache.delete("k")) is True
    assert run(cache.get("k")) is None
    client.generate("Hi")
    run(cache.set("k", "v"))
    assert run(cache.clear()) is True
    assert run(cache.get("k")) is None
    assert not client.generate("Hi").cached
    for wrong in ({"a": {1}}, object()):
        with pytest.raises(InvalidRequestError):
            run(cache.set("k", wrong))
    with pytest.raises(InvalidRequestError, match="ttl"):
        run(cache.set("k", 1, ttl=0))
    with pytest.raises(InvalidRequestError, match="key"):
        run(cache.get(5))


class Kept:
    """A second level of somebody's own."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.closed = 0

    def get(self, key: str) -> bytes | None:
        return self.entries.get(key)

    def set(self, key: str, entry: bytes, seconds: float | None) -> None:
        self.entries[key] = entry

    def delete(self, key: str) -> None:
        self.entries.pop(key, None)

    def clear(self, prefix: str) -> None:
        for key in [key for key in self.entries if key.startswith(prefix)]:
            del self.entries[key]

    def close(self) -> None:
        self.closed += 1


def test_a_cache_of_ones_own_and_of_a_plugin(colour: Colour):
    kept = Kept()

    class Plugin:
        @hookimpl
        def llmkit_register_caches(self) -> dict[str, Any]:
            return {"mine": lambda: kept, "broken": lambda: 1 / 0, "wrong": object}

    one = colour.scripted(Counting(), [openai()], cache=kept)
    one.generate("Hi")
    assert colour.scripted(Counting(), [openai()], cache="mine", plugins=[Plugin()]).generate("Hi").cached
    one.close()
    assert kept.closed == 0
    for name, said in (("broken", "ZeroDivisionError"), ("wrong", "lacks a method"), ("mein", "did you mean 'mine'")):
        with pytest.raises(ConfigError, match=said):
            colour.scripted(Counting(), [openai()], cache=name, plugins=[Plugin()])
    with pytest.raises(ConfigError, match="cache: expected"):
        colour.scripted(Counting(), [openai()], cache=5)


def test_from_a_file_and_from_the_environment(tmp_path: Path):
    from llmkit import Client
    from llmkit.config import read_env

    toml = f"""
[[instances]]
provider = "openai"
model = "m"
api_key = "sk-key-number-1"

[cache]
url = "sqlite:///{tmp_path}/cache.db"
ttl = 60
"""
    with Client.from_config_str(toml) as client:
        assert client.cache.set("a", 1)
        assert client._core.cache is not None
        assert client._core.cache.settings.ttl == 60
    with Client.from_config_str("[settings]\ncache = true") as client:
        assert client.cache.stats.available is None
    found = read_env({"CACHE_ENABLED": "true", "CACHE_TTL": "5", "CACHE_URL": "redis://h"}).cache
    assert found == CacheSettings(url="redis://h", ttl=5.0)
    assert read_env({"CACHE_ENABLED": "false", "CACHE_TTL": "5"}).cache is None
    with pytest.raises(ConfigError, match="CACHE_ENABLED: expected true or false"):
        read_env({"CACHE_ENABLED": "perhaps"})


async def of_the_package() -> None:
    import llmkit

    llmkit.set_client(llmkit.Client(cache="memory", plugins=[], environ={}))
    try:
        assert await llmkit.cache_result("k", {"a": 1}, ttl=60)
        assert await (await llmkit.get_cache()).get("k") == {"a": 1}
        assert await llmkit.clear_cache()
        assert await (await llmkit.get_cache()).get("k") is None
    finally:
        llmkit.reset_client()


def test_functions_of_the_package():
    import asyncio

    asyncio.run(of_the_package())
