"""Limits on requests and tokens where they are kept: on a client, on instances, on keys; and what vendors tell of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from llmkit.values.calls import Call, ChatCall
from llmkit.values.messages import Message, Text, ToolResult

if TYPE_CHECKING:
    from llmkit.policy.limits import Limiter
    from llmkit.policy.routes import Lease, Route
    from llmkit.wire.rate_limits import RateLimits

BYTES_PER_TOKEN = 3
"""Of UTF-8, before the vendor has counted; on the careful side: four for English prose, two or three for code and for Chinese."""
TOKENS_PER_MESSAGE = 4
TOKENS_PER_MEDIUM = 1000
"""For a picture, a sound or a document, of which only the vendor knows."""
FIRST_GUESS = 500.0
"""Tokens that an answer is taken to have before any has come."""
DECAY = 0.1
LOW = 0.2
"""The part left of a vendor's limit below which its headers are heeded answer by answer."""
NO_LIMITS = (None, None, None, None)
LOOK_AGAIN = 1.0
"""Seconds until the headers of a key that is far from its limits are read again."""


def allowance(
    rpm: int | None = None, tpm: int | None = None, rpd: int | None = None, tpd: int | None = None
) -> Limiter | None:
    """A limiter for limits of which any may be None; None where all are."""
    if rpm is None and tpm is None and rpd is None and tpd is None:
        return None
    from llmkit.policy.limits import Limiter

    return Limiter(rpm, tpm, rpd, tpd)


def meter(route: Route) -> None:
    """Give an instance and its keys the limiters that its limits ask for."""
    instance = route.instance
    limits = (instance.rpm, instance.tpm, instance.rpd, instance.tpd)
    per_key = (instance.rpm_per_key, instance.tpm_per_key, instance.rpd_per_key, instance.tpd_per_key)
    route.metered = limits != NO_LIMITS or per_key != NO_LIMITS
    if route.metered:
        route.limiter = allowance(*limits)
        for key in route.keys.keys:
            key.limiter = allowance(*per_key)
            limiters = [limiter for limiter in (key.limiter, route.limiter) if limiter is not None]
            key.windows = tuple([window for limiter in limiters for window in limiter.windows])


class Estimator:
    """How many tokens a call is likely to use, prompt and answer: its text's length, and what answers used lately."""

    def __init__(self) -> None:
        self.answer = FIRST_GUESS
        """Tokens of an answer, a decaying average."""

    def tokens(self, call: Call[Any]) -> int:
        """The estimate, which the vendor's own count settles afterwards."""
        if isinstance(call, ChatCall):
            options = call.options
            return prompt_tokens(call.messages, options.tools or ()) + (options.max_tokens or int(self.answer))
        return texts_tokens(getattr(call, "texts", ()))  # of a call for vectors

    def saw(self, tokens: int) -> None:
        """An answer had so many tokens."""
        self.answer += DECAY * (tokens - self.answer)


def prompt_tokens(messages: Iterable[Message], tools: Iterable[Any]) -> int:
    """The tokens of a prompt, as its length lets one guess."""
    length = tokens = 0
    for message in messages:
        tokens += TOKENS_PER_MESSAGE
        for part in message.content:
            if type(part) is Text:
                text = part.text
            elif part.type in ("image", "audio", "file"):
                tokens += TOKENS_PER_MEDIUM
                continue
            elif type(part) is ToolResult and isinstance(part.content, str):
                text = part.content
            else:
                text = str(getattr(part, "raw", None) or getattr(part, "text", ""))
            length += len(text) if text.isascii() else _bytes(text)
    for tool in tools:
        length += len(repr(tool))
    return length // BYTES_PER_TOKEN + tokens


def texts_tokens(texts: Iterable[str]) -> int:
    """The same for texts that become vectors."""
    return sum([_bytes(text) // BYTES_PER_TOKEN + 1 for text in texts])


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def learn(lease: Lease, observed: RateLimits, now: float) -> None:
    """Heed what the headers of an answer say of the limits of the key that was used."""
    key, route = lease.key, lease.route
    quotas = [quota for quota in (observed.requests, observed.tightest_tokens) if quota is not None]
    scarce = any(quota.remaining < LOW * quota.limit for quota in quotas)
    key.look_at = 0.0 if scarce else now + LOOK_AGAIN
    if key.limiter is None:
        if not scarce:
            return
        from llmkit.policy.limits import Limiter

        key.limiter = Limiter()
        key.windows = key.limiter.windows + key.windows
        route.metered = True
    key.limiter.learn(lease, observed)

