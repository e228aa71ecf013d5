"""The functions of the package itself: one client for scripts and notebooks, made on first use."""

from __future__ import annotations

import atexit
import os
import threading
from typing import TYPE_CHECKING, Any

from llmkit.aclient import AsyncClient
from llmkit.client import Client
from llmkit.errors import ConfigError
from llmkit.values.completion import Completion
from llmkit.values.requests import Prompt

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from llmkit.caches import AsyncClientCache
    from llmkit.streams import AsyncStream, Stream
    from llmkit.values.arguments import GenerateOptions

_lock = threading.RLock()
_client: Client | None = None
_async_client: AsyncClient | None = None


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()  # another thread of the parent may have held the old one


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def get_client() -> Client:
    """The client that the package's functions share; made with defaults, and keys from the environment, if there is none yet. It is
    closed when the process ends."""
    global _client
    with _lock:
        if _client is None:
            _client = Client()
            atexit.unregister(reset_client)
            atexit.register(reset_client)
        return _client


def set_client(client: Client) -> None:
    """Let the package's functions use ``client``. The one before is not closed: it may be somebody else's.

    :raises ConfigError: if it is no :class:`~llmkit.Client`; of an ``AsyncClient`` give ``client.as_sync()``.
    """
    global _client, _async_client
    if not isinstance(client, Client):
        hint = "; give its as_sync()" if isinstance(client, AsyncClient) else ""
        raise ConfigError(f"client: expected a Client, got {type(client).__name__}{hint}")
    with _lock:
        _client, _async_client = client, None


def reset_client() -> None:
    """Close the shared client and forget it; the next call makes a new one."""
    global _client, _async_client
    with _lock:
        client, async_client = _client, _async_client
        _client = _async_client = None
    if client is not None:
        client.close()
    if async_client is not None:
        async_client.close_now()


def _shared_async() -> AsyncClient:
    global _async_client
    with _lock:
        if _async_client is None:
            _async_client = get_client().as_async()
        return _async_client


async def get_cache() -> AsyncClientCache:
    """The cache of the shared client, for async code: ``await (await get_cache()).get("key")``. Its methods raise
    :class:`~llmkit.ConfigError` unless :func:`set_client` was given a client with a cache."""
    return _shared_async().cache


async def cache_result(key: str, value: Any, ttl: float | None = None) -> bool:
    """Keep a value in the shared client's cache, as :meth:`~llmkit.caches.ClientCache.set` does."""
    return await _shared_async().cache.set(key, value, ttl)


async def clear_cache() -> bool:
    """Forget everything in the shared client's cache, as :meth:`~llmkit.caches.ClientCache.clear` does."""
    return await _shared_async().cache.clear()


def _about(model: str, options: GenerateOptions) -> GenerateOptions:
    return {**options, "model": model}


def generate(model: str, prompt: Prompt, /, **options: Unpack[GenerateOptions]) -> Completion:
    """Ask ``provider/model`` for a whole answer: ``llmkit.generate("openai/gpt-4o-mini", "Hi").text``.

    :param options: see :class:`~llmkit.values.arguments.GenerateOptions`.
    :raises LLMError: every failure is one.
    """
    return get_client().generate(prompt, **_about(model, options))


async def agenerate(model: str, prompt: Prompt, /, **options: Unpack[GenerateOptions]) -> Completion:
    """As :func:`generate`, for async code."""
    return await _shared_async().generate(prompt, **_about(model, options))


def stream(model: str, prompt: Prompt, /, **options: Unpack[GenerateOptions]) -> Stream:
    """Ask ``provider/model`` for an answer in pieces: ``for event in llmkit.stream("openai/gpt-4o-mini", "Hi")``.

    :param options: see :class:`~llmkit.values.arguments.GenerateOptions`.
    :raises LLMError: at the first event; :class:`~llmkit.StreamInterrupted` later.
    """
    return get_client().stream(prompt, **_about(model, options))


def astream(model: str, prompt: Prompt, /, **options: Unpack[GenerateOptions]) -> AsyncStream:
    """As :func:`stream`, for async code."""
    return _shared_async().stream(prompt, **_about(model, options))


def get_token_limit(model: str) -> int | None:
    """The most tokens that prompt and answer of ``provider/model`` may have together, as the catalogue knows it; None where it does
    not."""
    from llmkit.catalog.select import get_model_info
    from llmkit.tokens import limits

    return limits.get_token_limit(model, get_model_info)
