"""Redis as the second level, in health and in every kind of trouble: no call fails, is told anything wrong, or waits long."""

from __future__ import annotations

import logging
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from llmkit import CacheSettings, Client, ConfigError
from llmkit.cache.second import ALLOWED
from tests.cache.conftest import Vendor
from tests.cache.test_flights import across_processes
from tests.support.colours import Colour
from tests.support.redis_server import RedisServer, stand_in

pytest.importorskip("redis", reason="the extra redis is not installed")

PROMISED = 0.1
"""Seconds that a second level may add to a call, whatever is wrong with it."""
LONG = os.environ.get("LLMKIT_LONG", "0") not in ("", "0")
LATER = 200 if LONG else 50
MARGIN = 0.03 if LONG else 0.3
"""Seconds that a busy machine may add to what is promised for the worst of a few calls."""


def most(seconds: list[float]) -> float:
    """What 99 of 100 calls take; on a machine that has other work, what half of them do."""
    return statistics.quantiles(seconds, n=100)[98] if LONG else statistics.median(seconds)


def calm_seconds(trouble: Trouble) -> float:
    """What a call takes while all is well; the first few load what they need."""
    trouble.calls(5)
    return max(trouble.calls(20))


def test_kept_found_and_cleared(colour: Colour, vendor: Vendor, redis: RedisServer):
    def client(**settings: Any) -> Any:
        return colour.real([vendor.instance()], cache=CacheSettings(url=redis.url, **settings))

    one, other, elsewhere = client(), client(), client(namespace="b*")
    assert one.generate("Hi").text == "Hi 1"
    found = other.generate("Hi")
    assert (found.text, found.cached, found.instance) == ("Hi 1", True, "openai/m")
    assert elsewhere.generate("Hi").text == "Hi 2"
    assert colour.run(one.client.cache.set("k", [1], ttl=60))
    assert colour.run(other.client.cache.get("k")) == [1]
    assert colour.run(elsewhere.client.cache.get("k")) is None
    assert redis.say("DBSIZE") == b":3\r\n"
    assert colour.run(elsewhere.client.cache.clear())
    assert redis.say("DBSIZE") == b":2\r\n"
    assert colour.run(one.client.cache.clear())
    assert redis.say("DBSIZE") == b":0\r\n"
    one.generate("Hi")
    assert 3_500_000 < int(redis.say("PTTL", keys(redis)[0])[1:]) <= 3_600_000


def keys(redis: RedisServer) -> list[bytes]:
    return [line for line in redis.say("KEYS", "*").split(b"\r\n") if line.startswith(b"llmkit:")]


def test_processes_that_share_redis_ask_twice_at_most(vendor: Vendor, redis: RedisServer):
    across_processes(vendor, redis.url)


def test_values_that_are_not_what_they_should_be(vendor: Vendor, redis: RedisServer):
    """Foreign, cut, swapped, changed, of another type or kind, larger than anything of ours: none of them is an answer."""

    def ask(question: str, **settings: Any) -> str:
        with Client([vendor.instance()], cache={"url": redis.url, **settings}, plugins=[]) as client:
            text = client.generate(question).text
            assert client.cache.stats.errors == 0
            return text

    assert ask("a") == "a 1"
    (first,) = keys(redis)
    stored = redis.say("GET", first).split(b"\r\n", 1)[1][:-2]
    assert ask("a") == "a 1"
    for poison in (b"\x80\x04\x95pickle", b"{}", b"", stored[:-5], stored.replace(b"a 1", b"x 1"), b"x" * (3 << 20)):
        redis.say("SET", first, poison)
        said = ask("a")
        assert said.startswith("a ")
        assert said != "a 1"
    redis.say("DEL", first)
    redis.say("RPUSH", first, "a list")
    assert ask("a").startswith("a ")
    redis.say("DEL", first)
    assert ask("b").startswith("b ")
    (second,) = keys(redis)
    redis.say("COPY", second, first)
    assert ask("a").startswith("a ")
    assert ask("c", secret="s").startswith("c ")
    assert ask("c", secret="another").startswith("c ")


class Trouble:
    """Calls while something is wrong with Redis."""

    def __init__(self, client: Any, vendor: Vendor, log: pytest.LogCaptureFixture) -> None:
        self.client = client
        self.vendor = vendor
        self.log = log
        self.number = 0

    def calls(self, count: int) -> list[float]:
        """The seconds of as many calls that no level can answer, each of which gets the right answer."""
        seconds = []
        for _ in range(count):
            self.number += 1
            begun = time.perf_counter()
            text = self.client.generate(f"question {self.number}").text
            seconds.append(time.perf_counter() - begun)
            assert text.startswith(f"question {self.number} ")
        return seconds

    def bears(self, calm: float) -> None:
        """Every call within its promise: a tenth of a second more at first, a few milliseconds once the breaker is open."""
        self.log.clear()
        first = self.calls(3)
        assert max(first) < calm + PROMISED + MARGIN
        later = self.calls(LATER)
        assert most(later) < calm + 0.005
        assert len(self.log.records) <= 1, [record.getMessage() for record in self.log.records]

    def is_back(self, within: float = 10.0) -> None:
        until = time.monotonic() + within
        self.log.clear()
        while not self.client.client.cache.stats.available:
            assert time.monotonic() < until, "the second level was not taken back into use"
            self.calls(1)
            time.sleep(0.1)
        assert len(self.log.records) <= 1


@pytest.fixture
def trouble(colour: Colour, vendor: Vendor, redis: RedisServer, caplog: pytest.LogCaptureFixture) -> Trouble:
    caplog.set_level(logging.INFO, "llmkit.cache")
    return Trouble(colour.real([vendor.instance()], cache=redis.url), vendor, caplog)


def test_killed_and_started_again(trouble: Trouble, redis: RedisServer):
    calm = calm_seconds(trouble)
    redis.kill()
    trouble.bears(calm)
    redis.start()
    trouble.is_back()


def test_paused(trouble: Trouble, redis: RedisServer):
    calm = calm_seconds(trouble)
    redis.pause()
    trouble.bears(calm)
    redis.resume()
    trouble.is_back()


def test_full(trouble: Trouble, redis: RedisServer):
    """Reads go on; a full Redis costs nothing but what it does not keep."""
    calm = calm_seconds(trouble)
    assert redis.say("CONFIG", "SET", "maxmemory", "1") == b"+OK\r\n"
    trouble.bears(calm)
    assert redis.say("CONFIG", "SET", "maxmemory", "0") == b"+OK\r\n"
    trouble.is_back()


def test_read_only(trouble: Trouble, redis: RedisServer):
    calm = calm_seconds(trouble)
    redis.say("REPLICAOF", "127.0.0.1", "1")
    trouble.bears(calm)
    redis.say("REPLICAOF", "NO", "ONE")
    trouble.is_back()


ANSWERS: dict[str, Callable[[bytes], Any]] = {
    "loading": lambda command: b"-LOADING Redis is loading the dataset in memory\r\n",
    "read-only": lambda command: b"-READONLY You can't write against a read only replica.\r\n",
    "out of memory": lambda command: b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "no password": lambda command: b"-NOAUTH Authentication required.\r\n",
    "hangs up": lambda command: None,
    "garbage": lambda command: b"\x00\xff garbage \r\n\r\n",
    "http": lambda command: b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "wrong type": lambda command: b"*1\r\n$1\r\na\r\n",
    "endless": lambda command: b"$99999999\r\nabc",
    "slow": lambda command: [0.5, b"$-1\r\n"],
    "trickling": lambda command: [b"$", 0.05, b"1", 0.05, b"\r", 0.05, b"\n", 0.05, b"a", b"\r\n"],
    "silent": lambda command: [5.0],
    "somebody else's reply": lambda command: b"$5\r\nhello\r\n",
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_server_that_is_not_well(colour: Colour, vendor: Vendor, caplog: pytest.LogCaptureFixture, kind: str):
    caplog.set_level(logging.INFO, "llmkit.cache")
    with stand_in(ANSWERS[kind]) as server:
        client = colour.real([vendor.instance()], cache=server.url)
        trouble = Trouble(client, vendor, caplog)
        calm = calm_seconds(Trouble(colour.real([vendor.instance()], cache="memory"), vendor, caplog))
        first = trouble.calls(6)
        assert max(first) < calm + PROMISED + MARGIN
        assert most(trouble.calls(LATER)) < calm + 0.005
        assert len(caplog.records) <= 1
        assert client.client.cache.stats.second_hits == 0


@pytest.mark.parametrize("delay", [0.02, 0.035, 0.05, 0.08])
def test_slow_but_alive(colour: Colour, vendor: Vendor, caplog: pytest.LogCaptureFixture, delay: float):
    """Every operation takes its time: a call has one allowance for all of them, though none of them fails by itself."""

    def answer(command: bytes) -> Any:
        words = command.split(b"\r\n")
        return [delay, b"+OK\r\n" if b"SET" in words else b":1\r\n" if b"EVAL" in words else b"$0\r\n\r\n"]

    assert ALLOWED < PROMISED
    with stand_in(answer) as server:
        trouble = Trouble(colour.real([vendor.instance()], cache=server.url), vendor, caplog)
        calm = calm_seconds(Trouble(colour.real([vendor.instance()], cache="memory"), vendor, caplog))
        assert max(trouble.calls(20)) < calm + PROMISED + MARGIN


def test_many_calls_at_once_while_it_is_paused(vendor: Vendor, redis: RedisServer):
    """Calls do not line up for the threads that wait for it."""
    with Client([vendor.instance()], cache=redis.url, plugins=[]) as client, ThreadPoolExecutor(40) as pool:
        client.generate("warm")
        redis.pause()
        begun = time.perf_counter()
        texts = list(pool.map(lambda number: client.generate(f"{number}").text, range(200)))
        seconds = time.perf_counter() - begun
        redis.resume()
        assert [text.split()[0] for text in texts] == [str(number) for number in range(200)]
        assert seconds < 5


def test_a_url_cannot_make_it_slow(redis: RedisServer):
    from llmkit.transports.cache_redis import TIMEOUT, RedisCache

    cache = RedisCache(redis.url + "?socket_timeout=50&socket_connect_timeout=50&retry_on_timeout=true")
    cache.get("x")
    redis.pause()
    begun = time.perf_counter()
    with pytest.raises(Exception, match="imeout"):
        cache.get("x")
    redis.resume()
    assert time.perf_counter() - begun < TIMEOUT + MARGIN
    cache.close()


@pytest.mark.parametrize("url", ["redis://h:port/0", "redis://h/0?db=x", "memcached://h", "sqlite://x", "sqlite:///", "nonesuch"])
def test_a_url_that_is_none(url: str):
    with pytest.raises(ConfigError, match="cache: "):
        Client(cache=url, plugins=[], environ={})
