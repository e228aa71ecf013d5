"""From files, the environment and builder steps to one frozen value, :class:`~llmkit.config.settings.Settings`.

Nothing here makes a client. ``settings`` is the value; ``files`` reads TOML (``shapes``, ``checks`` and ``positions`` help
it); ``env`` reads the environment and ``.env`` files; ``builder`` collects the steps of ``Client.builder()``.
"""

from __future__ import annotations

from llmkit.config.builder import Builder
from llmkit.config.env import base_url_for, keys_for, read_env
from llmkit.config.files import parse_config, read_config
from llmkit.config.settings import Environment, Logging, Settings

__all__ = [
    "Builder",
    "Environment",
    "Logging",
    "Settings",
    "base_url_for",
    "keys_for",
    "parse_config",
    "read_config",
    "read_env",
]
