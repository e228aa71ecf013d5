"""Draws steps.svg: who answers under each kind of fallback where the instance of the call's own model does not.

python docs/pictures/steps.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parent))

from plot import Panel, write
from world import World, counted, failed, instance, said

from llmkit import CallQueued, Completion, Degrade, Reject, Secondary
from llmkit.wire.http import HttpReply

SECONDS, DRAINED = 120.0, 70.0
CAME = [number / 2 for number in range(160)]
LONG = "word " * 400
"""What every third call asks."""


def down(now, asked):
    """The vendor is down for a while."""
    return failed() if 20 <= now < 45 else None


def not_taken(code):
    """The vendor does not take long prompts, and says so with a code of its own."""
    reply = HttpReply(400, {}, b'{"error": {"message": "no", "code": "%s"}}' % code.encode())
    return lambda now, asked: reply if LONG.strip().encode() in asked else None


OTHER = "openai/other"
KINDS = {
    "Secondary, as main is down from 20 to 45 s": (down, "secondary", {"fallback": Secondary([OTHER])}),
    "Degrade to a smaller model and fewer tokens": (down, "degrade", {"fallback": Degrade(model=OTHER, max_tokens=100)}),
    "Queue, drained at 70 s": (down, "queue", {"fallback": "queue"}),
    "Reject with a text of your own": (down, "reject", {"fallback": Reject("I cannot answer just now.")}),
    "Every third prompt is too long": (not_taken("context_length_exceeded"), "context_fallbacks", {"context_fallbacks": [OTHER]}),
    "Every third prompt is refused": (not_taken("content_filter"), "refusal_fallbacks", {"refusal_fallbacks": [OTHER]}),
}


def run(trouble, **settings):
    """A run, and when which ticket was answered out of the queue."""
    drained: list[float] = []

    def server(name, now):
        wrong = trouble(now, world.request.body) if name == "main" else None
        return (0.5, said()) if wrong is None else (0.1, wrong)

    instances = [instance("main", model="main"), instance("other", model="other")]
    world = World(server, instances, retries=0, unavailable="fail", **settings)

    def drain():
        def note(done, ticket):
            drained.append(world.simulation.clock)

        world.simulation.start(world.client.drain_queue(progress=note))

    if settings.get("fallback") == "queue":
        world.simulation.at(DRAINED, drain)
    world.plan(CAME[::3], LONG, model="openai/main")
    world.ask([at for number, at in enumerate(CAME) if number % 3], model="openai/main")
    return world, drained


def main(path: Path) -> None:
    """Draw it."""
    panels = []
    for title, (trouble, kind, settings) in KINDS.items():
        with TemporaryDirectory() as folder:
            world, drained = run(trouble, queue=Path(folder) / "queue.sqlite", **settings)
        answers = [(at, result.fallback or "main") for _, at, result in world.ended if isinstance(result, Completion)]
        panel = Panel(title, SECONDS, 120)
        panel.steps("main", *counted(at for at, by in answers if by == "main"))
        if kind == "queue":
            panel.steps("tickets", *counted(at for _, at, result in world.ended if isinstance(result, CallQueued)))
            panel.steps("answered later", *counted(drained))
        else:
            panel.steps(kind, *counted(at for at, by in answers if by.startswith(kind)))
        panels.append(panel)
    write(panels, path)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".svg"))
