"""API keys as people write them, in lists and in the environment. A key is spoken of by its position, never shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from llmkit.errors import ConfigError, Problem
from llmkit.values.secret import Secret

ENVIRONMENT = "environment"
"""What errors call the process's environment, in the place of a file's name."""
PLACEHOLDER = 16
"""Keys shorter than this many characters are words such as ``not-needed``, which local servers ask for."""


def split_keys(keys: str | Sequence[str]) -> tuple[tuple[Secret, ...], tuple[str, ...]]:
    """The keys of a list, or of text with commas between them, and what is wrong with any of them."""
    found: list[Secret] = []
    wrong: list[str] = []
    first: dict[Secret, int] = {}
    for number, text in enumerate(keys.split(",") if isinstance(keys, str) else keys, 1):
        try:
            secret = Secret(text)
        except ValueError as problem:
            wrong.append(f"key {number}: {problem}")
            continue
        if secret in first:
            wrong.append(f"keys {first[secret]} and {number} are the same")
        first.setdefault(secret, number)
        found.append(secret)
    return tuple(found), tuple(wrong)


def looks_real(key: str) -> bool:
    """Whether text is long enough to be a key and not a placeholder."""
    return len(key.strip()) >= PLACEHOLDER


class KeyNames(Protocol):
    """What a provider says about its variables."""

    @property
    def key_names(self) -> tuple[str, ...]:
        """Variables that hold the key; with an ``S`` at the end, lists of keys."""

    @property
    def base_url_names(self) -> tuple[str, ...]:
        """Variables that hold the base URL."""


def keys_for(provider: KeyNames, environ: Mapping[str, str]) -> tuple[Secret, ...]:
    """A provider's keys in the environment; empty if it has none there.

    The lists (``OPENAI_API_KEYS``) come before the single names (``OPENAI_API_KEY``), and the first that is set wins.

    :raises ConfigError: if a list has an empty or repeated key, or a key cannot be sent; it names positions, never a key.
    """
    for name in (*[f"{name}S" for name in provider.key_names], *provider.key_names):
        text = environ.get(name, "")
        if not text.strip():
            continue
        keys, wrong = split_keys(text if name.endswith("S") else [text])
        if wrong:
            said = "; ".join(wrong)
            problem = Problem(ENVIRONMENT, 0, 0, name, said if name.endswith("S") else said.partition(": ")[2])
            raise ConfigError(str(problem), problems=(problem,))
        return keys
    return ()


def base_url_for(provider: KeyNames, environ: Mapping[str, str]) -> str | None:
    """A provider's base URL in the environment (``OPENAI_API_BASE``), the first name that is set; None if there is none."""
    for name in provider.base_url_names:
        if text := environ.get(name, "").strip():
            return text
    return None
