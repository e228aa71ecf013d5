"""From a request to what is answered: keys, limits, faults, script, books. No socket and no clock: ``now`` is handed in."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence

import attrs

from llmkit.errors import ConfigError, LLMError
from llmkit.simulated import Answer, Frame, Question, Refusal, SimulatedRequest, SimulatedVendor, vector
from llmkit.simulator.faults import Fault, Rule, chance
from llmkit.simulator.ledger import Account, Ledger
from llmkit.simulator.limits import Limit, Meter, key_limits
from llmkit.simulator.script import Said, Script, echo
from llmkit.simulator.traffic import Arrival, Traffic

FAULT_HEADER = "x-simulate-fault"
DIMENSIONS = 16
"""Length of vectors where the request names none."""
EPOCH = 1_700_000_000
"""``created`` of a key's first answer; each later one is a second younger."""

MOST_DIMENSIONS = 100_000
ODD = (TypeError, AttributeError, LookupError, ValueError, ArithmeticError)
"""What reading a request raises whose parts are of wrong types, where a half has no sentence of its own for that part."""

@attrs.define
class Plan:
    """What is to be answered. ``frames`` is None for a whole answer, whose bytes are ``body``."""

    half: SimulatedVendor
    vendor: str
    account: Account
    status: int = 200
    headers: dict[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    frames: list[Frame] | None = None
    fault: Fault | None = None
    kind: str = "ok"
    """``ok``, or the kind of refusal."""
    open: bool = True
    """Whether the call is still open in the ledger."""
    text: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Engine:
    """Answers requests; see :class:`~llmkit.simulator.server.Simulator` for the parameters."""

    def __init__(
        self,
        halves: Mapping[str, SimulatedVendor],
        *,
        seed: int = 0,
        script: Script | None = None,
        rate_limits: Mapping[str, Limit] | None = None,
        keys: Iterable[str] | None = None,
        models: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.halves = halves
        self.seed = seed
        self.script: Script = script or echo
        self.rate_limits = {key: key_limits(limit) for key, limit in (rate_limits or {}).items()}
        self.keys = None if keys is None else frozenset(keys)
        self.models = {vendor: tuple(names) for vendor, names in (models or {}).items()}
        self.rules: list[Rule] = []
        self.ledger = Ledger()
        self.traffic = Traffic()
        self._meters: dict[tuple[str, str], Meter] = {}

    def receive(self, vendor: str, request: SimulatedRequest, now: float, connection: int, wall: float = 0.0) -> Plan:
        """What to answer to a request; its call is open in the ledger afterwards.

        :param now: seconds on a monotonic clock.
        :param wall: Unix time, for dates in headers.
        """
        half = self.halves[vendor]
        key = ""
        question = None
        refusal = None
        meter = None
        try:
            key = half.key(vendor, request)
            self._check_key(key)
            meter = self._meter(vendor, key)
            if meter is not None:
                meter.arrive(now, self.ledger.in_flight(vendor, key))
            asked = half.read(vendor, request, key)
            if not isinstance(asked.model, str) or not isinstance(asked.text, str):
                raise Refusal("invalid")
            question = asked
            self._check_model(half, question)
            if meter is not None:
                meter.read(question.prompt_tokens, now)
        except Refusal as refused:
            refusal = refused
        except ODD:
            refusal = Refusal("invalid")
        model, text = (question.model, question.text) if question else ("", "")
        account = self.ledger.arrive(vendor, key, model, text, now, connection)
        plan = Plan(half, vendor, account, text=text)
        number = self.ledger.number(key)
        try:
            plan.fault = self._fault(request, question, number)
            if refusal is None and plan.fault is not None:
                refusal = plan.fault.refusal
            if refusal is None and question is not None:
                self._answer(plan, question, number)
        except Refusal as refused:
            refusal = refused
        except ODD:
            refusal = Refusal("invalid")
        except LLMError as problem:  # a script gave what has no JSON form
            refusal = Refusal("server", problem.message)
        if refusal is not None:
            self._refuse(plan, refusal)
        tokens = plan.prompt_tokens + plan.completion_tokens
        self.traffic.add(Arrival(now, vendor, key, model, tokens, plan.kind))
        if meter is not None:
            meter.book("tokens", tokens, now)
            plan.headers.update(half.limit_headers(vendor, meter.allowances(now), wall))
        return plan

    # ------------------------------------------------------------------------------------------- reasons to refuse

    def _check_key(self, key: str) -> None:
        if self.keys is not None and key not in self.keys:
            raise Refusal("authentication")

    def _meter(self, vendor: str, key: str) -> Meter | None:
        meter = self._meters.get((vendor, key))
        if meter is None:
            limits = self.rate_limits.get(key, self.rate_limits.get("*"))
            if limits is not None:
                meter = self._meters[vendor, key] = Meter(limits)
        return meter

    def _check_model(self, half: SimulatedVendor, question: Question) -> None:
        if question.kind == "models":
            return
        known = self.models.get(question.vendor)
        if question.kind == "model" and known is None:
            known = half.models(question.vendor)
        if known is not None and question.model not in known:
            raise Refusal("model", param="model")

    def _fault(self, request: SimulatedRequest, question: Question | None, number: int) -> Fault | None:
        spec = request.headers.get(FAULT_HEADER)
        if spec:
            try:
                return Fault.parse(spec)
            except ConfigError as problem:
                words = problem.message
            raise Refusal("invalid", words)
        if question is None:
            return None
        for index, rule in enumerate(self.rules):
            luck = chance(self.seed, question.key, number, index) if rule.rate < 1 else 0.0
            if rule.strikes(question, luck):
                return rule.fault
        return None

    # ------------------------------------------------------------------------------------------- what is said

    def _answer(self, plan: Plan, question: Question, number: int) -> None:
        if question.kind != "chat":
            plan.body = self._other(plan.half, question)
            plan.prompt_tokens = question.prompt_tokens if question.kind == "embeddings" else 0
            plan.headers["content-type"] = "application/json"
            return
        said = self._say(question)
        if isinstance(said, Fault):
            plan.fault = said
            if said.refusal is not None:
                raise said.refusal
            said = echo(question)
        answer = Answer(text=said) if isinstance(said, str) else said
        facts = f"{self.seed}/{question.key}/{number}/{question.text}".encode("utf-8", "replace")
        answer = answer.settled(question, hashlib.blake2b(facts, digest_size=12).hexdigest(), EPOCH + number)
        plan.prompt_tokens, plan.completion_tokens = answer.prompt, answer.completion
        if question.stream:
            plan.frames = plan.half.stream(question, answer)
            plan.headers["content-type"] = plan.half.stream_type
        else:
            plan.body = plan.half.answer(question, answer)
            plan.headers["content-type"] = "application/json"

    def _say(self, question: Question) -> Said:
        try:
            return self.script(question)
        except Refusal:
            raise
        except Exception as problem:  # the script is the user's, and its trouble is told to whoever asked
            if self.script is echo:  # it can fail on a schema that is none
                raise Refusal("invalid", "Invalid schema.") from None
            raise Refusal("server", f"the simulator's script raised {type(problem).__name__}: {problem}") from None

    def _other(self, half: SimulatedVendor, question: Question) -> bytes:
        if question.kind == "embeddings":
            length = question.dimensions or DIMENSIONS
            if not 0 < length <= MOST_DIMENSIONS:
                raise Refusal("invalid", f"The length of vectors must be from 1 to {MOST_DIMENSIONS}.")
            return half.embeddings(question, [vector(text, length) for text in question.inputs])
        if question.kind == "count":
            return half.token_count(question)
        return half.model_list(question, self.models.get(question.vendor) or half.models(question.vendor))

    def _refuse(self, plan: Plan, refusal: Refusal) -> None:
        reply = plan.half.error(plan.vendor, refusal)
        plan.kind = refusal.kind
        plan.frames = None
        plan.prompt_tokens = plan.completion_tokens = 0
        plan.status, plan.body = reply.status, reply.body
        plan.headers = {**plan.headers, **reply.headers}
        if refusal.retry_after is not None:
            plan.headers["retry-after"] = str(max(1, math.ceil(refusal.retry_after)))
