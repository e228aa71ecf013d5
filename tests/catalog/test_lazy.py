"""The catalogue costs nothing to those who do not ask: neither import llmkit nor a call reads it."""

from __future__ import annotations

import subprocess
import sys

import pytest

UNREAD = {
    "llmkit.catalog.store",
    "llmkit.catalog.facts",
    "llmkit.catalog.select",
    "llmkit.values.price",
    "llmkit.values.model_requests",
}
CALL = """
from llmkit import Client, Instance
from tests.support.colours import ScriptedClient, chat
from llmkit.testing import ScriptedRuntime
client = ScriptedClient(ScriptedRuntime(lambda request: chat()), [Instance("openai", "gpt-4o", api_key="k")])
answer = client.generate("Hi")
"""


@pytest.mark.parametrize(
    ("program", "loaded"),
    [
        ("import llmkit", False),
        ("import llmkit.catalog", False),
        (CALL, False),
        (CALL + "answer.cost", True),
        (CALL + "client.select_models('cheapest')", True),
    ],
)
def test_what_is_loaded(program: str, loaded: bool):
    check = f"\nimport sys\nfound = {UNREAD} & set(sys.modules)\nassert bool(found) is {loaded}, found"
    done = subprocess.run([sys.executable, "-c", program + check], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_one_vendor_s_file_is_read_and_no_other():
    from llmkit.catalog.store import Catalog

    catalog = Catalog()
    catalog.price_of("groq", "llama-3.1-8b-instant")

    assert set(catalog._read) == {"groq"}
