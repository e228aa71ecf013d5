"""Which vendors have their key in the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator

from llmkit.config.keys import keys_for
from llmkit.errors import ConfigError
from llmkit.plugins.registry import REGISTRY
from llmkit.provider import Provider


def providers() -> Iterator[Provider]:
    """Every provider that can be loaded; a broken one is passed over, ``llmkit plugins --load`` shows it."""
    for name in REGISTRY.names():
        try:
            provider = REGISTRY.get(name)
        except ConfigError:
            continue
        yield provider


def providers_with_keys() -> list[Provider]:
    """The vendors with a common address and a key in the environment. Local servers are not among them: they want no key.

    :raises ConfigError: if a variable holds something that is no key.
    """
    return [provider for provider in providers() if provider.needs_key and provider.base_url and keys_for(provider, os.environ)]


def key_variables() -> str:
    """The variables that hold vendors' keys, for a message."""
    return ", ".join([provider.key_names[0] for provider in providers() if provider.needs_key and provider.key_names])
