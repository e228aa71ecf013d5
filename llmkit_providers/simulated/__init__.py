"""The vendors' simulated halves: what the other end of each wire checks and answers. Pure, like the providers."""
