"""The HTTP server: takes requests to the engine and puts deliveries on the wire."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from typing import Any

from aiohttp import web

from llmkit.errors import ConfigError, LLMError
from llmkit.simulated import SimulatedRequest
from llmkit.simulator.delivery import Delivery, deliver
from llmkit.simulator.engine import Engine, Plan
from llmkit.simulator.faults import Fault, Rule
from llmkit.wire.json import dump_json, parse_json

CONTROL = "_simulator"
MOST_BODY = 256 * 1024 * 1024
"""Bytes a request may have; pictures make long ones."""
PATIENCE = 0.05
"""Seconds after which a pause looks whether the client is still there."""


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MOST_BODY)


class _Server(web.Server):
    """Gives every connection a number."""

    def __init__(self, handler: Any, numbers: dict[Any, int], transports: dict[Any, asyncio.Transport]) -> None:
        super().__init__(handler, access_log=None, request_factory=_request)
        self._numbers = numbers
        self._transports = transports
        self._count = 0

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        self._count += 1
        self._numbers[handler] = self._count
        self._transports[handler] = transport
        super().connection_made(handler, transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._numbers.pop(handler, None)
        self._transports.pop(handler, None)


class Service:
    """Handles the requests of one server."""

    def __init__(self, engine: Engine, latency: float, token_rate: float | None) -> None:
        self._engine = engine
        self.latency = latency
        self.token_rate = token_rate
        self._numbers: dict[Any, int] = {}
        self._transports: dict[Any, asyncio.Transport] = {}

    async def drop(self) -> None:
        """Drop what is still connected when the server has closed: a client that does not read would keep it so."""
        for transport in list(self._transports.values()):
            transport.abort()
        await asyncio.sleep(0)

    def server(self) -> web.Server:
        """A server for the running event loop."""
        return _Server(self.handle, self._numbers, self._transports)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request, from its head to the last byte of its answer."""
        try:
            body = await request.read()
        except ConnectionResetError:  # the client has left, which is no error of the server's
            return web.Response()
        connection = self._numbers.get(request.protocol, 0)
        vendor, _, rest = request.rel_url.raw_path.lstrip("/").partition("/")
        if vendor == CONTROL:
            return _control(self._engine, request.method, rest, body)
        if vendor not in self._engine.halves:
            return _json({"error": f"no vendor {vendor!r} here; there are {', '.join(sorted(self._engine.halves))}"}, 404)
        asked = SimulatedRequest(
            request.method,
            "/" + request.rel_url.path.lstrip("/").partition("/")[2],
            request.query,
            {name.lower(): value for name, value in request.headers.items()},
            body,
        )
        plan = self._engine.receive(vendor, asked, time.monotonic(), connection, time.time())
        try:
            return await self._send(request, plan)
        except ConnectionResetError:  # the client has left, which is no error of the server's
            return web.Response()
        finally:
            if plan.open:  # the client has left, or the server stops
                self._engine.ledger.fail(plan.account, "gone")

    async def _send(self, request: web.BaseRequest, plan: Plan) -> web.StreamResponse:
        delivery = deliver(plan, self.latency, self.token_rate, time.time() if plan.fault else 0.0)
        if delivery.pause:
            await _pause(request, delivery.pause)
        if delivery.headless:
            self._close_books(plan, delivery)
            _end(request, delivery.end)
            return web.Response()
        if delivery.end == "eof" and delivery.length is not None and all(isinstance(step, bytes) for step in delivery.steps):
            self._close_books(plan, delivery)
            body = b"".join([step for step in delivery.steps if isinstance(step, bytes)])
            return web.Response(body=body, status=delivery.status, headers=delivery.headers)
        return await self._send_steps(request, plan, delivery)

    async def _send_steps(self, request: web.BaseRequest, plan: Plan, delivery: Delivery) -> web.StreamResponse:
        response = web.StreamResponse(status=delivery.status, headers=delivery.headers)
        if delivery.length is not None:
            response.content_length = delivery.length
        else:
            response.enable_chunked_encoding()
        writer: Any = await response.prepare(request)
        last = max([n for n, step in enumerate(delivery.steps) if isinstance(step, bytes)], default=-1)
        for number, step in enumerate(delivery.steps):
            if number == last:
                # before the last bytes, so that whoever has got them finds them in the books
                self._close_books(plan, delivery)
            if isinstance(step, bytes):
                await response.write(step)
            elif number < last:
                writer.send_headers()
                await _pause(request, step)
        if delivery.end == "eof":
            await response.write_eof()
        else:
            _end(request, delivery.end)
        return response

    def _close_books(self, plan: Plan, delivery: Delivery) -> None:
        ledger = self._engine.ledger
        plan.open = False
        if delivery.kind == "ok":
            ledger.serve(plan.account, plan.text, plan.prompt_tokens, plan.completion_tokens)
        else:
            ledger.fail(plan.account, delivery.kind)


async def _pause(request: web.BaseRequest, seconds: float) -> None:
    """Sleep, but not much longer than the client stays."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        await asyncio.sleep(min(left, PATIENCE))
        if request.transport is None:
            raise ConnectionResetError("the client has gone")


def _end(request: web.BaseRequest, how: str) -> None:
    """Close the connection, with a RST if ``how`` is ``reset``."""
    transport = request.transport
    if transport is None:
        return
    if how == "reset":
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()


def _json(document: Any, status: int = 200) -> web.Response:
    return web.Response(body=dump_json(document), status=status, content_type="application/json")


def _control(engine: Engine, method: str, what: str, body: bytes) -> web.Response:
    """The doors for other processes: ``GET ledger``, ``DELETE ledger``, ``GET traffic``, ``GET faults``, ``POST faults``, ``DELETE
    faults``."""
    if (method, what) == ("GET", "ledger"):
        return _json(engine.ledger.snapshot())
    if (method, what) == ("GET", "traffic"):
        return _json(engine.traffic.rows())
    if (method, what) == ("DELETE", "ledger"):
        engine.ledger.clear()
        engine.traffic.clear()
    elif (method, what) == ("POST", "faults"):
        try:
            given = parse_json(body)
            engine.rules.extend([rule_from(one) for one in (given if isinstance(given, list) else [given])])
        except LLMError as problem:
            return _json({"error": problem.message}, 400)
    elif (method, what) == ("DELETE", "faults"):
        engine.rules.clear()
    elif (method, what) != ("GET", "faults"):
        doors = "GET or DELETE /_simulator/ledger, GET /_simulator/traffic, or GET, POST or DELETE /_simulator/faults"
        return _json({"error": f"expected {doors}"}, 404)
    return _json([_rule(rule) for rule in engine.rules])


def _rule(rule: Rule) -> dict[str, Any]:
    names = ("vendor", "model", "key", "times", "rate")
    return {"fault": rule.fault.kind, "number": rule.fault.number, **{name: getattr(rule, name) for name in names}}


def rule_from(given: Any) -> Rule:
    """A rule from its JSON form: an object with ``fault``, such as ``"429;retry-after=1"``, and the conditions of a rule.

    :raises ConfigError: if it is none.
    """
    if not isinstance(given, dict) or not isinstance(given.get("fault"), str):
        raise ConfigError("a fault rule is an object with a field 'fault'")
    names = ("vendor", "model", "key", "times", "rate")
    unknown = [name for name in given if name not in ("fault", *names)]
    if unknown:
        raise ConfigError(f"unknown field {unknown[0]!r} in a fault rule; expected fault, {', '.join(names)}")
    vendor, model, key = [given.get(name) for name in ("vendor", "model", "key")]
    times, rate = given.get("times"), given.get("rate", 1.0)
    texts = all(text is None or isinstance(text, str) for text in (vendor, model, key))
    if not texts or not (times is None or type(times) is int):
        raise ConfigError("in a fault rule vendor, model and key are texts, and times is a whole number")
    if isinstance(rate, bool) or not isinstance(rate, (int, float)):
        raise ConfigError("in a fault rule rate is a number from 0 to 1")
    return Rule(Fault.parse(given["fault"]), vendor, model, key, times, rate)
