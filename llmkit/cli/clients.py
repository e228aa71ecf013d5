"""The client behind a command, and the arguments of its calls, from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from llmkit.client import Client
    from llmkit.values.arguments import GenerateOptions

_NAMED = ("max_tokens", "temperature", "top_p", "stop", "seed", "reasoning_effort", "tool_choice")
"""Options that llmkit knows; any other name goes to the vendor as it is."""


def make_client(config: str | None, model: str | None, base_url: str | None = None, need_model: bool = True) -> Client:
    """A client for the command line: of a configuration file, else of the environment.

    :param model: ``provider/model``; only looked at with ``base_url``, and to see that there is one.
    :raises ConfigError: if the file or the environment is wrong.
    :raises click.UsageError: if nothing says which model to call.
    """
    from llmkit.client import Client

    if config is not None:
        if base_url is not None:
            raise click.UsageError("--base-url and --config exclude each other: the file says where its instances are")
        return Client.from_config(config)
    if base_url is not None:
        from llmkit.values.instances import Instance

        provider, name = _split(model)
        return Client([Instance(provider, name, base_url=base_url)])
    client = Client.from_env()
    if need_model and model is None and not client.instances:
        raise click.UsageError("which model? Give -m PROVIDER/MODEL or -c FILE, or set PRIMARY_LLM in the environment")
    return client


def _split(model: str | None) -> tuple[str, str]:
    from llmkit.catalog import provider_for, split_model
    from llmkit.plugins.registry import REGISTRY

    if model is None:
        raise click.UsageError("--base-url needs -m PROVIDER/MODEL")
    provider, name = split_model(model, REGISTRY.names())
    provider = provider or provider_for(name)
    if provider is None:
        raise click.UsageError(f"-m {model}: whose is it? Write PROVIDER/MODEL, such as openai_compatible/{model}")
    return provider, name


def call_arguments(settings: tuple[str, ...], **given: Any) -> GenerateOptions:
    """Keyword arguments for ``generate`` and ``stream``: those given that are not None, and ``--option`` settings.

    :raises click.BadParameter: if a setting is not ``key=value``.
    """
    arguments: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    extra: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{setting!r} is not KEY=VALUE", param_hint="--option")
        (arguments if name in _NAMED else extra)[name] = _value(text)
    if extra:
        arguments["extra"] = extra
    return arguments  # type: ignore[return-value]


def _value(text: str) -> Any:
    """JSON if it is some, else text."""
    from llmkit.errors import LLMError
    from llmkit.wire.json import parse_json

    try:
        return parse_json(text)
    except LLMError:
        return text
