"""A question as a value, for batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Union

import attrs

from llmkit.values.base import Value
from llmkit.values.messages import Message

Prompt = Union[str, Message, Sequence[Union[str, Message, "dict[str, Any]"]]]
"""Text, a message, or a conversation. A mapping in a conversation is a message in the form of OpenAI's API."""


@attrs.frozen(init=False, eq=False, repr=False)
class Request(Value):
    """A prompt and any keyword argument of ``generate``: ``Request("Hi", task="chat", max_tokens=200)``."""

    prompt: Prompt
    arguments: dict[str, Any]

    def __init__(self, prompt: Prompt, **arguments: Any) -> None:
        self.__attrs_init__(prompt, arguments)
