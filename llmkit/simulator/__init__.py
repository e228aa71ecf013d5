"""A local server that speaks the wire of every vendor: for tests, demonstrations, benchmarks and work without a network.

.. code-block:: python

    from llmkit.simulator import Simulator

    with Simulator() as simulator:
        simulator.fail(vendor="openai", times=2, fault="429;retry-after=1")
        client = Client([Instance("openai", "gpt-4o-mini", api_key="k1", base_url=simulator.base_url("openai"))])
        client.generate("Hello")
        simulator.ledger.snapshot()

``python -m llmkit.simulator`` runs one in the foreground.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmkit.simulated import Answer, Question, Refusal, SimulatedCall
    from llmkit.simulator.faults import Fault
    from llmkit.simulator.server import Simulator, run

__all__ = ["Answer", "Fault", "Question", "Refusal", "SimulatedCall", "Simulator", "run"]

_HOMES = {
    "Answer": "llmkit.simulated",
    "Fault": "llmkit.simulator.faults",
    "Question": "llmkit.simulated",
    "Refusal": "llmkit.simulated",
    "SimulatedCall": "llmkit.simulated",
    "Simulator": "llmkit.simulator.server",
    "run": "llmkit.simulator.server",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
