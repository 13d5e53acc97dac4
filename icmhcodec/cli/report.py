"""What is said on stderr: one line that says what, where and what to do; and the exit codes."""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass

import click

from icmhcodec.errors import IcmhError


@dataclass
class Settings:
    """What holds for one run of `icmh`."""

    debug: bool = False
    verbose: bool = False


def complain(message: str, error: BaseException | None = None) -> None:
    """Say one line on stderr, after the traceback of `error` if there is one."""
    if error is not None:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    click.echo(f"icmh: {message}", err=True)


def detail(message: str) -> None:
    """Say what only `-v` asks for."""
    if click.get_current_context().ensure_object(Settings).verbose:
        complain(message)


def on_terminal() -> bool:
    """Whether stdout is a terminal; a closed one is none."""
    return sys.stdout is not None and sys.stdout.isatty()


def help_if_alone(ctx: click.Context) -> None:
    """Show a group's help when no command of it is named."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def describe(error: BaseException, where: str | None = None) -> tuple[str, int]:
    """Give the line and the exit code for an error that came up at the file `where`."""
    if isinstance(error, click.UsageError):
        return _usage(error), error.exit_code
    message, code = _message(error)
    if where is not None and where not in message:
        message = f"{where}: {message}"
    return message, code


def _message(error: BaseException) -> tuple[str, int]:
    if isinstance(error, IcmhError):
        return _one_line(str(error)), error.exit_code
    if isinstance(error, click.ClickException):
        return _one_line(error.format_message()), error.exit_code
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'input or output'}: {error.strerror}", 1
    if isinstance(error, MemoryError) or "allocate memory" in str(error):  # torch's own kind
        return "not enough memory; try a smaller picture", 1
    kind = type(error).__name__
    return _one_line(f"internal error, {kind}: {error}; --debug shows where"), 1


def _usage(error: click.UsageError) -> str:
    message = _one_line(error.format_message()).rstrip(".")
    command = error.ctx.command_path if error.ctx else "icmh"
    return f"{message}; see {command} --help"


def _one_line(text: str) -> str:
    return " ".join(text.split())
