"""The recorded exchanges: where they are, which of them llmkit's providers speak, and how each becomes bytes.

They are looked for in the folder that ``LLMKIT_RECORDINGS`` names, else in ``shared/recordings`` beside the checkout. Without
them these tests are skipped.

Out of scope, because they are other APIs than the ones llmkit's providers speak there, and counted by a test so that nothing falls
out unseen: kinds ``responses`` (OpenAI's Responses API, 390; their answers are read in ``test_responses.py``), ``completion`` (old
text completions, 60), ``count_tokens`` (15); dialects ``bedrock.*`` (AWS Bedrock's own, 116), ``vertex.predict`` (Vertex's
prediction API, 4), ``cohere.v1`` (18). In scope are 1,864 of 2,467.
"""

from __future__ import annotations

import base64
import os
import random
import re
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs
import orjson
import pytest

FOLDER = Path(os.environ.get("LLMKIT_RECORDINGS") or Path(__file__).resolve().parents[3] / "shared" / "recordings")

PROVIDERS = {
    "anthropic": "anthropic",
    "azure": "azure_openai",
    "bedrock": "bedrock",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "gemini": "google",
    "groq": "groq",
    "lmstudio": "lmstudio",
    "mistral": "mistral",
    "ollama": "ollama",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together",
    "vertex": "google",
    "vllm": "vllm",
    "xai": "xai",
}
"""The recordings' names of the vendors, and llmkit's."""
OPENAI_SIDE_DOORS = {"anthropic", "bedrock", "gemini", "ollama"}
"""Vendors with an API of their own and an OpenAI-like one beside it, which ``openai_compatible`` speaks."""

KINDS = ("chat", "embeddings", "models")
OTHER_DIALECTS = ("bedrock.anthropic", "bedrock.converse", "vertex.predict", "cohere.v1")

IN_SCOPE = 1_864
OUT_OF_SCOPE = {
    "responses": 390,
    "completion": 60,
    "count_tokens": 15,
    "bedrock.anthropic": 31,
    "bedrock.converse": 85,
    "vertex.predict": 4,
    "cohere.v1": 18,
}
"""How many exchanges of which kind or dialect are left out."""


@attrs.frozen(slots=False, repr=False, eq=False)
class Case:
    """One recorded exchange."""

    id: str
    vendor: str
    kind: str
    dialect: str
    stream: bool
    method: str
    path: str
    query: Mapping[str, str]
    base_path: str
    request: dict[str, Any] | None
    request_origin: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    expected: dict[str, Any]

    def __repr__(self) -> str:
        return self.id

    @property
    def left_out(self) -> str | None:
        """The kind or dialect that puts the case out of scope, or None."""
        if self.kind not in KINDS:
            return self.kind
        return self.dialect if self.dialect in OTHER_DIALECTS else None

    @property
    def provider(self) -> str:
        """llmkit's name of the provider that speaks this case's wire."""
        if self.vendor in OPENAI_SIDE_DOORS and self.dialect in ("openai.chat", "openai"):
            return "openai_compatible"
        if self.dialect == "anthropic.messages":
            return "anthropic"
        return PROVIDERS[self.vendor]

    @property
    def wire(self) -> str:
        """How the request is written: ``openai``, ``anthropic``, ``gemini``, ``ollama`` or ``cohere``."""
        return self.dialect.partition(".")[0]

    @property
    def model(self) -> str:
        """The model that was asked for, from the body or the path."""
        asked = (self.request or {}).get("model")
        if isinstance(asked, str):
            return asked
        found = re.search(r"/models/([^:/]+)", self.path) or re.search(r"/deployments/([^/]+)", self.path)
        return found[1] if found else "any"

    @cached_property
    def streamed(self) -> bool:
        """Whether the reply is a stream of events."""
        return self.stream and 200 <= self.status < 300 and self.kind == "chat"

    @property
    def sse(self) -> bool:
        """Whether the body is server-sent events."""
        return self.streamed and self.wire != "ollama" and not self.body.lstrip().startswith(b"[")

    def random(self, purpose: str) -> random.Random:
        """Chance that is the same in every run, so that a failure comes again."""
        return random.Random(f"{self.id} {purpose}")


def _case(line: bytes) -> Case:
    record = orjson.loads(line)
    text = record.get("body_text")
    return Case(
        body=base64.b64decode(record["body_base64"]) if text is None else text.encode(),
        headers={name.lower(): value for name, value in record["response_headers"].items()},
        **{field.name: record[field.name] for field in attrs.fields(Case) if field.name not in ("body", "headers")},
    )


def _load() -> list[Case]:
    path = FOLDER / "cases.jsonl"
    return [_case(line) for line in path.read_bytes().splitlines()] if path.is_file() else []


EVERY_CASE = _load()
CASES = [case for case in EVERY_CASE if case.left_out is None]
BY_ID = {case.id: case for case in CASES}
LEFT_OUT = Counter(case.left_out for case in EVERY_CASE if case.left_out)


def needs_recordings() -> None:
    """Skip the module that calls this where there are no recordings."""
    if not EVERY_CASE:
        pytest.skip(f"no recordings in {FOLDER}; LLMKIT_RECORDINGS may name their folder", allow_module_level=True)


def each(cases: list[Case]) -> pytest.MarkDecorator:
    """A test for each of ``cases``, named after it."""
    return pytest.mark.parametrize("case", cases, ids=[case.id for case in cases])
