"""The books for other programs."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from llmkit import Usage
from llmkit.errors import RateLimitError, RequestTimeout
from llmkit.observe.export import to_csv, to_json, to_prometheus
from llmkit.observe.ledger import Ledger
from tests.support.colours import Colour, answer, one_after_another, openai, refusal
from tests.support.components import PROMETHEUS, where
from tests.usage.conftest import price_of

ODD = 'm"\\\nü'


def books() -> Ledger:
    made = Ledger(price_of)
    made.open("a", "p", "m")
    made.open("b", "q", ODD)
    made.answered("a", "a#1", "t", ("=cmd",), Usage(10, 20, 30, 4, 0, 5), 0.3)
    made.answered("b", "b#1", None, (), Usage(1, 1, 2), 700.0)
    made.failed("a", "a#1", "t", (), RateLimitError("x"), 0.02)
    made.failed("a", "a#1", "t", (), RequestTimeout("x"), 0.02)
    made.interrupted("a", "a#1", "t", (), Usage(7, 7, 14), None, 0.2)
    made.retried("a")
    return made


def test_json_and_csv_say_the_same():
    for by in ("instance", "key", "model", "task", "tag", None):
        rows = books().rows(by)
        documents = json.loads(to_json(rows))
        table = list(csv.DictReader(io.StringIO(to_csv(rows))))
        assert len(documents) == len(table) == len(rows)
        for document, cells in zip(documents, table, strict=True):
            for name, value in document.items():
                said = "" if value is None else str(value)
                assert cells[name].removeprefix("'") == said
    assert json.loads(to_json(books().rows("model")))[0]["cost"] == "0.0000135"
    assert json.loads(to_json(books().rows("model")))[1]["cost"] is None


def test_spreadsheets_are_given_no_formulas():
    assert "'=cmd" in to_csv(books().rows("tag"))


SAMPLE = re.compile(r'^([a-z_]+)\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\} (\S+)$')


def samples(text: str) -> dict[tuple[str, str], float]:
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = SAMPLE.match(line)
            assert match, line
            found[match[1], match[2]] = float(match[3])
    return found


def test_prometheus_has_flyllms_names_and_counts():
    found = samples(to_prometheus(books().kept(), books().retries(), {"p": True, "q": False}))
    model = 'provider="p",model="m"'
    assert found["llm_requests_total", f'{model},task="t"'] == 4
    assert found["llm_tokens_prompt_total", model] == 10
    assert found["llm_tokens_completion_total", model] == 20
    assert found["llm_errors_total", f'{model},error_type="rate_limit"'] == 1
    assert found["llm_errors_total", f'{model},error_type="timeout"'] == 1
    assert found["llm_rate_limits_total", 'provider="p"'] == 1
    assert found["llm_retries_total", 'provider="p"'] == 1
    assert found["llm_provider_healthy", 'provider="q"'] == 0
    assert found["llm_cost_dollars_total", model] == 0.0000135
    assert found["llm_request_duration_seconds_count", f'{model},task="t"'] == 4
    assert found["llm_request_duration_seconds_bucket", f'{model},task="t",le="0.25"'] == 3
    assert not [place for place in found if place[0] == "llm_cost_dollars_total" and '"q"' in place[1]]
    assert to_prometheus([]) == ""


def test_histograms_only_grow():
    for task in ("t", "default"):
        buckets = [count for (name, labels), count in samples(to_prometheus(books().kept())).items() if name.endswith("_bucket")
                   and f'task="{task}"' in labels]  # fmt: skip
        assert buckets == sorted(buckets)
        assert len(buckets) == 18


def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        where(PROMETHEUS)  # skips, or fails where components are required
        pytest.fail("there is a Prometheus and no promtool")
    return found


def test_promtool_has_nothing_to_say():
    text = to_prometheus(books().kept(), books().retries(), {"p": True})
    done = subprocess.run([promtool(), "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_real_prometheus_scrapes_it():
    """What it has read is what was booked, odd label values and all."""
    prometheus = where(PROMETHEUS)
    targets = Path(os.environ["LLMKIT_PROMETHEUS_TARGETS"])
    page = to_prometheus(books().kept(), books().retries(), {"p": True}).encode()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"127.0.0.1:{server.server_port}"
        target = targets / "usage.json"
        target.write_text(json.dumps([{"targets": [place]}]))
        try:
            query = urllib.parse.quote(f'llm_tokens_prompt_total{{instance="{place}"}}')
            found: list[Any] = []
            until = time.monotonic() + 30
            while len(found) < 2 and time.monotonic() < until:
                with urllib.request.urlopen(f"{prometheus}/api/v1/query?query={query}", timeout=5) as reply:
                    found = json.load(reply)["data"]["result"]
                time.sleep(0.3)
        finally:
            target.unlink()
            server.shutdown()
    assert {sample["metric"]["model"]: sample["value"][1] for sample in found} == {"m": "10", ODD: "1"}


def test_a_client_exports(colour: Colour):
    """Retries, health and prices come from the client."""
    client = colour.scripted(one_after_another(refusal(500), answer(), refusal(401)), [openai(name="a"), openai(provider="groq")])
    client.generate("q", instance="a", tags=["x"])
    found = samples(client.export_usage("prometheus"))
    assert found["llm_retries_total", 'provider="openai"'] == 1
    assert found["llm_requests_total", 'provider="openai",model="m",task="default"'] == 2
    assert found["llm_provider_healthy", 'provider="openai"'] == 1
    assert json.loads(client.export_usage(by="tag"))[-1]["tag"] == "x"
    assert client.export_usage("csv", by="key").startswith("start,instance,")
    assert client.get_total_usage() == client.get_instance_usage("a") == Usage(1, 2, 3)
    assert client.total_usage().cost == client.usage("model")[0].cost != 0
    with pytest.raises(Exception, match="groq"):
        client.generate("q", instance="groq/m", retries=0)
    assert samples(client.export_usage("prometheus"))["llm_provider_healthy", 'provider="groq"'] == 0
    with pytest.raises(Exception, match="format: expected json, csv or prometheus"):
        client.export_usage("xml")
