"""What can go wrong, and whose turn it is then.

.. code-block:: text

    LLMError
    ├── ConfigError                      a setting is wrong: file, line, key path, what was expected
    ├── InvalidRequestError              the request is wrong (400, 413, 422)
    │   ├── ContextLengthError           more tokens than the model can read
    │   ├── UnsupportedParameterError    the vendor has no such feature; raised before sending
    │   └── ContentFilterError           refused by the vendor's content policy
    ├── AuthenticationError              the key is not accepted (401)
    ├── PermissionDeniedError            the key may not do this (403)
    ├── QuotaExceededError               the account has run out of credit or quota (402)
    ├── ModelNotFoundError               no such model or deployment (404)
    ├── RateLimitError                   too many requests or tokens (429)
    ├── ServerError                      the vendor failed (5xx)
    │   └── OverloadedError              the vendor is overloaded (503, 529)
    ├── NetworkError                     no connection, or it broke
    │   ├── RequestTimeout               one of llmkit's timers ran out
    │   ├── TLSError                     the server's certificate is not acceptable
    │   └── RedirectError                the server answered with a redirect, which is never followed
    ├── InvalidResponseError             an answer that cannot be understood
    │   ├── ResponseTooLarge             a cap on body, line, header or nesting was passed
    │   └── StreamInterrupted            a stream ended before its end; ``partial`` holds what had come
    ├── AllInstancesFailed               several instances were tried; ``failures`` has each one's error
    ├── NoInstanceAvailable              nothing can serve the call now; ``retry_at`` says when to come back
    ├── QueueFullError                   more than ``max_pending`` calls are waiting
    ├── BudgetExceededError              a budget of money or tokens is used up
    ├── CallQueued                       the call waits in the queue now; ``ticket`` finds it again
    ├── StorageError                     a file or database of llmkit's own cannot be read or written
    ├── ClientClosedError                the client was closed
    └── CallCancelled                    a try that was called off; found in ``attempts``, never raised

Every error holds its facts as attributes, can be pickled, and holds no key.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from llmkit.values.completion import Attempt, Completion
    from llmkit.values.tickets import Ticket


MOST_SHOWN = 200
"""Characters of a wrong value that an error shows."""


class ErrorCode(str, enum.Enum):
    """One stable word per error class, for logs, metrics and ``match`` statements."""

    LLM_ERROR = "LLM_ERROR"
    CONFIG_ERROR = "CONFIG_ERROR"
    INVALID_REQUEST = "INVALID_REQUEST"
    CONTEXT_LENGTH = "CONTEXT_LENGTH"
    UNSUPPORTED_PARAMETER = "UNSUPPORTED_PARAMETER"
    CONTENT_FILTER = "CONTENT_FILTER"
    AUTHENTICATION_ERROR = "AUTHENTICATION_ERROR"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    LLM_RATE_LIMIT = "LLM_RATE_LIMIT"
    SERVER_ERROR = "SERVER_ERROR"
    OVERLOADED = "OVERLOADED"
    NETWORK_ERROR = "NETWORK_ERROR"
    LLM_TIMEOUT = "LLM_TIMEOUT"
    TLS_ERROR = "TLS_ERROR"
    REDIRECT = "REDIRECT"
    INVALID_RESPONSE = "INVALID_RESPONSE"
    RESPONSE_TOO_LARGE = "RESPONSE_TOO_LARGE"
    STREAM_INTERRUPTED = "STREAM_INTERRUPTED"
    ALL_INSTANCES_FAILED = "ALL_INSTANCES_FAILED"
    NO_INSTANCE_AVAILABLE = "NO_INSTANCE_AVAILABLE"
    QUEUE_FULL = "QUEUE_FULL"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    CLIENT_CLOSED = "CLIENT_CLOSED"
    CALL_CANCELLED = "CALL_CANCELLED"
    CALL_QUEUED = "CALL_QUEUED"
    STORAGE_ERROR = "STORAGE_ERROR"

    def __str__(self) -> str:
        return self.value


class Recovery(enum.Enum):
    """What may still help after an error; decides retry and failover."""

    NEVER = "never"
    """Nothing: the same call fails everywhere (a bad request, a passed deadline)."""
    OTHER_INSTANCE = "other_instance"
    """Another instance may serve it; this one will not (unknown model, TLS)."""
    OTHER_KEY = "other_key"
    """Another key or instance may serve it; this key will not for a while (401, 402, 403)."""
    RETRY = "retry"
    """Anything may serve it, this key of this instance too, after a pause."""


class LLMError(Exception):
    """Base of every error llmkit raises while it serves a call."""

    default_code: ClassVar[ErrorCode] = ErrorCode.LLM_ERROR
    default_recovery: ClassVar[Recovery] = Recovery.NEVER

    def __init__(
        self,
        message: str = "",
        *,
        provider: str | None = None,
        instance: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        vendor_code: str | None = None,
        body: str | None = None,
        attempts: Sequence[Attempt] = (),
        recovery: Recovery | None = None,
        ambiguous: bool = False,
        **facts: Any,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.default_code
        self.provider = provider
        """Name of the vendor plugin, such as ``openai``."""
        self.instance = instance
        """Name of the configured instance that failed."""
        self.status = status
        """HTTP status, or None where there was no answer."""
        self.request_id = request_id
        """The vendor's id of the request, for its support."""
        self.retry_after = retry_after
        """Seconds the vendor asks to wait, or None."""
        self.vendor_code = vendor_code
        """The vendor's own error code or type, as it was sent."""
        self.body = body
        """Excerpt of the vendor's error body, with anything that looks like a key removed."""
        self.attempts = tuple(attempts)
        """Every try this call has made, oldest first."""
        self.recovery = recovery or self.default_recovery
        """What may still help; see :class:`Recovery`."""
        self.ambiguous = ambiguous
        """True where the vendor may have done (and billed) the work although no whole answer came."""
        for name, value in facts.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        where = self.instance or self.provider
        said = f"{where}: {self.message}" if where else self.message
        details = []
        if self.status is not None:
            details.append(f"HTTP {self.status}")
        if self.vendor_code:
            details.append(self.vendor_code)
        if self.request_id:
            details.append(f"request id {self.request_id}")
        if self.retry_after is not None:
            details.append(f"retry after {self.retry_after:g} s")
        if len(self.attempts) > 1:
            details.append(f"{len(self.attempts)} attempts")
        return f"{said} ({', '.join(details)})" if details else said

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.__dict__.copy()))


def _rebuild(cls: type[LLMError], facts: dict[str, Any]) -> LLMError:
    error = cls.__new__(cls)
    Exception.__init__(error, facts.get("message", ""))
    error.__dict__.update(facts)
    return error


def shown(value: object) -> str:
    """``repr(value)``, short; its type alone where that cannot be had: a value that is wrong may be wrong in that too."""
    try:
        text = repr(value)
    except Exception:  # its __repr__ is somebody else's code
        return f"an object of type {type(value).__name__}"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for a wrong name, or nothing where no valid one is near."""
    from difflib import get_close_matches

    found = get_close_matches(name, list(valid), 1)
    return f"; did you mean {found[0]!r}?" if found else ""


class Problem(NamedTuple):
    """One mistake in a configuration. ``line`` and ``column`` count from 1; 0 means that the place has none."""

    file: str
    line: int
    column: int
    path: str
    """Key path, such as ``instances[0].model``; empty where the whole file is meant."""
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class ConfigError(LLMError):
    """A setting is wrong. The message says where (file, line, key path), what was expected and the nearest valid name.

    ``problems`` lists every mistake of a configuration file; it is empty for a mistake in an argument.
    """

    default_code = ErrorCode.CONFIG_ERROR
    problems: tuple[Problem, ...] = ()


class InvalidRequestError(LLMError):
    """The request is wrong, and would be wrong everywhere."""

    default_code = ErrorCode.INVALID_REQUEST


class ContextLengthError(InvalidRequestError):
    """The request has more tokens than the model can read."""

    default_code = ErrorCode.CONTEXT_LENGTH


class UnsupportedParameterError(InvalidRequestError):
    """The vendor or model has no such feature; raised before anything is sent. ``parameters`` names them."""

    default_code = ErrorCode.UNSUPPORTED_PARAMETER
    default_recovery = Recovery.OTHER_INSTANCE
    parameters: tuple[str, ...] = ()


class ContentFilterError(InvalidRequestError):
    """The vendor's content policy refused the request."""

    default_code = ErrorCode.CONTENT_FILTER


class AuthenticationError(LLMError):
    """The key is not accepted. Names key labels only, never a key."""

    default_code = ErrorCode.AUTHENTICATION_ERROR
    default_recovery = Recovery.OTHER_KEY


class PermissionDeniedError(LLMError):
    """The key is known and may not do this."""

    default_code = ErrorCode.PERMISSION_DENIED
    default_recovery = Recovery.OTHER_KEY


class QuotaExceededError(LLMError):
    """The account behind the key has run out of credit or quota; waiting a few seconds does not help."""

    default_code = ErrorCode.QUOTA_EXCEEDED
    default_recovery = Recovery.OTHER_KEY


class ModelNotFoundError(LLMError):
    """No such model, deployment or endpoint at this vendor."""

    default_code = ErrorCode.MODEL_NOT_FOUND
    default_recovery = Recovery.OTHER_INSTANCE


class RateLimitError(LLMError):
    """Too many requests or tokens; ``retry_after`` gives the vendor's seconds where it says any."""

    default_code = ErrorCode.LLM_RATE_LIMIT
    default_recovery = Recovery.RETRY


class ServerError(LLMError):
    """The vendor failed."""

    default_code = ErrorCode.SERVER_ERROR
    default_recovery = Recovery.RETRY


class OverloadedError(ServerError):
    """The vendor is overloaded or not available."""

    default_code = ErrorCode.OVERLOADED


class NetworkError(LLMError):
    """No connection could be made, or it broke."""

    default_code = ErrorCode.NETWORK_ERROR
    default_recovery = Recovery.RETRY


class RequestTimeout(NetworkError):
    """One of llmkit's timers ran out; ``phase`` is ``connect``, ``first_event``, ``idle``, ``attempt`` or ``deadline``."""

    default_code = ErrorCode.LLM_TIMEOUT
    phase: str = "attempt"


class TLSError(NetworkError):
    """The server's certificate or protocol is not acceptable."""

    default_code = ErrorCode.TLS_ERROR
    default_recovery = Recovery.OTHER_INSTANCE


class RedirectError(NetworkError):
    """The server answered with a redirect. llmkit never follows one: it would hand key and prompt to another host."""

    default_code = ErrorCode.REDIRECT
    default_recovery = Recovery.NEVER


class InvalidResponseError(LLMError):
    """An answer came that cannot be understood, or that is cut short."""

    default_code = ErrorCode.INVALID_RESPONSE
    default_recovery = Recovery.RETRY


class ResponseTooLarge(InvalidResponseError):
    """A cap on body, line, headers or nesting was passed; the connection was dropped."""

    default_code = ErrorCode.RESPONSE_TOO_LARGE
    default_recovery = Recovery.NEVER


class StreamInterrupted(InvalidResponseError):
    """A stream broke after content had been delivered. ``partial`` is what had come, as a :class:`Completion`."""

    default_code = ErrorCode.STREAM_INTERRUPTED
    default_recovery = Recovery.NEVER
    partial: Completion | None = None


class AllInstancesFailed(LLMError):
    """Several instances were tried and each failed; ``failures`` has the errors, in order."""

    default_code = ErrorCode.ALL_INSTANCES_FAILED
    failures: tuple[LLMError, ...] = ()


class NoInstanceAvailable(LLMError):
    """Nothing can serve the call now. ``retry_at`` is the Unix time at which something can, or None if unknown."""

    default_code = ErrorCode.NO_INSTANCE_AVAILABLE
    retry_at: float | None = None


class QueueFullError(LLMError):
    """More than ``max_pending`` calls are waiting already."""

    default_code = ErrorCode.QUEUE_FULL


class BudgetExceededError(LLMError):
    """A budget of money or tokens is used up, or this call would use it up; nothing was sent.

    ``limit``, ``used``, ``held`` (by other calls under way) and ``needed`` (an estimate) are US dollars as ``Decimal``, or tokens.
    """

    default_code = ErrorCode.BUDGET_EXCEEDED
    budget: str = ""
    """The budget's name."""
    scope: str = ""
    """The task, tag, key or instance that it is used up for; empty for the client."""
    limit: Any = None
    used: Any = None
    held: Any = None
    needed: Any = None
    resets_at: float | None = None
    """Unix time at which its window turns; None where it never does."""


class ClientClosedError(LLMError):
    """The client was closed before or during the call."""

    default_code = ErrorCode.CLIENT_CLOSED


class CallCancelled(LLMError):
    """A try that was called off before its answer came: another was quicker, or nobody waits any more. Stands in ``attempts``
    and is never raised. The vendor may have done and billed the work."""

    default_code = ErrorCode.CALL_CANCELLED


class CallQueued(LLMError):
    """There is no answer now: the call was put into the queue, as ``fallback="queue"`` asks. It is stored for good.

    ``ticket`` is its :class:`~llmkit.values.tickets.Ticket`; what had gone wrong is the ``__cause__``.
    """

    default_code = ErrorCode.CALL_QUEUED
    ticket: Ticket | None = None


class StorageError(LLMError):
    """A file or database of llmkit's own cannot be read or written. ``path`` says which."""

    default_code = ErrorCode.STORAGE_ERROR
    path: str | None = None
