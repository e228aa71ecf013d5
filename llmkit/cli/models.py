"""``llmkit models``: what vendors offer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llmkit.cli.clients import make_client
from llmkit.cli.codes import ExitCode, code_for
from llmkit.cli.output import complain, line, table, waiting, watched, write_json
from llmkit.cli.state import config_option, debug_option, json_option

if TYPE_CHECKING:
    from llmkit.client import Client
    from llmkit.values.completion import ModelInfo


@click.command("models")
@click.argument("source", required=False, metavar="[PROVIDER|INSTANCE]")
@config_option
@json_option
@click.option("--timeout", type=float, metavar="SECONDS", help="For each vendor. Default 30.", default=30.0)
@debug_option
def command(source: str | None, config: str | None, as_json: bool, timeout: float) -> int:
    """List the models that vendors offer.

    Without a name: those of every instance of the configuration, or, without one, of every vendor whose key is in the
    environment. Local servers (ollama, lmstudio, vllm) are asked when they are named. A vendor that fails is reported, and
    the others are listed all the same.
    """
    with make_client(config, None, need_model=False) as client:
        found, code = _ask(client, [source] if source is not None else _sources(client), timeout, alone=source is not None)
    if as_json:
        from llmkit.cli.documents import model_document

        write_json([model_document(model) for model in found])
    elif watched():
        columns = ["model", "name", "context window", "most output"]
        rows = [[_full(model), model.name, model.context_window, model.max_output_tokens] for model in found]
        table(columns, rows, columns[2:])
    else:
        for model in found:
            line(_full(model))
    return code


def _sources(client: Client) -> list[str]:
    from llmkit.cli.keys import key_variables, providers_with_keys
    from llmkit.errors import ConfigError

    configured = list(dict.fromkeys([str(instance.name) for instance in client.instances if instance.enabled]))
    if configured:
        seen: dict[tuple[str, str | None], str] = {}
        for instance in client.instances:
            seen.setdefault((instance.provider, instance.base_url), str(instance.name))
        return list(seen.values())
    found = [provider.name for provider in providers_with_keys()]
    if not found:
        raise ConfigError(f"no vendor's key is in the environment; name a provider, give -c FILE, or set one of {key_variables()}")
    return found


def _ask(client: Client, sources: list[str], timeout: float, alone: bool) -> tuple[list[ModelInfo], int]:
    from llmkit.errors import LLMError

    found: list[ModelInfo] = []
    code: int = ExitCode.OK
    for source in sources:
        try:
            with waiting(f"asking {source}"):
                found += client.list_models(source, timeout=timeout)
        except LLMError as problem:
            if alone:
                raise
            code = code or code_for(problem)
            complain(" ".join(str(problem).split()))
    return found, code


def _full(model: ModelInfo) -> str:
    return f"{model.provider}/{model.id}" if model.provider else model.id
