"""Health as data, probes, and the health checks: in both colours by script, and in virtual time."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from typing import Any

import pytest

from llmkit import BreakerSettings, ConfigError, Instance, LLMError, NetworkError, NoInstanceAvailable
from llmkit.wire.http import HttpReply, HttpRequest
from llmkit_providers.openai import OpenAI
from tests.support.colours import Colour, ScriptedAsyncClient, answer, chat, openai, refusal, reply_to
from tests.support.virtual import VirtualRuntime, virtually

MODELS = HttpReply(200, {}, json.dumps({"object": "list", "data": [{"id": "m", "object": "model"}]}).encode())


def listing(request: HttpRequest) -> bool:
    """Whether a request asks for the list of models."""
    return request.method == "GET"


def only(client: Any) -> Any:
    """The state of the one instance there is."""
    (state,) = client.health()
    return state


# ----------------------------------------------------------------------------------------------- states


def test_a_new_instance_is_healthy(colour: Colour):
    client = colour.scripted(answer(), [openai(), Instance("openai", "n", api_key="sk-2", enabled=False)])
    health = client.health()

    assert [(each.status, each.seconds_left, each.reason) for each in health] == [("healthy", 0.0, None), ("disabled", None, None)]
    assert (len(health), health[0].breaker, health[0].limits, health[0].probe, health.limits, health.waiting) == (
        2, None, None, None, None, 0,
    )  # fmt: skip
    assert health.well


@pytest.mark.parametrize(
    ("status", "headers", "told", "least"),
    [(429, {"retry_after": "7"}, "cooling", 6.9), (401, {}, "out", 3500), (402, {}, "out", 890)],
)
def test_keys_that_rest(colour: Colour, status: int, headers: dict[str, str], told: str, least: float):
    client = colour.scripted(lambda request: refusal(status, "not now", **headers), [openai()], retries=0, unavailable="fail")
    with pytest.raises(Exception, match="not now"):
        client.generate("q")
    state = only(client)

    assert (state.status, state.keys[0].status) == (told, told)
    assert least <= state.seconds_left <= least * 1.2
    assert "not now" in state.reason
    assert not client.health().well


def test_one_key_that_rests_is_no_matter(colour: Colour):
    client = colour.scripted(
        lambda request: refusal(429, retry_after="7") if "sk-a" in request.headers["Authorization"] else chat(),
        [openai("sk-a", "sk-b")],
    )
    client.generate("q")

    assert only(client).status == "healthy"
    assert [key.status for key in only(client).keys] == ["cooling", "healthy"]


def test_a_breaker_that_is_open(colour: Colour):
    client = colour.scripted(
        lambda request: refusal(500, "broken"), [openai()], retries=0, unavailable="fail", breaker=BreakerSettings(failures=2)
    )
    for faults in (1, 2):
        with pytest.raises(Exception, match="broken"):
            client.generate("q")
        assert only(client).breaker.faults == faults
    state = only(client)

    assert (state.status, state.breaker.open, state.breaker.until) == ("broken", True, client.runtime.time() + 1.0)
    assert state.seconds_left == pytest.approx(1.0)
    assert "broken" in state.reason
    with pytest.raises(NoInstanceAvailable):
        client.generate("q")
    client.enable(state.name)
    assert only(client).status == "healthy"


def test_limits_that_leave_no_room(colour: Colour):
    client = colour.scripted(answer(), [openai(rpm=1, rpd_per_key=5)], rpm=10, unavailable="fail", timeout=5)
    assert only(client).limits.headroom == 1.0
    client.generate("q")
    health = client.health()

    assert (health[0].status, health.well) == ("limited", True)
    assert 60 <= health[0].seconds_left <= 61
    assert [(window.name, window.used) for window in health[0].limits.windows] == [("rpm", 1)]
    assert [(window.name, window.used) for window in health[0].keys[0].limits.windows] == [("rpd", 1)]
    assert [(window.name, window.used) for window in health.limits.windows] == [("rpm", 1)]


@pytest.mark.parametrize("limit", ["max_concurrency", "max_concurrency_per_key"])
def test_no_room_for_another_call(colour: Colour, limit: str):
    client = colour.scripted(answer("one two three"), [openai(**{limit: 1})])
    with client.stream("q") as stream:
        next(stream)
        state = only(client)
        assert (state.status, state.seconds_left, state.in_flight) == ("full", None, 1)
        assert limit in state.reason
    assert only(client).status == "healthy"


# ----------------------------------------------------------------------------------------------- probes


def test_a_probe_asks_each_vendor_for_its_models(colour: Colour):
    asked = []

    def script(request: HttpRequest) -> Any:
        asked.append((request.method, request.url))
        return MODELS if "one" in request.url else NetworkError("nobody there")

    instances = [openai(name="one", base_url="https://one.example/v1"), openai(name="two", base_url="https://two.example/v1")]
    client = colour.scripted(script, [*instances, openai(name="off", enabled=False)], latency=0.25)
    health = client.health(probe=True)

    assert sorted(asked) == [("GET", "https://one.example/v1/models"), ("GET", "https://two.example/v1/models")]
    good, bad, off = (each.probe for each in health)
    assert (good.ok, good.seconds, good.error) == (True, 0.25, None)
    assert (bad.ok, type(bad.error), bad.error.instance) == (False, NetworkError, "two")
    assert off is None
    assert not health.well
    assert client.usage()[0].calls == client.usage()[1].errors == 0
    assert client.in_flight() == 0
    assert client.health()[0].probe.ok  # the last one is remembered


def test_a_vendor_without_a_list_is_not_asked(colour: Colour, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(OpenAI, "features", OpenAI.features - {"models"})
    client = colour.scripted(answer(), [openai()])
    probe = client.health(probe=True)[0].probe

    assert (probe.ok, probe.error) == (None, None)
    assert "no list of models" in probe.skipped
    assert client.runtime.log == []
    assert client.health().well


def test_keys_that_rest_are_not_probed_with(colour: Colour):
    client = colour.scripted(lambda request: refusal(429, retry_after="30"), [openai()], retries=0, unavailable="fail")
    with pytest.raises(Exception, match="no"):
        client.generate("q")
    sent = len(client.runtime.log)
    probe = client.health(probe=True)[0].probe

    assert (probe.ok, probe.skipped) == (None, "its keys rest, or have no room")
    assert len(client.runtime.log) == sent


def test_a_probe_closes_a_breaker(colour: Colour):
    client = colour.scripted(
        lambda request: MODELS if listing(request) else refusal(500), [openai()], retries=0, breaker=BreakerSettings(failures=1)
    )
    with pytest.raises(Exception, match="no"):
        client.generate("q")
    assert only(client).status == "broken"
    assert client.health(probe=True)[0].status == "healthy"


@pytest.mark.parametrize("hedge", [None, 60.0])
def test_a_stream_that_has_begun_closes_a_breaker(colour: Colour, hedge: float | None):
    """Others need not wait until the one that tries has been read to its end, which may take minutes."""
    well = False
    client = colour.scripted(
        lambda request: reply_to(request, "one two") if well else refusal(500),
        [openai()],
        retries=0,
        unavailable="fail",
        breaker=BreakerSettings(failures=1),
    )
    with pytest.raises(LLMError):
        client.generate("q")
    well = True
    client.runtime.clock += 2
    with client.stream("q", hedge=hedge) as stream:
        assert only(client).status == "healthy"
        assert client.generate("q").text == "one two"
        assert stream.text() == "one two"
    assert only(client).status == "healthy"


def test_a_probe_that_fails_keeps_a_breaker_open(colour: Colour):
    client = colour.scripted(lambda request: refusal(500), [openai()], retries=0, breaker=BreakerSettings(failures=1))
    with pytest.raises(Exception, match="no"):
        client.generate("q")
    state = client.health(probe=True)[0]
    assert (state.status, state.breaker.faults) == ("broken", 2)
    assert state.seconds_left == pytest.approx(2.0)


@pytest.mark.parametrize(("status", "told"), [(401, "out"), (403, "healthy"), (404, "healthy"), (429, "cooling")])
def test_what_a_probe_learns_of_a_key(colour: Colour, status: int, told: str):
    """A key that is refused rests; one that merely may not list models goes on."""
    no = refusal(status, "said no")
    client = colour.scripted(lambda request: no if listing(request) else chat(), [openai()])
    state = client.health(probe=True)[0]

    assert (state.probe.ok, state.probe.error.status, state.status) == (False, status, told)


def test_probes_leave_turns_and_averages_alone(colour: Colour):
    used: Counter[str] = Counter()

    def script(request: HttpRequest) -> Any:
        if listing(request):
            return MODELS
        used[request.headers["Authorization"]] += 1
        return chat()

    client = colour.scripted(script, [openai("sk-a", "sk-b", "sk-c")], latency=1.0)
    for _ in range(12):
        client.generate("q")
        client.health(probe=True)

    assert set(used.values()) == {4}
    assert (only(client).latency, only(client).keys[0].uses) == (1.0, 4)


def test_a_key_is_never_in_health(colour: Colour):
    said = "bad key {}"
    client = colour.scripted(lambda request: refusal(401, said.format(request.headers)), [openai("sk-planted-0001")])
    health = client.health(probe=True)

    assert "sk-planted" not in repr(health)
    assert "sk-planted" not in json.dumps(client.state())


# ----------------------------------------------------------------------------------------------- the health checks


class Vendor:
    """A vendor in virtual time that goes down and comes back.

    :param down: pairs of seconds between which nobody answers.
    """

    def __init__(self, *down: tuple[float, float], lists: bool = True, seconds: float = 0.05) -> None:
        self.down = down
        self.lists = lists
        self.seconds = seconds
        self.probes: list[float] = []
        self.calls: list[float] = []
        self.under_way = 0
        self.most = 0

    def __call__(self, request: HttpRequest) -> tuple[float, Any]:
        now = asyncio.get_running_loop().time()
        (self.probes if listing(request) else self.calls).append(now)
        self.under_way += listing(request)
        self.most = max(self.most, self.under_way)
        if any(begin <= now < end for begin, end in self.down):
            return self.seconds, NetworkError("refused")
        if listing(request) and not self.lists:
            return self.seconds, refusal(500, "no list today")
        return self.seconds, MODELS if listing(request) else chat()

    def done(self, request: HttpRequest) -> None:
        self.under_way -= listing(request)


def watched(vendor: Vendor, instances: Any = None, **settings: Any) -> ScriptedAsyncClient:
    settings = {"health_interval": 10.0, "retries": 0, "breaker": False, **settings}
    return ScriptedAsyncClient(VirtualRuntime(vendor), instances or [openai()], **settings)


def test_each_instance_is_probed_once_in_an_interval():
    vendor = Vendor()

    async def main() -> None:
        client = watched(vendor, [openai(name=f"i{number}") for number in range(20)])
        await asyncio.sleep(50)
        assert vendor.probes == []  # nothing before the first call
        await client.generate("q")
        await asyncio.sleep(1000)
        await client.close()
        seen = len(vendor.probes)
        await asyncio.sleep(100)
        assert len(vendor.probes) == seen

    virtually(main())
    assert 20 * 1000 / 10 * 0.9 <= len(vendor.probes) <= 20 * 1000 / 10 * 1.1
    first = [at for at in vendor.probes if at < 61]
    assert max(Counter(int(at) for at in first).values()) <= 8  # not all at once


def test_an_instance_that_fails_its_probes_gets_no_calls_until_one_works():
    vendor = Vendor((100.0, 200.0))

    async def main() -> None:
        client = watched(vendor, failure_threshold=3, unavailable="fail")
        await client.generate("q")
        await asyncio.sleep(150)
        before = len(vendor.calls)
        state = (await client.health())[0]
        assert (state.status, state.probe.ok) == ("unhealthy", False)
        assert "refused" in state.reason
        assert 0 <= state.seconds_left <= 10.6
        for _ in range(20):
            with pytest.raises(NoInstanceAvailable, match=r"health checks of openai/m failed \(refused\)") as caught:
                await client.generate("q")
            assert 0 <= caught.value.retry_after <= 10.6
        assert len(vendor.calls) == before
        await asyncio.sleep(61)
        assert (await client.health())[0].status == "healthy"
        await client.generate("q")
        await client.close()

    virtually(main())
    down = [at for at in vendor.probes if 100 <= at < 200]
    assert 9 <= len(down) <= 11  # no more often while it is down


def test_waiting_calls_go_on_with_the_probe_that_works():
    vendor = Vendor((100.0, 200.0))

    async def main() -> None:
        client = watched(vendor)
        await client.generate("q")
        await asyncio.sleep(150)
        loop = asyncio.get_running_loop()
        answers = await asyncio.gather(*(client.generate("q") for _ in range(50)))
        assert len(answers) == 50
        back = next(at for at in vendor.probes if at >= 200)
        assert loop.time() <= back + 0.2
        await client.close()

    virtually(main())
    assert len(vendor.calls) == 51


def test_others_serve_while_one_is_unhealthy():
    bad, good = Vendor((0.0, math.inf)), Vendor()

    def both(request: HttpRequest) -> Any:
        return (bad if "bad" in request.url else good)(request)

    async def main() -> None:
        instances = [openai(name="bad", base_url="https://bad.example/v1"), openai(name="good", base_url="https://good.example/v1")]
        client = watched(both, instances, retries=1)  # type: ignore[arg-type]
        for _ in range(100):
            await client.generate("q")
            await asyncio.sleep(1)
        states = await client.health()
        assert [state.status for state in states] == ["unhealthy", "healthy"]
        await client.close()

    virtually(main())
    assert len(good.calls) == 100
    assert len(bad.calls) <= 40
    assert max(bad.calls) < 40


def test_answers_outweigh_probes_that_fail():
    """An instance that serves calls is not taken away from them because its list of models is broken."""
    vendor = Vendor(lists=False)

    async def main() -> None:
        client = watched(vendor, breaker=True)
        for _ in range(300):
            await client.generate("q")
            await asyncio.sleep(1)
        assert (await client.health())[0].status == "healthy"
        await asyncio.sleep(60)
        assert (await client.health())[0].status == "unhealthy"
        await client.close()

    virtually(main())
    assert len(vendor.calls) == 300


def test_never_two_probes_of_one_instance_at_once():
    vendor = Vendor(seconds=8.0)

    async def main() -> None:
        client = watched(vendor, health_interval=2.0)
        await client.generate("q")

        async def ask() -> None:
            await client.health(probe=True)

        await asyncio.gather(*(ask() for _ in range(10)))
        await asyncio.sleep(100)
        await client.close()

    virtually(main())
    assert len(vendor.probes) > 20
    assert vendor.most == 1


def test_new_disabled_and_removed_instances():
    vendor = Vendor()

    async def main() -> None:
        client = watched(vendor)
        await client.generate("q")
        client.disable("openai/m")
        await asyncio.sleep(100)
        assert vendor.probes == []
        client.add_instance(openai(name="new"))
        await asyncio.sleep(100)
        assert 8 <= len(vendor.probes) <= 12
        client.remove_instance("new")
        await asyncio.sleep(100)
        assert len(vendor.probes) <= 12
        await client.close()

    virtually(main())


def test_an_unhealthy_instance_that_is_enabled_by_hand_is_back():
    vendor = Vendor((0.0, 100.0))

    async def main() -> None:
        client = watched(vendor, unavailable="fail")
        with pytest.raises(NetworkError):
            await client.generate("q")
        await asyncio.sleep(99.9)
        assert (await client.health())[0].status == "unhealthy"
        client.enable("openai/m")
        await asyncio.sleep(0.1)
        await client.generate("q")
        await client.close()

    virtually(main())


@pytest.mark.parametrize("threshold", [1, 3])
def test_a_probe_under_way_when_an_instance_is_enabled_by_hand_counts_no_more(threshold: int):
    """Nor do the failures before: it takes as many as ever to take the instance away again."""
    vendor = Vendor((0.0, 1000.0), seconds=2.0)

    async def main() -> None:
        client = watched(vendor, unavailable="fail", failure_threshold=threshold)
        with pytest.raises(NetworkError):
            await client.generate("q")
        while vendor.under_way == 0 or (await client.health())[0].status != "unhealthy":
            await asyncio.sleep(0.5)
        probes = len(vendor.probes)
        client.enable("openai/m")
        while len(vendor.probes) < probes + threshold:
            assert (await client.health())[0].status == "healthy"
            await asyncio.sleep(0.5)
        await asyncio.sleep(2.5)
        assert (await client.health())[0].status == "unhealthy"
        await client.close()

    virtually(main())


def test_no_client_is_watched_that_did_not_ask_for_it(colour: Colour):
    client = colour.scripted(answer(), [openai()])
    client.runtime.repeat = None
    client.generate("q")
    assert client.health()[0].status == "healthy"


@pytest.mark.parametrize(
    "setting", [{"health_interval": 0}, {"health_interval": True}, {"health_interval": math.nan}, {"failure_threshold": 0},
                {"failure_threshold": 1.5}],
)  # fmt: skip
def test_settings_that_make_no_sense(colour: Colour, setting: dict[str, Any]):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        colour.real([openai()], **setting)
