"""A state that was saved, taken up again: read and checked as a whole first, then put in place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from llmkit import errors
from llmkit.errors import ConfigError, LLMError, shown
from llmkit.policy.breaker import CLOSED
from llmkit.policy.keys import Ramp
from llmkit.policy.saved import VERSION
from llmkit.policy.strategies import Indexed

if TYPE_CHECKING:
    from llmkit.policy.keys import Key
    from llmkit.policy.limits import Limiter
    from llmkit.policy.router import Router
    from llmkit.policy.routes import Route
    from llmkit.policy.strategies import AnyStrategy

Work = Callable[[], object]
"""One thing to put in place, once all is known to be good."""
MOST = 1e15
"""No number in a state is larger."""


class At:
    """A place in the data, which names itself where something else was expected."""

    def __init__(self, value: Any, path: str) -> None:
        self.value = value
        self.path = path

    def wrong(self, expected: str) -> ConfigError:
        """The error for what is here."""
        return ConfigError(f"{self.path}: expected {expected}, got {shown(self.value)}")

    def __getitem__(self, name: str) -> At:
        """A part of a mapping; None where it is missing."""
        return At(self.table().get(name), f"{self.path}.{name}")

    @property
    def missing(self) -> bool:
        """Whether there is nothing here."""
        return self.value is None

    def table(self) -> Mapping[str, Any]:
        """:raises ConfigError: unless it is a mapping with text for keys."""
        if not isinstance(self.value, Mapping) or not all(isinstance(name, str) for name in self.value):
            raise self.wrong("an object")
        return self.value

    def parts(self) -> dict[str, At]:
        """A mapping's parts by name; none where there is nothing."""
        return {} if self.missing else {name: At(value, f"{self.path}[{name!r}]") for name, value in self.table().items()}

    def number(self, least: float = 0.0) -> float:
        """:raises ConfigError: unless it is a finite number of at least so much."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= MOST:
            raise self.wrong("a number" if least == -math.inf else f"a number of at least {least:g}")
        return value

    def count(self) -> int:
        """:raises ConfigError: unless it is a whole number of at least 0."""
        if isinstance(self.value, bool) or not isinstance(self.value, int) or not 0 <= self.value <= MOST:
            raise self.wrong("a whole number of at least 0")
        return self.value

    def flag(self) -> bool:
        """:raises ConfigError: unless it is true or false."""
        if not isinstance(self.value, bool):
            raise self.wrong("true or false")
        return self.value

    def moment(self, now: float) -> float:
        """When something was, so many seconds before ``now``; -inf where it never was."""
        return -math.inf if self.missing else now - self.number()

    def error(self) -> LLMError | None:
        """An error that was saved.

        :raises ConfigError: unless it is one, or nothing.
        """
        if self.missing:
            return None
        kind = getattr(errors, self["type"].text(), None)
        if not isinstance(kind, type) or not issubclass(kind, LLMError):
            raise self["type"].wrong("the name of an error")
        status = None if self["status"].missing else self["status"].count()
        provider, code = (None if self[name].missing else self[name].text() for name in ("provider", "vendor_code"))
        return kind(self["message"].text(), status=status, provider=provider, vendor_code=code)

    def text(self) -> str:
        """:raises ConfigError: unless it is text."""
        if not isinstance(self.value, str):
            raise self.wrong("text")
        return self.value


def restore(
    router: Router, strategy_named: Callable[[str], AnyStrategy], watched: bool, state: Any, now: float, wall: float
) -> tuple[str, ...]:
    """Take up a saved state; what was left out, in words.

    :param strategy_named: makes a strategy.
    :param watched: whether there are health checks that can let an instance back in.
    :param now: on the runtime's clock, the same moment as ``wall``, in Unix time.
    :raises ConfigError: if it is damaged; then nothing has changed.
    """
    top = At(state, "state")
    if top["version"].count() != VERSION:
        raise top["version"].wrong(f"{VERSION}, the version that this llmkit writes")
    then = now - max(0.0, wall - top["time"].number(-math.inf))
    notes: list[str] = []
    strategy = _strategy(top["strategy"], router, strategy_named, notes)

    def read(router: Router) -> list[Work]:
        works: list[Work] = [partial(setattr, router.estimator, "answer", top["answer_tokens"].number())]
        works += _limits(top["limits"], router.limiter, then)
        for name, part in top["instances"].parts().items():
            route = next((route for route in router.held() if route.name == name), None)
            if route is None:
                notes.append(f"instance {shown(name)}: this client has none of that name")
                part.table()
            else:
                if not (part["breaker"].missing and part["retries"].missing):
                    works.append(partial(router.furnish, route))
                works += _route(part, route, then, notes)
                unwell = part["unwell"].error()
                works.append(partial(setattr, route, "unwell", unwell if watched else None))
                works.append(partial(router.gave, part["last_given"].count()))
        return works

    router.change(read, now, strategy)
    return tuple(notes)


def _strategy(
    at: At, router: Router, strategy_named: Callable[[str], AnyStrategy], notes: list[str]
) -> AnyStrategy | None:
    """The strategy that was in force, where it is another one than now."""
    current = router.strategy
    if at.missing or (isinstance(current, Indexed) and current.name == at.text()):
        return None
    try:
        return strategy_named(at.text())
    except ConfigError as problem:
        notes.append(problem.message)
    return None


def _route(at: At, route: Route, then: float, notes: list[str]) -> list[Work]:
    fields = {
        "enabled": at["enabled"].flag(),
        "uses": at["uses"].count(),
        "last_given": at["last_given"].count(),
        "latency": None if at["latency"].missing else at["latency"].number(),
        "latency_at": at["latency_age"].moment(then),
        "first_event": None if at["first_event"].missing else at["first_event"].number(),
        "first_event_at": at["first_event_age"].moment(then),
    }
    works: list[Work] = [partial(setattr, route, name, value) for name, value in fields.items()]
    works += _limits(at["limits"], route.limiter, then)
    works += _breaker(at["breaker"], route, then)
    if not at["retries"].missing:
        works.append(_retries(at["retries"], route, at["uses"].count(), then))
    keys = {key.label: key for key in route.keys.keys}
    works.append(partial(setattr, route.keys, "next", at["next_key"].count() % len(keys)))
    for label, part in at["keys"].parts().items():
        if label in keys:
            works += _key(part, keys[label], then)
        else:
            notes.append(f"key {shown(label)}: instance {shown(route.name)} has none of that label")
            part.table()
    return works


def _key(at: At, key: Key, then: float) -> list[Work]:
    fields = {
        "uses": at["uses"].count(),
        "rest_until": then + at["rest"].number() if at["rest"].number() else 0.0,
        "strikes": at["strikes"].count(),
        "struck_at": max(at["struck_age"].moment(then), 0.0),
        "resting": at["reason"].error(),
        "ramp": None if at["ramp"].missing else _ramp(at["ramp"], then),
    }
    works: list[Work] = [partial(setattr, key, name, value) for name, value in fields.items()]
    return works + _limits(at["limits"], key.limiter, then)


def _ramp(at: At, then: float) -> Ramp:
    steps_at = math.inf if at["step"].missing else then + at["step"].number(-math.inf)
    return Ramp(then + at["ends"].number(-math.inf), at["left"].count(), at["size"].count(), steps_at)


def _breaker(at: At, route: Route, then: float) -> list[Work]:
    if at.missing:
        return [partial(setattr, route, "breaker", CLOSED)]
    given = {
        "open": at["open"].flag(),
        "left": 0.0 if at["left"].missing else at["left"].number(),
        "alert": at["alert"].flag(),
        "window_age": at["window_age"].number(),
        **{name: at[name].count() for name in ("row", "opened", "faults", "total")},
    }
    reason = at["reason"].error()

    def put() -> None:
        if route.breaker is not CLOSED:
            route.breaker.restore(given, reason, then)

    return [put]


def _retries(at: At, route: Route, uses: int, then: float) -> Work:
    left, age, since = at["left"].number(), at["age"].number(), at["since"].count()

    def put() -> None:
        if route.budget is not None:
            route.budget.restore(left, then - age, uses - since)

    return put


def _limits(at: At, limiter: Limiter | None, then: float) -> list[Work]:
    """What was booked, where there are still such limits."""
    booked: dict[str, list[tuple[float, int]]] = {}
    for name, part in at.parts().items():
        booked[name] = []
        for number, pair in enumerate(_list(part)):
            if len(_list(pair)) != 2:
                raise pair.wrong("a pair of seconds and an amount")
            left, amount = (At(value, f"{part.path}[{number}][{place}]") for place, value in enumerate(pair.value))
            booked[name].append((left.number(), amount.count()))
        booked[name].sort()
    return [] if limiter is None else [partial(limiter.restore, booked, then)]


def _list(at: At) -> list[At]:
    if not isinstance(at.value, (list, tuple)):
        raise at.wrong("an array")
    return [At(value, f"{at.path}[{number}]") for number, value in enumerate(at.value)]
