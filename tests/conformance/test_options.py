"""Parameters and parts: the strict vendor takes those that its provider lists; any other is refused, dropped or warned about."""

from __future__ import annotations

import struct
import warnings
import zlib
from typing import Any

import pytest

from llmkit import Audio, File, Image, Message, Tool, UnsupportedParameterError
from llmkit.provider import FEATURES
from tests.conformance.conftest import Vendor

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
TOOLS = [Tool("weather", "Weather in a city.", CITY)]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
PNG += _chunk(b"IDAT", zlib.compress(b"\0\0")) + _chunk(b"IEND", b"")
WAV = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\0\0\0\0"
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"

LOOK = "Look at this as JSON."  # the word JSON, because OpenAI wants it said where JSON is asked for
OPTIONS: dict[str, dict[str, Any]] = {
    "max_tokens": {"max_tokens": 50},
    "temperature": {"temperature": 0.5},
    "top_p": {"top_p": 0.5},
    "stop": {"stop": ["END"]},
    "seed": {"seed": 7},
    "reasoning_effort": {"reasoning_effort": "high"},
    "tools": {"tools": TOOLS},
    "json": {"response_model": "json"},
    "json_schema": {"response_model": CITY},
}
"""For each feature that is a parameter: what asks for it."""
PARTS: dict[str, Any] = {
    "images": Image(PNG, media_type="image/png"),
    "image_urls": Image(url="https://pictures.example/one.png"),
    "audio": Audio(WAV, media_type="audio/wav"),
    "files": File(PDF, media_type="application/pdf", name="one.pdf"),
}
"""For each feature that is a kind of part: one of them."""


def question(feature: str) -> tuple[list[Message], dict[str, Any]]:
    """What asks for a feature."""
    if feature in PARTS:
        return [Message.user(LOOK, PARTS[feature])], {}
    return [Message.user(LOOK)], OPTIONS[feature]


def test_every_feature_is_tested():
    """A feature is in the tables here, or in the tests of answers."""
    elsewhere = {"chat", "stream", "embeddings", "models", "count_tokens", "dimensions", "tool_choice"}
    assert {*OPTIONS, *PARTS} | elsewhere == set(FEATURES)


@pytest.mark.parametrize("feature", [*OPTIONS, *PARTS])
def test_feature(vendor: Vendor, feature: str):
    """A listed one is taken by the strict vendor; any other is refused before sending, or dropped where that is allowed."""
    if feature in vendor.features:
        taken(vendor, feature)
    else:
        refused(vendor, feature)
        dropped(vendor, feature)


def taken(vendor: Vendor, feature: str) -> None:
    messages, options = question(feature)
    client = vendor.client()
    answer = client.generate(messages, **options)
    assert answer.dropped == ()
    vendor.agrees(answer)
    if "stream" in vendor.features:
        streamed = client.stream(messages, **options).completion()
        assert (streamed.text, streamed.usage) == (answer.text, answer.usage)


def test_all_listed_parameters_at_once(vendor: Vendor):
    """Whatever the vendor lists goes together, but for tools, which many do not take beside a shape."""
    names = ("max_tokens", "temperature", "stop", "seed")
    options = {name: value for feature in names if feature in vendor.features for name, value in OPTIONS[feature].items()}
    assert vendor.client().generate("one two END three", **options).text.strip() == "one two" or "stop" not in options


def refused(vendor: Vendor, feature: str) -> None:
    messages, options = question(feature)
    client = vendor.client()
    with pytest.raises(UnsupportedParameterError) as caught:
        client.generate(messages, **options)
    assert feature in caught.value.parameters
    assert FEATURES[feature] in str(caught.value)
    if "stream" in vendor.features:
        with pytest.raises(UnsupportedParameterError):
            client.stream(messages, **options).completion()
    assert vendor.books()["calls"] == 0


def dropped(vendor: Vendor, feature: str) -> None:
    """The call goes out without it, and its answer says so."""
    messages, options = question(feature)
    client = vendor.client()
    answer = client.generate(messages, on_unsupported="drop", **options)
    assert answer.text == LOOK
    assert feature in answer.dropped
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert client.generate(messages, on_unsupported="warn", **options).dropped == answer.dropped
    assert any(feature in str(one.message) for one in caught)
