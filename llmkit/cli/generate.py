"""``llmkit generate``: one question, one answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from llmkit.cli.clients import call_arguments, make_client
from llmkit.cli.output import complain, note, say_resumed, waiting, watched, write, write_json
from llmkit.cli.state import config_option, debug_option, json_option

if TYPE_CHECKING:
    from llmkit.client import Client
    from llmkit.values.arguments import GenerateOptions
    from llmkit.values.completion import Completion
    from llmkit.values.messages import Message


@click.command("generate")
@click.argument("prompt", nargs=-1)
@click.option("-m", "--model", metavar="PROVIDER/MODEL", help="The model to ask, such as openai/gpt-4o-mini.")
@config_option
@click.option("-t", "--task", metavar="NAME", help="A task of the configuration: its defaults, and the instances that serve it.")
@click.option("-s", "--system", metavar="TEXT", help="Instructions above the prompt.")
@click.option("--max-tokens", type=int, metavar="N", help="The most tokens of the answer.")
@click.option("--temperature", type=float, metavar="X", help="How much chance there is in the answer.")
@click.option("-o", "--option", "settings", multiple=True, metavar="KEY=VALUE", help="Any other parameter (top_p, stop, seed, "
              "reasoning_effort, or one of the vendor's own). VALUE is JSON, or else text. Repeatable.")  # fmt: skip
@click.option("--image", "images", multiple=True, metavar="FILE|URL", help="A picture to go with the prompt. Repeatable.")
@click.option("--file", "files", multiple=True, metavar="FILE", help="A document to go with the prompt. Repeatable.")
@json_option
@click.option("--stream/--no-stream", default=None, help="Print the answer as it arrives, or whole. Default: as it arrives on a "
              "terminal, whole elsewhere. With --json a stream is one event to a line.")  # fmt: skip
@click.option("--timeout", type=float, metavar="SECONDS", help="For the whole call. Default 600.")
@click.option("--retries", type=int, metavar="N", help="Tries after the first. Default 3.")
@click.option("--base-url", metavar="URL", help="Where the vendor's API is, instead of its usual address.")
@debug_option
def command(
    prompt: tuple[str, ...], settings: tuple[str, ...], images: tuple[str, ...], files: tuple[str, ...],
    as_json: bool, stream: bool | None, config: str | None, base_url: str | None, **given: Any,
) -> None:  # fmt: skip
    """Ask one question and print the answer.

    PROMPT is the question; "-" stands for standard input, which is read, too, where there is no PROMPT and it is no terminal.

    \b
    llmkit generate -m openai/gpt-4o-mini "Why is the sky blue?"
    git diff | llmkit generate -m anthropic/claude-haiku-4-5 "Describe this change:" -
    llmkit generate -c llmkit.toml --task summary --json < report.txt
    """
    arguments = call_arguments(settings, **given)
    message = _message(_prompt(prompt), images, files)
    streamed = (watched() and not as_json) if stream is None else stream
    with make_client(config, given["model"], base_url) as client:
        if streamed:
            _stream(client, message, arguments, as_json)
        else:
            _whole(client, message, arguments, as_json)


def _prompt(words: tuple[str, ...]) -> str:
    piped = not sys.stdin.isatty()
    if not words and not piped:
        raise click.UsageError("what is the question? Give it as an argument or on standard input")
    listed = words or ("-",)
    if listed.count("-") > 1:
        raise click.UsageError('"-" can stand in the prompt once')
    text = " ".join([word if word != "-" else _piped() if len(listed) == 1 else f"\n{_piped()}" for word in listed])
    if not text.strip():
        raise click.UsageError("the question is empty")
    return text


def _piped() -> str:
    try:
        text = sys.stdin.read()
        text.encode()  # in some locales what is no text is read all the same
        return text
    except UnicodeError:
        raise click.UsageError("standard input is no text; give pictures and documents as --image and --file") from None


def _message(text: str, images: tuple[str, ...], files: tuple[str, ...]) -> Message:
    from llmkit.values.messages import File, Image, Message

    try:
        pictures = [Image(url=where) if "://" in where else Image.from_path(where) for where in images]
        documents = [File(url=where) if "://" in where else File.from_path(where) for where in files]
    except OSError as problem:
        raise click.UsageError(f"{problem.filename}: {problem.strerror}") from None
    return Message.user(*pictures, *documents, text)


def _whole(client: Client, message: Message, arguments: GenerateOptions, as_json: bool) -> None:
    with waiting("waiting for the answer"):
        answer = client.generate(message, **arguments)
    if as_json:
        from llmkit.cli.documents import completion_document

        write_json(completion_document(answer))
        return
    write(answer.text or answer.refusal or "")
    _end(answer)


def _stream(client: Client, message: Message, arguments: GenerateOptions, as_json: bool) -> None:
    with client.stream(message, **arguments) as stream:
        for event in stream:
            if as_json:
                from llmkit.cli.documents import event_document

                write_json(event_document(event), indent=False)
            else:
                say_resumed(event)
                write(event.text or getattr(event, "refusal", ""))
        answer = stream.completion()
    if as_json:
        from llmkit.cli.documents import completion_document

        write_json({"type": "completion", **completion_document(answer)}, indent=False)
        return
    _end(answer)


def _end(answer: Completion) -> None:
    """End the answer's last line; say what the text does not show."""
    if not (answer.text or answer.refusal or "").endswith("\n"):
        write("\n")
    if answer.finish_reason in ("length", "content_filter", "error"):
        reasons = {"length": "at the limit of tokens", "content_filter": "at the vendor's content filter", "error": "with an error"}
        complain(f"the answer ends {reasons[answer.finish_reason]}", "warning")
    if answer.fallback:
        complain(f"the answer comes from a fallback: {answer.fallback}", "warning")
    if answer.dropped and answer.fallback is None:
        complain(f"left out, because the vendor has no such parameter: {', '.join(answer.dropped)}", "warning")
    if watched() and sys.stderr.isatty():
        used = "" if answer.usage is None else f"  {answer.usage.total_tokens} tokens"
        tries = f"  {len(answer.attempts)} tries" if len(answer.attempts) > 1 else ""
        seconds = "" if answer.timing is None else f"  {answer.timing.total:.1f} s"
        note(f"{answer.instance}{used}{seconds}{tries}")
