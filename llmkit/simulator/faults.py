"""What can be made to go wrong: faults, and the rules by which they happen.

A fault is written ``KIND[:NUMBER][;name=value]...``, in a rule, in a script, on the command line, or in the request header
``x-simulate-fault``:

=================  ==========================================================================================================
``429``, ``500``   any status from 400 to 599, with the vendor's own error body; ``502`` is the HTML page of a gateway
a word             the vendor's error of this kind: ``rate_limit``, ``quota``, ``authentication``, ``permission``, ``model``,
                   ``context_length``, ``content_filter``, ``invalid``, ``server``, ``overloaded``, ``timeout``, ...
``reset``          the connection is reset before an answer
``eof``            the connection is closed before an answer
``reset_body``     the connection is reset in the middle of the body
``cut:N``          the stream ends cleanly, without its terminal event, after N content events; a whole answer is half there
``drop:N``         the connection is closed after N content events
``stall:S``        S seconds of silence before the answer (default: 3600)
``stall_first:S``  S seconds of silence between the headers and the first byte of the body
``stall_mid:S``    S seconds of silence after the first content event, or in the middle of a whole answer
``slow:S``         one byte every S seconds (default: 0.05)
``garbage``        a body, or an event in place of the first content event, that is no JSON
``empty``          200 and no body
``html``           200 and an HTML page
``wrong_shape``    200 and a JSON document that is no answer
``error_in_200``   200 and the vendor's error document
``error_event:N``  the vendor's error in the stream after N content events; whole answers: as ``500``
``redirect``       307 to another host
``huge:N``         N more bytes in the body (default: 80,000,000)
=================  ==========================================================================================================

Names after ``;``: ``retry-after`` (seconds, as that header), ``retry-after-ms``, ``retry-date`` (seconds, as an HTTP date),
``message``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import attrs

from llmkit.errors import ConfigError
from llmkit.simulated import KINDS, Question, Refusal

DEFAULTS: Mapping[str, float] = {
    "reset": 0, "eof": 0, "reset_body": 0, "cut": 1, "drop": 1, "stall": 3600, "stall_first": 3600, "stall_mid": 3600,
    "slow": 0.05, "garbage": 0, "empty": 0, "html": 0, "wrong_shape": 0, "error_in_200": 0, "error_event": 1, "redirect": 0,
    "huge": 80_000_000,
}  # fmt: skip
"""Faults that are no plain error reply, and the number each has where none is given."""

OPTIONS = ("retry-after", "retry-after-ms", "retry-date", "message")

_BY_STATUS = {status: kind for kind, status in reversed(tuple(KINDS.items()))}


@attrs.frozen
class Fault:
    """One thing that goes wrong. ``kind`` is a word of :data:`DEFAULTS` or of :data:`~llmkit.simulated.KINDS`."""

    kind: str
    number: float = 0.0
    status: int | None = None
    """The status of an error reply, where it is not the vendor's usual one."""
    options: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def parse(cls, spec: str) -> Fault:
        """The fault that ``spec`` writes.

        :raises ConfigError: if it writes none.
        """
        head, *rest = [part.strip() for part in spec.split(";")]
        word, _, number = head.partition(":")
        options = {name.strip().lower(): value.strip() for name, _, value in [part.partition("=") for part in rest]}
        unknown = [name for name in options if name not in OPTIONS]
        if unknown:
            raise ConfigError(f"fault {spec!r}: unknown option {unknown[0]!r}; expected one of {', '.join(OPTIONS)}")
        if word.isdigit() and 400 <= int(word) <= 599:
            return cls(kind_of(int(word)), 0.0, int(word), options)
        if word in KINDS:
            return cls(word, 0.0, None, options)
        if word not in DEFAULTS:
            known = ", ".join([*DEFAULTS, *KINDS])
            raise ConfigError(f"unknown fault {spec!r}; expected a status from 400 to 599 or one of {known}")
        try:
            value = float(number) if number else float(DEFAULTS[word])
        except ValueError:
            value = -1.0
        if not value >= 0:
            raise ConfigError(f"fault {spec!r}: {number!r} is not a number from 0 up")
        return cls(word, value, None, options)

    @property
    def refusal(self) -> Refusal | None:
        """The vendor's error that this fault is, if it is one."""
        if self.kind not in KINDS:
            return None
        return Refusal(self.kind, self.options.get("message", ""), status=self.status)


def kind_of(status: int) -> str:
    """The word for an error status."""
    return _BY_STATUS.get(status) or ("overloaded" if status == 529 else "server" if status >= 500 else "invalid")


@attrs.define
class Rule:
    """When a fault happens. Without conditions: always."""

    fault: Fault
    vendor: str | None = None
    model: str | None = None
    key: str | None = None
    times: int | None = None
    """How often it happens at most; counted down."""
    rate: float = 1.0
    """How probable it is, from 0 to 1."""

    def strikes(self, question: Question, chance: float) -> bool:
        """Whether it happens now; if so, it is counted."""
        if self.times == 0 or chance >= self.rate:
            return False
        for wanted, given in ((self.vendor, question.vendor), (self.model, question.model), (self.key, question.key)):
            if wanted is not None and wanted != given:
                return False
        if self.times is not None:
            self.times -= 1
        return True


def chance(*facts: object) -> float:
    """A number from 0 to 1 that depends on the facts alone."""
    digest = hashlib.blake2b("/".join([str(fact) for fact in facts]).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
