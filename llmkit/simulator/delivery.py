"""From a plan to bytes, pauses and an end: here faults bend what would have been answered. Pure."""

from __future__ import annotations

import math
from email.utils import formatdate

import attrs

from llmkit.simulated import Frame, Refusal
from llmkit.simulator.engine import Plan
from llmkit.simulator.faults import Fault

HTML = b"<html>\r\n<head><title>%s</title></head>\r\n<body>\r\n<h1>%s</h1>\r\n<hr>gateway\r\n</body>\r\n</html>\r\n"
ELSEWHERE = "http://elsewhere.invalid/"
_MIB = 1024 * 1024

Step = bytes | float
"""Bytes to send, or seconds to pause."""


@attrs.define
class Delivery:
    """How an answer goes out."""

    status: int
    headers: dict[str, str]
    steps: list[Step]
    pause: float = 0.0
    """Seconds before anything is sent."""
    end: str = "eof"
    """``eof`` (a proper end), ``close`` or ``reset`` of the connection."""
    length: int | None = None
    """The announced length; None for a chunked body."""
    headless: bool = False
    """Whether the connection ends before any header."""
    kind: str = "ok"
    """For the books."""


def deliver(plan: Plan, latency: float, token_rate: float | None, wall: float) -> Delivery:
    """The delivery of a plan.

    :param latency: seconds before every answer.
    :param token_rate: tokens a second; None for no limit.
    :param wall: Unix time, for dates in headers.
    """
    whole = plan.frames is None
    steps = _steps(plan, token_rate)
    length = len(plan.body) if whole else None
    delivery = Delivery(plan.status, plan.headers, steps, latency, length=length, kind=plan.kind)
    if whole and token_rate:
        delivery.pause += plan.completion_tokens / token_rate
    fault = plan.fault
    if fault is None:
        return delivery
    _hint(delivery, fault, wall)
    if fault.refusal is not None:
        if delivery.status == 502:
            _page(delivery, b"502 Bad Gateway")
        return delivery
    if plan.kind == "ok":
        _bend(delivery, plan, fault, token_rate)
    return delivery


def _steps(plan: Plan, token_rate: float | None, frames: list[Frame] | None = None) -> list[Step]:
    if plan.frames is None:
        return [plan.body]
    frames = plan.frames if frames is None else frames
    if not token_rate:
        return [b"".join([frame.data for frame in frames])]
    steps: list[Step] = []
    for frame in frames:
        if frame.tokens:
            steps.append(frame.tokens / token_rate)
        steps.append(frame.data)
    return steps


def _hint(delivery: Delivery, fault: Fault, wall: float) -> None:
    for name in ("retry-after", "retry-after-ms"):
        if name in fault.options:
            delivery.headers[name] = fault.options[name]
    if "retry-date" in fault.options:
        delivery.headers["retry-after"] = formatdate(math.ceil(wall) + float(fault.options["retry-date"]), usegmt=True)


def _page(delivery: Delivery, title: bytes) -> None:
    body = HTML % (title, title)
    delivery.headers["content-type"] = "text/html"
    delivery.steps, delivery.length = [body], len(body)


def _bend(delivery: Delivery, plan: Plan, fault: Fault, token_rate: float | None) -> None:
    """Apply a fault that is no plain error reply."""
    kind, number = fault.kind, fault.number
    delivery.kind = kind
    if kind == "stall":
        delivery.pause += number
        delivery.kind = "ok"
    elif kind == "stall_first":
        delivery.steps.insert(0, number)
        delivery.kind = "ok"
    elif kind == "slow":
        sent = b"".join([step for step in delivery.steps if isinstance(step, bytes)])
        delivery.steps = []
        for byte in sent:
            delivery.steps += [bytes((byte,)), number]
        delivery.kind = "ok"
    elif kind in ("reset", "eof"):
        delivery.steps, delivery.headless, delivery.end = [], True, "reset" if kind == "reset" else "close"
    elif kind in ("empty", "html", "wrong_shape", "error_in_200", "redirect", "huge"):
        _replace(delivery, plan, fault)
    else:
        _break(delivery, plan, fault, token_rate)


def _replace(delivery: Delivery, plan: Plan, fault: Fault) -> None:
    """Put another body in the place of the answer."""
    if fault.kind == "html":
        _page(delivery, b"200 OK")
        return
    if fault.kind == "huge":
        filler = b" " * _MIB
        line = plan.frames is not None and "json" not in plan.half.stream_type  # one endless line of an event
        front = [b"data: " if line else b"", *[filler] * int(fault.number // _MIB), filler[: int(fault.number % _MIB)]]
        delivery.steps, delivery.length = [*front, *delivery.steps], None
        return
    body = b""
    if fault.kind == "wrong_shape":
        body = b'{"unexpected":[1,2,3]}'
    elif fault.kind == "error_in_200":
        body = plan.half.error(plan.vendor, Refusal("server", fault.options.get("message", ""))).body
    elif fault.kind == "redirect":
        delivery.status = 307
        delivery.headers["location"] = ELSEWHERE
    if fault.kind != "empty":
        delivery.headers["content-type"] = "application/json"
    delivery.steps, delivery.length = [body], len(body)


def _break(delivery: Delivery, plan: Plan, fault: Fault, token_rate: float | None) -> None:
    """Break an answer in its middle."""
    kind = fault.kind
    if plan.frames is None:
        _break_whole(delivery, plan, fault)
        return
    content = {"stall_mid": 1, "reset_body": 1, "garbage": 0}.get(kind, int(fault.number))
    before, after = split(plan.frames, content)
    if kind == "error_event":
        refusal = Refusal("overloaded", fault.options.get("message", ""))
        before = [*before, Frame(plan.half.error_event(plan.vendor, refusal))]
    elif kind == "garbage":
        broken = after[0].data.rstrip()
        end = b"\n" if "json" in plan.half.stream_type else b"\n\n"
        before = [*before, Frame(broken[: len(broken) * 2 // 3] + end), *after[1:]]
    delivery.steps = _steps(plan, token_rate, before)
    if kind == "stall_mid":
        delivery.steps += [fault.number, *_steps(plan, token_rate, after)]
        delivery.kind = "ok"
    elif kind == "drop":
        delivery.end = "close"
    elif kind == "reset_body":
        delivery.end = "reset"


def _break_whole(delivery: Delivery, plan: Plan, fault: Fault) -> None:
    half = plan.body[: len(plan.body) // 2]
    if fault.kind == "stall_mid":
        delivery.steps = [half, fault.number, plan.body[len(half) :]]
        delivery.kind = "ok"
    elif fault.kind == "cut":
        delivery.steps, delivery.length = [half], len(half)
    elif fault.kind in ("drop", "reset_body"):
        delivery.steps, delivery.end = [half], "close" if fault.kind == "drop" else "reset"
    elif fault.kind == "garbage":
        body = half + b"\x00garbage"
        delivery.steps, delivery.length = [body], len(body)
    else:
        reply = plan.half.error(plan.vendor, Refusal("server", fault.options.get("message", "")))
        delivery.status, delivery.steps, delivery.length = reply.status, [reply.body], len(reply.body)
        delivery.headers.update(reply.headers)


def split(frames: list[Frame], content: int) -> tuple[list[Frame], list[Frame]]:
    """The frames up to and with so many content events, and the others. What follows the last content event, and so whatever
    ends the stream, is always among the others."""
    positions = [position for position, frame in enumerate(frames) if frame.tokens]
    if not positions:
        return frames[:1], frames[1:]
    at = positions[min(content, len(positions)) - 1] + 1 if content > 0 else positions[0]
    return frames[:at], frames[at:]
