"""aioresponses 0.7.9 makes ``ClientResponse`` without ``stream_writer``, which aiohttp 3.14 asks for."""

from __future__ import annotations

import inspect
from typing import Any

from aiohttp import ClientResponse


class Written:
    """A request that has been sent."""

    output_size = 0


class MockedResponse(ClientResponse):
    """Pass as ``response_class`` to every ``aioresponses`` rule."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "stream_writer" in inspect.signature(ClientResponse.__init__).parameters:
            kwargs.setdefault("stream_writer", Written())
        super().__init__(*args, **kwargs)
