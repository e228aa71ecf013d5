"""What people who meet llmkit for the first time ran into."""

from __future__ import annotations

import pytest

import llmkit
from llmkit import Client, ConfigError, Image, Instance, InvalidRequestError, JsonSchema, Message, Options, Task, Text
from llmkit.errors import AuthenticationError
from llmkit.testing import MockClient
from llmkit.wire.http import HttpReply
from tests.support.colours import Colour


def test_a_mock_serves_any_model_and_its_tasks():
    """An application that names models and tasks is tested as it is."""
    client = MockClient(["a", "b", "c"], tasks=[Task("summary")])
    assert client.generate("x", model="openai/gpt-4o-mini").instance == "openai/gpt-4o-mini"
    assert client.generate("x", task="summary").instance == "mock"
    assert client.generate("x").instance == "mock"
    llmkit.set_client(MockClient(["shared"]))
    try:
        assert llmkit.generate("openai/gpt-4o-mini", "x").text == "shared"
    finally:
        llmkit.reset_client()


def test_media_take_bytes_and_messages_take_parts():
    with pytest.raises(InvalidRequestError, match=r"Image\.data: expected bytes, got str"):
        Image("https://example.com/cat.png")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match=r"Message.content\[0\]: expected text or a part, got list"):
        Message.user([Text("x")])  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "hint"), [("stream", "use stream"), ("api_key", "Instance"), ("messages", "first argument")])
def test_what_other_libraries_call_otherwise(name: str, hint: str):
    with pytest.raises(InvalidRequestError, match=f"{name}: no parameter of a call.*{hint}"):
        MockClient(["a"]).generate("x", **{name: True})


def test_settings_that_cannot_work_are_refused_when_the_client_is_made():
    with pytest.raises(ConfigError, match="no plugin is named 'nobodys'"):
        Client(plugins=["nobodys"])
    with pytest.raises(ConfigError, match="verify: expected"):
        Client(verify="missing.pem")
    with pytest.raises(ConfigError, match="parentheses"):
        llmkit.retry(print)  # type: ignore[arg-type]


def test_a_shape_by_either_name():
    """What `Options` holds goes into a call and into a task."""
    schema = {"type": "object", "properties": {}}
    options = Options(response_format="json", max_tokens=5)
    client = MockClient(['{"a": 1}', '{"a": 2}'], tasks=[Task("t", response_model=schema)])
    assert client.generate("x", **options.to_dict()).parsed == {"a": 1}
    assert client.generate("x", task="t").parsed == {"a": 2}
    assert client.tasks[0].defaults.response_format == JsonSchema(schema)
    assert client.tasks[0].defaults.extra is None


def test_a_refused_key_is_out_until_the_instance_is_enabled_again(colour: Colour):
    """Its state says so, and whoever has put the key right need not wait for an hour."""
    replies = iter([HttpReply(401, {}, b'{"error": {"message": "no"}}')])
    instance = Instance("openai", "m", api_key="sk-a-key-of-mine", base_url="https://x.test/v1", name="one")
    answered = HttpReply(200, {}, b'{"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}')
    client = colour.scripted(lambda request: next(replies, answered), [instance])
    with pytest.raises(AuthenticationError):
        client.generate("q")
    assert [key.status for state in client.health() for key in state.keys] == ["out"]
    client.enable("one")
    assert client.generate("q").text == "yes"


def test_a_server_without_a_key_has_none_to_let_rest(colour: Colour):
    replies = iter([HttpReply(401, {}, b'{"error": "unauthorized"}')])
    answered = HttpReply(200, {}, b'{"message": {"content": "yes"}, "done": true, "done_reason": "stop"}')
    client = colour.scripted(lambda request: next(replies, answered), [Instance("ollama", "m")], retries=0)
    with pytest.raises(AuthenticationError):
        client.generate("q")
    assert client.generate("q").text == "yes"


def test_a_404_says_where_it_asked(colour: Colour):
    reply = HttpReply(404, {}, b"404 page not found")
    client = colour.scripted(lambda request: reply, [Instance("ollama", "m", base_url="http://localhost:9/wrong")])
    with pytest.raises(llmkit.ModelNotFoundError, match="http://localhost:9/wrong"):
        client.generate("q")
