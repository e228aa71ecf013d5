"""What every provider must be, simulated or not: pure, deterministic, silent about keys, never fooled by rubbish."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from llmkit import ConfigError, Image, Instance, LLMError, Message, Tool
from llmkit.provider import API_VERSION, FEATURES, Provider
from llmkit.values.calls import Call, ChatCall, Deadline
from llmkit.values.messages import ToolCall
from llmkit.values.options import Options
from llmkit.values.other_calls import CountCall, EmbedCall, ModelsCall, RawCall
from llmkit.values.secret import Secret
from llmkit.values.tools import JsonSchema
from llmkit.wire.http import HttpReply
from tests.conformance.test_options import OPTIONS, PARTS
from tests.support.vendors import VENDORS, provider

DEADLINE = Deadline(600.0, 600.0)
SHAPE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
KEY = "sk-planted-0123456789abcdef"
JUNK = [
    b"", b" ", b"{", b"[]", b"null", b"0", b'"x"', b"{}", b"[{}]", b"[[1]]", b"<html></html>", b"\xff\xfe\x00", b'"\\ud800"',
    b'{"error":null}', b'{"error":[]}', b'{"error":{}}', b'{"error":7}', b'{"error":{"message":{"a":1},"code":[1]}}',
    b'{"message":null}', b'{"detail":[{"loc":[1],"msg":null}]}', b'{"errors":[]}', b'[{"error":"x"}]',
    b'{"choices":7}', b'{"choices":[{}]}', b'{"choices":[null]}', b'{"content":[{"type":7}]}', b'{"candidates":[{"content":[]}]}',
    b'{"message":{"content":7}}', b'{"usage":{"total_tokens":-1}}', b"[" * 100_000, b'{"a":' * 500, b"NaN", b"1e999",
]  # fmt: skip
STATUSES = (301, 400, 401, 402, 403, 404, 408, 413, 418, 422, 429, 451, 498, 499, 500, 502, 503, 504, 529, 599)


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest) -> Provider:
    return provider(request.param)


def instance(vendor: Provider) -> Instance:
    return Instance(vendor.name, "m", api_key=KEY, base_url=vendor.base_url or "https://own.example/v1")


def chats(vendor: Provider, stream: bool) -> Iterator[ChatCall]:
    """A call for every feature of the vendor, and a conversation with everything it can have."""
    hello = Message.user("one two")
    yield ChatCall(deadline=DEADLINE, messages=(hello,), stream=stream)
    tool = Tool("weather", "Weather in a city.", SHAPE)
    for feature, given in OPTIONS.items():
        if feature in vendor.features:
            options = {name: value for name, value in given.items() if name != "response_model"}
            if "response_model" in given:
                options["response_format"] = "json" if feature == "json" else JsonSchema(SHAPE)
            yield ChatCall(deadline=DEADLINE, messages=(hello,), stream=stream, options=Options(**options))
    for feature, part in PARTS.items():
        if feature in vendor.features:
            yield ChatCall(deadline=DEADLINE, messages=(Message.user("Look.", part),), stream=stream)
    if "tools" in vendor.features:
        call = ToolCall("call_1", "weather", {"city": "Oslo"})
        turns = (Message.system("Be brief."), hello, Message.assistant(call), Message.tool(call, "sunny"))
        yield ChatCall(deadline=DEADLINE, messages=turns, stream=stream, options=Options(tools=[tool], extra={"own": {"a": [1]}}))


def calls(vendor: Provider) -> list[Call[Any]]:
    """Everything that the vendor says it can do."""
    found: list[Call[Any]] = [*chats(vendor, False)]
    if "stream" in vendor.features:
        found += chats(vendor, True)
    if "embeddings" in vendor.features:
        found.append(EmbedCall(deadline=DEADLINE, texts=("one", "two"), dimensions=8 if "dimensions" in vendor.features else None))
    if "models" in vendor.features:
        found.append(ModelsCall(deadline=DEADLINE))
    if "count_tokens" in vendor.features:
        found.append(CountCall(deadline=DEADLINE, messages=(Message.system("Be brief."), Message.user("Hello"))))
    return [*found, RawCall(deadline=DEADLINE, method="post", path="/own", json={"a": 1})]


def frozen(value: Any) -> str:
    """A value as text, to see whether it has changed."""
    return repr(attrs.asdict(value, recurse=True))


def test_attributes(vendor: Provider):
    assert vendor.name in VENDORS
    assert vendor.api_version == API_VERSION
    assert vendor.title.strip() == vendor.title != ""
    assert vendor.features <= set(FEATURES)
    assert "chat" in vendor.features
    for feature, needed in {"tool_choice": "tools", "image_urls": "images", "dimensions": "embeddings"}.items():
        assert feature not in vendor.features or needed in vendor.features
    assert vendor.key_names or not vendor.needs_key
    for name in (*vendor.key_names, *vendor.base_url_names):
        assert name == name.upper()
        assert name.replace("_", "").isalnum()
    assert len({*vendor.key_names, *vendor.base_url_names}) == len(vendor.key_names) + len(vendor.base_url_names)
    assert all(endpoint.startswith("/") and not endpoint.endswith("/") for endpoint in vendor.endpoints)
    assert all(sentence.endswith(".") for sentence in vendor.settings.values())


def test_addresses(vendor: Provider):
    """A documentation page, and a root that an instance takes; a vendor without one asks for it."""
    if vendor.docs:
        assert vendor.docs.startswith("https://")
    if vendor.base_url:
        assert not vendor.base_url.endswith("/")
        Instance(vendor.name, "m", base_url=vendor.base_url)
    root = vendor.root(instance(vendor))
    assert root
    for endpoint in ("", "/", *vendor.endpoints):
        full = attrs.evolve(instance(vendor), base_url=f"{root}{endpoint}")
        assert vendor.root(full) in (root, root.removesuffix("/v1"))
        assert not vendor.root(full).endswith("/")


def test_built_in_vendors_have_documentation(vendor: Provider):
    if type(vendor).__module__.startswith("llmkit_providers."):
        assert vendor.docs.startswith("https://")


def test_encoding_is_pure(vendor: Provider):
    """The same bytes every time, from every object of the class, and the call is as it was."""
    other = type(vendor)()
    for call in calls(vendor):
        before = frozen(call)
        target = instance(vendor)
        requests = [one.encode(call, target) for one in (vendor, vendor, other)]
        assert len({(one.method, one.url, one.body, tuple(one.headers.items())) for one in requests}) == 1
        assert frozen(call) == before
        assert frozen(target) == frozen(instance(vendor))


def test_keys_go_into_one_header_and_nowhere_else(vendor: Provider):
    for call in calls(vendor):
        request = vendor.encode(call, instance(vendor))
        assert KEY not in f"{request.url}{request.headers!r}{request.body!r}"
        signed = vendor.authorize(request, Secret(KEY))
        assert [KEY in value for value in signed.headers.values()].count(True) == 1
        assert (signed.method, signed.url, signed.body) == (request.method, request.url, request.body)
        assert not any(KEY in value for value in request.headers.values())
        assert KEY not in repr(signed)


def test_no_sampling_default_is_sent(vendor: Provider):
    call = ChatCall(deadline=DEADLINE, messages=(Message.user("Hi"),))
    body = json.loads(vendor.encode(call, instance(vendor)).body or b"{}")
    sent = {str(name).lower().replace("_", "") for level in (body, *body.values()) if isinstance(level, dict) for name in level}
    assert not sent & {"temperature", "topp", "topk", "seed", "stop", "stopsequences", "frequencypenalty", "presencepenalty"}


@pytest.mark.parametrize("model", ["../../x", "x/../../y", "a?y=1#z/\u00e4 b@evil.example", "//evil.example/x"])
def test_urls_stay_at_the_root(vendor: Provider, model: str):
    """Whatever a model is called, the request goes to the configured host, below the configured path."""
    target = attrs.evolve(instance(vendor), model=model)
    try:
        request = vendor.encode(ChatCall(deadline=DEADLINE, messages=(Message.user("Hi"),)), target)
    except LLMError:
        return
    root = vendor.root(target)
    assert request.url.startswith(root)
    path = request.url.removeprefix(root).partition("?")[0]
    assert "/../" not in f"{path}/"
    assert path.isascii()
    assert " " not in request.url
    assert "#" not in request.url


def test_decoders_need_an_end(vendor: Provider):
    """Nothing, comments and blank lines are no answer."""
    if "stream" not in vendor.features:
        pytest.skip(f"{vendor.name} does not stream")
    call = ChatCall(deadline=DEADLINE, messages=(Message.user("Hi"),), stream=True)
    for data in (b"", b"\n", b": ping\n\n" * 100, b"event: ping\n\n", b"\r\n\r\n", b"\xef\xbb\xbf"):
        decoder = vendor.decoder(call, {})
        assert not decoder.complete
        try:
            events = [*decoder.feed(data), *decoder.finish()]
        except LLMError:
            events = []
        assert events == []
        assert not decoder.complete


def test_every_refusal_is_a_typed_error(vendor: Provider):
    odd = {"retry-after": "soon", "content-type": "text/html", "x-request-id": ""}
    replies = [HttpReply(status, {}, body) for status in (400, 429, 500) for body in JUNK]
    for headers in (odd, {"retry-after": "-1e999"}):
        replies += [HttpReply(status, headers, body) for status in STATUSES for body in JUNK[:4]]
    for reply in replies:
        error = vendor.error(reply)
        assert isinstance(error, LLMError)
        assert error.status == reply.status
        assert error.retry_after is None or error.retry_after >= 0
        assert len(str(error)) < 5000


def test_junk_is_no_answer(vendor: Provider):
    """Where a whole answer is expected."""
    call = ChatCall(deadline=DEADLINE, messages=(Message.user("Hi"),))
    for body in JUNK:
        try:
            answer = vendor.decode(call, HttpReply(200, {}, body))
        except LLMError:
            continue
        assert answer.message.role == "assistant", body
        assert not answer.text, body


def test_what_is_not_listed_is_refused(vendor: Provider):
    """Embeddings, model lists and streams by their methods, everything else by what ``unsupported`` gives."""
    target = instance(vendor)
    for feature, part in PARTS.items():
        asked = ChatCall(deadline=DEADLINE, messages=(Message.user("Look.", part),))
        assert (feature in vendor.unsupported(asked, target)) == (feature not in vendor.features)
    others = {
        "embeddings": EmbedCall(deadline=DEADLINE, texts=("a",)),
        "models": ModelsCall(deadline=DEADLINE),
        "count_tokens": CountCall(deadline=DEADLINE, messages=(Message.user("Hello"),)),
    }
    for feature, call in others.items():
        if feature not in vendor.features:
            with pytest.raises(LLMError) as caught:
                vendor.encode(call, target)
            assert caught.value.parameters == (feature,)


def test_unknown_settings_are_refused(vendor: Provider):
    from llmkit import Client

    with pytest.raises(ConfigError, match=r"settings\.nonsense"):
        Client([attrs.evolve(instance(vendor), settings={"nonsense": 1})], plugins=[], environ={})


def test_pictures_of_any_size_and_type_are_refused_or_encoded(vendor: Provider):
    """A part that says little about itself is no reason for another error than a typed one."""
    if "images" not in vendor.features:
        pytest.skip(f"{vendor.name} has no images")
    for picture in (Image(b""), Image(b"\0" * 10), Image(b"x", media_type="image/x-odd"), Image(file_id="f-1")):
        try:
            request = vendor.encode(ChatCall(deadline=DEADLINE, messages=(Message.user(picture),)), instance(vendor))
        except LLMError:
            continue
        assert request.body


FORBIDDEN = (
    "requests", "urllib3", "aiohttp", "httpx", "asyncio", "socket", "ssl", "llmkit.client", "llmkit.transports", "llmkit.flow",
)  # fmt: skip


def test_imports():
    """Importing a vendor's module brings no HTTP library, no event loop, and nothing from behind the counter."""
    modules = {name: type(provider(name)).__module__ for name in VENDORS}
    code = f"""
import importlib, json, sys
import llmkit.provider, llmkit.values, llmkit.wire.sse, llmkit.errors
before, found = set(sys.modules), {{}}
for name, module in {modules!r}.items():
    importlib.import_module(module)
    fresh = set(sys.modules) - before
    bad = [one for one in fresh if one.startswith({FORBIDDEN!r})]
    if bad:
        found[name] = sorted(bad)
    before = set(sys.modules)
print(json.dumps(found))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout) == {}
