"""``llmkit chat``: a conversation."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from llmkit.cli.clients import call_arguments, make_client
from llmkit.cli.output import complain, line, note, say_resumed, table, watched, write
from llmkit.cli.state import config_option, debug_option

if TYPE_CHECKING:
    from llmkit.client import Client
    from llmkit.values.arguments import GenerateOptions
    from llmkit.values.completion import Completion
    from llmkit.values.messages import Message

HELP = """\
/help            this list
/system [TEXT]   set the instructions above the conversation; without TEXT, show them
/model [MODEL]   go on with another model; without MODEL, show which
/reset           forget the conversation
/save FILE       write the conversation to FILE: JSON if its name ends in .json, else text
/usage           tokens used so far
/quit            end, as Ctrl-D does
Ctrl-C stops an answer. A line that begins with // is sent with one / less."""


@click.command("chat")
@click.option("-m", "--model", metavar="PROVIDER/MODEL", help="The model to talk to, such as openai/gpt-4o-mini.")
@config_option
@click.option("-t", "--task", metavar="NAME", help="A task of the configuration.")
@click.option("-s", "--system", metavar="TEXT", help="Instructions above the conversation.")
@click.option("--max-tokens", type=int, metavar="N", help="The most tokens of an answer.")
@click.option("--temperature", type=float, metavar="X", help="How much chance there is in an answer.")
@click.option("-o", "--option", "settings", multiple=True, metavar="KEY=VALUE", help="Any other parameter. Repeatable.")
@click.option("--timeout", type=float, metavar="SECONDS", help="For each answer. Default 600.")
@click.option("--retries", type=int, metavar="N", help="Tries after the first. Default 3.")
@click.option("--base-url", metavar="URL", help="Where the vendor's API is, instead of its usual address.")
@debug_option
def command(settings: tuple[str, ...], config: str | None, base_url: str | None, **given: Any) -> None:
    """Talk to a model; it remembers the conversation.

    Answers are printed as they arrive. Ctrl-C stops an answer, Ctrl-D ends the program, /help lists the commands. Where
    standard input is no terminal, each line of it is a turn, and the first error ends the program.
    """
    system = given.pop("system")
    model = given.pop("model")
    arguments = call_arguments(settings, **given)
    with make_client(config, model, base_url) as client:
        Chat(client, model, system, arguments).run()


class Chat:
    """One conversation."""

    def __init__(self, client: Client, model: str | None, system: str | None, arguments: GenerateOptions) -> None:
        self._client = client
        self._model = model
        self._system = system
        self._arguments = arguments
        self._history: list[Message] = []
        self._commands = {
            "help": lambda _: line(HELP),
            "system": self._set_system,
            "model": self._set_model,
            "reset": self._reset,
            "save": self._save,
            "usage": self._usage,
        }

    def run(self) -> None:
        """Read turns until there are no more."""
        person = sys.stdin.isatty()
        if person:
            _enable_editing()
            note("/help lists the commands, Ctrl-D ends")
        while True:
            try:
                said = input("> ") if person and watched() else _next_line()
            except EOFError:
                break
            except KeyboardInterrupt:
                if not person:
                    raise
                line()
                note("Ctrl-D ends")
                continue
            if said.strip() in ("/quit", "/exit"):
                return
            self._take(said, person)
        if person:
            line()

    def _take(self, said: str, person: bool) -> None:
        """One line: a command, or a turn."""
        from llmkit.errors import LLMError

        if not said.strip():
            return
        try:
            if said.startswith("/") and not said.startswith("//"):
                self._do(said)
            else:
                self._ask(said.removeprefix("/"))
        except LLMError as problem:
            if not person:
                raise
            complain(" ".join(str(problem).split()))

    def _ask(self, said: str) -> None:
        """Send a turn and print the answer. A turn without any answer is forgotten."""
        from llmkit.values.messages import Message

        turn = Message.user(said)
        arguments: GenerateOptions = {**self._arguments}
        if self._model is not None:
            arguments["model"] = self._model
        if self._system is not None:
            arguments["system"] = self._system
        stream = self._client.stream([*self._history, turn], **arguments)
        stopped = False
        try:
            for event in stream:
                say_resumed(event)
                write(event.text or getattr(event, "refusal", ""))
        except KeyboardInterrupt:
            if not sys.stdin.isatty():
                raise
            stopped = True
        finally:
            stream.close()
        answer = stream.partial
        if answer is not None and (answer.text or not stopped):
            self._history += [turn, answer.message]
        self._end(answer, stopped)

    def _end(self, answer: Completion | None, stopped: bool) -> None:
        if stopped:
            line()
            note("stopped")
            return
        if answer is None:
            return
        if not (answer.text or answer.refusal or "").endswith("\n"):
            write("\n")
        if answer.finish_reason == "length":
            complain("the answer ends at the limit of tokens", "warning")

    # ------------------------------------------------------------------------------------------- commands

    def _do(self, said: str) -> None:
        name, _, rest = said[1:].strip().partition(" ")
        action = self._commands.get(name)
        if action is None:
            complain(f"there is no /{name}; /help lists the commands")
        else:
            action(rest.strip())

    def _set_system(self, text: str) -> None:
        if text:
            self._system = text
        note(f"instructions: {self._system or 'none'}")

    def _set_model(self, model: str) -> None:
        if model:
            self._model = model
        note(f"model: {self._model or 'whichever instance is next'}")

    def _reset(self, _: str) -> None:
        self._history.clear()
        note("forgotten")

    def _save(self, path: str) -> None:
        if not path:
            complain("/save needs a file name")
            return
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(self._as_json() if path.endswith(".json") else self._as_text())
        except OSError as problem:
            complain(f"{path}: {problem.strerror}")
        else:
            note(f"{len(self._history)} messages are in {path}")

    def _as_json(self) -> str:
        import json

        from llmkit.wire.codec import converter

        document = {"model": self._model, "system": self._system, "messages": converter().unstructure(self._history)}
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    def _as_text(self) -> str:
        said = [("system", self._system)] if self._system else []
        said += [(message.role, message.text) for message in self._history]
        return "".join([f"{role}: {text}\n\n" for role, text in said])

    def _usage(self, _: str) -> None:
        columns = ["instance", "calls", "failed tries", "tokens in", "tokens out", "tokens"]
        rows = [
            [row.instance, row.calls, row.errors, row.usage.prompt_tokens, row.usage.completion_tokens, row.usage.total_tokens]
            for row in self._client.usage()
        ]
        table(columns, rows, columns[1:])


def _next_line() -> str:
    said = sys.stdin.readline()
    if not said:
        raise EOFError
    return said.rstrip("\n")


def _enable_editing() -> None:
    """Line editing and history with the arrow keys, where this Python has them."""
    try:
        import readline  # noqa: F401 (importing it is what switches it on)
    except ImportError:
        return
