"""Settings from environment variables and a ``.env`` file, and the keys and base URLs of providers.

An empty variable counts as one that is not set.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Mapping
from typing import Any

from llmkit.cache.settings import CacheSettings
from llmkit.catalog import provider_for, provider_name, split_model
from llmkit.config.dotenv import parse_dotenv
from llmkit.config.files import decode, read_bytes, warn_if_readable
from llmkit.config.keys import ENVIRONMENT, looks_real
from llmkit.config.problems import Problems, plain
from llmkit.config.settings import Environment, Settings
from llmkit.config.settings import known_providers as installed_providers
from llmkit.values.instances import Instance

_KEY_NAME = re.compile(r"[A-Z0-9_]*_API_KEYS?")
_POOL_SIZE = "_CONNECTION_POOL_SIZE"
_FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def read_env(
    environ: Mapping[str, str] | None = None,
    env_file: str | os.PathLike[str] | None = None,
    *,
    known_providers: Collection[str] | None = None,
) -> Settings:
    """The settings in environment variables; what is set in the environment wins over ``env_file``.

    ``ENABLED_MODELS``, ``PRIMARY_LLM`` and ``FALLBACK_LLM`` name models, as ``provider/model`` or by a name the catalogue
    knows; ``REQUEST_TIMEOUT`` is in seconds; ``LLM_RETRY_MAX_ATTEMPTS`` gives the retries after the first attempt;
    ``CACHE_ENABLED``, ``CACHE_TTL`` (seconds) and ``CACHE_URL`` make a cache; ``OPENAI_CONNECTION_POOL_SIZE`` and its like give the
    pool's size, the largest for every host. Keys and base URLs stay in ``Settings.environ``, where
    :func:`~llmkit.config.keys.keys_for` and :func:`~llmkit.config.keys.base_url_for` find them.

    :param environ: default the process's environment.
    :param env_file: a ``.env`` file; None reads none.
    :param known_providers: names of the providers there are; default the installed ones.
    :raises ConfigError: with every mistake in the variables named above.
    """
    known = installed_providers() if known_providers is None else known_providers
    reader = _Reader(os.environ if environ is None else environ, env_file, known)
    fields = reader.fields()
    reader.problems.raise_if_any()
    return Settings(**fields)


def _instance(model: str) -> Instance:
    provider, _, name = model.partition("/")
    return Instance(provider, name)


class _Reader:
    def __init__(self, environ: Mapping[str, str], env_file: str | os.PathLike[str] | None, known: Collection[str]) -> None:
        self.known = known
        self.problems = Problems(ENVIRONMENT if env_file is None else os.fspath(env_file))
        self.lines: dict[str, int] = {}
        variables: dict[str, str] = {}
        if env_file is not None:
            data, mode = read_bytes(self.problems.file)
            in_file = parse_dotenv(decode(data, self.problems), self.problems)
            variables = {name: value for name, (value, _) in in_file.items()}
            self.lines = {name: line for name, (_, line) in in_file.items() if not environ.get(name)}
            if any(_KEY_NAME.fullmatch(name) and looks_real(value) for name, value in variables.items()):
                warn_if_readable(self.problems.file, mode)
        variables.update({name: value for name, value in environ.items() if value or name not in variables})
        self.environ = Environment(variables)
        self.ignored: list[str] = []

    def fields(self) -> dict[str, Any]:
        """Keyword arguments for Settings."""
        fields: dict[str, Any] = {"environ": self.environ}
        primary, fallbacks, enabled = (self._models(name) for name in ("PRIMARY_LLM", "FALLBACK_LLM", "ENABLED_MODELS"))
        if len(primary) > 1:
            self._wrong("PRIMARY_LLM", "expected one model")
        for number, model in enumerate(fallbacks):
            if model in primary or model in fallbacks[:number]:
                self._wrong("FALLBACK_LLM", "expected other models than PRIMARY_LLM, each once")
        if enabled:
            for variable, models in (("PRIMARY_LLM", primary), ("FALLBACK_LLM", fallbacks)):
                if any(model not in enabled for model in models):
                    self.ignored.append(f"ENABLED_MODELS: lacks a model that {variable} names; that model is used all the same")
        ordered = dict.fromkeys([*primary, *enabled, *fallbacks])
        fields["instances"] = tuple([_instance(model) for model in ordered])
        if primary:
            fields["default_model"] = primary[0]
        fields["fallbacks"] = tuple(fallbacks)
        fields["timeout"] = self._number("REQUEST_TIMEOUT", "a number above 0", whole=False, least=0.0)
        fields["retries"] = self._number("LLM_RETRY_MAX_ATTEMPTS", "a whole number of at least 0", whole=True, least=-1)
        fields["pool_size"] = self._pool_size()
        fields["cache"] = self._cache()
        fields["ignored"] = tuple(self.ignored)
        return fields

    def _get(self, name: str) -> str:
        return self.environ.get(name, "").strip()

    def _wrong(self, name: str, message: str) -> None:
        line = self.lines.get(name, 0)
        self.problems.add_at(line, 1 if line else 0, name, message, None if line else ENVIRONMENT)

    def _models(self, variable: str) -> list[str]:
        """The models a variable names, each as ``provider/model``."""
        found: list[str] = []
        listed = self._get(variable).split(",") if self._get(variable) else []
        for number, text in enumerate(listed, 1):
            name = text.strip()
            if not name:
                self._wrong(variable, f"model {number} of the list is empty")
                continue
            provider, model = split_model(name, self.known)
            if provider is None:
                provider = provider_for(model)
            if provider is None or not provider_name(provider, self.known):
                shown = repr(name) if plain(name) else "another name"
                self._wrong(variable, f"expected provider/model, or a model the catalogue knows, got {shown}")
            elif f"{provider}/{model}" not in found:
                found.append(f"{provider}/{model}")
        return found

    def _number(self, name: str, expected: str, *, whole: bool, least: float) -> Any:
        text = self._get(name)
        if not text:
            return None
        number: float = math.nan
        try:
            number = int(text) if whole else float(text)
        except ValueError:
            number = math.nan
        if math.isfinite(number) and least < number < 1e9:
            return number
        self._wrong(name, f"expected {expected}, got {text if re.fullmatch(r'-?[0-9.]{1,8}', text) else 'another text'}")
        return None

    def _cache(self) -> CacheSettings | None:
        """``CACHE_ENABLED`` switches the cache on, ``CACHE_TTL`` says for how many seconds, ``CACHE_URL`` names a second level."""
        flag, url = self._get("CACHE_ENABLED"), self._get("CACHE_URL")
        ttl = self._number("CACHE_TTL", "a number above 0", whole=False, least=0.0)
        if flag and flag.lower() not in _FLAGS:
            self._wrong("CACHE_ENABLED", "expected true or false")
        if not _FLAGS.get(flag.lower(), False):
            if ttl is not None and not flag:
                self.ignored.append("CACHE_TTL: has no effect without CACHE_ENABLED=true")
            return None
        given: dict[str, Any] = {name: value for name, value in (("url", url), ("ttl", ttl)) if value}
        return CacheSettings(**given)

    def _pool_size(self) -> int | None:
        """The largest of the sizes that are given for providers: the client has one for every host."""
        sizes: dict[str, int] = {}
        for name in sorted(self.environ):
            if name.endswith(_POOL_SIZE) and provider_name(name.removesuffix(_POOL_SIZE), self.known):
                size = self._number(name, "a whole number of at least 1", whole=True, least=0)
                if size is not None:
                    sizes[name] = size
        if not sizes:
            return None
        largest = max(sizes.values())
        for name, size in sizes.items():
            if size != largest:
                self.ignored.append(f"{name}: one pool size serves every host; the largest, {largest}, is used")
        return largest
