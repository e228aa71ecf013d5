"""The part of a stream's decoder that does not depend on the vendor: cut the bytes, then hand on events before errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

from llmkit.errors import LLMError
from llmkit.values.events import Event


class Framing(Protocol):
    """Cuts bytes into frames: :class:`~llmkit.wire.lines.LineDecoder`, :class:`~llmkit.wire.sse.SSEDecoder`."""

    def feed(self, data: bytes) -> list[Any]:
        """The frames that ``data`` completes."""

    def finish(self) -> list[Any]:
        """The frame that the end of the stream completes."""


class FrameDecoder(ABC):
    """A stream's decoder whose vendor only has to say what one frame means.

    An error in a frame is raised after the events of the frames before it have been handed on, so that what a caller gets does
    not depend on how the network cut the bytes.
    """

    complete: bool = False

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._held: LLMError | None = None

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data``, cut anywhere, completes; no bytes raise the error that is held, if there is one."""
        if self._held is not None:
            raise self._held
        return self._events(self._framing.feed(data)) if data else []

    def finish(self) -> list[Event]:
        """The events that the end of the stream completes."""
        if self._held is not None:
            raise self._held
        return self._events(self._framing.finish())

    @abstractmethod
    def frame(self, frame: Any, events: list[Event]) -> None:
        """Add to ``events`` what one frame says.

        :raises LLMError: if it says that the stream failed, or nothing that can be understood.
        """

    def _events(self, frames: list[Any]) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
            try:
                self.frame(frame, events)
            except LLMError as error:
                if not events:
                    raise
                self._held = error
                break
        return events
