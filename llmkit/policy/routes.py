"""What the router deals in: instances at work, leases on them, calls that wait, and what a call has tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from llmkit.policy.breaker import CLOSED, Breaker
from llmkit.policy.keys import Key, KeyPool
from llmkit.policy.retry_budget import RetryBudget
from llmkit.provider import Provider
from llmkit.values.instances import Instance

if TYPE_CHECKING:
    from llmkit.errors import LLMError
    from llmkit.policy.indexes import Group, Seat
    from llmkit.policy.limits import Limiter
    from llmkit.policy.windows import Entry, Window
    from llmkit.runtime import Waiter
    from llmkit.values.calls import Call

ANY_MODEL = "*"
"""The model of an instance that serves whichever model a call names."""
LATENCY_DECAY = 0.3
"""Share of the newest measurement in an instance's average latency."""
OLD = 60.0
"""Seconds after which a measurement is old: a newer one takes its place, and instances are tried for the sake of one."""


class Route:
    """An instance at work: its provider, its keys, and what is known of it."""

    __slots__ = (
        "__dict__",  # for what a strategy of somebody's own may note on it
        "__weakref__",
        "aside",
        "blocked_until",
        "breaker",
        "budget",
        "enabled",
        "falling",
        "first_event",
        "first_event_at",
        "in_flight",
        "instance",
        "keys",
        "last_given",
        "latency",
        "latency_at",
        "limited",
        "limiter",
        "metered",
        "most_in_flight",
        "name",
        "on_demand",
        "position",
        "pricer",
        "probe_at",
        "provider",
        "short_of",
        "unwell",
        "uses",
    )

    def __init__(
        self,
        instance: Instance,
        provider: Provider,
        keys: KeyPool,
        name: str,
        enabled: bool = True,
        pricer: Any = None,
        on_demand: bool = False,
    ) -> None:
        self.instance = instance
        self.provider = provider
        self.keys = keys
        self.name = name
        self.position = 0
        self.enabled = enabled
        self.pricer = pricer
        """Finds what its answers cost: a :class:`~llmkit.catalog.cost.Pricer`."""
        self.on_demand = on_demand
        """Made for a call that named its model; serves no call that names none."""
        self.breaker: Breaker = CLOSED
        self.budget: RetryBudget | None = None
        """For retries that go back to this instance; None before the first."""
        self.in_flight = 0
        limit = instance.max_concurrency
        self.most_in_flight = math.inf if limit is None else limit
        self.uses = 0
        self.last_given = 0
        self.latency: float | None = None
        """Decaying average of whole answers' time, in seconds."""
        self.latency_at = -math.inf
        self.first_event: float | None = None
        """Decaying average of the time to a stream's first content, in seconds."""
        self.first_event_at = -math.inf
        self.blocked_until = 0.0
        """It takes no calls before this time, as far as is known; inf where only an event can change that."""
        self.limited = limit is not None or keys.limit is not None
        """Whether giving it a call may block it: limits on calls in flight, of its own or its keys'."""
        self.limiter: Limiter | None = None
        """Its limits on requests and tokens."""
        self.metered = False
        """Whether it or one of its keys has such limits."""
        self.short_of = 1
        """The tokens of the call that it is blocked for, where what it lacks is room; smaller ones might find some."""
        self.unwell: LLMError | None = None
        """Why the health checks keep calls away; None where they do not."""
        self.probe_at: float | None = None
        """When the next probe may end that."""
        self.aside: tuple[Seat, ...] = ()
        """Its seats in indexes that have set it aside."""
        self.falling: tuple[Seat, ...] = ()
        """Its seats in indexes that want to hear when its score may have fallen."""

    @property
    def full(self) -> bool:
        """Whether its limit on calls in flight leaves no room."""
        return self.in_flight >= self.most_in_flight

    @property
    def well(self) -> bool:
        """Whether nothing keeps calls away but that its keys rest, or that limits on requests and tokens leave no room."""
        return self.enabled and not self.full and self.unwell is None and not self.breaker.open

    def refresh(self, now: float, tokens: int = 1) -> None:
        """Work out :attr:`blocked_until` anew, for a call of ``tokens``."""
        self.short_of = tokens
        if not self.enabled or self.full or self.unwell is not None:
            self.blocked_until = math.inf
        else:
            self.blocked_until = max(self.breaker.until, self.room_at(now, tokens) if self.metered else self.keys.ready_at(now))

    def room_at(self, now: float, tokens: int) -> float:
        """When its limits and its keys leave room for a call of ``tokens``."""
        at = self.keys.ready_at(now, tokens)
        return at if self.limiter is None else max(at, self.limiter.ready_at(now, tokens))

    def waits_for_room(self, now: float, tokens: int, until: float) -> bool:
        """Whether all that keeps a call away is that others are under way, or a limit that will have room before ``until``."""
        if not self.enabled or self.full:
            return self.enabled and self.unwell is None
        if self.unwell is not None or self.breaker.until > now or not any(key.rest_until <= now for key in self.keys.keys):
            return False
        room_at = self.room_at(now, tokens)  # without limits, later than now where a key comes back from a rest step by step
        return self.keys.at_limit(now) or (room_at < until if self.metered else now < room_at < math.inf)

    def lives(self, tried: Tried) -> bool:
        """Whether it may still serve a call that has ``tried`` things."""
        return not tried.dead or self not in tried.dead

    def serves(self, model: object) -> bool:
        """Whether ``model`` (``provider/model``, the bare name, or the instance's own name) is this instance's."""
        return model in (self.instance.model, f"{self.instance.provider}/{self.instance.model}", self.name)

    def answered(self, seconds: float, now: float) -> None:
        """Note how long a whole answer took."""
        self.latency = _average(self.latency, seconds, now - self.latency_at)
        self.latency_at = now

    def began(self, seconds: float, now: float) -> None:
        """Note how long a stream's first content took."""
        self.first_event = _average(self.first_event, seconds, now - self.first_event_at)
        self.first_event_at = now

    def seconds(self, streamed: bool) -> float | None:
        """The average that counts for a streamed or a whole answer."""
        return self.first_event if streamed else self.latency


class Booking:
    """What one call has booked in every window that it concerns, until it is settled or refunded."""

    __slots__ = ("_entries", "before", "first", "started", "tokens", "windows")

    def __init__(self, started: float) -> None:
        self.started = started
        self.windows: tuple[Window, ...] = ()
        """Where it has booked; none once that is settled or refunded."""
        self.first: Window | None = None
        """The first of them: its key's, where that has any."""

    def book(self, windows: tuple[Window, ...], tokens: int) -> None:
        """Book a request.

        :param windows: one at least, its key's first.
        :param tokens: the most that it is expected to use, booked whether that fits or not.
        """
        self.windows = windows
        self.tokens = tokens
        first = self.first = windows[0]
        self.before = first.requests, first.tokens
        """What had ever been booked there."""
        self._entries: list[Entry] = []
        entries = self._entries
        for window in windows:
            entries.append(window.take(self.started, 1, tokens))

    def settle(self, tokens: int, now: float) -> None:
        """Put what the call really used in the place of its estimate. What it used less comes free at once; what it used more
        counts from ``now``. The request stays booked. Once a call is settled or refunded, doing either again does nothing; a call
        whose usage stays unknown is settled by nobody, and its estimate stands."""
        more = (tokens if tokens > 0 else 0) - self.tokens
        if more > 0:
            for window in self.windows:
                if window.counts_tokens:
                    window.take(now, 0, more)
        elif more < 0:
            for window, entry in zip(self.windows, self._entries):  # noqa: B905 (one each)
                if window.counts_tokens:
                    window.give_back(entry, -more)
        self.windows = ()

    def failed(self, error: LLMError, now: float) -> None:
        """The call failed with ``error``. If it was never sent it is taken back whole; if it was refused it used no tokens; if it
        broke nobody knows, so its estimate stands."""
        if not error.ambiguous:
            if error.status is None:
                self.refund()
            else:
                self.settle(0, now)

    def refund(self) -> None:
        """Take the booking back: the call was never sent."""
        for window, entry in zip(self.windows, self._entries):  # noqa: B905
            window.undo(entry, self.tokens)
        self.windows = ()


class Lease(Booking):
    """One call's hold on an instance and a key, until the answer or the stream has ended; given back with
    ``Router.release``."""

    __slots__ = ("epoch", "key", "released", "route")

    def __init__(self, route: Route, key: Key, started: float, epoch: object) -> None:
        self.route = route
        self.key = key
        self.started = started
        self.epoch = epoch
        """Which life of the router it belongs to: a lease from before a fork counts in the parent alone."""
        self.released = False
        self.windows = ()
        self.first = None


class Plan:
    """Where calls of one kind may go, and who of them waits."""

    __slots__ = ("current", "groups", "held_until", "line")

    def __init__(self, groups: list[Group]) -> None:
        self.groups = groups
        """The instances for the call's own model first, then each fallback's."""
        self.line: list[tuple[int, int, Parked]] = []
        """A heap: highest priority first, then who came first."""
        self.current = True
        """False once instances have come, gone or changed."""
        self.held_until = 0.0
        """When the client's own limits let the next call through, as far as is known."""

    def soonest(self) -> float | None:
        """When the next instance that cannot take calls now comes back by itself; None where none will."""
        if self.held_until:
            return self.held_until
        return min([time for group in self.groups if (time := group.soonest()) is not None], default=None)


class Parked:
    """A call that waits. ``lease`` is set before ``waiter`` is woken, where it was given its turn."""

    __slots__ = ("call", "first", "gone", "lease", "order", "patient", "plan", "tokens", "trial", "tried", "until", "waiter")

    def __init__(self, call: Call[Any], tried: Tried, tokens: int, waiter: Waiter, plan: Plan) -> None:
        self.call = call
        self.tried = tried
        self.tokens = tokens
        """How many it is likely to use, where limits count them."""
        self.waiter = waiter
        self.plan = plan
        self.order = 0
        self.first = False
        """Whether it was first in line when it looked last, and watches the clock for all."""
        self.until: float | None = None
        """When the soonest rest ends; None where nothing rests."""
        self.patient = True
        """Whether something only lacks room, which is no fault: such a wait is bounded by the call's deadline alone."""
        self.trial = False
        """Whether a call is out that tries an instance for all: what comes of it may come sooner than :attr:`until`."""
        self.lease: Lease | None = None
        self.gone = False


class Tried:
    """What one call has tried already."""

    __slots__ = ("dead", "keys", "routes")

    def __init__(self, routes: Iterable[Route] = (), keys: Iterable[Key] = (), dead: Iterable[Route] = ()) -> None:
        self.routes = set(routes)
        self.keys = set(keys)
        self.dead = set(dead)
        """Instances that can never serve this call."""

    def again(self) -> Tried:
        """What is out of the question when all has been tried once."""
        return Tried(dead=self.dead) if self.dead else NOTHING_TRIED


NOTHING_TRIED = Tried()


def _average(before: float | None, measured: float, age: float) -> float:
    return measured if before is None or age >= OLD else before + LATENCY_DECAY * (measured - before)


def fresh(tried: Tried, avoid: bool, now: float, tokens: int = 0) -> Callable[[Route], bool]:
    """A test for instances that a call has not tried up: with a key that it has not used and could use now, and not dead for it.

    :param avoid: whether to leave out instances that it has tried with another key as well.
    """
    keys, dead, routes = tried.keys, tried.dead, tried.routes if avoid else ()

    def fit(route: Route) -> bool:
        return route not in dead and route not in routes and (not keys or route.keys.offers(now, keys, tokens))

    return fit
