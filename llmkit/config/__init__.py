"""From files, the environment and builder steps to one frozen value, :class:`~llmkit.config.settings.Settings`.

Nothing here makes a client. ``settings`` is the value; ``files`` reads TOML (``shapes``, ``checks`` and ``positions`` help
it); ``env`` reads the environment and ``.env`` files; ``builder`` collects the steps of ``Client.builder()``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from llmkit.config.builder import Builder as Builder
    from llmkit.config.env import read_env as read_env
    from llmkit.config.files import parse_config as parse_config
    from llmkit.config.files import read_config as read_config
    from llmkit.config.keys import base_url_for as base_url_for
    from llmkit.config.keys import keys_for as keys_for
    from llmkit.config.settings import Environment as Environment
    from llmkit.config.settings import Logging as Logging
    from llmkit.config.settings import Settings as Settings

_WHERE = {
    "Builder": "builder",
    "Environment": "settings",
    "Logging": "settings",
    "Settings": "settings",
    "base_url_for": "keys",
    "keys_for": "keys",
    "parse_config": "files",
    "read_config": "files",
    "read_env": "env",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> object:
    """Imported when first used: a client that is made in code needs the look-up of keys alone."""
    room = _WHERE.get(name)
    if room is None:
        raise AttributeError(f"module 'llmkit.config' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"llmkit.config.{room}"), name)
