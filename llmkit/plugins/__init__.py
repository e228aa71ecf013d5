"""What comes from outside: vendors by entry point, and hooks into every call."""
