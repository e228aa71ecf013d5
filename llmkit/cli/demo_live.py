"""The demo on real vendors: a few small calls to those whose keys are in the environment."""

from __future__ import annotations

from llmkit.cli import demo_steps as show
from llmkit.cli.keys import key_variables, providers_with_keys
from llmkit.cli.output import complain, console, line
from llmkit.client import Client
from llmkit.errors import AllInstancesFailed, ConfigError, LLMError
from llmkit.values.instances import Instance

SMALL_MODELS = {
    "anthropic": "claude-haiku-4-5",  # https://platform.claude.com/docs/en/about-claude/model-deprecations
    "cohere": "command-r7b-12-2024",  # https://docs.cohere.com/docs/deprecations
    "deepseek": "deepseek-flash",  # https://api-docs.deepseek.com/quick_start/pricing
    "google": "gemini-2.5-flash-lite",  # https://ai.google.dev/gemini-api/docs/deprecations
    "groq": "openai/gpt-oss-20b",  # https://console.groq.com/docs/models
    "mistral": "mistral-small-latest",  # https://docs.mistral.ai/models/overview
    "openai": "gpt-5.4-nano",  # https://developers.openai.com/api/docs/deprecations
    "openrouter": "google/gemini-2.5-flash-lite",  # https://openrouter.ai/models
    "together": "openai/gpt-oss-120b",  # https://docs.together.ai/docs/serverless/models
    "xai": "grok-4.20-non-reasoning",  # https://docs.x.ai/developers/models
}
"""A cheap model of each vendor that has chats here; ``--model`` names another."""
MOST_VENDORS = 4
"""With the stream at the end that makes five calls."""
MOST_TOKENS = 400
"""Enough for the models that think first."""
QUESTION = "Why is the sky blue? Answer in one short sentence."
STORY = "Tell me a story about a router in two short sentences."


def show_live(model: str | None) -> None:
    """Run the demo.

    :raises ConfigError: if there is no key in the environment.
    :raises LLMError: what the vendors failed with, if none answered.
    """
    models = [model] if model is not None else _models()
    with Client(retries=1, timeout=60) as client:
        for name in models:
            client.add_instance(_instance(name))
        console().print("[bold]llmkit demo --live[/]: real vendors, small calls", highlight=False)
        line(f"At most {len(models) + 1} calls of {MOST_TOKENS} tokens each to: {', '.join(models)}.")
        show.heading(1, "One question, every vendor")
        answered = _ask_each(client)
        show.heading(2, "A stream, printed as it arrives")
        show.stream(client, STORY, instance=answered[0], max_tokens=MOST_TOKENS)
        show.heading(3, "What was used")
        show.books(client)


def _instance(model: str) -> Instance:
    provider, slash, name = model.partition("/")
    if not slash:
        raise ConfigError(f"--model: expected provider/model, got {model!r}")
    return Instance(provider, name, name=provider)


def _models() -> list[str]:
    found = [f"{each.name}/{SMALL_MODELS[each.name]}" for each in providers_with_keys() if each.name in SMALL_MODELS]
    if not found:
        raise ConfigError(f"no vendor's key is in the environment; set one of {key_variables()}")
    return found[:MOST_VENDORS]


def _ask_each(client: Client) -> list[str]:
    """Ask every vendor; the names of the instances that answered."""
    answered: list[str] = []
    failures: list[LLMError] = []
    for instance in client.instances:
        try:
            answer = client.generate(QUESTION, instance=instance.name, max_tokens=MOST_TOKENS)
        except LLMError as problem:
            failures.append(problem)
            complain(" ".join(str(problem).split()), "warning")
        else:
            show.said(instance.provider, QUESTION, answer)
            answered.append(str(instance.name))
    if not answered:
        raise failures[0] if len(failures) == 1 else AllInstancesFailed("no vendor answered", failures=tuple(failures))
    return answered
