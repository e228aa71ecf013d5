"""The async face."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from llmkit.errors import LLMError
from llmkit.face import Face
from llmkit.flow.ask import ask
from llmkit.values.completion import Completion, Embeddings, ModelInfo
from llmkit.values.requests import Prompt, Request

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from llmkit.client import Client
    from llmkit.runtime import Runtime
    from llmkit.streams import AsyncStream
    from llmkit.values.arguments import GenerateOptions
    from llmkit.values.health import ClientHealth


class AsyncClient(Face):  # noqa: D101 (the base documents it)
    __doc__ = Face.__doc__

    def _make_runtime(self, transport: Mapping[str, Any]) -> Runtime:
        from llmkit.transports.aio import Runtime as AioRuntime

        return AioRuntime(**transport)

    async def generate(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> Completion:
        """Ask for a whole answer.

        :param prompt: text, a message, or a conversation.
        :param options: see :class:`~llmkit.values.arguments.GenerateOptions`.
        :raises LLMError: every failure is one.
        """
        return await ask(self._kit, self._chat_call(prompt, options))

    async def race(
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

        return await race(self._kit, self._race_calls(prompt, models, instances, options))

    def stream(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> AsyncStream:
        """Ask for an answer in pieces; takes what :meth:`generate` takes.

        :raises LLMError: at the start of the ``async with`` block, or at the first event; :class:`~llmkit.StreamInterrupted` later.
        """
        from llmkit.streams import AsyncStream

        return AsyncStream(self._kit, self._chat_call(prompt, options, stream=True))

    async def batch(
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
            return await in_order(self._kit, self._request_call, requests, concurrency, tell)

    def as_completed(
        self, requests: Iterable[Request | Prompt], *, concurrency: int = 10
    ) -> AsyncIterator[tuple[int, Completion | LLMError]]:
        """As :meth:`batch`, giving (position, answer) as each is done. Takes requests from the iterable only as it goes;
        closing the iterator calls off what still runs."""
        from llmkit.flow.batch import batch

        return batch(self._kit, self._request_call, requests, concurrency)

    async def generate_sequentially(self, requests: Iterable[Request | Prompt]) -> list[Completion | LLMError]:
        """Ask many, one after the other; an error stands in the place of an answer."""
        return await self.batch(requests, concurrency=1)

    async def embed(
        self,
        texts: str | Sequence[str],
        *,
        model: str | None = None,
        instance: str | None = None,
        dimensions: int | None = None,
        timeout: float | None = None,
        retries: Any = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Embeddings:
        """Turn texts into vectors.

        :param dimensions: how long each vector is to be, where the vendor lets one choose.
        :raises LLMError: every failure is one.
        """
        given = {"dimensions": dimensions, "timeout": timeout, "retries": retries, "extra": extra}
        return await ask(self._kit, self._embed_call(texts, model, instance, given))

    async def list_models(self, source: str | None = None, *, timeout: float | None = None) -> list[ModelInfo]:
        """What a vendor or local server offers.

        :param source: an instance's name or a provider's; None asks every instance's vendor once.
        :raises LLMError: every failure is one.
        """
        from llmkit.flow.models import list_models

        call = partial(self._models_call, timeout=timeout)
        return await list_models(self._kit, self._core.model_sources(source), call)

    async def health(self, probe: bool = False) -> ClientHealth:
        """The state of every instance: whether it can take calls, and if not, why and until when.

        :param probe: asks each instance that is switched on, all at once and for five seconds at most, for its list of models: the
            cheapest call that there is. Keys that rest, and limits, are respected. What comes of it counts as for a call.
        :raises ClientClosedError: if the client is closed meanwhile.
        """
        if not probe:
            return self._health()
        from llmkit.flow.health import probed_together

        return self._health(await probed_together(self._kit, self._enabled()))

    async def request(self, instance: str, method: str, path: str, *, json: Any = None, timeout: float | None = None) -> Any:
        """Send an authorised request of your own to an instance's vendor.

        :param path: what follows the instance's ``base_url``.
        :returns: the reply's JSON.
        :raises LLMError: every failure is one.
        """
        return await ask(self._kit, self._raw_call(instance, method, path, json, timeout))

    async def warm_up(self) -> None:
        """Make a connection to every instance's host ahead of the first call."""
        await self._runtime.warm_up(self._roots())

    def as_sync(self) -> Client:
        """The sync face over the same instances, keys, limits and books. Each face is closed for itself."""
        from llmkit.client import Client

        return Client._over(self._core)

    async def close(self) -> None:
        """End calls in flight with :class:`~llmkit.ClientClosedError` and close every connection. May be called twice, and from
        another thread."""
        await self._runtime.aclose()

    def close_now(self) -> None:
        """As :meth:`close`, from code that is not async, in any thread."""
        self._runtime.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()
