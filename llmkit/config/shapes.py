"""The shapes of configuration files: llmkit's own, flyllm's ``[[providers]]``, ``[llm_client]``, ``[[executors.backends]]``.

One file may mix them. Every shape's tables become the same :class:`~llmkit.values.instances.Instance`, through a table of the
shape's own keys.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import attrs

from llmkit.cache.settings import SCHEMES, CacheSettings
from llmkit.catalog import provider_for, provider_name, split_model
from llmkit.config import checks
from llmkit.config.checks import read, reference
from llmkit.config.fallbacks import read_steps, step_models
from llmkit.config.keys import split_keys
from llmkit.config.positions import Path
from llmkit.config.problems import Problems, hidden, nearest
from llmkit.config.settings import (
    FLYLLM_RETRIES,
    Logging,
    Settings,
    plugin_strategies,
    strategy_name,
)
from llmkit.config.tables import (
    BACKEND,
    BALANCING,
    CACHE,
    EXECUTORS,
    FIELDS,
    HEALTH,
    INSTANCE,
    LATER,
    LEVELS,
    LLM_CLIENT,
    LOGGING,
    PROVIDER,
    SETTINGS,
    TOP,
    WEIGHT,
)
from llmkit.errors import ConfigError, LLMError
from llmkit.policy.routes import ANY_MODEL
from llmkit.policy.strategies import ALIASES, STRATEGIES
from llmkit.values.hedging import make_hedge
from llmkit.values.instances import Instance, Task, Timeouts, check_url


class Reader:
    """Reads one parsed and expanded file; mistakes go to ``problems``."""

    def __init__(self, problems: Problems, known_providers: Collection[str], known_strategies: Collection[str] | None) -> None:
        self.problems = problems
        self.known = known_providers
        self.known_strategies = known_strategies
        self.plugins: tuple[str, ...] | None = None
        self.tasks: dict[str, Task] = {}
        self.instances: list[Instance] = []
        self.names: set[str] = set()
        self.ignored: list[str] = []

    def settings(self, document: Mapping[str, Any]) -> Settings:
        """The settings in a whole file; only worth having if ``problems`` stays empty."""
        tables = read(self.problems, (), document, TOP)
        fields = self._settings(("settings",), tables.get("settings", {}), flyllm="providers" in tables)
        self._cache(fields, tables.get("cache"))
        for number, table in enumerate(tables.get("tasks", [])):
            self._task(("tasks", number), table)
        for shape, kinds in (("instances", INSTANCE), ("providers", PROVIDER)):
            for number, table in enumerate(tables.get(shape, [])):
                self._instances((shape, number), table, kinds)
        if "llm_client" in tables:
            self._instances(("llm_client",), tables["llm_client"], LLM_CLIENT)
        if "executors" in tables:
            self._executors(("executors",), tables["executors"], fields)
        if "logging" in tables:
            fields["logging"] = self._logging(("logging",), tables["logging"])
        if "models" in tables:
            from llmkit.config.models import read_models

            fields["models"] = read_models(self.problems, tables["models"], self.known)
        self._fallbacks(fields)
        return Settings(instances=tuple(self.instances), tasks=tuple(self.tasks.values()), ignored=tuple(self.ignored), **fields)

    def _settings(self, path: Path, table: Mapping[str, Any], *, flyllm: bool) -> dict[str, Any]:
        given = dict(table)
        for name in LATER:
            if name not in given:
                continue
            del given[name]
            if flyllm and name == "debug_folder":
                self.ignored.append("settings.debug_folder: this version of llmkit writes no debug files")
            else:
                self.problems.add((*path, name), "this version of llmkit does not have this setting")
        good = read(self.problems, path, given, SETTINGS)
        self.plugins = tuple(good["plugins"]) if "plugins" in good else None
        if "strategy" in good:
            good["strategy"] = self._strategy((*path, "strategy"), good["strategy"])
        if isinstance(good.get("breaker"), dict):
            from llmkit.values.breaker import BreakerSettings

            good["breaker"] = BreakerSettings(**read(self.problems, (*path, "breaker"), good["breaker"], checks.BREAKER))
        if "timeouts" in good:
            good["timeouts"] = Timeouts(**read(self.problems, (*path, "timeouts"), good["timeouts"], checks.TIMEOUTS))
        if "hedge" in good:
            good["hedge"] = make_hedge(good["hedge"])
        if good.get("proxy", "env") not in ("env", "none"):
            self._url((*path, "proxy"), good["proxy"])
        if "retries" in given and "max_retries" in given:
            self.problems.add((*path, "max_retries"), "expected one of retries and max_retries, which mean the same")
        if "max_retries" in good:
            good["retries"] = good.pop("max_retries")
        elif flyllm:
            good.setdefault("retries", FLYLLM_RETRIES)
        first, last = good.get("retry_initial_delay"), good.get("retry_max_delay")
        if first is not None and last is not None and first > last:
            self.problems.add((*path, "retry_initial_delay"), "expected at most retry_max_delay")
        for name in ("fallbacks", "context_fallbacks", "refusal_fallbacks", "plugins"):
            if name in good:
                good[name] = tuple(good[name])
        if "fallback" in good:
            good["fallback"] = read_steps(self.problems, (*path, "fallback"), good["fallback"])
        if "budget" in good:
            good["budget"] = checks.read_budgets(self.problems, (*path, "budget"), good["budget"])
        return good

    def _cache(self, fields: dict[str, Any], table: Mapping[str, Any] | None) -> None:
        """``settings.cache`` (true, false, a URL or a name) and the table ``[cache]``, as one value."""
        chosen = fields.pop("cache", None)
        good = {} if table is None else read(self.problems, ("cache",), table, CACHE)
        if isinstance(chosen, str) and table is not None and "url" in table:
            self.problems.add(("cache", "url"), "expected one of settings.cache and cache.url, which mean the same")
        if chosen is False or (chosen is None and table is None):
            return
        if isinstance(chosen, str):
            good["url"] = chosen
        scheme, separator, _ = good.get("url", "").partition("://")
        if separator and scheme not in SCHEMES:
            where: Path = ("settings", "cache") if isinstance(chosen, str) else ("cache", "url")
            self.problems.add(where, f"expected memory, a registered name, or a URL of {', '.join(SCHEMES)}")
        fields["cache"] = CacheSettings(**good)

    def _strategy(self, path: Path, name: str) -> str:
        found = strategy_name(name)
        if found in STRATEGIES:
            return found
        more = plugin_strategies(self.plugins) if self.known_strategies is None else self.known_strategies
        reference(self.problems, path, name, (*STRATEGIES, *ALIASES, *more), "a strategy")
        return name

    def _url(self, path: Path, url: str) -> None:
        """A proxy's URL; it may hold a user name and a password, and speak plain HTTP."""
        scheme, separator, rest = url.partition("://")
        host = rest.rpartition("@")[2]
        try:
            check_url(f"{scheme}{separator}{host}", True)
        except ConfigError:
            self.problems.add(path, "expected env, none, or a URL such as http://host:3128")

    def _task(self, path: Path, table: Mapping[str, Any]) -> None:
        parameters = dict(table)
        name = parameters.pop("name", None)
        fallbacks = parameters.pop("fallbacks", ())
        if fallbacks and not checks.TEXTS.accepts(fallbacks):
            self.problems.expected((*path, "fallbacks"), checks.TEXTS.expected, fallbacks)
            fallbacks = ()
        good = checks.read_options(self.problems, path, parameters)
        if name is None:
            self.problems.add(path, "expected the key 'name'")
        elif checks.has_undefined(name):
            return
        elif not checks.TEXT.accepts(name):
            self.problems.expected((*path, "name"), checks.TEXT.expected, name)
        elif name in self.tasks:
            self.problems.add((*path, "name"), "expected a name of its own; an earlier task has it")
        else:
            self.tasks[name] = Task(name, fallbacks=fallbacks, **good)

    def _instances(self, path: Path, table: Mapping[str, Any], kinds: Mapping[str, checks.Kind]) -> list[Instance]:
        """The instances a table describes: one, or one for each of its ``models``. Empty where it is wrong."""
        before = len(self.problems)
        good = read(self.problems, path, table, kinds)
        key_of = {FIELDS.get(key, key): key for key in kinds}
        fields = {FIELDS.get(key, key): value for key, value in good.items()}
        self._provider(path, key_of["provider"], fields, table)
        self._keys(path, fields)
        if "base_url" in fields:
            self._base_url((*path, key_of["base_url"]), fields["base_url"], fields.get("allow_http", False))
        for number, task in enumerate(fields.get("tasks", ())):
            reference(self.problems, (*path, "tasks", number), task, self.tasks, "the name of a task in this file")
        if "options" in fields:
            fields["options"] = checks.read_options(self.problems, (*path, "options"), fields["options"])
        models = fields.pop("models", None)
        if models is None:
            # A server described without a model serves the one that each call names: to invent a name would be a lie, which
            # the vendor answers with 404.
            if "model" not in table and kinds in (INSTANCE, PROVIDER):
                self.problems.add(path, "expected the key 'model'")
            models = [fields.pop("model", ANY_MODEL)]
        whole = "provider" in fields and len(self.problems) == before
        made = self._make(path, fields, models) if whole else []
        self.instances += made
        return made

    def _make(self, path: Path, fields: dict[str, Any], models: list[str]) -> list[Instance]:
        name = fields.pop("name", None)
        made = []
        for model in models:
            full = f"{name}/{model}" if name and len(models) > 1 else name
            if full in self.names:
                key: Path = (*path, "name") if len(models) == 1 else (*path, "models")
                self.problems.add(key, "expected a name of its own; an earlier instance has it")
            elif full is not None:
                self.names.add(full)
            try:
                made.append(Instance(model=model, name=full, **fields))
            except LLMError as error:
                where, _, said = error.message.partition(": ")
                self.problems.add((*path, where) if where in fields else path, hidden(said))
        return made

    def _provider(self, path: Path, key: str, fields: dict[str, Any], table: Mapping[str, Any]) -> None:
        if key not in table:
            self.problems.add(path, f"expected the key {key!r}")
        elif "provider" in fields:
            found = provider_name(fields["provider"], self.known)
            if found is None:
                reference(self.problems, (*path, key), fields["provider"], self.known, "a provider")
            fields["provider"] = found

    def _keys(self, path: Path, fields: dict[str, Any]) -> None:
        if "api_key" in fields and "api_keys" in fields:
            self.problems.add((*path, "api_keys"), "expected one of api_key and api_keys")
        key = fields.get("api_key")
        if key is not None and not key.strip():
            del fields["api_key"]
            if (*path, "api_key") in self.problems.expanded:
                self.problems.add(
                    (*path, "api_key"),
                    'expected a key, got an empty environment variable; api_key = "" says "no key"',
                )
        elif key is not None:
            wrong = split_keys([key])[1]
            if wrong:
                self.problems.add((*path, "api_key"), wrong[0].partition(": ")[2])
        if "api_keys" in fields:
            fields["api_keys"], wrong = split_keys(fields["api_keys"])
            if wrong:
                self.problems.add((*path, "api_keys"), "; ".join(wrong))

    def _base_url(self, path: Path, url: str, allow_http: bool) -> None:
        try:
            check_url(url, allow_http)
        except ConfigError as error:
            self.problems.add(path, error.message.partition(": ")[2].replace("allow_http=True", "allow_http = true"))

    def _executors(self, path: Path, table: Mapping[str, Any], fields: dict[str, Any]) -> None:
        tables = read(self.problems, path, table, EXECUTORS)
        backends: dict[str, list[Instance]] = {}
        for number, backend in enumerate(tables.get("backends", [])):
            where = (*path, "backends", number)
            if "name" not in backend:
                self.problems.add(where, "expected the key 'name'")
            made = self._instances(where, backend, BACKEND)
            backends.setdefault(str(backend.get("name")), []).extend(made)
        where = (*path, "load_balancing")
        balancing = read(self.problems, where, tables.get("load_balancing", {}), BALANCING)
        for name, setting in HEALTH.items():
            if name in balancing and setting in fields:
                self.problems.add((*where, name), f"expected one of it and settings.{setting}, which mean the same")
            elif name in balancing:
                fields[setting] = balancing[name]
        if "strategy" in balancing:
            if "strategy" in fields:
                self.problems.add((*where, "strategy"), "expected one strategy; settings.strategy names one too")
            fields["strategy"] = self._strategy((*where, "strategy"), balancing["strategy"])
        for number, weight in enumerate(balancing.get("weights", [])):
            self._weight((*where, "weights", number), weight, backends)

    def _weight(self, path: Path, table: Mapping[str, Any], backends: dict[str, list[Instance]]) -> None:
        """Give a backend's weight to its instances, in equal parts."""
        good = read(self.problems, path, table, WEIGHT)
        for key in WEIGHT:
            if key not in table:
                self.problems.add(path, f"expected the key {key!r}")
        if len(good) < len(WEIGHT) or not reference(
            self.problems, (*path, "backend"), good["backend"], backends, "the name of a backend"
        ):
            return
        for instance in backends[good["backend"]]:
            share = good["weight"] / len(backends[good["backend"]])
            place = next(number for number, known in enumerate(self.instances) if known is instance)
            self.instances[place] = attrs.evolve(instance, weight=share)
        backends[good["backend"]] = []

    def _logging(self, path: Path, table: Mapping[str, Any]) -> Logging:
        good = read(self.problems, path, table, LOGGING)
        level = good.get("level", "info")
        targets = tuple(good.get("targets", ()))
        if any(not target.startswith("llmkit") for target in targets):
            self.ignored.append("logging.targets: names parts of another program; the level is set on the logger 'llmkit'")
        return Logging(LEVELS.get(level, level), targets)

    def _fallbacks(self, fields: Mapping[str, Any]) -> None:
        default = fields.get("default_model")
        seen = {} if default is None else {self._whole_name(default): "the default model"}
        for number, name in enumerate(fields.get("fallbacks", ())):
            path: Path = ("settings", "fallbacks", number)
            whole = self._whole_name(name)
            if whole in seen:
                self.problems.add(path, f"expected a model or instance that comes once; {seen[whole]} is the same")
            seen.setdefault(whole, f"fallback {number + 1}")
            self._model(path, name)
        if default is not None:
            self._model(("settings", "default_model"), default)
        for key in ("context_fallbacks", "refusal_fallbacks"):
            for number, name in enumerate(fields.get(key, ())):
                self._model(("settings", key, number), name)
        for name in step_models(fields.get("fallback", ())):
            self._model(("settings", "fallback"), name)

    def _whole_name(self, name: str) -> str:
        """``provider/model`` for every spelling of a model; an instance's name as it is."""
        provider, model = split_model(name, self.known)
        provider = provider or provider_for(model)
        return name if name in self.names or provider is None else f"{provider}/{model}"

    def _model(self, path: Path, name: str) -> None:
        """Note a name that is no instance, no configured model, no ``provider/model`` and no model the catalogue knows."""
        names = [name for instance in self.instances for name in (instance.name, instance.model) if name and name != ANY_MODEL]
        if name in names or split_model(name, self.known)[0] is not None or provider_for(name) is not None:
            return
        shown = self.problems.shown(path, name)
        self.problems.add(path, f"expected provider/model or the name of an instance, got {shown}{nearest(name, names)}")
