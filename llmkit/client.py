"""The sync face."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from llmkit.errors import ConfigError, LLMError
from llmkit.face import Face
from llmkit.finish import drain, finish
from llmkit.flow.ask import ask
from llmkit.flow.fallback import ask_with_fallback
from llmkit.values.completion import Completion

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from llmkit.aclient import AsyncClient
    from llmkit.assembly import Core
    from llmkit.caches import ClientCache
    from llmkit.runtime import Runtime
    from llmkit.streams import Stream
    from llmkit.values.arguments import GenerateOptions
    from llmkit.values.calls import CacheUse
    from llmkit.values.counts import TokenCount
    from llmkit.values.embeddings import Embeddings
    from llmkit.values.health import ClientHealth
    from llmkit.values.model_requests import ModelRequest
    from llmkit.values.models import ModelInfo
    from llmkit.values.requests import Prompt, Request
    from llmkit.values.tickets import Ticket
    from llmkit.values.tools import ToolLike


class Client(Face):  # noqa: D101 (the base documents it)
    __doc__ = Face.__doc__

    def _make_runtime(self, transport: Mapping[str, Any]) -> Runtime:
        from llmkit.transports.blocking import Runtime as BlockingRuntime

        return BlockingRuntime(**transport)

    def _join(self, core: Core) -> None:
        semantic = None if core.cache is None else core.cache.semantic
        if semantic is not None and semantic.awaited:
            raise ConfigError("SemanticCache.embed: an async function is for an AsyncClient; a sync client needs a plain one")
        super()._join(core)

    def generate(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> Completion:
        """Ask for a whole answer.

        :param prompt: text, a message, or a conversation.
        :param options: see :class:`~llmkit.values.arguments.GenerateOptions`.
        :raises LLMError: every failure is one.
        """
        return finish(ask_with_fallback(self._kit, self._chat_call(prompt, options)))

    def race(
        self,
        prompt: Prompt,
        *,
        models: Sequence[str] | None = None,
        instances: Sequence[str] | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Completion:
        """Ask several at once; the first answer wins, and the others are called off.

        :param models: who takes part: 1 to 64 models, each as ``model`` of :meth:`generate`.
        :param instances: the same by the names of instances, in place of ``models``.
        :param options: what :meth:`generate` takes, for all of them. Racers turn to no fallback models unless some are given.
        :returns: the winner's completion; ``attempts`` has the tries of all, a loser's with :class:`~llmkit.CallCancelled`.
        :raises AllInstancesFailed: if none answers; ``failures`` has every error.
        :raises LLMError: any other before something was sent.
        """
        from llmkit.flow.race import race

        return finish(race(self._kit, self._race_calls(prompt, models, instances, options)))

    def stream(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> Stream:
        """Ask for an answer in pieces; takes what :meth:`generate` takes.

        :raises LLMError: at the start of the ``with`` block, or at the first event; :class:`~llmkit.StreamInterrupted` later.
        """
        from llmkit.streams import Stream

        return Stream(self._kit, self._chat_call(prompt, options, stream=True))

    def batch(
        self,
        requests: Iterable[Request | Prompt],
        *,
        concurrency: int = 10,
        progress: Callable[[int, Completion | LLMError], object] | bool | Literal["force"] | None = None,
    ) -> list[Completion | LLMError]:
        """Ask many, at most ``concurrency`` at once.

        :param progress: a function, called with the number done so far and the answer that just came; or True for a bar on
            standard error where that is a terminal, ``"force"`` for one in any case.
        :returns: completions, in the order of the requests, with the error in the place of one that failed.
        """
        from llmkit.flow.batch import in_order
        from llmkit.observe.progress import shown_progress

        with shown_progress(progress, requests) as tell:
            return finish(in_order(self._kit, self._request_call, requests, concurrency, tell))

    def as_completed(
        self, requests: Iterable[Request | Prompt], *, concurrency: int = 10
    ) -> Iterator[tuple[int, Completion | LLMError]]:
        """As :meth:`batch`, giving (position, answer) as each is done. Takes requests from the iterable only as it goes;
        closing the iterator calls off what still runs."""
        from llmkit.flow.batch import batch

        return drain(batch(self._kit, self._request_call, requests, concurrency))

    def generate_sequentially(self, requests: Iterable[Request | Prompt]) -> list[Completion | LLMError]:
        """Ask many, one after the other; an error stands in the place of an answer."""
        return self.batch(requests, concurrency=1)

    def embed(
        self,
        texts: str | Sequence[str],
        *,
        model: str | ModelRequest | None = None,
        instance: str | None = None,
        dimensions: int | None = None,
        timeout: float | None = None,
        retries: Any = None,
        cache: CacheUse = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Embeddings:
        """Turn texts into vectors.

        :param dimensions: how long each vector is to be, where the vendor lets one choose.
        :param cache: as for :meth:`generate`.
        :raises LLMError: every failure is one.
        """
        from llmkit.other_calls import embed_call

        given = {"dimensions": dimensions, "timeout": timeout, "retries": retries, "cache": cache, "extra": extra}
        return finish(ask(self._kit, embed_call(self._core, self._runtime.now(), texts, model, instance, given)))

    def list_models(self, source: str | None = None, *, timeout: float | None = None) -> list[ModelInfo]:
        """What a vendor or local server offers, with the catalogue's facts where it says nothing.

        :param source: an instance's name or a provider's; None asks every instance's vendor once.
        :raises LLMError: every failure is one.
        """
        from llmkit.flow.models import list_models
        from llmkit.other_calls import models_call

        call = partial(models_call, self._core, self._runtime.now(), timeout)
        return self._with_facts(finish(list_models(self._kit, self._core.model_sources(source), call)))

    def count_tokens(
        self,
        prompt: Prompt,
        model: str | ModelRequest | None = None,
        *,
        system: str | None = None,
        tools: Sequence[ToolLike] | None = None,
        exact: bool = False,
        instance: str | None = None,
        timeout: float | None = None,
    ) -> TokenCount:
        """How many tokens the prompt of a call is: what :meth:`generate` would send, with what the vendor puts around messages.

        Nothing is sent unless ``exact`` asks for the vendor's own count. What is returned is an ``int`` that says whether it is
        exact, and by what it was counted. ``llmkit.count_tokens`` counts a text alone.

        :param model: default: the client's default model, else its first instance's.
        :param exact: ask the vendor's counting endpoint where llmkit can only estimate.
        :param timeout: seconds for asking the vendor; default the client's.
        :raises UnsupportedParameterError: if ``exact`` and neither the vendor nor llmkit counts exactly.
        :raises LLMError: every failure is one.
        """
        from llmkit.flow.count import count_tokens as flow
        from llmkit.other_calls import count_call

        given = {"system": system, "tools": tools, "instance": instance, "timeout": timeout}
        call, rules = count_call(self._core, self._runtime.now(), prompt, model, exact, given)
        return finish(flow(self._kit, call, rules, self._core.tokenizers, exact))

    def health(self, probe: bool = False) -> ClientHealth:
        """The state of every instance: whether it can take calls, and if not, why and until when.

        :param probe: asks each instance that is switched on, all at once and for five seconds at most, for its list of models: the
            cheapest call that there is. Keys that rest, and limits, are respected. What comes of it counts as for a call.
        :raises ClientClosedError: if the client is closed meanwhile.
        """
        if not probe:
            return self._health()
        from llmkit.flow.health import probed_together

        return self._health(finish(probed_together(self._kit, self._enabled())))

    def request(self, instance: str, method: str, path: str, *, json: Any = None, timeout: float | None = None) -> Any:
        """Send an authorised request of your own to an instance's vendor.

        :param path: what follows the instance's ``base_url``.
        :returns: the reply's JSON.
        :raises LLMError: every failure is one.
        """
        from llmkit.other_calls import raw_call

        return finish(ask(self._kit, raw_call(self._core, self._runtime.now(), instance, method, path, json, timeout)))

    def queue(
        self, prompt: Prompt, *, key: str | None = None, delay: float = 0.0, **options: Unpack[GenerateOptions]
    ) -> Ticket:
        """Put a call into the queue, to be asked by :meth:`drain_queue`; takes what :meth:`generate` takes. It is on the disk when
        this returns.

        :param key: a name of your own for the call: however often it is queued under this name, it is stored once.
        :param delay: seconds before which nobody takes it.
        :raises InvalidRequestError: if the call holds something that has no JSON form, or ``key`` is another call's.
        :raises StorageError: if it cannot be stored.
        """
        from llmkit.flow.queued import enqueue
        from llmkit.values.fallbacks import Queue

        return finish(enqueue(self._kit, self._chat_call(prompt, options), Queue(delay), key=key))

    def drain_queue(
        self, *, concurrency: int = 10, limit: int | None = None, progress: Callable[[int, Ticket], object] | None = None
    ) -> list[Ticket]:
        """Ask the calls in the queue that may be asked now, oldest first, at most ``concurrency`` at once, until none is left.

        :param limit: the most tickets to take; None for all.
        :param progress: called with the number done so far and the ticket as it is then.
        :returns: each ticket as it is afterwards, oldest first: ``done`` with its ``completion``, ``failed`` with its ``error``, or
            ``queued`` again for a later time.
        :raises StorageError: if the queue cannot be read.
        """
        from llmkit.flow.queued import drain as drain_tickets

        return finish(drain_tickets(self._kit, self._core.ensured, concurrency, limit, progress))

    def ticket(self, id: str) -> Ticket:
        """A ticket of the queue as it is now.

        :raises InvalidRequestError: if there is none of that id.
        """
        from llmkit.flow.queued import ticket

        return finish(ticket(self._kit, id))

    def tickets(self, status: str | None = None, *, limit: int = 100) -> list[Ticket]:
        """The latest tickets of the queue, newest first.

        :param status: ``queued``, ``running``, ``done`` or ``failed`` alone.
        """
        from llmkit.flow.queued import tickets

        return finish(tickets(self._kit, status, limit))

    def cancel_ticket(self, id: str) -> bool:
        """Delete a ticket that is queued; False if it is not, or no more."""
        from llmkit.flow.queued import with_store

        return bool(finish(with_store(self._kit, lambda store: store.cancel(id))))

    def purge_queue(self, *, older_than: float = 0.0, statuses: Sequence[str] = ("done", "failed")) -> int:
        """Delete tickets that are over.

        :param older_than: seconds since they last changed.
        :param statuses: which to delete; running ones stay.
        :returns: how many there were.
        """
        from llmkit.flow.queued import purge

        return finish(purge(self._kit, older_than, statuses))

    @property
    def cache(self) -> ClientCache:
        """Values of your own in the client's cache, and its figures.

        :raises ConfigError: from every method, if the client has none.
        """
        from llmkit.caches import ClientCache

        return ClientCache(self._kit)

    def warm_up(self) -> None:
        """Make a connection to every instance's host ahead of the first call."""
        finish(self._runtime.warm_up(self._roots()))

    def as_async(self) -> AsyncClient:
        """The async face over the same instances, keys, limits and books. Each face is closed for itself."""
        from llmkit.aclient import AsyncClient

        return AsyncClient._over(self._core)

    def close(self) -> None:
        """End calls in flight with :class:`~llmkit.ClientClosedError` and close every connection. May be called twice, and from
        another thread."""
        finish(self._end())
        self._core.close_cache()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
