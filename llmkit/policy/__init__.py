"""Decisions without doing: arithmetic over time that is handed in, under a lock that is never held over a wait."""
