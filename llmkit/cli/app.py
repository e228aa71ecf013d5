"""The program: its commands by name, and what becomes of errors."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from llmkit.cli.codes import ExitCode, code_for
from llmkit.cli.output import complain, drop_output
from llmkit.cli.state import State
from llmkit.errors import ConfigError, LLMError

COMMANDS = ("chat", "config", "demo", "generate", "health", "models", "plugins", "queue", "simulate", "usage")


class ReaderGone(Exception):
    """Nobody reads the output any more. Raised in the place of BrokenPipeError, of which click makes an exit code of its own."""


class Program(click.Group):
    """A group whose own commands are imported by name; plugins add theirs in the ordinary way."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return sorted({*COMMANDS, *self.commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, imported if it is one of the program's own."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        command: click.Command = import_module(f"llmkit.cli.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        :raises ReaderGone: if nobody reads its output.
        """
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            raise ReaderGone from None
        return result

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a plugin's command, unless the program has one of that name."""
        if (name or cmd.name) in COMMANDS:
            warnings.warn(f"a plugin's command {name or cmd.name!r} is left out: llmkit has its own", RuntimeWarning, stacklevel=2)
            return
        super().add_command(cmd, name)


def _version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"llmkit {version('llmkit')}")
        ctx.exit()


def _program() -> Program:
    @click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version.")
    @click.pass_obj
    def llmkit(state: State, debug: bool) -> None:
        """One program in front of every LLM vendor.

        \b
        llmkit demo                                   see it work, on a simulator
        llmkit generate -m openai/gpt-4o-mini "Hi"    ask one question
        llmkit chat -m anthropic/claude-haiku-4-5     talk
        llmkit models openai                          what a vendor offers
        llmkit queue drain                            answer what was put into the queue

        Keys come from the environment (OPENAI_API_KEY, ANTHROPIC_API_KEY, ...) or from a configuration file (-c FILE).

        Exit codes: 0 done, 1 the call failed, 2 wrong usage, 3 wrong configuration, 4 the key was refused, 5 rate limited or
        not reachable (try later), 130 Ctrl-C.
        """
        state.debug |= debug

    return llmkit


def _warn(message: Warning | str, *_: Any) -> None:
    complain(str(message), "warning")


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the program; every error becomes one line on standard error and an exit code.

    :param arguments: the command line without the program's name; default the process's.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # an answer may hold what the terminal's encoding, or any, cannot say
            stream.reconfigure(errors="backslashreplace")
    state = State()
    with warnings.catch_warnings():
        warnings.showwarning = _warn  # type: ignore[assignment]
        try:
            return _run(state, arguments)
        except (ReaderGone, BrokenPipeError):
            drop_output()
            return ExitCode.BROKEN_PIPE


def _run(state: State, arguments: Sequence[str] | None) -> int:
    from llmkit.plugins.hooks import register_commands

    try:
        program = _program()
        register_commands(program)
        code = program.main(arguments, prog_name="llmkit", standalone_mode=False, obj=state)
        return code if isinstance(code, int) else ExitCode.OK
    except (KeyboardInterrupt, click.Abort):
        if sys.stderr.isatty():
            click.echo(err=True)  # the answer's last line stays as it is
        return ExitCode.INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as help_text:
        help_text.show()
        return ExitCode.USAGE
    except click.ClickException as problem:
        if isinstance(problem, click.UsageError) and problem.ctx is not None:
            click.echo(problem.ctx.get_usage(), err=True)
        complain(problem.format_message())
        return problem.exit_code
    except LLMError as problem:
        if state.debug:
            _show_traceback()
        _tell(state, problem)
        return code_for(problem)
    except (ReaderGone, BrokenPipeError):
        raise
    except Exception as problem:  # a mistake of llmkit's or of a plugin's: said in one line as well
        if state.debug:
            _show_traceback()
        complain(f"unexpected {type(problem).__name__}: {' '.join(_redacted(str(problem)).split())} (--debug shows where)")
        return ExitCode.FAILED


def _show_traceback() -> None:
    import traceback

    sys.stderr.write(_redacted(traceback.format_exc()))


def _redacted(text: str) -> str:
    from llmkit.wire.redact import redact

    return redact(text)


def _tell(state: State, error: LLMError) -> None:
    if state.json:
        from llmkit.cli.documents import error_document
        from llmkit.wire.json import dump_json

        sys.stderr.write(dump_json({"error": error_document(error)}).decode() + "\n")
    elif isinstance(error, ConfigError):
        complain(str(error))  # a file's mistakes come one to a line
    else:
        complain(" ".join(str(error).split()))
