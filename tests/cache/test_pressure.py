"""Second levels that others keep busy, a fork at a bad moment, and times that Redis does not know."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from llmkit.transports.cache_sqlite import SqliteCache
from tests.cache.conftest import Vendor
from tests.support.colours import Colour
from tests.support.redis_server import RedisServer


def test_threads_do_not_queue_for_a_file_that_another_process_keeps(tmp_path: Path):
    cache = SqliteCache(f"sqlite:///{tmp_path / 'c.db'}")
    cache.set("a", b"1", None)
    other = sqlite3.connect(tmp_path / "c.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    took: list[float] = []

    def lock(number: int) -> None:
        started = time.monotonic()
        with pytest.raises((sqlite3.OperationalError, TimeoutError)):
            cache.lock(f"k{number}", "t", 10.0)
        took.append(time.monotonic() - started)

    threads = [threading.Thread(target=lock, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert max(took) < 0.6, "one after the other, they waited a second and more"
    assert cache.get("a") == b"1"
    cache.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_that_was_forked_while_another_thread_wrote(colour: Colour, vendor: Vendor, tmp_path: Path):
    client = colour.real([vendor.instance()], cache=f"sqlite:///{tmp_path / 'c.db'}")
    client.cache.set("a", 1) if colour.sync else colour.run(client.client.cache.set("a", 1))
    store = client.core.cache.second.store
    with store._lock:
        child = os.fork()
        if not child:
            signal.alarm(10)
            os._exit(0 if store.get("nothing") is None else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_redis_takes_any_time(vendor: Vendor, redis: RedisServer):
    from llmkit import Client

    with Client([vendor.instance()], cache=redis.url, plugins=[]) as client:
        for number, seconds in enumerate((1e9, 1e20, 1.7e308, 1e-9)):
            assert client.cache.set(f"k{number}", number, ttl=seconds)
        assert client.cache.stats.errors == 0
        assert client.cache.stats.available
