"""Real recorded traffic, replayed: what comes back, in every way a network may bring it, and what is sent."""
