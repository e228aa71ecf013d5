"""``llmkit config``: configuration files, read aloud."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llmkit.cli.codes import ExitCode
from llmkit.cli.output import complain, console, line, table, write_json
from llmkit.cli.state import debug_option, json_option

if TYPE_CHECKING:
    from llmkit.client import Client
    from llmkit.config.settings import Settings
    from llmkit.values.instances import Instance, Task

_SHOWN = (
    "strategy", "retries", "retry_initial_delay", "retry_max_delay", "retry_exponential_base", "timeout", "max_wait",
    "unavailable", "max_pending", "fallbacks", "context_fallbacks", "refusal_fallbacks", "queue", "pool_size", "on_unsupported",
    "plugins", "default_model", "resume", "usage_db",
)  # fmt: skip
"""Settings that are shown where they are set. The proxy is not: its URL may hold a password."""


@click.group("config")
def command() -> None:
    """Work with configuration files."""


@command.command("check")
@click.argument("file")
@json_option
@debug_option
def check(file: str, as_json: bool) -> int:
    """Say what FILE configures, or everything that is wrong with it.

    No vendor is called. Keys are shown as labels and fingerprints (eight digits of a hash). The exit code is 3 if the file has
    a mistake, or an instance no key.
    """
    from llmkit.client import Client
    from llmkit.config import read_config
    from llmkit.errors import ConfigError

    problem: ConfigError | None = None
    try:
        settings = read_config(file)
        with Client.from_settings(settings) as client:
            document = _document(file, settings, client)
    except ConfigError as found:
        problem = found
    if problem is not None:
        return _complain(file, problem, as_json)
    if as_json:
        write_json(document)
    else:
        _show(document)
    return ExitCode.OK


def _complain(file: str, problem: Any, as_json: bool) -> int:
    problems = [one._asdict() for one in problem.problems]
    if as_json:
        listed = problems or [{"file": file, "line": 0, "column": 0, "path": "", "message": problem.message}]
        write_json({"file": file, "ok": False, "problems": listed})
    else:
        complain(str(problem) if problems else f"{file}: {problem}")
    return ExitCode.CONFIG


def _document(file: str, settings: Settings, client: Client) -> dict[str, Any]:
    labels = {health.name: [key.label for key in health.keys] for health in client.health()}
    shown = {name: value for name, value in settings.to_kwargs().items() if name in _SHOWN}
    if settings.fallback:
        shown["fallback"] = [step.type for step in settings.fallback]
    return {
        "file": file,
        "ok": True,
        "settings": {"strategy": settings.strategy, **shown},
        "tasks": [_task(task) for task in client.tasks],
        "instances": [_instance(instance, labels.get(str(instance.name), [])) for instance in client.instances],
        "notes": list(settings.ignored),
    }


def _task(task: Task) -> dict[str, Any]:
    return {"name": task.name, "defaults": {name: _plain(value) for name, value in task.defaults.to_dict().items()}}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _instance(instance: Instance, labels: list[str]) -> dict[str, Any]:
    from llmkit.values.instances import LIMITS

    keys = instance.api_keys or ((instance.api_key,) if instance.api_key is not None else ())
    return {
        "name": instance.name,
        "provider": instance.provider,
        "model": instance.model,
        "base_url": instance.base_url,
        "tasks": list(instance.tasks),
        "weight": instance.weight,
        "enabled": instance.enabled,
        "keys": [{"label": label, "fingerprint": key.fingerprint()} for label, key in zip(labels, keys, strict=False)],
        "limits": {
            name: limit
            for name in (*LIMITS, "max_concurrency", "max_concurrency_per_key", "timeout")
            if (limit := getattr(instance, name)) is not None
        },
    }


def _show(document: dict[str, Any]) -> None:
    from rich.text import Text

    count = len(document["instances"])
    told = f" {document['file']}: {count} instance{'s' if count != 1 else ''}"
    console().print(Text.assemble(("ok", "bold green"), told), soft_wrap=True)
    line("  ".join([f"{name} = {_words(value)}" for name, value in document["settings"].items()]))
    for task in document["tasks"]:
        defaults = ", ".join([f"{name} = {_words(value)}" for name, value in task["defaults"].items()])
        line(f"task {task['name']}{': ' if defaults else ''}{defaults}")
    rows = [
        [
            instance["name"],
            f"{instance['provider']}/{instance['model']}",
            ", ".join(instance["tasks"]) or "any without a task",
            ", ".join([f"{key['label']} ({key['fingerprint']})" for key in instance["keys"]]) or "none",
            ", ".join([f"{name} {limit}" for name, limit in instance["limits"].items()]),
            instance["base_url"] or "the vendor's",
            "yes" if instance["enabled"] else "no",
        ]
        for instance in document["instances"]
    ]
    table(["instance", "model", "tasks", "keys", "limits", "address", "enabled"], rows)
    for remark in document["notes"]:
        complain(remark, "note")


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
