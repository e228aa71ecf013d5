"""Hooks at their moments, and hostile plugins: calls of others go on, the culprit is named once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import pytest

import llmkit
from llmkit import ConfigError, Instance, InvalidRequestError, InvalidResponseError, LLMError, Reject, ServerError
from llmkit.plugins import registry
from llmkit.plugins.hooks import make_hooks
from llmkit.plugins.listing import plugins
from llmkit.plugins.registry import Registry
from llmkit.provider import Provider
from llmkit.testing import Chunks, MockClient, ScriptedRuntime
from llmkit.values.completion import Completion
from llmkit.values.messages import Message
from llmkit.wire.http import HttpReply, HttpRequest
from tests.support.colours import Colour, ScriptedClient, answer, chat, chunks, one_after_another, openai, refusal, sent

HOOKS = {
    "llmkit_request": ("call", "instance", "request"),
    "llmkit_attempt": ("call", "attempt"),
    "llmkit_retry": ("call", "error", "pause"),
    "llmkit_failover": ("call", "error", "instance"),
    "llmkit_fallback": ("call", "error", "step"),
    "llmkit_hedge": ("call", "instance", "delay"),
    "llmkit_answer": ("call", "answer"),
    "llmkit_stream_event": ("call", "event"),
    "llmkit_error": ("call", "error"),
}


def plugin(body: Any, *names: str) -> Any:
    """A plugin whose hooks call ``body(name, facts)``."""
    made = SimpleNamespace()
    made.__name__ = "zoo"
    for name in names or HOOKS:
        arguments = ", ".join(HOOKS[name])
        space: dict[str, Any] = {"body": body}
        exec(f"def {name}({arguments}):\n    return body({name!r}, dict({', '.join(f'{a}={a}' for a in HOOKS[name])}))", space)
        setattr(made, name, llmkit.hookimpl(space[name]))
    return made


def test_every_hook_at_its_moment(colour: Colour):
    """The order of hooks over a retry, a failover, a stream and an error."""
    seen: list[str] = []
    spy = plugin(lambda name, facts: seen.append(name.removeprefix("llmkit_")))
    replies = iter([refusal(500), refusal(500), chat(), chunks("a"), refusal(400)])
    client = colour.scripted(
        lambda request: next(replies), [openai(name="a"), openai(name="b")], plugins=[spy], strategy="round_robin"
    )

    client.generate("q")
    assert seen == ["request", "attempt", "failover", "request", "attempt", "failover", "request", "attempt", "answer"]
    seen.clear()
    client.stream("q").text()
    assert seen[0] == "request"
    assert seen[-2:] == ["attempt", "answer"]
    assert set(seen[1:-2]) == {"stream_event"}
    seen.clear()
    with pytest.raises(InvalidRequestError):
        client.generate("q")
    assert seen == ["request", "attempt", "error"]

    seen.clear()
    client = colour.scripted(one_after_another(refusal(500), chat()), [openai()], plugins=[spy])
    client.generate("q")
    assert seen == ["request", "attempt", "retry", "request", "attempt", "answer"]

    seen.clear()
    client = colour.scripted(lambda request: chunks("a", end=()), [openai()], plugins=[spy])
    with pytest.raises(llmkit.StreamInterrupted):
        client.stream("q").text()
    assert seen[-2:] == ["attempt", "error"]


def test_a_request_is_altered_but_not_sent_elsewhere(colour: Colour):
    """A hook may replace headers, path and body; the host is the key's, and stays."""

    def alter(name: str, facts: Any) -> Any:
        request = facts["request"]
        assert "Authorization" not in request.headers
        return request.with_headers({"X-Trace": "7"})

    client = colour.scripted(answer(), [openai("sk-mine-12345")], plugins=[plugin(alter, "llmkit_request")])
    client.generate("q")
    assert sent(client)[0].headers["X-Trace"] == "7"
    assert sent(client)[0].headers["Authorization"] == "Bearer sk-mine-12345"

    elsewhere = plugin(lambda name, facts: HttpRequest("POST", "https://evil.test/v1", {}), "llmkit_request")
    client = colour.scripted(answer(), [openai()], plugins=[elsewhere])
    with pytest.raises(InvalidRequestError, match="host"):
        client.generate("q")
    assert not sent(client)


class Fatal(BaseException):
    """No Exception."""


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "problem", [ValueError("x"), SystemExit(3), RecursionError(), Fatal("x"), StopIteration(), Mute()], ids=repr
)
@pytest.mark.parametrize("hook", HOOKS)
def test_hooks_that_raise(colour: Colour, hook: str, problem: BaseException):
    """R23: whatever a hook raises, the call is unaffected, other plugins are called, and one warning names the plugin."""
    others: list[str] = []

    def bad(name: str, facts: Any) -> Any:
        raise problem

    zoo = [plugin(bad, hook), plugin(lambda name, facts: others.append(name), hook)]
    replies = iter([refusal(500), chat(), chat(), chunks("a"), refusal(400)])
    client = colour.scripted(lambda request: next(replies), [openai(name="a")], plugins=zoo)
    other = colour.scripted(one_after_another(refusal(500), chat()), [openai(name="a"), openai(name="b")], plugins=zoo)
    late = Chunks(((3.0, chat().body),))
    third = colour.scripted(one_after_another(late, chat(), refusal(500)), [openai()], plugins=zoo, retries=0)

    with pytest.warns(RuntimeWarning, match=f"'zoo'.*raised {type(problem).__name__}"):
        assert client.generate("q").text == "hello"
        assert client.generate("q").text == "hello"
        assert client.stream("q").text() == "a"
        with pytest.raises(InvalidRequestError):
            client.generate("q")
        assert other.generate("q").text == "hello"
        assert third.generate("q", hedge=1.0).text == "hello"
        assert third.generate("q", fallback=Reject("no")).text == "no"
    assert others
    assert third.in_flight() == 0


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), asyncio.CancelledError()], ids=repr)
def test_interrupts_pass_through_hooks(interrupt: BaseException):
    """What the user or the loop raises is not the plugin's, and no slot stays behind."""

    def bad(name: str, facts: Any) -> Any:
        raise interrupt

    client = MockClient(["hi"], plugins=[plugin(bad, "llmkit_request")])
    with pytest.raises(type(interrupt)):
        client.generate("q")
    assert client.health()[0].in_flight == 0

    runtime = ScriptedRuntime(lambda request: Chunks(((3.0, chat().body),)))
    late = ScriptedClient(runtime, [openai()], plugins=[plugin(bad, "llmkit_hedge")])
    with pytest.raises(type(interrupt)):
        late.generate("q", hedge=1.0)
    assert late.health()[0].in_flight == 0


def test_hooks_that_return_rubbish_or_write_into_what_they_get(colour: Colour):
    def write(name: str, facts: Any) -> Any:
        facts["request"].headers["Authorization"] = "Bearer stolen"
        facts["request"].headers["X-Own"] = "1"
        return "rubbish"

    client = colour.scripted(answer(), [openai("sk-mine-12345")], plugins=[plugin(write, "llmkit_request")])
    with pytest.warns(RuntimeWarning, match="returned str, not an HttpRequest"):
        client.generate("q")
        client.generate("q")
    assert sent(client)[1].headers["Authorization"] == "Bearer sk-mine-12345"


def test_registering(colour: Colour):
    """Strategies and secret sources come from plugins; those that return rubbish are named and left out."""

    class Last:
        def choose(self, routes: Any, now: float) -> Any:
            return routes[-1]

    class Good:
        @llmkit.hookimpl
        def llmkit_register_strategies(self) -> Any:
            return {"Last": Last, "bad": lambda: 1 / 0, "text": lambda: "lru"}

        @llmkit.hookimpl
        def llmkit_register_secret_sources(self) -> Any:
            return [lambda provider: 1 / 0, lambda provider: "sk-from-source" if provider == "openai" else None]

    class Bad:
        @llmkit.hookimpl
        def llmkit_register_strategies(self) -> Any:
            return 5

        @llmkit.hookimpl
        def llmkit_register_secret_sources(self) -> Any:
            raise SystemExit

    with pytest.warns(RuntimeWarning, match=r"returned int, not a Mapping|raised SystemExit|ZeroDivisionError"):
        client = colour.scripted(
            answer(), [openai(name="a"), Instance("openai", "m", name="b")], plugins=[Good(), Bad()], strategy="Last", environ={}
        )
    assert {client.generate("q").instance for _ in range(3)} == {"b"}
    assert sent(client)[0].headers["Authorization"] == "Bearer sk-from-source"
    for name, said in (("bad", "ZeroDivisionError"), ("text", "made 'lru'")):
        with pytest.raises(ConfigError, match=said):
            client.set_strategy(name)
    with pytest.warns(RuntimeWarning, match="ZeroDivisionError"), pytest.raises(ConfigError, match="no key"):
        client.add_instance(Instance("cohere", "m"))


@pytest.mark.parametrize("choice", [lambda routes: 1 / 0, lambda routes: None, lambda routes: "x"])
def test_strategies_that_fail(colour: Colour, choice: Any):
    """A strategy that raises or chooses rubbish is named once; the first instance serves."""
    strategy = SimpleNamespace(choose=lambda routes, now: choice(routes))
    client = colour.scripted(answer(), [openai(name="a"), openai(name="b")], strategy=strategy)
    with pytest.warns(RuntimeWarning, match="strategy SimpleNamespace") as caught:
        assert {client.generate("q").instance for _ in range(3)} == {"a"}
    assert len(caught) == 1


def test_unknown_hooks_and_arguments_are_refused():
    class Unknown:
        @llmkit.hookimpl
        def llmkit_reqest(self) -> None: ...

    class Arguments:
        @llmkit.hookimpl
        def llmkit_request(self, call: Any, key: Any) -> None: ...

    class Wrapper:
        @llmkit.hookimpl(wrapper=True)
        def llmkit_answer(self, call: Any) -> Iterator[None]:
            return (yield)

    for made, said in ((Unknown(), "llmkit_reqest"), (Arguments(), "key"), (Wrapper(), "wrappers are not supported")):
        with pytest.raises(ConfigError, match=said):
            make_hooks([made], [])
    twice = plugin(lambda name, facts: None, "llmkit_error")
    other = plugin(lambda name, facts: None, "llmkit_error")
    assert make_hooks([twice, other], []).error is not None
    with pytest.raises(ConfigError, match="already registered"):
        make_hooks([twice, twice], [])


# ----------------------------------------------------------------------------------------------- packaged plugins


class Dist:
    """A distribution."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.version = "1.2"


def point(name: str, value: str, group: str, dist: str) -> EntryPoint:
    made = EntryPoint(name, value, group)
    vars(made).update(dist=Dist(dist))
    return made


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[EntryPoint, ...]]:
    """Entry points that a test offers, besides the real ones."""
    found = dict(registry._found())
    monkeypatch.setattr(registry, "_found", lambda: found)
    return found


class Quiet:
    """A packaged plugin."""

    called: list[str] = []

    @staticmethod
    @llmkit.hookimpl
    def llmkit_answer(call: Any) -> None:
        Quiet.called.append("answer")


def exploding() -> Any:
    raise AssertionError


def test_packaged_plugins(offered: Any, monkeypatch: pytest.MonkeyPatch):
    """Loaded by name, limited by a list or the environment; a broken one is named and hurts nobody."""
    here = "tests.core.test_plugins"
    offered["llmkit"] = (
        point("quiet", f"{here}:Quiet", "llmkit", "quiet-dist"),
        point("broken", f"{here}:missing", "llmkit", "broken-dist"),
    )
    with pytest.warns(RuntimeWarning, match="'broken' is left out"):
        assert make_hooks().answer is not None
    assert make_hooks([], ["quiet"]).answer is not None
    assert make_hooks([], []).answer is None
    for value, works in (("1", False), ("all", False), ("quiet,broken", False), ("broken", True)):
        monkeypatch.setenv("LLMKIT_DISABLE_PLUGINS", value)
        assert (make_hooks().answer is not None) == works
    monkeypatch.delenv("LLMKIT_DISABLE_PLUGINS")
    client = MockClient(["hi"], plugins=["quiet"])
    client.generate("q")
    assert Quiet.called == ["answer"]


class Toy(Provider):
    """A provider of somebody's."""

    name = "toy"
    base_url = "https://toy.test"
    needs_key = False


class Old(Toy):
    api_version = 0


class Raising(Toy):
    def __init__(self, **_: Any) -> None:
        raise SystemExit(9)


def test_providers_of_packages(offered: Any):
    """Duplicates are reported with both distributions, ours win with a warning, broken ones are named with theirs."""
    here, group = "tests.core.test_plugins", "llmkit.providers"
    offered[group] = (
        *offered[group],
        point("toy", f"{here}:Toy", group, "toy-dist"),
        point("twice", f"{here}:Toy", group, "one-dist"),
        point("twice", f"{here}:Old", group, "other-dist"),
        point("openai", f"{here}:Toy", group, "shadow-dist"),
        point("old", f"{here}:Old", group, "old-dist"),
        point("raising", f"{here}:Raising", group, "raising-dist"),
        point("nothing", f"{here}:HOOKS", group, "nothing-dist"),
        point("missing", "no_such_module_anywhere:X", group, "missing-dist"),
    )
    found = Registry()
    assert found.get("toy").name == "toy"
    assert found.get("toy") is found.get("toy")
    with pytest.warns(RuntimeWarning, match="shadow-dist"):
        assert type(found.get("openai")).__module__ == "llmkit_providers.openai"
    for name, said in (
        ("twice", r"one-dist 1\.2, other-dist 1\.2"),
        ("old", "version 0 of the contract"),
        ("raising", r"raising-dist 1\.2 cannot be loaded: SystemExit"),
        ("nothing", "expected an llmkit.provider.Provider, got dict"),
        ("missing", r"missing-dist 1\.2 cannot be loaded: ModuleNotFoundError"),
        ("toyz", "did you mean 'toy'"),
    ):
        with pytest.raises(ConfigError, match=said):
            found.get(name)
    assert "toy" in found.names()
    shown = {(info.name, info.distribution): info.error for info in plugins() if info.group == group}
    assert "llmkit's own name" in (shown["openai", "shadow-dist"] or "")
    with pytest.raises(ConfigError, match="exists already"):
        found.register(Toy())
    mine = type("Mine", (Toy,), {"name": "mine"})()
    found.register(mine)
    assert found.get("mine") is mine
    with pytest.raises(ConfigError, match="expected"):
        found.register(SimpleNamespace(name="x"))  # type: ignore[arg-type]


def test_nothing_of_a_vendor_is_imported_before_first_use():
    """Neither importing llmkit nor listing providers loads a vendor; using one loads that one."""
    program = """
import sys, llmkit
from llmkit import Client, Instance
from llmkit.plugins.listing import plugins
from llmkit.plugins.registry import REGISTRY
client = Client(plugins=[])
assert "openai" in REGISTRY.names() and plugins()
vendors = lambda: sorted(name for name in sys.modules if name.startswith("llmkit_providers.") and "._" not in name)
assert vendors() == [], vendors()
client.add_instance(Instance("anthropic", "m", api_key="k"))
assert vendors() == ["llmkit_providers.anthropic"], vendors()
assert not {"tenacity", "pluggy", "aiohttp"} & set(sys.modules), "loaded too early"
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# ----------------------------------------------------------------------------------------------- hostile providers


class Hostile(Provider):
    """A provider that fails where it is told to."""

    name = "hostile"
    base_url = "https://hostile.test"
    features = frozenset({"chat", "stream"})
    where = ""
    how: Any = None

    def _at(self, place: str, otherwise: Any) -> Any:
        if place != self.where:
            return otherwise
        if isinstance(self.how, BaseException):
            raise self.how
        return self.how

    def unsupported(self, call: Any, instance: Any) -> Any:
        return self._at("unsupported", ())

    def encode(self, call: Any, instance: Any) -> Any:
        return self._at("encode", HttpRequest("POST", "https://hostile.test/x", {}, json.dumps({"stream": call.stream}).encode()))

    def authorize(self, request: Any, key: Any) -> Any:
        return self._at("authorize", super().authorize(request, key))

    def decode(self, call: Any, reply: Any) -> Any:
        return self._at("decode", Completion(Message("assistant", "fine")))

    def error(self, reply: Any) -> Any:
        return self._at("error", ServerError("oops"))

    def decoder(self, call: Any, headers: Any) -> Any:
        provider = self

        class Decoder:
            complete = False

            def feed(self, data: bytes) -> Any:
                return provider._at("feed", [])

            def finish(self) -> Any:
                return provider._at("finish", [])

        return self._at("decoder", Decoder())


@pytest.mark.parametrize(
    "how", [ValueError("sk-leaked-0123456789"), SystemExit(1), RecursionError("deep"), None, 5, Mute()], ids=repr
)
@pytest.mark.parametrize("where", ["unsupported", "encode", "authorize", "decode", "error", "decoder", "feed", "finish"])
def test_hostile_providers(colour: Colour, where: str, how: Any, monkeypatch: pytest.MonkeyPatch):
    """R23: whatever a provider raises or returns, the caller gets one typed error that names it, another instance takes over, and
    nothing stays behind."""
    provider = Hostile()
    provider.where, provider.how = where, how
    monkeypatch.setitem(registry.REGISTRY._made, "hostile", provider)
    monkeypatch.setattr(registry.REGISTRY, "_loaded", {})
    bad = Instance("hostile", "m", api_key="sk-planted-0123456", name="bad")
    streams = where in ("decoder", "feed", "finish")
    good_reply = chunks("fine") if streams else chat("fine")

    def script(request: HttpRequest) -> Any:
        if "hostile" not in request.url:
            return good_reply
        return refusal(500) if where == "error" else HttpReply(200, {}, b"x")

    client = colour.scripted(script, [bad], retries=0)
    with pytest.raises(LLMError) as caught:
        client.stream("q").text() if streams else client.generate("q")
    assert isinstance(caught.value, (InvalidRequestError, InvalidResponseError))
    assert "'hostile'" in str(caught.value)
    assert "sk-leaked" not in f"{caught.value!r}"
    assert client.in_flight() == 0

    both = colour.scripted(script, [bad, openai(name="good")], retries=2, strategy="round_robin")
    completion = both.stream("q").completion() if streams else both.generate("q")
    assert (completion.text, completion.instance) == ("fine", "good")
    assert len(completion.attempts) == 2


def test_a_provider_without_streams_is_not_asked_for_one(colour: Colour, monkeypatch: pytest.MonkeyPatch):
    provider = Hostile()
    provider.features = frozenset({"chat"})  # type: ignore[misc]
    monkeypatch.setitem(registry.REGISTRY._made, "hostile", provider)
    monkeypatch.setattr(registry.REGISTRY, "_loaded", {})
    client = colour.scripted(answer(), [Instance("hostile", "m", api_key="k")])
    with pytest.raises(llmkit.UnsupportedParameterError, match="stream"):
        client.stream("q").text()
    assert not sent(client)
