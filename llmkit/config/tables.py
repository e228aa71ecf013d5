"""Which tables and keys a configuration file may have, and what stands in each."""

from __future__ import annotations

from collections.abc import Mapping

from llmkit.config import checks
from llmkit.config.settings import ON_UNSUPPORTED, UNAVAILABLE
from llmkit.values.calls import RESUME
from llmkit.values.instances import LIMITS

TOP: Mapping[str, checks.Kind] = {
    "settings": checks.TABLE,
    "tasks": checks.TABLES,
    "instances": checks.TABLES,
    "providers": checks.TABLES,
    "llm_client": checks.TABLE,
    "executors": checks.TABLE,
    "cache": checks.TABLE,
    "logging": checks.TABLE,
    "models": checks.TABLE,
}
SETTINGS: Mapping[str, checks.Kind] = {
    "strategy": checks.TEXT,
    "retries": checks.COUNT,
    "max_retries": checks.COUNT,
    "retry_initial_delay": checks.POSITIVE,
    "retry_max_delay": checks.POSITIVE,
    "retry_exponential_base": checks.BASE,
    "timeout": checks.POSITIVE,
    "timeouts": checks.TABLE,
    "max_wait": checks.POSITIVE,
    "unavailable": checks.one_of(*UNAVAILABLE),
    "max_pending": checks.AT_LEAST_ONE,
    **dict.fromkeys(("rpm", "tpm", "rpd", "tpd"), checks.AT_LEAST_ONE),
    "breaker": checks.FLAG_OR_TABLE,
    "retry_budget": checks.SHARE_OR_FALSE,
    "fallbacks": checks.TEXTS,
    "fallback": checks.STEPS,
    "context_fallbacks": checks.TEXTS,
    "refusal_fallbacks": checks.TEXTS,
    "queue": checks.TEXT,
    "proxy": checks.TEXT,
    "pool_size": checks.AT_LEAST_ONE,
    "verify": checks.FLAG_OR_TEXT,
    "on_unsupported": checks.one_of(*ON_UNSUPPORTED),
    "hedge": checks.HEDGE,
    "resume": checks.one_of(*RESUME),
    "health_interval": checks.POSITIVE,
    "failure_threshold": checks.AT_LEAST_ONE,
    "plugins": checks.TEXTS,
    "default_model": checks.TEXT,
    "budget": checks.TABLE_OR_TABLES,
    "usage_db": checks.TEXT,
    "cache": checks.Kind("a non-empty string, true or false", lambda value: isinstance(value, bool) or checks.TEXT.accepts(value)),
}
CACHE: Mapping[str, checks.Kind] = {
    "url": checks.TEXT,
    "ttl": checks.POSITIVE,
    "max_entries": checks.AT_LEAST_ONE,
    "max_bytes": checks.AT_LEAST_ONE,
    "max_entry_bytes": checks.AT_LEAST_ONE,
    "namespace": checks.ANY_TEXT,
    "secret": checks.TEXT,
}
LATER = ("debug_folder",)
"""Settings of the design that this version does not have."""

INSTANCE: Mapping[str, checks.Kind] = {
    "provider": checks.TEXT,
    "model": checks.TEXT,
    "api_key": checks.ANY_TEXT,
    "api_keys": checks.KEYS,
    "base_url": checks.TEXT,
    "name": checks.TEXT,
    "tasks": checks.TEXTS,
    "weight": checks.POSITIVE,
    "priority": checks.WHOLE,
    "fallbacks": checks.TEXTS,
    **dict.fromkeys(LIMITS, checks.AT_LEAST_ONE),
    "max_concurrency": checks.AT_LEAST_ONE,
    "max_concurrency_per_key": checks.AT_LEAST_ONE,
    "enabled": checks.FLAG,
    "timeout": checks.POSITIVE,
    "headers": checks.HEADERS,
    "allow_http": checks.FLAG,
    "options": checks.TABLE,
    "settings": checks.JSON_TABLE,
}
_COMMON = {name: INSTANCE[name] for name in ("api_key", "allow_http")}
PROVIDER: Mapping[str, checks.Kind] = {
    "type": checks.TEXT,
    "model": checks.TEXT,
    "endpoint": checks.TEXT,
    **_COMMON,
    **{name: INSTANCE[name] for name in ("tasks", "enabled", "name")},
}
LLM_CLIENT: Mapping[str, checks.Kind] = {
    "backend": checks.TEXT,
    "base_url": checks.TEXT,
    "timeout_secs": checks.POSITIVE,
    "model": checks.TEXT,
    **_COMMON,
}
BACKEND: Mapping[str, checks.Kind] = {
    "name": checks.TEXT,
    "type": checks.TEXT,
    "base_url": checks.TEXT,
    "models": checks.NAMES,
    **_COMMON,
}
FIELDS: Mapping[str, str] = {"type": "provider", "backend": "provider", "endpoint": "base_url", "timeout_secs": "timeout"}
"""Other shapes' keys for the fields of an instance."""

BALANCING: Mapping[str, checks.Kind] = {
    "strategy": checks.TEXT,
    "health_check_interval_secs": checks.POSITIVE,
    "failure_threshold": checks.AT_LEAST_ONE,
    "weights": checks.TABLES,
}
HEALTH = {"health_check_interval_secs": "health_interval", "failure_threshold": "failure_threshold"}
"""Keys of load balancing for the client's settings."""
EXECUTORS: Mapping[str, checks.Kind] = {"backends": checks.TABLES, "load_balancing": checks.TABLE}
WEIGHT: Mapping[str, checks.Kind] = {"backend": checks.TEXT, "weight": checks.POSITIVE}
LEVELS = {"trace": "debug", "warn": "warning"}
LOGGING: Mapping[str, checks.Kind] = {
    "level": checks.one_of("trace", "debug", "info", "warn", "warning", "error", "critical"),
    "targets": checks.TEXTS,
}
