"""How a cache is set up, as one frozen value."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import attrs

from llmkit.errors import ConfigError, did_you_mean, shown
from llmkit.values.base import Value
from llmkit.values.secret import Secret

MEMORY = "memory"
SCHEMES = ("redis", "rediss", "unix", "sqlite")


def _whole(value: Any, attribute: Any, number: Any) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ConfigError(f"cache.{attribute.name}: expected a whole number of at least 1, got {shown(number)}")


def _seconds(value: Any, attribute: Any, number: Any) -> None:
    if number is not None:
        ttl(f"cache.{attribute.name}", number)


def ttl(name: str, seconds: Any) -> float:
    """``seconds`` if it is a number above 0.

    :raises ConfigError: if it is not.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= sys.float_info.max:
        raise ConfigError(f"{name}: expected a number of seconds above 0, got {shown(seconds)}")
    return seconds


def _text(value: Any, attribute: Any, text: Any) -> None:
    if not isinstance(text, str):
        raise ConfigError(f"cache.{attribute.name}: expected text, got {type(text).__name__}")
    if text != text.encode("utf-8", "replace").decode():
        raise ConfigError(f"cache.{attribute.name}: expected text that has a form in UTF-8, got {shown(text)}")


def _url(value: Any, attribute: Any, url: Any) -> None:
    if url is not None and (not isinstance(url, str) or not url.strip()):
        raise ConfigError(f"cache.{attribute.name}: expected a URL such as redis://localhost, or a registered name")


def _secret(secret: Any) -> Any:
    if secret is None or isinstance(secret, Secret):
        return secret
    if not isinstance(secret, str) or not secret.strip():
        raise ConfigError("cache.secret: expected a non-empty string")
    return Secret(secret)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class CacheSettings(Value):
    """A cache in memory, with a second level behind it where ``url`` names one.

    :raises ConfigError: if a value has the wrong type or is out of range.
    """

    url: str | None = attrs.field(default=None, validator=_url, repr=lambda url: "None" if url is None else "'**********'")
    """The second level: ``redis://host:6379/0`` (also ``rediss://`` and ``unix://``), ``sqlite:///path``, or a name that a
    plugin registered. It may hold a password, and is not printed. None, or ``memory``, for none."""
    ttl: float | None = attrs.field(default=3600.0, validator=_seconds)
    """Seconds for which an answer is kept; None for ever. Default 3600."""
    max_entries: int = attrs.field(default=10_000, validator=_whole)
    """Entries in memory. Default 10,000."""
    max_bytes: int = attrs.field(default=64 << 20, validator=_whole)
    """Bytes of all entries in memory, about. Default 64 MiB."""
    max_entry_bytes: int = attrs.field(default=1 << 20, validator=_whole)
    """An answer of more than this is not kept. Default 1 MiB."""
    namespace: str = attrs.field(default="", validator=_text)
    """Keeps what shares a second level apart: tenants, environments, versions of a prompt. Default empty."""
    secret: Secret | None = attrs.field(default=None, converter=_secret)
    """Signs the entries of the second level (HMAC-SHA256), so that nobody else who can write there can make one. Default None:
    the digest guards against damage, not against forgery."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> CacheSettings:
        """The settings in a mapping.

        :raises ConfigError: if one is unknown or wrong.
        """
        names = [field.name for field in attrs.fields(cls)]
        for name in given:
            if name not in names:
                raise ConfigError(f"cache.{name}: no such setting{did_you_mean(str(name), names)}; there are {', '.join(names)}")
        return cls(**given)
