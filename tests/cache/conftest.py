"""Both colours, a hypothesis without its clock, and no keys from outside."""

from tests.core.conftest import colour, no_keys_from_outside

__all__ = ["colour", "no_keys_from_outside"]
