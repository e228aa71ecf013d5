"""Telling: what was used, and who is told of what happens."""
