"""What every vendor answers, whole and streamed, in both colours, with the vendor's own books beside it."""

from __future__ import annotations

import pytest

from llmkit import FinishReason, LLMError, Message, Tool, UnsupportedParameterError
from llmkit.values.events import CONTENT_EVENTS, StreamFinished, ToolCallDelta
from tests.conformance.conftest import Vendor

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
WEATHER = Tool("weather", "Weather in a city.", CITY)
CLOCK = Tool("clock", "The time in a city.", CITY)
ASK_TWICE = 'call:weather {"city": "Oslo"} call:clock {"city": "Rome"}'
CALLED = [("weather", {"city": "Oslo"}), ("clock", {"city": "Rome"})]

FILTERED = {"cohere": FinishReason.ERROR, "ollama": FinishReason.STOP}
"""What an answer that a filter has ended says at vendors that have no word for it."""


def calls(answer) -> list:
    return [(call.name, dict(call.arguments)) for call in answer.tool_calls]


def test_generate(vendor: Vendor):
    answer = vendor.client().generate("one two  three 五 \U0001f600")
    assert (answer.text, answer.finish_reason) == ("one two  three 五 \U0001f600", FinishReason.STOP)
    assert (answer.provider, answer.instance, len(answer.attempts)) == (vendor.name, f"{vendor.name}/m", 1)
    assert answer.raw_finish_reason
    vendor.agrees(answer)
    assert vendor.books()["ok"] == 1


def test_stream(vendor: Vendor):
    """The pieces are the whole, and fold to what generate gives."""
    vendor.needs("stream")
    client = vendor.client()
    text = "one two  three 五 \U0001f600"
    with client.stream(text) as stream:
        events = list(stream)
        streamed = stream.completion()
    assert "".join([event.text for event in events]) == streamed.text == text
    assert sum([isinstance(event, CONTENT_EVENTS) for event in events]) > 1
    assert [event.finish_reason for event in events if isinstance(event, StreamFinished)] == ["stop"]
    vendor.agrees(streamed)
    whole = client.generate(text)
    same = ("message", "finish_reason", "raw_finish_reason", "usage", "model", "provider", "instance", "tool_calls")
    assert {name: getattr(streamed, name) for name in same} == {name: getattr(whole, name) for name in same}
    assert client.usage()[0].usage == streamed.usage + whole.usage


def test_no_stream(vendor: Vendor):
    if "stream" in vendor.features:
        pytest.skip(f"{vendor.name} streams")
    with pytest.raises(UnsupportedParameterError), vendor.client().stream("Hi"):
        pass
    assert vendor.books()["calls"] == 0


def test_system_and_turns(vendor: Vendor):
    """The whole conversation arrives: the vendor counts its words, and answers its last message."""
    said = [Message.system("Be brief."), Message.user("one two"), Message.assistant("three"), Message.user("four five six")]
    client = vendor.client()
    answer = client.generate(said)
    again = client.generate(said[1:], system="Be brief.")
    assert answer.text == again.text == "four five six"
    assert answer.usage.prompt_tokens == again.usage.prompt_tokens == 8
    vendor.agrees(answer, again)


def test_a_dialogue_goes_on(vendor: Vendor):
    """An answer's own message is taken as a turn of the next question."""
    client = vendor.client()
    first = client.generate("one two")
    second = client.generate([Message.user("one two"), first.message, Message.user("three")])
    assert second.text == "three"
    assert second.usage.prompt_tokens == 5


def test_tools(vendor: Vendor):
    """Two calls at once, their results, and the answer to those."""
    vendor.needs("tools")
    client = vendor.client()
    asked = client.generate(ASK_TWICE, tools=[WEATHER, CLOCK])
    assert (calls(asked), asked.finish_reason) == (CALLED, FinishReason.TOOL_CALLS)
    assert len({call.id for call in asked.tool_calls}) == 2
    results = [Message.tool(call, f"sunny {number}") for number, call in enumerate(asked.tool_calls)]
    told = client.generate([Message.user(ASK_TWICE), asked.message, *results], tools=[WEATHER, CLOCK])
    assert (told.text, told.finish_reason) == ("sunny 0\nsunny 1", FinishReason.STOP)
    vendor.agrees(asked, told)


def test_streamed_tools(vendor: Vendor):
    vendor.needs("tools", "stream")
    with vendor.client().stream(ASK_TWICE, tools=[WEATHER, CLOCK]) as stream:
        events = [event for event in stream if isinstance(event, ToolCallDelta)]
        asked = stream.completion()
    assert (calls(asked), asked.finish_reason) == (CALLED, FinishReason.TOOL_CALLS)
    assert {event.position for event in events} == {0, 1}
    assert [event.name for event in events if event.name] == ["weather", "clock"]
    vendor.agrees(asked)


@pytest.mark.parametrize(("choice", "text", "expected"), [
    ("none", ASK_TWICE, []), ("auto", "Hi", []), ("required", "Hi", [("weather", {"city": ""})]),
    ("clock", "Hi", [("clock", {"city": ""})]),
])  # fmt: skip
def test_tool_choice(vendor: Vendor, choice: str, text: str, expected: list):
    """A vendor that cannot be told the name of a tool says so instead of choosing otherwise."""
    vendor.needs("tools", "tool_choice")
    said: tuple[str, ...] = ()
    try:
        answer = vendor.client().generate(text, tools=[WEATHER, CLOCK], tool_choice=choice)
    except UnsupportedParameterError as error:
        said = error.parameters
    if said:
        assert (choice, said, vendor.books()["calls"]) == ("clock", ("tool_choice",), 0)
    else:
        assert calls(answer) == expected


@pytest.mark.parametrize("streamed", [False, True])
def test_json(vendor: Vendor, streamed: bool):
    vendor.needs("json", *(["stream"] if streamed else []))
    client = vendor.client()
    prompt = "Say it as JSON."
    answer = client.stream(prompt, response_model="json").completion() if streamed else None
    answer = answer or client.generate(prompt, response_model="json")
    assert answer.parsed == {"text": prompt}
    vendor.agrees(answer)


@pytest.mark.parametrize("streamed", [False, True])
def test_json_schema(vendor: Vendor, streamed: bool):
    vendor.needs("json_schema", *(["stream"] if streamed else []))
    client = vendor.client()
    answer = client.stream("Fill in.", response_model=CITY).completion() if streamed else None
    answer = answer or client.generate("Fill in.", response_model=CITY)
    assert answer.parsed == {"city": ""}
    vendor.agrees(answer)


@pytest.mark.parametrize("streamed", [False, True])
def test_finish_reasons(vendor: Vendor, streamed: bool):
    """Each in llmkit's word, whatever the vendor's is."""
    vendor.needs("max_tokens", *(["stream"] if streamed else []))
    client = vendor.client()
    for prompt, options, text, reason in [
        ("one two", {}, "one two", FinishReason.STOP),
        ("one two three", {"max_tokens": 2}, "one two", FinishReason.LENGTH),
        ("filtered: one", {}, "one", FILTERED.get(vendor.name, FinishReason.CONTENT_FILTER)),
    ]:
        answer = client.stream(prompt, **options).completion() if streamed else client.generate(prompt, **options)
        assert (answer.text, answer.finish_reason) == (text, reason)
        assert answer.raw_finish_reason


@pytest.mark.parametrize("streamed", [False, True])
def test_reasoning(vendor: Vendor, streamed: bool):
    """Thinking never gets into the text, is counted once, and may go back with the next turn."""
    vendor.needs(*(["stream"] if streamed else []))
    client = vendor.client()
    answer = client.stream("think: it is so").completion() if streamed else client.generate("think: it is so")
    assert (answer.text, answer.reasoning) in (("it is so", "so it must be"), ("it is so", ""))
    vendor.agrees(answer)
    assert answer.usage.completion_tokens == 7
    assert client.generate([Message.user("Hi"), answer.message, Message.user("and now")]).text == "and now"


def test_list_models(vendor: Vendor):
    if "models" not in vendor.features:
        with pytest.raises(UnsupportedParameterError):
            vendor.client().list_models()
        assert vendor.books()["calls"] == 0
        return
    models = vendor.client().list_models()
    assert models
    assert all(model.id and model.provider == vendor.name for model in models)


def test_count_tokens(vendor: Vendor):
    """The vendor's own count, of the whole prompt or of its texts; where it has none, an error and nothing sent."""
    said = [Message.system("Be brief."), Message.user("one two")]
    if "count_tokens" not in vendor.features:
        with pytest.raises(UnsupportedParameterError) as caught:
            vendor.client().count_tokens(said, exact=True)
        assert caught.value.parameters == ("count_tokens",)
        assert vendor.books()["calls"] == 0
        return
    client = vendor.client()
    counted = client.count_tokens(said, exact=True)
    assert (counted, counted.exact) == (4, vendor.name != "cohere")
    assert client.generate(said).usage.prompt_tokens == counted
    assert not client.count_tokens(said).exact
    assert vendor.books()["calls"] == 2
    with pytest.raises(LLMError):
        vendor.client(fault="server").count_tokens(said, exact=True)


def test_embeddings(vendor: Vendor):
    if "embeddings" not in vendor.features:
        with pytest.raises(UnsupportedParameterError) as caught:
            vendor.client().embed("Hi")
        assert caught.value.parameters == ("embeddings",)
        assert vendor.books()["calls"] == 0
        return
    found = vendor.client().embed(["one two", "three"])
    assert len(found.vectors) == 2
    assert [sum([x * x for x in one]) for one in found.vectors] == pytest.approx([1, 1], abs=0.1)
    assert found.vectors[0] != found.vectors[1]
    if found.usage is not None:
        assert found.usage.prompt_tokens == vendor.books()["prompt_tokens"] == 3


def test_dimensions(vendor: Vendor):
    vendor.needs("embeddings")
    if "dimensions" in vendor.features:
        assert {len(one) for one in vendor.client().embed(["one", "two"], dimensions=8).vectors} == {8}
        return
    with pytest.raises(UnsupportedParameterError):
        vendor.client().embed("one", dimensions=8)
    assert vendor.books()["calls"] == 0


def test_base_urls(vendor: Vendor):
    """The root, with and without a final slash, and every full endpoint that a configuration may hold."""
    root = vendor.provider.root(vendor.client().instances[0])
    forms = [vendor.root, f"{vendor.root}/", *[root + endpoint for endpoint in vendor.provider.endpoints]]
    for form in forms:
        assert vendor.client(base_url=form).generate("Hi").text == "Hi", form
        assert vendor.client(base_url=f"{form}/").generate("Hi").text == "Hi", form
