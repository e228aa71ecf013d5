"""``llmkit health``: which instances and keys can work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llmkit.cli.clients import make_client
from llmkit.cli.codes import ExitCode, code_for
from llmkit.cli.output import note, table, waiting, watched, write_json
from llmkit.cli.state import config_option, debug_option, json_option

if TYPE_CHECKING:
    from llmkit.client import Client
    from llmkit.values.health import ClientHealth, InstanceHealth, Probe


@click.command("health")
@config_option
@click.option("--probe", is_flag=True, help="Ask each vendor, by its list of models, whether it answers.")
@click.option("--state", "saved", metavar="FILE", help="What client.state() gave, as JSON: show how things stand there.")
@json_option
@debug_option
def command(config: str | None, probe: bool, saved: str | None, as_json: bool) -> int:
    """Say which instances and keys can work, and if not, why and until when.

    Those are the instances of the configuration, or, without one, the vendors whose key is in the environment. By itself this
    calls nobody; a program that has just begun knows of no failures but those that --state tells it. With --probe each is
    asked for its list of models, all at once and for five seconds at most, which costs no tokens.

    The exit code is 0 if every instance that is switched on can take calls and answered if it was asked; else 4 if a key was
    refused or is out of credit, and 5 otherwise.
    """
    with _client(config) as client:
        if saved is not None:
            _restore(client, saved)
        with waiting("asking"):
            health = client.health(probe=probe)
    if as_json:
        from llmkit.cli.documents import health_document

        write_json(health_document(health))
    else:
        _show(health)
        if watched() and not probe and saved is None:
            note("nobody was asked; --probe asks")
    return _code(health)


def _client(config: str | None) -> Client:
    client = make_client(config, None, need_model=False)
    if client.instances:
        return client
    from llmkit.cli.keys import key_variables, providers_with_keys
    from llmkit.errors import ConfigError
    from llmkit.values.instances import Instance

    for provider in providers_with_keys():
        client.add_instance(Instance(provider.name, "*", name=provider.name))
    if not client.instances:
        client.close()
        raise ConfigError(f"no vendor's key is in the environment; give -c FILE, or set one of {key_variables()}")
    return client


def _restore(client: Client, path: str) -> None:
    from llmkit.errors import ConfigError, LLMError
    from llmkit.wire.json import parse_json

    try:
        with open(path, "rb") as file:
            state = parse_json(file.read())
    except OSError as problem:
        said = problem.strerror or type(problem).__name__
    except LLMError as problem:
        said = problem.message
    else:
        for left_out in client.restore(state):
            note(left_out)
        return
    raise ConfigError(f"--state {path}: {said}")


def _show(health: ClientHealth) -> None:
    columns = ["instance", "status", "seconds left", "keys", "in flight", "latency", "probe", "reason"]
    rows = [
        [
            each.name,
            each.status,
            None if not each.seconds_left else f"{each.seconds_left:.1f}",
            _keys(each),
            each.in_flight,
            None if each.latency is None else f"{each.latency:.3f}",
            _probe(each.probe),
            each.reason or _why(each.probe),
        ]
        for each in health
    ]
    table(columns, rows, ["seconds left", "in flight", "latency"])


def _keys(instance: InstanceHealth) -> str:
    """How many keys are in each state: ``2 healthy, 1 out``."""
    counts: dict[str, int] = {}
    for key in instance.keys:
        counts[key.status] = counts.get(key.status, 0) + 1
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def _probe(probe: Probe | None) -> str | None:
    if probe is None:
        return None
    return "not asked" if probe.ok is None else f"{'answers' if probe.ok else 'fails'}, {probe.seconds:.2f} s"


def _why(probe: Probe | None) -> str | None:
    if probe is None:
        return None
    return probe.skipped if probe.error is None else " ".join(str(probe.error).split())


def _code(health: ClientHealth) -> int:
    if health.well:
        return ExitCode.OK
    refused = any(each.enabled and each.status == "out" for each in health)
    met = {code_for(each.probe.error) for each in health if each.probe is not None and each.probe.error is not None}
    return ExitCode.KEY if refused or ExitCode.KEY in met else ExitCode.LATER
