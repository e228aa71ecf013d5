"""R15: a planted key is looked for in everything that a program may print, store or send on."""

from __future__ import annotations

import base64
import copy
import json
import logging
import os
import pickle
import random
import traceback
import urllib.parse
from pathlib import Path
from typing import Any

import attrs
import pytest

import llmkit
from llmkit import ClientClosedError, ConfigError, Instance, LLMError, NetworkError, RequestTimeout
from llmkit.testing import Chunks
from llmkit.values.secret import Secret
from llmkit.wire.http import HttpReply, HttpRequest
from llmkit.wire.redact import describe, without_secret
from tests.support.colours import Colour, chat, chunks, key_of, openai, refusal, streamed

PLANTED = "sk-PLANTED0a1B2c3D4e5F6g7H8i9J"
PACKAGE = str(Path(llmkit.__file__).parent)
PLAIN = "plainwordsecretwithoutprefix"
"""A key that no pattern knows."""


def forms(key: str) -> list[str]:
    return [key, key[:12], base64.b64encode(key.encode()).decode().rstrip("="), urllib.parse.quote(key, safe="")]


def look(text: str, key: str) -> None:
    for form in forms(key):
        assert form not in text


def told(error: BaseException) -> str:
    """All that can be printed of an error: texts, facts, the chain with the locals of every frame, the pickle."""
    trace = error.__traceback__
    while trace is not None and PACKAGE not in trace.tb_frame.f_code.co_filename:  # the test's own frames hold the key, of course
        trace = trace.tb_next
    lines = ["".join(traceback.TracebackException(type(error), error, trace, capture_locals=True).format())]
    seen: set[int] = set()
    todo: list[Any] = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        lines += [repr(one), str(one), f"{one}", repr(one.args), repr(vars(one))]
        todo += [one.__cause__, one.__context__, *(attempt.error for attempt in getattr(one, "attempts", ()))]
        todo += getattr(one, "failures", ())
    return "\n".join(lines)


def echoing(key: str) -> dict[str, Any]:
    """Faults, each of which may hold the key."""
    error = f"Incorrect API key provided: {key}. (authorization: Bearer {key})"
    return {
        "401": refusal(401, error),
        "400": refusal(400, error, code=key),
        "429": refusal(429, error, retry_after="1"),
        "500": refusal(500, f"request with {key} crashed"),
        "text": HttpReply(503, {"x-request-id": key}, f"{key} is busy".encode()),
        "in 200": HttpReply(200, {}, json.dumps({"error": {"message": error, "code": "server_error"}}).encode()),
        "garbage": HttpReply(200, {}, f"no json but {key}".encode()),
        "wrong shape": HttpReply(200, {}, json.dumps({key: key}).encode()),
        "reset": NetworkError("reset"),
        "hang": Chunks(((1e9, b""),)),
        "closed": ClientClosedError("closed"),
        "cut": chunks("a", end=()),
        "error event": chunks("a", b'data: {"error": {"message": "' + error.encode() + b'"}}\n\n', end=()),
        "garbage event": chunks("a", f"data: {key}\n\n".encode(), end=()),
        "timeout": RequestTimeout("late"),
    }


@pytest.mark.parametrize("fault", echoing(""))
@pytest.mark.parametrize("key", [PLANTED, PLAIN])
@pytest.mark.parametrize("streams", [False, True])
def test_no_fault_shows_the_key(colour: Colour, fault: str, key: str, streams: bool, caplog: pytest.LogCaptureFixture):
    """Errors, their chains and frames, attempts, logs, health and state hold no key, even where the vendor echoes it."""
    caplog.set_level(logging.DEBUG)
    reply = echoing(key)[fault]
    client = colour.scripted(
        lambda request: reply if key_of(request) else chat(), [openai(key, name="i")], retries=1, max_wait=5, timeout=9
    )
    try:
        client.stream("q").text() if streams else client.generate("q")
        assert fault in ("cut", "error event", "garbage event")
    except LLMError as error:
        look(told(error), key)
        again = pickle.dumps(error)
        for form in forms(key):
            assert form.encode() not in again
        look(told(pickle.loads(again)), key)
    things = [
        client.client,
        client.core,
        client.core.router,
        *client.core.router.routes(),
        client.health(),
        client.usage(),
        client.instances,
    ]
    look("\n".join(f"{thing!r} {thing} {getattr(thing, '__dict__', '')}" for thing in things), key)
    look(repr([attrs.asdict(instance) for instance in client.instances]), key)
    look(caplog.text, key)


def test_thousands_of_bodies_that_echo_the_key():
    """Whatever stands around the key in an error body, the error does not show it."""
    chance = random.Random(11)
    colour = Colour("sync")
    replies: list[Any] = []
    client = colour.scripted(lambda request: replies.pop(), [openai(PLAIN)], retries=0)
    marks = ['"', "'", " ", ":", "=", ",", "{", "}", "\\", "/", "\n", "é", "key", "x" * 50, "%", "&", "<b>"]
    for _ in range(10_000 if os.environ.get("LLMKIT_LONG") else 1_000):
        around = ["".join(chance.choices(marks, k=chance.randrange(6))) for _ in range(2)]
        text = around[0] + PLAIN + around[1]
        shape = chance.randrange(4)
        body = [
            text,
            json.dumps({"error": {"message": text, "code": text}}),
            json.dumps({"message": text}),
            json.dumps({"error": text}),
        ][shape]
        replies.append(HttpReply(chance.choice([400, 404, 500, 503]), {}, body.encode()))
        with pytest.raises(LLMError) as caught:
            client.generate("q")
        error = caught.value
        assert PLAIN not in f"{error} {error!r} {error.body} {error.vendor_code} {error.args}"
    colour.end()


def test_objects_do_not_print_keys():
    """Secrets, instances and requests print without the key, and refuse to be pickled with it."""
    secret = Secret(PLANTED)
    instance = Instance("openai", "m", api_key=PLANTED)
    request = HttpRequest("POST", "https://x.test", {"Authorization": f"Bearer {PLANTED}"})
    for thing in (
        secret,
        instance,
        request,
        copy.copy(secret),
        copy.deepcopy(secret),
        [secret],
        {"k": secret},
        attrs.asdict(instance),
    ):
        look(f"{thing!r} {thing}", PLANTED)
    look(f"{secret:>40} {instance:}", PLANTED)
    assert not hasattr(secret, "__dict__")
    for thing in (secret, instance):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(thing)
    assert secret == Secret(f" {PLANTED}\n")
    assert secret != PLANTED
    assert secret.fingerprint() not in PLANTED


@pytest.mark.parametrize("key", ["sk-PLANTED0a1B2c\x00", "sk-PLANTED0a1B2c d", "sk-PLANTED0a1B2cé"])
def test_wrong_keys_are_refused_without_showing_them(key: str):
    with pytest.raises(ConfigError) as caught:
        Instance("openai", "m", api_key=key)
    assert "PLANTED" not in f"{caught.value!r} {caught.value} {caught.value.__cause__} {caught.value.__context__}"


def test_hooks_see_no_key(colour: Colour):
    """What hooks are given holds no key, in any field, for any outcome."""
    seen: list[str] = []

    class Spy:
        @llmkit.hookimpl
        def llmkit_request(self, call: Any, instance: str, request: Any) -> None:
            seen.append(f"{call} {instance} {request} {request.headers} {request.body}")

        @llmkit.hookimpl
        def llmkit_attempt(self, call: Any, attempt: Any) -> None:
            seen.append(f"{call} {attempt} {attempt.error and told(attempt.error)}")

        @llmkit.hookimpl
        def llmkit_answer(self, call: Any, answer: Any) -> None:
            seen.append(f"{answer} {attrs.asdict(answer)}")

        @llmkit.hookimpl
        def llmkit_error(self, call: Any, error: Any) -> None:
            seen.append(told(error))

        @llmkit.hookimpl
        def llmkit_fallback(self, call: Any, error: Any, step: str) -> None:
            seen.append(f"{call} {told(error)} {step}")

        @llmkit.hookimpl
        def llmkit_stream_event(self, call: Any, event: Any) -> None:
            seen.append(repr(event))

    for reply in (*echoing(PLANTED).values(), chat()):
        client = colour.scripted(
            lambda request, reply=reply: chunks("a") if reply is None else reply, [openai(PLANTED)], plugins=[Spy()], retries=0
        )
        for ask in (lambda c=client: c.generate("q"), lambda c=client: c.stream("q").text()):
            try:
                ask()
            except LLMError:
                continue
    look("\n".join(seen), PLANTED)
    assert len(seen) > 60


def test_describing_somebody_elses_exception():
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert describe(Mute()) == "Mute"
    assert describe(KeyError()) == "KeyError"
    look(describe(ValueError(PLANTED)), PLANTED)
    assert without_secret("short ab", "ab") == "short ab"
    assert streamed(HttpRequest("POST", "u", {}, b'{"stream": true}'))
