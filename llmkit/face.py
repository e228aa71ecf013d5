"""What both faces of a client share: everything that does not wait."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import attrs

from llmkit.arguments import call_options, check_call, check_race, made_deadline, made_hedge, make_resume, positive, whole
from llmkit.assembly import Core
from llmkit.catalog.client import AboutModels
from llmkit.errors import ConfigError, InvalidRequestError
from llmkit.observe.books import Books
from llmkit.observe.health import AboutHealth
from llmkit.policy.strategies import AnyStrategy
from llmkit.values.base import blank, trusted
from llmkit.values.calls import ChatCall, Deadline, OnUnsupported, Resume
from llmkit.values.conversation import conversation
from llmkit.values.instances import Instance, Task, Timeouts

if TYPE_CHECKING:
    import os

    from llmkit.config.builder import Builder
    from llmkit.config.settings import Settings
    from llmkit.runtime import Runtime
    from llmkit.values.breaker import BreakerSettings
    from llmkit.values.budgets import Budget
    from llmkit.values.fallbacks import FallbackLike, FallbackPlan
    from llmkit.values.hedging import HedgeLike
    from llmkit.values.models import ModelInfo
    from llmkit.values.requests import Prompt, Request
    from llmkit.values.tickets import TicketStore

_PLAN_NAMES = frozenset(("fallback", "context_fallbacks", "refusal_fallbacks"))
Self = TypeVar("Self", bound="Face")


class Face(AboutModels, AboutHealth, Books):
    """A client's settings, instances and books; the base of :class:`~llmkit.Client` and :class:`~llmkit.AsyncClient`.

    :param instances: models at vendors. None are needed for calls that name a model whose key is in the environment.
    :param tasks: kinds of work with defaults of their own.
    :param strategy: which instance gets a call: ``lru``, ``round_robin``, ``random``, ``lowest_latency``,
        ``least_connections``, ``weighted``, ``usage``, ``cheapest``, ``fastest``, ``quality``, ``priority``, a name that a plugin
        registered, or a :class:`~llmkit.policy.strategies.Strategy`.
    :param retries: tries after the first (default 3), or a ``tenacity.Retrying`` whose ``stop``, ``wait`` and ``retry`` are read.
    :param retry_initial_delay: the longest first pause in seconds, of which a random part is waited. Default 0.5.
    :param retry_max_delay: the longest pause, in seconds. Default 8.
    :param retry_exponential_base: how pauses grow. Default 2.
    :param timeout: seconds for a whole call. Default 600.
    :param timeouts: the parts of a try's time.
    :param max_wait: the longest wait, in seconds, for a resting key or instance. Default 60.
    :param unavailable: ``wait`` (default) or ``fail`` at once when nothing can serve a call.
    :param max_pending: calls that may wait at once. Default 10,000.
    :param rpm: requests in any 60 seconds, over all instances; tpm: tokens; rpd and tpd: in any 24 hours. Calls wait for them in
        order. Default: no limit.
    :param breaker: True (default) leaves an instance alone that fails again and again, and tries it again with one call at a time;
        False never does; :class:`~llmkit.BreakerSettings` says when and for how long.
    :param retry_budget: retries that go back to the same instance, as a share of its calls in ten seconds, beyond ten free ones.
        Default 0.1; None for no limit.
    :param fallbacks: models to turn to, in order, when the call's own cannot serve it.
    :param fallback: what to do when those cannot either: ``"queue"``, ``"reject"``, or steps of :mod:`llmkit.values.fallbacks`.
    :param context_fallbacks: models for a prompt that is too long for the call's own.
    :param refusal_fallbacks: models for a prompt that a vendor's content policy refuses.
    :param queue: path of the queue's file, or a :class:`~llmkit.values.tickets.TicketStore`. Default ``llmkit/queue.sqlite`` in the
        user's folder for state (``XDG_STATE_HOME``, else ``~/.local/state``).
    :param proxy: None (default) for none, ``env`` for the environment's, or a URL.
    :param pool_size: connections: kept for each host (sync; None for 100), open at once (async; None for no limit).
    :param verify: False switches certificate checks off (and warns); text is the path of a CA bundle.
    :param on_unsupported: what to do with a parameter a vendor does not have: ``error`` (default), ``warn`` or ``drop``.
    :param default_model: the model of calls that name none.
    :param hedge: doubles late calls: seconds, ``"p95"`` of the instance's own times, or a :class:`~llmkit.Hedge`. Default None:
        never.
    :param cache: None (default) for no cache of answers; ``memory``; a second level behind memory: ``sqlite:///path``,
        ``redis://host``, a name that a plugin registered, an object with the methods of :class:`~llmkit.cache.store.Cache`;
        :class:`~llmkit.CacheSettings` or a mapping of its fields; a :class:`~llmkit.SemanticCache`.
    :param resume: whether a stream that breaks after it has begun goes on, on another instance where one can serve it: ``restart``
        begins the answer anew, ``continue`` goes on where it stopped; a :class:`~llmkit.values.events.StreamResumed` says so among
        its events. Default None: it ends in :class:`~llmkit.StreamInterrupted`.
    :param health_interval: seconds after which every instance is asked in the background whether it answers, by its list of models.
        Default None: never.
    :param failure_threshold: such questions in a row without an answer, after which an instance gets no calls until it answers
        again. Default 3.
    :param plugins: objects with hooks; text among them limits the installed plugins to those named; ``[]`` loads none.
    :param budget: a :class:`~llmkit.Budget`, or several, that calls are kept within. None are by default.
    :param usage_db: a SQLite file that books, and what is spent of budgets, are kept in. None (default) keeps them in memory.
    :param models: facts about models, over the catalogue's: a price of your own, a model it does not know.
    :param environ: where to look for keys and base URLs; default the process's environment.
    :raises ConfigError: if a setting is wrong.
    """

    _core: Core
    _runtime: Runtime

    def __init__(
        self,
        instances: Iterable[Instance] = (),
        *,
        tasks: Iterable[Task] = (),
        strategy: str | AnyStrategy = "lru",
        retries: Any = 3,
        retry_initial_delay: float = 0.5,
        retry_max_delay: float = 8.0,
        retry_exponential_base: float = 2.0,
        timeout: float = 600.0,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 (frozen)
        max_wait: float = 60.0,
        unavailable: Literal["wait", "fail"] = "wait",
        max_pending: int = 10_000,
        rpm: int | None = None,
        tpm: int | None = None,
        rpd: int | None = None,
        tpd: int | None = None,
        breaker: bool | BreakerSettings | None = True,
        retry_budget: float | None = 0.1,
        fallbacks: Sequence[str] = (),
        fallback: FallbackLike | None = None,
        context_fallbacks: Sequence[str] | None = None,
        refusal_fallbacks: Sequence[str] | None = None,
        queue: str | Path | TicketStore | None = None,
        proxy: str | None = None,
        pool_size: int | None = None,
        verify: bool | str = True,
        on_unsupported: OnUnsupported = "error",
        default_model: str | None = None,
        hedge: HedgeLike | None = None,
        cache: Any = None,
        resume: Resume | Literal[False] | None = None,
        health_interval: float | None = None,
        failure_threshold: int = 3,
        plugins: Iterable[Any] | None = None,
        models: Iterable[ModelInfo] = (),
        environ: Mapping[str, str] | None = None,
        budget: Budget | Iterable[Budget] | None = None,
        usage_db: str | os.PathLike[str] | None = None,
    ) -> None:
        backoff = (
            positive("retry_initial_delay", retry_initial_delay),
            positive("retry_max_delay", retry_max_delay),
            positive("retry_exponential_base", retry_exponential_base),
        )
        limits = {"rpm": rpm, "tpm": tpm, "rpd": rpd, "tpd": tpd}
        for name, limit in limits.items():
            if limit is not None:
                whole(name, limit)
        core = Core(
            instances=instances,
            tasks=tasks,
            strategy=strategy,
            retries=retries,
            backoff=backoff,
            timeout=timeout,
            timeouts=timeouts,
            max_wait=max_wait,
            unavailable=unavailable,
            max_pending=max_pending,
            limits=limits,
            breaker=breaker,
            retry_budget=retry_budget,
            fallbacks=fallbacks,
            plan={"fallback": fallback, "context_fallbacks": context_fallbacks, "refusal_fallbacks": refusal_fallbacks},
            queue=queue,
            proxy=proxy,
            pool_size=pool_size,
            verify=verify,
            on_unsupported=on_unsupported,
            default_model=default_model,
            hedge=hedge,
            cache=cache,
            resume=resume,
            checks=(health_interval, failure_threshold),
            plugins=plugins,
            environ=environ,
            budget=budget,
            usage_db=usage_db,
            models=models,
        )
        self._join(core)

    def _join(self, core: Core) -> None:
        """Work over ``core``, with a runtime of this face's colour."""
        self._core = core
        self._runtime = self._make_runtime(core.transport)
        self._kit = core.kit(self._runtime)
        self._plain = {
            **blank(ChatCall),
            "model": core.default_model,
            "fallbacks": core.fallbacks,
            "timeouts": core.timeouts,
            "on_unsupported": core.on_unsupported,
            "hedge": core.hedge,
            "resume": core.resume,
            "plan": core.plan,
        }

    def _make_runtime(self, transport: Mapping[str, Any]) -> Runtime:
        raise TypeError("make a Client or an AsyncClient")

    @classmethod
    def _over(cls: type[Self], core: Core) -> Self:
        face = cls.__new__(cls)
        face._join(core)
        return face

    # ------------------------------------------------------------------------------------------- ways to make one

    @classmethod
    def from_config(cls: type[Self], path: str | Path) -> Self:
        """A client as a TOML file describes it.

        :raises ConfigError: with every mistake in the file: line, key path, what was expected; or if it cannot be read.
        """
        from llmkit.config import read_config

        return cls.from_settings(read_config(path))

    @classmethod
    def from_config_str(cls: type[Self], toml: str) -> Self:
        """A client as TOML text describes it.

        :raises ConfigError: as :meth:`from_config`.
        """
        from llmkit.config import parse_config

        return cls.from_settings(parse_config(toml))

    @classmethod
    def from_env(cls: type[Self], env_file: str | Path | None = None) -> Self:
        """A client as the environment, and a ``.env`` file under it, describe it.

        :raises ConfigError: naming the variable and what was expected.
        """
        import os

        from llmkit.config import read_env

        return cls.from_settings(read_env(os.environ, env_file))

    @classmethod
    def from_settings(cls: type[Self], settings: Settings) -> Self:
        """A client from settings that were read or built before."""
        if settings.logging is not None:
            logging.getLogger("llmkit").setLevel(settings.logging.level.upper())
        return cls(**settings.to_kwargs(), environ=settings.environ)

    @classmethod
    def builder(cls: type[Self]) -> Builder[Self]:
        """A builder: ``Client.builder().add_instance("openai", "gpt-4o-mini", key).supports("chat").build()``."""
        from llmkit.config.builder import Builder

        return Builder(cls.from_settings)

    # ------------------------------------------------------------------------------------------- instances

    def add_instance(self, instance: Instance) -> str:
        """Put another instance to work; returns its name.

        :raises ConfigError: if its provider does not exist, it has no key, or its name is taken.
        """
        return self._core.add(instance).name

    def remove_instance(self, name: str) -> None:
        """Take an instance out; its calls in flight go on unharmed.

        :raises ConfigError: if there is none of that name.
        """
        self._core.remove(name)

    def enable(self, name: str) -> None:
        """Let an instance take calls again, and end the rests of its keys: a key that was refused and has been put right is used at
        once.

        :raises ConfigError: if there is none of that name.
        """
        self._core.router.enable(name, True, self._runtime.now())
        self._core.checks.afresh(self._core.router.route(name))

    def disable(self, name: str) -> None:
        """Give an instance no more calls; those in flight go on unharmed.

        :raises ConfigError: if there is none of that name.
        """
        self._core.router.enable(name, False, self._runtime.now())

    @property
    def instances(self) -> tuple[Instance, ...]:
        """The instances, in the order in which they were added."""
        return tuple(attrs.evolve(route.instance, enabled=route.enabled) for route in self._core.router.routes())

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks."""
        return tuple(self._core.router.tasks.values())

    def get_provider_count(self) -> int:
        """How many instances there are."""
        return len(self._core.router.routes())

    def set_strategy(self, strategy: str | AnyStrategy) -> None:
        """Choose instances otherwise from the next call on.

        :raises ConfigError: if there is no strategy of that name.
        """
        self._core.set_strategy(strategy)


    # ------------------------------------------------------------------------------------------- calls as values

    def _chat_call(self, prompt: Prompt, given: Mapping[str, Any], stream: bool = False) -> ChatCall:
        core = self._core
        if not given:
            deadline = Deadline(self._runtime.now() + core.timeout, core.timeout)
            fields = {**self._plain, "deadline": deadline, "messages": conversation(prompt), "stream": stream}
            if core.special_fallbacks:
                fields["fallbacks"] = core.fallbacks_for(core.default_model, None, None)
            return trusted(ChatCall, fields)
        check_call(given)
        get = given.get
        model, instance = get("model"), get("instance")
        if model is None and instance is None:
            model = core.default_model
        if model is not None:
            model = core.ensure(model)
        timeouts = get("timeouts")
        return ChatCall(
            deadline=made_deadline(get("timeout"), core.timeout, self._runtime.now()),
            model=model,
            instance=instance,
            task=get("task"),
            fallbacks=self._fallbacks(get("fallbacks"), model, instance, get("task")),
            tags=tuple(get("tags") or ()),
            timeouts=core.timeouts if timeouts is None else timeouts.over(core.timeouts),
            retries=get("retries"),
            priority=get("priority") or 0,
            cache=get("cache"),
            messages=conversation(prompt, get("system")),
            options=call_options(given),
            stream=stream,
            on_unsupported=get("on_unsupported") or core.on_unsupported,
            hedge=core.hedge if get("hedge") is None else made_hedge(get("hedge")),
            resume=core.resume if get("resume") is None else make_resume(get("resume")),
            plan=core.plan if _PLAN_NAMES.isdisjoint(given) else self._plan(given),
        )

    def _plan(self, given: Mapping[str, Any]) -> FallbackPlan | None:
        try:
            return self._core.make_plan(given)
        except ConfigError as problem:
            said = problem.message
        raise InvalidRequestError(said)

    def _race_calls(
        self, prompt: Prompt, models: Sequence[str] | None, instances: Sequence[str] | None, given: Mapping[str, Any]
    ) -> list[ChatCall]:
        """One call for each racer. They share what was given, and turn to no fallback model unless the call names some, since
        others run already."""
        name, racers = check_race(models, instances, given)
        if name == "instance":
            for racer in racers:
                self._core.router.route(racer)
        return [self._chat_call(prompt, {"fallbacks": (), "hedge": False, **given, name: racer}) for racer in racers]

    def _fallbacks(self, models: Sequence[str] | None, model: Any, instance: str | None, task: str | None) -> tuple[str, ...]:
        core = self._core
        if models is not None:
            return tuple([core.ensure(model) for model in models])
        return core.fallbacks_for(model, instance, task) if core.special_fallbacks else core.fallbacks

    def _request_call(self, request: Request | Prompt) -> ChatCall:
        from llmkit.values.requests import Request

        if isinstance(request, Request):
            return self._chat_call(request.prompt, request.arguments)
        return self._chat_call(request, {})

    def _roots(self) -> list[str]:
        return list(dict.fromkeys(route.provider.root(route.instance) for route in self._core.router.routes() if route.enabled))
