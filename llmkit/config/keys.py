"""API keys as people write them in lists. A key is spoken of by its position, never shown."""

from __future__ import annotations

from collections.abc import Sequence

from llmkit.values.secret import Secret

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
