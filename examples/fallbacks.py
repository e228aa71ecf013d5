"""A vendor that is down: what to do instead, and how what was put off gets its answer."""

from __future__ import annotations

from llmkit import CallQueued, Client, Degrade, Instance, Reject

NOWHERE = "http://localhost:9/v1"  # nobody listens there

down = Instance("openai", "gpt-4o", name="down", base_url=NOWHERE)
small = Instance("openai", "gpt-4o-mini", name="small")

with Client([down, small], retries=0, queue="queue.sqlite") as client:
    less = client.generate("Say hello in Welsh.", instance="down", max_tokens=500, fallback=Degrade("openai/gpt-4o-mini", 50))
    print(f"{less.text} <- {less.fallback}")

    sorry = client.generate("Say hello in Welsh.", instance="down", fallback=Reject("Come back tomorrow."))
    print(f"{sorry.text} <- {sorry.fallback}")

    for number in range(3):
        try:
            client.generate(f"The number {number} in Welsh.", instance="down", fallback="queue")
        except CallQueued as queued:
            print("queued:", queued.ticket.id if queued.ticket else None, "after", queued.__cause__)

# Later, in another process: `llmkit queue drain -c llmkit.toml`, or
with Client([Instance("openai", "gpt-4o", name="down")], queue="queue.sqlite") as client:  # it is up again
    for ticket in client.drain_queue():
        print(f"{ticket.status}: {ticket.completion.text if ticket.completion else ticket.why}")
