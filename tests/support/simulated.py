"""The simulator without its server: a vendor of whom a test's own runtime asks, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from llmkit.simulated import SimulatedRequest
from llmkit.simulator.delivery import deliver
from llmkit.simulator.engine import Engine
from llmkit.simulator.traffic import Traffic
from llmkit.wire.http import HttpReply, HttpRequest
from tests.simulator.conftest import halves

ORIGIN = "http://localhost:1"


class SimulatedWorld:
    """Answers requests as the simulator does, at the time of ``clock``.

    :param seconds: that each answer takes.
    :param settings: of the simulator's engine, such as ``rate_limits``.
    """

    def __init__(self, clock: Callable[[], float], seconds: float = 1.0, **settings: Any) -> None:
        self.clock = clock
        self.seconds = seconds
        self.engine = Engine({name: half for half in halves() for name in half.names}, **settings)
        self._plans: dict[int, Any] = {}

    @property
    def traffic(self) -> Traffic:
        """What came in when."""
        return self.engine.traffic

    def base_url(self, vendor: str) -> str:
        """The ``base_url`` for an instance of a vendor."""
        return f"{ORIGIN}/{vendor}{self.engine.halves[vendor].base_path(vendor)}"

    def reply(self, request: HttpRequest) -> HttpReply:
        """The whole answer."""
        _, vendor, path = urlsplit(request.url).path.split("/", 2)
        lower = {name.lower(): value for name, value in request.headers.items()}
        asked = SimulatedRequest(request.method, f"/{path}", {}, lower, request.body or b"")
        now = self.clock()
        plan = self.engine.receive(vendor, asked, now, 0, 1e9 + now)
        self._plans[id(request)] = plan
        delivery = deliver(plan, 0.0, None, 1e9 + now)
        body = b"".join(step for step in delivery.steps if isinstance(step, bytes))
        return HttpReply(delivery.status, dict(delivery.headers), body)

    def __call__(self, request: HttpRequest) -> tuple[float, HttpReply]:
        return self.seconds, self.reply(request)

    def done(self, request: HttpRequest) -> None:
        """The answer has been read, or the client has left."""
        plan = self._plans.pop(id(request), None)
        if plan is not None:
            self.engine.ledger.serve(plan.account, plan.text, plan.prompt_tokens, plan.completion_tokens)
