"""``llmkit models``: what vendors offer, and what the catalogue knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llmkit.cli.clients import make_client
from llmkit.cli.codes import ExitCode, code_for
from llmkit.cli.output import complain, line, table, waiting, watched, write_json
from llmkit.cli.state import config_option, debug_option, json_option
from llmkit.values.calls import CATEGORIES
from llmkit.values.model_requests import CAPABILITIES, SCORES

if TYPE_CHECKING:
    from llmkit.client import Client
    from llmkit.values.models import ModelInfo


@click.command("models")
@click.argument("source", required=False, metavar="[PROVIDER|INSTANCE]")
@config_option
@json_option
@click.option("--timeout", type=float, metavar="SECONDS", help="For each vendor. Default 30.", default=30.0)
@click.option("--catalog", "known", is_flag=True, help="List what the catalogue knows; nobody is asked.")
@click.option("--can", multiple=True, type=click.Choice(sorted(CAPABILITIES)), metavar="WORD",
              help="Only models with this capability, such as tools; may be repeated.")  # fmt: skip
@click.option("--category", type=click.Choice(CATEGORIES), help="Only models of this category.")
@click.option("--min-context", type=int, metavar="TOKENS", help="Only models that read at least so much.")
@click.option("--order", type=click.Choice(tuple(SCORES)), help="What comes first.")
@debug_option
def command(
    source: str | None,
    config: str | None,
    as_json: bool,
    timeout: float,
    known: bool,
    can: tuple[str, ...],
    category: str | None,
    min_context: int | None,
    order: str | None,
) -> int:
    """List the models that vendors offer, with context windows, prices in US dollars per million tokens, and what they can do.

    Without a name: those of every instance of the configuration, or, without one, of every vendor whose key is in the
    environment. Local servers (ollama, lmstudio, vllm) are asked when they are named. A vendor that fails is reported, and
    the others are listed all the same. With --catalog nobody is asked: the models are those that llmkit knows and that are not
    retired, of one provider or of all.
    """
    from llmkit.catalog.select import list_available_models
    from llmkit.values.model_requests import ModelRequest, listed

    code: int = ExitCode.OK
    if known:
        provider = None if source is None else _provider(source)
        found = list_available_models(can, min_context, provider, category, order=order)
    else:
        wanted = ModelRequest(capabilities=frozenset(can), min_context=min_context, category=category, any_kind=True)
        with make_client(config, None, need_model=False) as client:
            found, code = _ask(client, [source] if source is not None else _sources(client), timeout, alone=source is not None)
        found = listed(wanted, [(model, model) for model in found], order)
    _print(found, as_json)
    return code


def _provider(source: str) -> str:
    from llmkit.plugins.registry import REGISTRY

    return REGISTRY.get(source).name


def _print(found: list[ModelInfo], as_json: bool) -> None:
    if as_json:
        from llmkit.cli.documents import model_document

        write_json([model_document(model) for model in found])
    elif watched():
        columns = ["model", "context", "output", "$ in", "$ out", "kind", "can"]
        table(columns, [_row(model) for model in found], columns[1:5])
    else:
        for model in found:
            line(_full(model))


_SHOWN = ("tools", "vision", "audio", "json_schema", "reasoning", "embeddings")


def _row(model: ModelInfo) -> list[object]:
    can = "" if model.capabilities is None else " ".join([word for word in _SHOWN if word in model.capabilities])
    price = model.price
    rates = [None, None] if price is None else [None if rate is None else f"{rate / 1e6:g}" for rate in (price.input, price.output)]
    return [_full(model), model.context_window, model.max_output_tokens, *rates, model.category, can]


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
