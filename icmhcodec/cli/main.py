"""The `icmh` command: commands are imported when they are used, errors become exit codes."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Any

import click

from icmhcodec.cli import options
from icmhcodec.cli.report import Settings, complain, describe, help_if_alone

COMMANDS = (
    "encode",
    "decode",
    "info",
    "split",
    "join",
    "verify",
    "show",
    "bench",
    "models",
    "train",
)

EPILOG = """\b
Exit codes:
  0    done
  1    some inputs failed, or a size asked for could not be met
  2    usage
  3    not an .icm file, or a damaged one
  4    needs weights or adapters that are not here
  5    written in a newer format
  130  interrupted
  143  terminated
With several inputs a run goes on after a bad one, names it, and ends with 1.
Results that are there already stay: the same command does the rest of a
run that was stopped."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came: everything ends in order, as after Ctrl-C."""


class Root(click.Group):
    """The group of all commands, each in the module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"icmhcodec.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; reports quote the command as it was given."""
        ctx.meta[options.COMMAND_LINE] = shlex.join(["icmh", *args])
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; Ctrl-C and a closed pipe end it with one line or none."""
        try:
            result = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()
        except KeyboardInterrupt as stop:
            complain(str(stop) or "interrupted")
            code = 143 if isinstance(stop, Terminated) else 130
            raise click.exceptions.Exit(code) from None
        except BrokenPipeError:
            # Else the interpreter tries to flush once more at its end, and complains.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(1) from None
        return result

    def main(self, *args: Any, **extra: Any) -> Any:
        """Parse, run, and leave the process with the exit code of the outcome."""
        settings = Settings()
        extra.update(standalone_mode=False, obj=settings)
        try:
            result = super().main(*args, **extra)
        except Exception as error:
            message, code = describe(error)
            complain(message, error if settings.debug else None)
            sys.exit(code)
        sys.exit(result if isinstance(result, int) else 0)


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        from icmhcodec import __version__

        click.echo(f"icmh {__version__}")
        ctx.exit()


@click.group(
    cls=Root,
    epilog=EPILOG,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version and exit.",
)
@options.common
@click.pass_context
def icmh(ctx: click.Context) -> None:
    """Code pictures in layers: a small one for machines first, the rest for people after it.

    \b
    icmh encode photo.jpg --task det     photo.icm, with a layer for detectors
    icmh info photo.icm                  what is in it, where, and what it costs
    icmh split photo.icm --task det      the detection layer alone
    icmh decode photo.icm                photo.png
    """
    help_if_alone(ctx)


def main() -> None:
    """Run `icmh` with the arguments of the process."""
    signal.signal(signal.SIGTERM, _terminate)
    icmh(prog_name="icmh")


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated("terminated")
