"""Wrong values are told of by a typed error that names the parameter, whatever they are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from llmkit import Client, ConfigError, Instance, InvalidRequestError, LLMError, Options, Task
from tests.support.colours import Colour, chat


class Unprintable:
    """Raises where its repr is wanted."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def _deep() -> dict[str, Any]:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    return deep


WRONG = [5, math.nan, b"x", object(), Unprintable(), 1j, [[]], {"a": {}}, 10**400]


@pytest.mark.parametrize(
    "field", ["provider", "model", "api_key", "api_keys", "base_url", "name", "tasks", "enabled", "headers", "options", "settings"]
)
@pytest.mark.parametrize("value", WRONG, ids=lambda value: type(value).__name__)
def test_instances_refuse_values_of_a_wrong_type(field: str, value: Any) -> None:
    fields: dict[str, Any] = {"provider": "openai", "model": "m", field: value}
    if field in ("headers", "options", "settings") and isinstance(value, dict):
        fields[field] = [value]
    with pytest.raises(LLMError, match=r".+"):
        Instance(**fields)


@pytest.mark.parametrize("name", ["weight", "timeout"])
def test_numbers_too_large_for_a_float_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Instance("openai", "m", **{name: 10**400})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="timeout"):
        Client(timeout=10**400)


def test_a_whole_number_of_any_size_is_no_overflow() -> None:
    assert Options(max_tokens=10**400).max_tokens == 10**400


@pytest.mark.parametrize("value", [Unprintable(), [Unprintable()], _deep()], ids=["object", "list", "deep"])
@pytest.mark.parametrize("name", ["max_tokens", "tool_choice", "stop", "timeout", "retries", "on_unsupported", "response_model"])
def test_values_that_cannot_be_printed(colour: Colour, name: str, value: Any) -> None:
    client = colour.scripted(lambda request: chat("hi"), [Instance("openai", "m", api_key="k1")])
    if name == "response_model" and isinstance(value, dict):
        pytest.skip("a mapping is a schema")
    with pytest.raises(InvalidRequestError) as caught:
        client.generate("Hi", **{name: value})
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "setting", [{"proxy": 5}, {"proxy": b"x"}, {"pool_size": "x"}, {"pool_size": 0}, {"pool_size": 10**400}, {"verify": 5}]
)
def test_transport_settings_are_checked_at_once(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        Client(**setting)


@pytest.mark.parametrize("name", ["fallbacks", "tags"])
def test_an_iterator_is_not_silently_read_to_its_end_by_the_check(colour: Colour, name: str) -> None:
    def words() -> Iterator[str]:
        yield "openai/m"

    client = colour.scripted(lambda request: chat("hi"), [Instance("openai", "m", api_key="k1")])
    with pytest.raises(InvalidRequestError, match=name):
        client.generate("Hi", **{name: words()})


@pytest.mark.parametrize("value", [5, [], {}, Unprintable(), None], ids=lambda value: type(value).__name__)
def test_instance_names_that_are_no_text(colour: Colour, value: Any) -> None:
    client = colour.scripted(lambda request: chat("hi"), [Instance("openai", "m", api_key="k1")])
    for act in (client.remove_instance, client.enable, client.disable):
        with pytest.raises(ConfigError):
            act(value)
    with pytest.raises(LLMError):
        client.request(value, "GET", "/models")
    if value is not None:
        with pytest.raises(ConfigError):
            client.list_models(value)


def test_a_picture_without_a_url_is_told_of_by_its_position(colour: Colour) -> None:
    client = colour.scripted(lambda request: chat("hi"), [Instance("openai", "m", api_key="k1")])
    with pytest.raises(InvalidRequestError, match=r"prompt\[0\]"):
        client.generate([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": None}}]}])


def test_task_names() -> None:
    with pytest.raises(ConfigError, match="Task"):
        Task(Unprintable())  # type: ignore[arg-type]
