"""The components that CI starts do answer, and a missing one is never passed over in silence."""

from __future__ import annotations

import socket
import subprocess
import urllib.request
from urllib.parse import urlsplit

import pytest

from tests.support.components import CHROMIUM, PROMETHEUS, REDIS, where

NOWHERE = REDIS._replace(variable="LLMKIT_NO_SUCH_COMPONENT")


def test_missing_component_skips(monkeypatch: pytest.MonkeyPatch):
    """On a developer's machine the test is skipped, and the skip names the package."""
    monkeypatch.setenv("LLMKIT_REQUIRE_COMPONENTS", "0")

    with pytest.raises(pytest.skip.Exception, match="redis-server"):
        where(NOWHERE)


def test_missing_component_fails_in_ci(monkeypatch: pytest.MonkeyPatch):
    """Where components are required, the test fails instead."""
    monkeypatch.setenv("LLMKIT_REQUIRE_COMPONENTS", "1")

    with pytest.raises(pytest.fail.Exception, match="redis-server"):
        where(NOWHERE)


def test_redis_answers():
    """Redis says PONG."""
    url = urlsplit(where(REDIS))
    with socket.create_connection((url.hostname, url.port), timeout=5) as connection:
        connection.sendall(b"PING\r\n")

        assert connection.recv(100) == b"+PONG\r\n"


def test_prometheus_is_ready():
    """Prometheus is ready to scrape and to be asked."""
    with urllib.request.urlopen(f"{where(PROMETHEUS)}/-/ready", timeout=5) as reply:
        assert reply.status == 200


def test_chromium_runs():
    """Chromium says its version."""
    done = subprocess.run([where(CHROMIUM), "--version"], capture_output=True, text=True, timeout=60, check=True)

    assert "Chromium" in done.stdout
