"""One request and its reply on the wire, with its timer."""

from __future__ import annotations


class Exchange:
    """What is known of one request under way. Whoever changes :attr:`expires_at` has moved the timer.

    :param origin: ``host:port``, for messages.
    :param until: when the exchange is given up, on the monotonic clock.
    """

    connected = False
    """From here on the request may have been sent."""
    reused = False
    """The connection has served another exchange before."""
    received = 0
    """Bytes of the reply that have come; in the sync colour 1 stands for any number."""
    fresh_only = False
    """Take no connection that has been used before."""
    killed: str | None = None
    """Why llmkit itself broke the connection: ``timeout``, ``closed`` (the client), ``dropped`` (the reply) or
    ``cancelled`` (the work it belongs to)."""

    def __init__(self, origin: str, until: float) -> None:
        self.origin = origin
        self.expires_at = until

    @property
    def phase(self) -> str:
        """The phase a timeout falls into."""
        return "attempt" if self.connected else "connect"

    @property
    def stale(self) -> bool:
        """A reused connection died before the reply began, which costs a free retry."""
        return self.reused and not self.received and not self.fresh_only and self.killed is None

    def again(self) -> None:
        """Begin anew for the free retry."""
        self.connected = self.reused = False
        self.fresh_only = True
