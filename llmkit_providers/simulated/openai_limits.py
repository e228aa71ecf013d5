"""How the vendors that speak OpenAI's wire tell of rate limits in headers; sources in :mod:`llmkit.wire.rate_limits`. Those that
are not here (DeepSeek, Perplexity, local servers) tell nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from llmkit.simulated import Allowance


def limit_headers(vendor: str, allowances: Sequence[Allowance], wall: float) -> Mapping[str, str]:
    """The headers of a vendor."""
    write = WRITERS.get(vendor)
    if write is None:
        return {}
    headers: dict[str, str] = {}
    for kind in ("requests", "tokens"):
        told = [allowance for allowance in allowances if allowance.kind == kind]
        if told:  # of a minute's and a day's: the minute's; but Groq counts requests by the day
            headers.update(write(told[-1] if vendor == "groq" and kind == "requests" else told[0], wall))
    return headers


def _duration(seconds: float) -> str:
    """``6m0s``, ``12.345s``, ``17ms``"""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    front = (f"{hours:.0f}h" if hours else "") + (f"{minutes:.0f}m" if hours or minutes else "")
    return f"{front}{f'{rest:.3f}'.rstrip('0').rstrip('.')}s"


def _xai(told: Allowance, wall: float) -> dict[str, str]:
    return {f"x-ratelimit-limit-{told.kind}": str(told.limit), f"x-ratelimit-remaining-{told.kind}": str(told.remaining)}


def _openai(told: Allowance, wall: float) -> dict[str, str]:
    return {**_xai(told, wall), f"x-ratelimit-reset-{told.kind}": _duration(told.reset)}


def _azure(told: Allowance, wall: float) -> dict[str, str]:
    period = {f"x-ratelimit-renewalperiod-{told.kind}": str(math.ceil(told.seconds))}
    return {**_xai(told, wall), f"x-ratelimit-reset-{told.kind}": str(math.floor(told.reset)), **period}


def _mistral(told: Allowance, wall: float) -> dict[str, str]:
    name = "req-minute" if told.kind == "requests" else "tokens-minute"
    return {f"x-ratelimit-limit-{name}": str(told.limit), f"x-ratelimit-remaining-{name}": str(told.remaining)}


def _plain(told: Allowance, reset: str) -> dict[str, str]:
    if told.kind == "tokens":
        return {}
    return {"x-ratelimit-limit": str(told.limit), "x-ratelimit-remaining": str(told.remaining), "x-ratelimit-reset": reset}


def _together(told: Allowance, wall: float) -> dict[str, str]:
    return _plain(told, str(math.ceil(told.reset)))


def _openrouter(told: Allowance, wall: float) -> dict[str, str]:
    return {} if told.remaining else _plain(told, str(round((wall + told.reset) * 1000)))


WRITERS: Mapping[str, Callable[[Allowance, float], dict[str, str]]] = {
    "openai": _openai,
    "groq": _openai,
    "azure_openai": _azure,
    "xai": _xai,
    "mistral": _mistral,
    "together": _together,
    "openrouter": _openrouter,
}
