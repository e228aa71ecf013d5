"""Budgets at work: an estimate is held before a call is sent, and settled with what it really used.

Several calls at once hold their estimates together, so they cannot overshoot a limit by more than their estimates are wrong. A call
counts in the window in which it was sent, however late its answer comes. A clock that is set back gives nothing back: what was used
goes along into the earlier window.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import NamedTuple

import attrs

from llmkit.errors import BudgetExceededError, ConfigError, Recovery
from llmkit.values.budgets import FOREVER, Budget, BudgetState, window_at

FIRST_GUESS = 500.0
"""Completion tokens that are expected of a call without ``max_tokens``, before an instance has answered."""
MANY = 10_000
"""Accounts from which on those whose window is over are forgotten."""


class Where(NamedTuple):
    """Who is about to spend."""

    task: str | None = None
    tags: tuple[str, ...] = ()
    instance: str | None = None
    key: str | None = None
    model: str = ""
    """For messages."""


class Spending(NamedTuple):
    """What has been spent on a meter in one window."""

    meter: str
    scope: str
    start: int
    amount: int
    """Tokens, or 10^-12 US dollars."""


@attrs.define(eq=False, repr=False)
class _Account:
    """One meter in one scope."""

    start: int
    end: int
    spent: int = 0
    """By this process."""
    written: int = 0
    """Of that, what has been stored."""
    others: int = 0
    """By other processes, and by this one's predecessors."""
    held: int = 0
    warned: set[Budget] = attrs.field(factory=set)

    @property
    def used(self) -> int:
        return self.spent + self.others


@attrs.define(eq=False, repr=False)
class Hold:
    """What one call holds of each meter that it is counted on."""

    parts: list[tuple[str, str, _Account, int, int]]
    """Meter, scope, account, the start of its window, and the estimate."""
    instance: str | None
    notes: list[str]
    """What to warn of."""
    blind: list[str]
    """What to say of money budgets that cannot see the call."""
    done: bool = False


class Budgets:
    """A client's budgets. Takes the time, and holds its lock for the length of a computation only.

    :raises ConfigError: if two have one name.
    """

    def __init__(self, budgets: Iterable[Budget]) -> None:
        self._lock = threading.Lock()
        self._budgets: dict[str, list[Budget]] = {}
        self._accounts: dict[tuple[str, str], _Account] = {}
        self._late: dict[tuple[str, str, int], int] = {}
        """Spent in windows that are over, and not stored yet."""
        self._none_ends_before = 0
        """Unix time before which no account's window is over, as far as is known."""
        self._typical: dict[str | None, float] = {}
        self._blind: set[tuple[str, str]] = set()
        self.stored = False
        """Whether somebody stores what is spent."""
        names = set()
        for budget in budgets:
            if budget.name in names:
                raise ConfigError(f"budget: two are named {budget.name!r}")
            names.add(budget.name)
            self._budgets.setdefault(budget.meter, []).append(budget)

    @property
    def money(self) -> bool:
        """Whether any of them is about money, so that prices matter."""
        return any(meter.startswith("usd/") for meter in self._budgets)

    @property
    def models(self) -> tuple[str, ...]:
        """The smaller models that budgets turn to."""
        return tuple([budget.model for budgets in self._budgets.values() for budget in budgets if budget.model is not None])

    # ------------------------------------------------------------------------------------------- calls

    def smaller_model(self, where: Where, now: float) -> str | None:
        """The model that a call goes to instead of its own, because a budget that degrades is used up; None where none is."""
        with self._lock:
            for meter, scope, account in self._places(where, now):
                for budget in self._meant(meter, scope):
                    if budget.mode == "degrade" and account.used + account.held >= budget.limit:
                        return budget.model
        return None

    def guess(self, instance: str | None) -> int:
        """Completion tokens to expect of a call without ``max_tokens``: the decaying mean of what the instance has answered."""
        return round(self._typical.get(instance, FIRST_GUESS))

    def reserve(self, where: Where, tokens: int, cost: int | None, now: float) -> Hold:
        """Hold an estimate on every meter of a call.

        :param cost: in 10^-12 US dollars; None where the price is not known, which money budgets cannot see.
        :param now: Unix time.
        :raises BudgetExceededError: if a hard budget is used up or would be; nothing is held then.
        """
        notes: list[str] = []
        blind: list[str] = []
        parts = []
        with self._lock:
            for meter, scope, account in self._places(where, now):
                money = meter.startswith("usd/")
                need = (cost or 0) if money else tokens
                for budget in self._meant(meter, scope):
                    if money and cost is None:
                        self._say_blind(budget, where.model, blind)
                    if account.used + account.held + need > budget.limit or account.used >= budget.limit:
                        self._over(budget, scope, account, need, notes)
                parts.append((meter, scope, account, account.start, need))
            for _, _, account, _, need in parts:
                account.held += need
        return Hold(parts, where.instance, notes, blind)

    def release(self, hold: Hold) -> None:
        """Give back what a call holds that was not sent, or not billed."""
        self._end(hold, 0, 0, keep=False)

    def settle(self, hold: Hold, tokens: int | None, cost: int | None, completion: int | None = None) -> None:
        """Book what a call has used in the place of its estimate; where that is not known the estimate stands.

        :param tokens: all of them; None where nobody said.
        :param cost: in 10^-12 US dollars; None where it is not known.
        :param completion: of the tokens, those of a whole answer, from which later estimates learn.
        """
        if completion is not None:
            mean = self._typical.get(hold.instance)
            self._typical[hold.instance] = completion if mean is None else mean + (completion - mean) * 0.1
        self._end(hold, tokens, cost, keep=True)

    def _end(self, hold: Hold, tokens: int | None, cost: int | None, keep: bool) -> None:
        with self._lock:
            if hold.done:
                return
            hold.done = True
            for meter, scope, account, start, need in hold.parts:
                real = cost if meter.startswith("usd/") else tokens
                amount = (need if real is None else real) if keep else 0
                if account.start == start:
                    account.held -= need
                    account.spent += amount
                elif self.stored and amount:
                    self._late[meter, scope, start] = self._late.get((meter, scope, start), 0) + amount

    # ------------------------------------------------------------------------------------------- inside, under the lock

    def _places(self, where: Where, now: float) -> list[tuple[str, str, _Account]]:
        """The meters and scopes that a call is counted on, and their accounts."""
        scopes: Mapping[str, tuple[str | None, ...]] = {
            "client": ("",),
            "task": (where.task,),
            "tag": where.tags,
            "key": (where.key,),
            "instance": (where.instance,),
        }
        return [
            (meter, scope, self._account(meter, scope, now))
            for meter, budgets in self._budgets.items()
            for scope in dict.fromkeys(scopes[budgets[0].per])
            if scope is not None and self._meant(meter, scope)
        ]

    def _meant(self, meter: str, scope: str) -> list[Budget]:
        return [budget for budget in self._budgets[meter] if budget.only is None or scope in budget.only]

    def _account(self, meter: str, scope: str, now: float) -> _Account:
        account = self._accounts.get((meter, scope))
        if account is not None and account.start <= now < account.end:
            return account
        start, end = window_at(self._budgets[meter][0].window, now)
        self._none_ends_before = min(self._none_ends_before, end)
        if account is None:
            if len(self._accounts) >= MANY:
                self._forget(now)
            account = self._accounts[meter, scope] = _Account(start, end)
        else:
            self._put_by(meter, scope, account)
            account.others = account.used if now < account.start else 0
            account.start, account.end = start, end
            account.spent = account.written = account.held = 0
            account.warned.clear()
        return account

    def _put_by(self, meter: str, scope: str, account: _Account) -> None:
        left = account.spent - account.written
        if self.stored and left:
            self._late[meter, scope, account.start] = self._late.get((meter, scope, account.start), 0) + left

    def _forget(self, now: float) -> None:
        if now < self._none_ends_before:  # or each new scope of a busy day would look through all the others
            return
        for place, account in list(self._accounts.items()):
            if account.end <= now:
                self._put_by(*place, account)
                account.start = -1  # what is still held is settled late
                del self._accounts[place]
        self._none_ends_before = min([account.end for account in self._accounts.values()], default=0)

    def _say_blind(self, budget: Budget, model: str, blind: list[str]) -> None:
        if (budget.name, model) not in self._blind:
            self._blind.add((budget.name, model))
            blind.append(f"budget {budget.name!r} cannot see calls of {model}, whose price is not known")

    def _over(self, budget: Budget, scope: str, account: _Account, need: int, notes: list[str]) -> None:
        """What a budget that is used up, or would be, does about it.

        :raises BudgetExceededError: if it is hard.
        """
        if budget.mode == "degrade":
            return
        end = None if account.end == FOREVER else account.end
        turns = "" if end is None else f"; its window turns at {datetime.fromtimestamp(end, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
        used, held, needed = budget.amount(account.used), budget.amount(account.held), budget.amount(need)
        whose = f" of {budget.per} {scope!r}" if scope else ""
        said = f"budget {budget.name!r}{whose}: {used} used, {held} held by calls under way, this call needs about {needed}{turns}"
        if budget.mode == "hard":
            raise BudgetExceededError(
                said,
                budget=budget.name,
                scope=scope,
                limit=budget.amount(budget.limit),
                used=used,
                held=held,
                needed=needed,
                resets_at=end,
                recovery={"key": Recovery.OTHER_KEY, "instance": Recovery.OTHER_INSTANCE}.get(budget.per, Recovery.NEVER),
            )
        if budget not in account.warned:
            account.warned.add(budget)
            notes.append(said)

    # ------------------------------------------------------------------------------------------- storing, telling

    def changes(self) -> list[Spending]:
        """What has been spent and not stored yet."""
        with self._lock:
            late = [Spending(*place, amount) for place, amount in self._late.items()]
            return late + [
                Spending(meter, scope, account.start, account.spent - account.written)
                for (meter, scope), account in self._accounts.items()
                if account.spent != account.written
            ]

    def written(self, changes: Iterable[Spending]) -> None:
        """Changes have been stored."""
        with self._lock:
            for meter, scope, start, amount in changes:
                account = self._accounts.get((meter, scope))
                if account is not None and account.start == start:
                    account.written += amount
                    continue
                left = self._late.pop((meter, scope, start), 0) - amount
                if left:
                    self._late[meter, scope, start] = left

    def starts(self, now: float) -> dict[str, int]:
        """When the present window of each meter began."""
        return {meter: window_at(budgets[0].window, now)[0] for meter, budgets in self._budgets.items()}

    def learn(self, totals: Iterable[Spending], now: float) -> None:
        """Take over what all processes together have stored. Calls need not wait until all of many scopes are done."""
        for meter, scope, start, amount in totals:
            with self._lock:
                account = self._account(meter, scope, now)
                if account.start == start:
                    account.others = amount - account.written

    def states(self, now: float) -> tuple[BudgetState, ...]:
        """How each budget stands, for each scope that has been seen."""
        with self._lock:
            if not self._accounts:
                list(self._places(Where(), now))
            places = [(meter, scope, self._account(meter, scope, now)) for meter, scope in list(self._accounts)]
            return tuple([
                BudgetState(
                    budget.name,
                    budget.per,
                    scope,
                    budget.amount(budget.limit),
                    budget.amount(account.used),
                    budget.amount(account.held),
                    None if account.end == FOREVER else float(account.end),
                )
                for meter, scope, account in places
                for budget in self._meant(meter, scope)
            ])  # fmt: skip

    def reset_lock(self) -> None:
        """Start afresh in a forked child: nobody holds the lock or an estimate, and what was spent is the parent's to store."""
        self._lock = threading.Lock()
        self._late = {}
        for account in self._accounts.values():
            account.held = 0
            account.others, account.spent, account.written = account.used, 0, 0
