"""What the program's exit code says, and which error gives which."""

from __future__ import annotations

from enum import IntEnum

from llmkit.errors import (
    AllInstancesFailed,
    AuthenticationError,
    BudgetExceededError,
    CallQueued,
    ConfigError,
    InvalidRequestError,
    LLMError,
    NetworkError,
    NoInstanceAvailable,
    PermissionDeniedError,
    QueueFullError,
    QuotaExceededError,
    RateLimitError,
    RedirectError,
    ServerError,
    TLSError,
)


class ExitCode(IntEnum):
    """The program's exit codes."""

    OK = 0
    FAILED = 1
    """The call failed: the request is wrong, the answer cannot be understood, a stream broke."""
    USAGE = 2
    """The command line is wrong."""
    CONFIG = 3
    """A setting is wrong: a configuration file, a variable, a model that nobody offers, a missing key."""
    KEY = 4
    """The key is not accepted, may not do this, or has run out of credit."""
    LATER = 5
    """Rate limited, overloaded, not reachable or timed out: the same command may work later."""
    INTERRUPTED = 130
    """Ctrl-C."""
    BROKEN_PIPE = 141
    """Whoever read the output has gone, as in ``llmkit models | head -1``."""


_CODES: tuple[tuple[type[LLMError], ExitCode], ...] = (
    (ConfigError, ExitCode.CONFIG),
    (AuthenticationError, ExitCode.KEY),
    (PermissionDeniedError, ExitCode.KEY),
    (QuotaExceededError, ExitCode.KEY),
    (BudgetExceededError, ExitCode.FAILED),
    (InvalidRequestError, ExitCode.FAILED),
    (TLSError, ExitCode.FAILED),
    (RedirectError, ExitCode.FAILED),
    (RateLimitError, ExitCode.LATER),
    (ServerError, ExitCode.LATER),
    (NetworkError, ExitCode.LATER),
    (NoInstanceAvailable, ExitCode.LATER),
    (QueueFullError, ExitCode.LATER),
    (CallQueued, ExitCode.LATER),
)


def code_for(error: LLMError) -> ExitCode:
    """The exit code for an error. Where several instances failed it is theirs; LATER if that holds for any of them."""
    if isinstance(error, AllInstancesFailed) and error.failures:
        codes = {code_for(failure) for failure in error.failures}
        return ExitCode.LATER if ExitCode.LATER in codes else codes.pop() if len(codes) == 1 else ExitCode.FAILED
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILED)
