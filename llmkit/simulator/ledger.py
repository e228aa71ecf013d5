"""The simulator's books: what came in and what was served, per vendor, key and model."""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import Any

import attrs

MOST_TEXTS = 100_000
"""Arrivals and texts an account remembers."""
MOST_CHARACTERS = 200
"""Characters of a text that are kept."""


@attrs.define(eq=False)
class Account:
    """The books of one key with one model of one vendor."""

    vendor: str
    key: str
    model: str
    calls: int = 0
    ok: int = 0
    """Calls answered completely."""
    errors: Counter[str] = attrs.field(factory=Counter)
    """Calls that ended otherwise, by the kind of refusal or fault; ``gone`` where the client left first."""
    prompt_tokens: int = 0
    """Of complete answers only."""
    completion_tokens: int = 0
    """Of complete answers only."""
    in_flight: int = 0
    max_in_flight: int = 0
    connections: set[int] = attrs.field(factory=set)
    """Numbers of the connections that brought the calls."""
    arrivals: deque[float] = attrs.field(factory=lambda: deque(maxlen=MOST_TEXTS))
    """When calls came, on the monotonic clock."""
    asked: deque[str] = attrs.field(factory=lambda: deque(maxlen=MOST_TEXTS))
    """The last user texts of the calls, cut short, in order."""
    served: deque[str] = attrs.field(factory=lambda: deque(maxlen=MOST_TEXTS))
    """Those of the calls answered completely."""


class Ledger:
    """All accounts. Safe to read from any thread while the server runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accounts: dict[tuple[str, str, str], Account] = {}
        self._numbers: Counter[str] = Counter()

    def arrive(self, vendor: str, key: str, model: str, text: str, now: float, connection: int) -> Account:
        """Open a call."""
        with self._lock:
            account = self._accounts.get((vendor, key, model))
            if account is None:
                account = self._accounts[vendor, key, model] = Account(vendor, key, model)
            account.calls += 1
            account.in_flight += 1
            account.max_in_flight = max(account.max_in_flight, account.in_flight)
            account.connections.add(connection)
            account.arrivals.append(now)
            account.asked.append(text[:MOST_CHARACTERS])
            return account

    def serve(self, account: Account, text: str, prompt_tokens: int, completion_tokens: int) -> None:
        """Close a call that was answered completely."""
        with self._lock:
            account.in_flight -= 1
            account.ok += 1
            account.prompt_tokens += prompt_tokens
            account.completion_tokens += completion_tokens
            account.served.append(text[:MOST_CHARACTERS])

    def fail(self, account: Account, kind: str) -> None:
        """Close a call that ended otherwise."""
        with self._lock:
            account.in_flight -= 1
            account.errors[kind] += 1

    def in_flight(self, vendor: str, key: str) -> int:
        """A key's calls that are open now."""
        with self._lock:
            accounts = self._accounts.items()
            return sum([account.in_flight for place, account in accounts if place[0] == vendor and place[1] == key])

    def number(self, key: str) -> int:
        """The number of a key's next request, from 0; faults and ids depend on it."""
        with self._lock:
            number = self._numbers[key]
            self._numbers[key] += 1
            return number

    def snapshot(self) -> dict[str, Any]:
        """Plain data: ``accounts`` (a list), and ``total`` over all of them."""
        with self._lock:
            accounts = list(self._accounts.values())
            return {"total": _sums(accounts), "accounts": [_plain(account) for account in accounts]}

    def account(self, vendor: str | None = None, key: str | None = None, model: str | None = None) -> dict[str, Any]:
        """The sums over the accounts of a vendor, a key, a model, or any of them together; counts only, no lists."""
        wanted = (vendor, key, model)
        with self._lock:
            return _sums([
                account
                for place, account in self._accounts.items()
                if all(one is None or one == given for one, given in zip(wanted, place, strict=True))
            ])  # fmt: skip

    def clear(self) -> None:
        """Forget everything but the calls in flight; request numbers start again."""
        with self._lock:
            self._accounts = {place: account for place, account in self._accounts.items() if account.in_flight}
            for account in self._accounts.values():
                account.calls = account.max_in_flight = account.in_flight
                account.ok = account.prompt_tokens = account.completion_tokens = 0
                for memory in (account.errors, account.connections, account.arrivals, account.asked, account.served):
                    memory.clear()
            self._numbers.clear()


def _sums(accounts: list[Account]) -> dict[str, Any]:
    errors: Counter[str] = Counter()
    for account in accounts:
        errors.update(account.errors)
    return {
        "calls": sum([account.calls for account in accounts]),
        "ok": sum([account.ok for account in accounts]),
        "errors": dict(errors),
        "prompt_tokens": sum([account.prompt_tokens for account in accounts]),
        "completion_tokens": sum([account.completion_tokens for account in accounts]),
        "in_flight": sum([account.in_flight for account in accounts]),
        "max_in_flight": max([account.max_in_flight for account in accounts], default=0),
        "connections": len(set().union(*[account.connections for account in accounts])),
    }


def _plain(account: Account) -> dict[str, Any]:
    return {
        "vendor": account.vendor,
        "key": account.key,
        "model": account.model,
        "calls": account.calls,
        "ok": account.ok,
        "errors": dict(account.errors),
        "prompt_tokens": account.prompt_tokens,
        "completion_tokens": account.completion_tokens,
        "in_flight": account.in_flight,
        "max_in_flight": account.max_in_flight,
        "connections": len(account.connections),
        "arrivals": list(account.arrivals),
        "asked": list(account.asked),
        "served": list(account.served),
    }
