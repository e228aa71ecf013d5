"""The pure rooms: keys, entries, memory, breaker, semantic look-up, files."""

from __future__ import annotations

import hashlib
import math
import random
import sqlite3
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit import (
    CacheSettings,
    Completion,
    ConfigError,
    Image,
    Message,
    Options,
    SemanticCache,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
)
from llmkit.cache.breaker import Breaker
from llmkit.cache.entries import Entry, Seal, entry_of
from llmkit.cache.keys import Keys
from llmkit.cache.memory import Memory
from llmkit.transports.cache_sqlite import SqliteCache
from llmkit.values.calls import ChatCall, Deadline
from llmkit.values.completion import FinishReason
from llmkit.values.embeddings import Embeddings
from llmkit.values.instances import Timeouts
from llmkit.values.other_calls import EmbedCall
from llmkit.wire.fold import fold, unfold
from tests.support.colours import Colour, openai, reply_to

KEYS = Keys("", lambda call: None)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=4), JSON, max_size=4)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
PARTS = st.one_of(
    st.builds(Text, TEXTS, st.none() | OBJECTS),
    st.builds(Image, st.binary(max_size=4), media_type=st.sampled_from([None, "image/png"])),
    st.builds(ToolCall, TEXTS, TEXTS, OBJECTS),
    st.builds(ToolResult, TEXTS, TEXTS),
)
MESSAGES = st.builds(Message, st.sampled_from(["user", "assistant", "system"]), st.lists(PARTS, max_size=3))
OPTIONS = st.builds(
    Options,
    max_tokens=st.none() | st.integers(1, 9),
    temperature=st.none() | st.sampled_from([0.0, 0.5, 1.0]),
    stop=st.none() | st.just(("x",)),
    seed=st.none() | st.integers(0, 3),
    tools=st.none() | st.just((Tool("f", "d", {"type": "object"}),)),
    extra=st.none() | OBJECTS,
)
NAMES = st.none() | st.sampled_from(["a", "b"])
CALLS = st.builds(
    ChatCall,
    deadline=st.just(Deadline(1.0, 1.0)),
    messages=st.lists(MESSAGES, min_size=1, max_size=3).map(tuple),
    options=OPTIONS,
    model=NAMES,
    instance=NAMES,
    task=NAMES,
    fallbacks=st.sampled_from([(), ("a",), ("a", "b"), ("b", "a")]),
    on_unsupported=st.sampled_from(["error", "drop"]),
)
FIELDS = ("messages", "options", "model", "instance", "task", "fallbacks", "on_unsupported")


def plain(value: Any) -> str:
    """What a value says, without the order of its mappings; numbers told apart as JSON does."""
    if isinstance(value, dict):
        return "{" + ",".join(sorted(f"{key!r}:{plain(item)}" for key, item in value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(plain, value)) + "]"
    if attrs.has(type(value)):
        return type(value).__name__ + plain([getattr(value, field.name) for field in attrs.fields(type(value))])
    return repr(value)


@given(CALLS, CALLS, st.sampled_from(FIELDS))
def test_a_changed_field_changes_the_key(call: ChatCall, other: ChatCall, field: str):
    changed = attrs.evolve(call, **{field: getattr(other, field)})
    same = plain(getattr(call, field)) == plain(getattr(other, field))

    assert (KEYS.of_call(call) == KEYS.of_call(changed)) is same


def shuffled(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict):
        items = list(value.items())
        rng.shuffle(items)
        return {key: shuffled(item, rng) for key, item in items}
    return [shuffled(item, rng) for item in value] if isinstance(value, list) else value


@given(CALLS, OBJECTS, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not(call: ChatCall, extra: dict[str, Any], rng: random.Random):
    part = ToolCall("i", "f", extra, extra={"v": extra})
    one = attrs.evolve(call, options=Options(extra=extra), messages=(Message("assistant", part),))
    again = shuffled(extra, rng)
    part = ToolCall("i", "f", again, extra={"v": again})
    other = attrs.evolve(one, options=Options(extra=again), messages=(Message("assistant", part),))

    assert KEYS.of_call(one) == KEYS.of_call(other) is not None


@given(CALLS)
def test_what_does_not_change_the_answer_does_not_change_the_key(call: ChatCall):
    other = attrs.evolve(
        call,
        deadline=Deadline(9.0, 9.0),
        timeouts=Timeouts(idle=1),
        retries=9,
        tags=("t",),
        stream=not call.stream,
        cache=5.0,
        priority=3,
    )
    assert KEYS.of_call(call) == KEYS.of_call(other)


def test_namespace_routing_and_kind_are_in_the_key():
    call = ChatCall(deadline=Deadline(1.0, 1.0), messages=(Message("user", "Hi"),))
    embed = EmbedCall(deadline=Deadline(1.0, 1.0), texts=("Hi",))
    calls = [KEYS.of_call(call), Keys("n", lambda call: None).of_call(call), Keys("", lambda call: "m").of_call(call)]
    calls += [KEYS.of_call(embed), KEYS.of_call(attrs.evolve(embed, dimensions=1)), KEYS.of_value("Hi")]
    assert len(set(calls)) == len(calls)
    assert KEYS.of_call(attrs.evolve(call, options=Options(extra={"a": object()}))) is None
    assert KEYS.of_call(attrs.evolve(call, messages=(Message("user", "\ud800"),))) is None


def completion(*parts: Any, **more: Any) -> Completion:
    return Completion(Message("assistant", list(parts) or "Hello"), FinishReason.STOP, "stop", Usage(1, 2, 3), "m", "id", **more)


SEAL = Seal("n")
ANSWERS = [
    completion(),
    completion(Text("a"), ToolCall("1", "f", {"a": [1]}, '{"a":[1]}'), raw={"a": 1}, parsed={"b": 2}),
    completion(Text("a", {"anthropic": {"x": 1}}), alternatives=(Message("assistant", "other"),), provider="openai", instance="i"),
]


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("secret", [None, b"s"])
def test_entries_come_back_as_they_were(answer: Completion, secret: bytes | None):
    seal = Seal("n", secret)
    entry = entry_of(answer, 100.0, 50.0)
    assert entry is not None
    data = seal.encode("k", entry, 110.0, 1000.0)
    back = seal.decode(data, "k", "chat", 7.0, 1020.0)
    assert back is not None
    assert (7.0 - back.born, back.until - back.born) == (30.0, 50.0)
    for made in (entry.answer(0.5), back.answer(0.5)):
        for name in ("message", "alternatives", "raw", "parsed", "usage", "model", "finish_reason"):
            assert getattr(made, name) == getattr(answer, name)
        assert (made.cached, made.timing.total) == (True, 0.5)
    assert seal.decode(data, "k", "chat", 7.0, 1040.1) is None
    assert Seal("n", b"other").decode(data, "k", "chat", 7.0, 1000.0) is None


def test_embeddings_come_back_as_they_were():
    vectors = ((0.1, 1e-300, -2.5), (3.0, 0.0, 1 / 3))
    entry = entry_of(Embeddings(vectors, "m", raw={"big": 1}), 0.0, None)
    assert entry is not None
    assert entry.until == math.inf
    back = SEAL.decode(SEAL.encode("k", entry, 0.0, 0.0), "k", "embed", 0.0, 10.0)
    assert back is not None
    assert (back.answer(0).vectors, back.answer(0).raw) == (vectors, None)


@given(st.data())
def test_damaged_entries_are_none(data: st.DataObject):
    """One byte changed, cut anywhere, swapped with another's: no entry, and no exception."""
    good = SEAL.encode("k", entry_of(ANSWERS[1], 0.0, 9.0), 0.0, 0.0)  # type: ignore[arg-type]
    at = data.draw(st.integers(0, len(good) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != good[at]))
    assert SEAL.decode(good[:at] + bytes([byte]) + good[at + 1 :], "k", "chat", 0.0, 0.0) is None
    assert SEAL.decode(good[:at], "k", "chat", 0.0, 0.0) is None
    assert SEAL.decode(good, "other", "chat", 0.0, 0.0) is None
    assert SEAL.decode(good, "k", "embed", 0.0, 0.0) is None
    assert Seal("m").decode(good, "k", "chat", 0.0, 0.0) is None
    assert SEAL.decode(data.draw(st.binary() | st.none() | st.text()), "k", "chat", 0.0, 0.0) is None


HALF = b'{"namespace":"n","key":"k","kind":"chat","stored":1,"ttl":9,"answer":{"x":1}}'


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"[" * 10_000, HALF])
def test_signed_nonsense_is_none(content: bytes):
    digest = hashlib.sha256(content).hexdigest().encode()
    assert SEAL.decode(b'{"llmkit":1,"digest":"%b"}\n%b' % (digest, content), "k", "chat", 0.0, 0.0) is None


@pytest.mark.parametrize("answer", ANSWERS)
def test_unfolded_events_fold_again(answer: Completion):
    again = fold(unfold(answer))
    assert (again.text, again.tool_calls, again.usage, again.model) == (answer.text, answer.tool_calls, answer.usage, answer.model)
    assert again.finish_reason == answer.finish_reason
    assert len(again.alternatives) == len(answer.alternatives)


def entry(size: int, until: float = math.inf) -> Entry:
    return Entry("value", {}, {"value": b"1"}, 0.0, until, size)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 40))), st.integers(1, 5), st.integers(1, 100))
def test_memory_keeps_its_bounds(steps: list[tuple[int, int]], most: int, most_bytes: int):
    memory = Memory(most, most_bytes)
    for key, size in steps:
        memory.set(str(key), entry(size))
        assert len(memory) <= most
        assert memory.bytes == sum(kept.size for kept in memory._entries.values()) <= most_bytes


def test_the_least_recently_used_goes_first():
    memory = Memory(2, 100)
    memory.set("a", entry(1))
    memory.set("b", entry(1))
    memory.get("a", 0.0)
    memory.set("c", entry(1))
    assert [memory.get(key, 0.0) is not None for key in "abc"] == [True, False, True]
    assert (memory.evicted, memory.hits) == (1, 3)


def test_the_breaker_opens_probes_and_closes():
    breaker = Breaker()
    assert [breaker.failed(0.0) for _ in range(3)] == [False, False, True]
    assert breaker.resting(4.9)
    assert not breaker.allows(4.9)
    assert [breaker.allows(5.0), breaker.allows(5.0)] == [True, False]
    assert not breaker.failed(5.1)
    assert not breaker.allows(10.0)
    assert breaker.allows(10.2)
    assert (breaker.worked(), breaker.closed, breaker.worked()) == (True, True, False)


def test_settings_are_checked():
    for wrong in (
        {"ttl": 0},
        {"ttl": True},
        {"max_entries": 0},
        {"max_bytes": 1.5},
        {"namespace": 1},
        {"secret": ""},
        {"url": " "},
        {"utl": "x"},
    ):
        with pytest.raises(ConfigError, match="cache"):
            CacheSettings.of(wrong)
    shown = repr(CacheSettings(url="redis://:hunter2@h", secret="hunter3"))
    assert "hunter" not in shown


def test_a_damaged_file_harms_no_call(colour: Colour, tmp_path: Path):
    path = tmp_path / "cache.db"
    path.write_bytes(b"no database at all " * 100)
    client = colour.scripted(lambda request: reply_to(request), [openai()], cache=f"sqlite:///{path}")
    for number in range(5):
        assert client.generate(f"{number}").text == "hello"
    stats = client.client.cache.stats
    assert (stats.errors, stats.available) == (3, False)
    assert path.read_bytes().startswith(b"no database")


def test_a_file_that_is_locked_costs_a_tenth_of_a_second(tmp_path: Path):
    import time

    path = tmp_path / "cache.db"
    cache = SqliteCache(f"sqlite:///{path}")
    cache.set("k", b"v", None)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    begun = time.perf_counter()
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        cache.set("k", b"w", None)
    assert time.perf_counter() - begun < 0.2
    assert cache.get("k") == b"v"
    other.execute("ROLLBACK")
    other.close()
    cache.close()


def test_a_file_forgets_what_is_over_and_locks_by_token(tmp_path: Path):
    cache = SqliteCache(f"sqlite:///{tmp_path}/cache.db")
    cache.set("a", b"1", 1e-9)
    cache.set("b%_", b"2", None)
    cache.set("bcd", b"3", 60)
    assert [cache.get(key) for key in ("a", "b%_", "bcd")] == [None, b"2", b"3"]
    assert [cache.lock("l", "me", 60), cache.lock("l", "you", 60)] == [True, False]
    cache.unlock("l", "you")
    assert not cache.lock("l", "you", 60)
    cache.unlock("l", "me")
    assert cache.lock("l", "you", 1e-9)
    assert cache.lock("l", "me", 60)
    cache.clear("b%")
    assert [cache.get(key) for key in ("b%_", "bcd")] == [None, b"3"]
    cache.close()
    assert cache.get("bcd") == b"3"
    cache.close()


def test_similar_questions(colour: Colour):
    vectors = {"How tall is it?": [1.0, 0.0], "how tall is it": [0.99, 0.05], "How old is it?": [0.0, 1.0]}
    count = 0

    def script(request: Any) -> Any:
        nonlocal count
        count += 1
        return reply_to(request, f"answer number {count}")

    def embed(text: str) -> list[float]:
        if text not in vectors:
            raise RuntimeError("no vector")
        return vectors[text]

    client = colour.scripted(script, [openai()], cache=SemanticCache(embed))
    first = client.generate("How tall is it?").text
    near = client.generate("how tall is it")
    assert (near.text, near.cached) == (first, True)
    assert client.generate("How old is it?").text != first
    assert not client.generate("how tall is it", temperature=0).cached
    assert not client.generate("how tall is it", cache=False).cached
    assert client.stream("how tall is it").text() == first
    with pytest.warns(RuntimeWarning, match="no vector"):
        assert not client.generate("unheard of").cached
    assert client.client.cache.stats.semantic_hits == 2


def test_a_cache_keeps_no_time_limit_of_a_call_that_is_over(colour: Colour, tmp_path: Path):
    """Whoever uses it in the same thread afterwards has the time that the cache itself gives."""

    class Watched(SqliteCache):
        limits: ClassVar[list[float | None]] = []

        def within(self, seconds: float | None) -> None:
            self.limits.append(seconds)
            super().within(seconds)

    Watched.limits.clear()
    cache = Watched(f"sqlite:///{tmp_path / 'c.db'}")
    client = colour.scripted(lambda request: reply_to(request), [openai()], cache=cache)
    assert [client.generate("Hi").text for _ in range(2)] == ["hello"] * 2
    assert Watched.limits[0] is not None
    assert all(seconds is not None and 0 < seconds < 0.1 for seconds in Watched.limits[::2])
    assert set(Watched.limits[1::2]) == {None}
