"""One Python library in front of every LLM vendor, sync and async.

Importing it loads nothing but this page; each name is imported when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from llmkit.aclient import AsyncClient as AsyncClient
    from llmkit.cache.answers import CacheStats as CacheStats
    from llmkit.cache.semantic import SemanticCache as SemanticCache
    from llmkit.cache.settings import CacheSettings as CacheSettings
    from llmkit.cache.store import Cache as Cache
    from llmkit.catalog.select import Selection as Selection
    from llmkit.catalog.select import find_alternative_model as find_alternative_model
    from llmkit.catalog.select import get_model_info as get_model_info
    from llmkit.catalog.select import list_available_models as list_available_models
    from llmkit.catalog.select import select_models as select_models
    from llmkit.client import Client as Client
    from llmkit.default import agenerate as agenerate
    from llmkit.default import astream as astream
    from llmkit.default import cache_result as cache_result
    from llmkit.default import clear_cache as clear_cache
    from llmkit.default import generate as generate
    from llmkit.default import get_cache as get_cache
    from llmkit.default import get_client as get_client
    from llmkit.default import get_token_limit as get_token_limit
    from llmkit.default import reset_client as reset_client
    from llmkit.default import set_client as set_client
    from llmkit.default import stream as stream
    from llmkit.errors import AllInstancesFailed as AllInstancesFailed
    from llmkit.errors import AuthenticationError as AuthenticationError
    from llmkit.errors import BudgetExceededError as BudgetExceededError
    from llmkit.errors import CallCancelled as CallCancelled
    from llmkit.errors import CallQueued as CallQueued
    from llmkit.errors import ClientClosedError as ClientClosedError
    from llmkit.errors import ConfigError as ConfigError
    from llmkit.errors import ContentFilterError as ContentFilterError
    from llmkit.errors import ContextLengthError as ContextLengthError
    from llmkit.errors import ErrorCode as ErrorCode
    from llmkit.errors import InvalidRequestError as InvalidRequestError
    from llmkit.errors import InvalidResponseError as InvalidResponseError
    from llmkit.errors import LLMError as LLMError
    from llmkit.errors import ModelNotFoundError as ModelNotFoundError
    from llmkit.errors import NetworkError as NetworkError
    from llmkit.errors import NoInstanceAvailable as NoInstanceAvailable
    from llmkit.errors import OverloadedError as OverloadedError
    from llmkit.errors import PermissionDeniedError as PermissionDeniedError
    from llmkit.errors import QueueFullError as QueueFullError
    from llmkit.errors import QuotaExceededError as QuotaExceededError
    from llmkit.errors import RateLimitError as RateLimitError
    from llmkit.errors import Recovery as Recovery
    from llmkit.errors import RedirectError as RedirectError
    from llmkit.errors import RequestTimeout as RequestTimeout
    from llmkit.errors import ResponseTooLarge as ResponseTooLarge
    from llmkit.errors import ServerError as ServerError
    from llmkit.errors import StorageError as StorageError
    from llmkit.errors import StreamInterrupted as StreamInterrupted
    from llmkit.errors import TLSError as TLSError
    from llmkit.errors import UnsupportedParameterError as UnsupportedParameterError
    from llmkit.plugins.specs import hookimpl as hookimpl
    from llmkit.policy.retry import retry as retry
    from llmkit.streams import AsyncStream as AsyncStream
    from llmkit.streams import Stream as Stream
    from llmkit.tokens.count import count_tokens as count_tokens
    from llmkit.tokens.estimate import estimate_tokens as estimate_tokens
    from llmkit.tokens.fit import FittedPrompt as FittedPrompt
    from llmkit.tokens.fit import optimize_prompt as optimize_prompt
    from llmkit.tokens.local import register_tokenizer as register_tokenizer
    from llmkit.values.breaker import BreakerSettings as BreakerSettings
    from llmkit.values.budgets import Budget as Budget
    from llmkit.values.completion import Attempt as Attempt
    from llmkit.values.completion import Completion as Completion
    from llmkit.values.completion import FinishReason as FinishReason
    from llmkit.values.completion import Timing as Timing
    from llmkit.values.counts import TokenCount as TokenCount
    from llmkit.values.embeddings import Embeddings as Embeddings
    from llmkit.values.fallbacks import Degrade as Degrade
    from llmkit.values.fallbacks import Queue as Queue
    from llmkit.values.fallbacks import Reject as Reject
    from llmkit.values.fallbacks import Secondary as Secondary
    from llmkit.values.hedging import Hedge as Hedge
    from llmkit.values.instances import Instance as Instance
    from llmkit.values.instances import Task as Task
    from llmkit.values.instances import Timeouts as Timeouts
    from llmkit.values.messages import Audio as Audio
    from llmkit.values.messages import File as File
    from llmkit.values.messages import Image as Image
    from llmkit.values.messages import Message as Message
    from llmkit.values.messages import Reasoning as Reasoning
    from llmkit.values.messages import Text as Text
    from llmkit.values.messages import ToolCall as ToolCall
    from llmkit.values.messages import ToolResult as ToolResult
    from llmkit.values.model_requests import ModelRequest as ModelRequest
    from llmkit.values.models import ModelInfo as ModelInfo
    from llmkit.values.options import Options as Options
    from llmkit.values.price import Price as Price
    from llmkit.values.requests import Request as Request
    from llmkit.values.secret import Secret as Secret
    from llmkit.values.tickets import Ticket as Ticket
    from llmkit.values.tickets import TicketStatus as TicketStatus
    from llmkit.values.tools import JsonSchema as JsonSchema
    from llmkit.values.tools import Tool as Tool
    from llmkit.values.usage import Usage as Usage

_ROOMS = {
    "aclient": "AsyncClient",
    "cache.answers": "CacheStats",
    "cache.semantic": "SemanticCache",
    "cache.settings": "CacheSettings",
    "cache.store": "Cache",
    "client": "Client",
    "default": (
        "agenerate astream cache_result clear_cache generate get_cache get_client get_token_limit reset_client set_client stream"
    ),
    "errors": (
        "AllInstancesFailed AuthenticationError BudgetExceededError CallCancelled CallQueued ClientClosedError ConfigError "
        "ContentFilterError ContextLengthError ErrorCode InvalidRequestError InvalidResponseError LLMError ModelNotFoundError "
        "NetworkError NoInstanceAvailable OverloadedError PermissionDeniedError QueueFullError QuotaExceededError "
        "RateLimitError Recovery RedirectError RequestTimeout ResponseTooLarge ServerError StorageError StreamInterrupted TLSError "
        "UnsupportedParameterError"
    ),
    "plugins.specs": "hookimpl",
    "policy.retry": "retry",
    "streams": "AsyncStream Stream",
    "tokens.count": "count_tokens",
    "tokens.estimate": "estimate_tokens",
    "tokens.fit": "FittedPrompt optimize_prompt",
    "tokens.local": "register_tokenizer",
    "values.counts": "TokenCount",
    "values.breaker": "BreakerSettings",
    "catalog.select": "Selection find_alternative_model get_model_info list_available_models select_models",
    "values.budgets": "Budget",
    "values.completion": "Attempt Completion FinishReason Timing",
    "values.embeddings": "Embeddings",
    "values.hedging": "Hedge",
    "values.fallbacks": "Degrade Queue Reject Secondary",
    "values.instances": "Instance Task Timeouts",
    "values.messages": "Audio File Image Message Reasoning Text ToolCall ToolResult",
    "values.model_requests": "ModelRequest",
    "values.models": "ModelInfo",
    "values.options": "Options",
    "values.price": "Price",
    "values.requests": "Request",
    "values.secret": "Secret",
    "values.tickets": "Ticket TicketStatus",
    "values.tools": "JsonSchema Tool",
    "values.usage": "Usage",
}
_WHERE = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = list(_WHERE)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("llmkit")
    room = _WHERE.get(name)
    if room is None:
        raise AttributeError(f"module 'llmkit' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"llmkit.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
