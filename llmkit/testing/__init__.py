"""For tests of programs that use llmkit: clients that need no server, and a pytest fixture for the simulator.

``pytest`` finds the fixture by itself: ask for ``llmkit_simulator``. The names here are imported when they are first used, since
pytest loads the fixture's module in every run.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from llmkit.testing.mock import AsyncMockClient as AsyncMockClient
    from llmkit.testing.mock import MockClient as MockClient
    from llmkit.testing.scripted import Chunks as Chunks
    from llmkit.testing.scripted import ScriptedRuntime as ScriptedRuntime

_WHERE = {"AsyncMockClient": "mock", "MockClient": "mock", "Chunks": "scripted", "ScriptedRuntime": "scripted"}

__all__ = list(_WHERE)


def __getattr__(name: str) -> object:
    room = _WHERE.get(name)
    if room is None:
        raise AttributeError(f"module 'llmkit.testing' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"llmkit.testing.{room}"), name)
