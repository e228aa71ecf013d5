"""For tests of programs that use llmkit: clients that need no server, and a pytest fixture for the simulator.

``pytest`` finds the fixture by itself: ask for ``llmkit_simulator``.
"""

from __future__ import annotations

from llmkit.testing.mock import AsyncMockClient, MockClient
from llmkit.testing.scripted import ScriptedRuntime

__all__ = ["AsyncMockClient", "MockClient", "ScriptedRuntime"]
