"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import click

from icmhcodec.cli.report import Settings

F = TypeVar("F", bound=Callable[..., Any])

COMMAND_LINE = "icmhcodec.command_line"
"""Under this name click's `Context.meta` has the command as it was given."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKM]?)B?")
_CROP = re.compile(r"(\d{1,9}),(\d{1,9}),(\d{1,9}),(\d{1,9})")
_FRAMES = re.compile(r"(\d{0,12}):(\d{0,12})")
_RATE = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)(?:/(\d{1,6}))?")
_UNITS = {"": 1, "k": 1_000, "K": 1_000, "M": 1_000_000}


class _Path(click.Path):
    """A path; an empty one, of a variable that is not set, is not the folder one is in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(_named(ctx, param, value), param, ctx)


def _named(ctx: click.Context | None, param: click.Parameter | None, value: Any) -> Any:
    if value == "":
        raise click.BadParameter("an empty name", ctx, param)
    return value


PATH = _Path(path_type=Path)


def parse_size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Read a number of bytes: `20000`, `20k` or `1.5M` (powers of 1000)."""
    if value is None:
        return None
    match = _SIZE.fullmatch(value)
    size = int(float(match[1]) * _UNITS[match[2]]) if match else 0
    if size < 1:
        raise click.BadParameter(f"{value!r} is no size; write 20000, 20k or 1.5M", ctx, param)
    return size


def size(name: str, help_text: str) -> Callable[[F], F]:
    """Add an option that takes a number of bytes."""
    return click.option(name, metavar="BYTES", callback=parse_size, help=help_text)


def _switch(name: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    def callback(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            setattr(ctx.ensure_object(Settings), name, True)

    return callback


def common(function: F) -> F:
    """Add `-v` and `--debug`, which every command has."""
    verbose = click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_switch("verbose"),
        help="Say more on stderr.",
    )
    debug = click.option(
        "--debug",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_switch("debug"),
        help="Show a traceback with an error.",
    )
    return verbose(debug(function))


def machine(function: F) -> F:
    """Add `--device`, `--threads` and `--precision`."""
    device = click.option(
        "--device", default="cpu", show_default=True, help="Where networks run: cpu, cuda, cuda:1."
    )
    threads = click.option(
        "--threads", type=click.IntRange(min=1), help="CPU threads; default: all cores."
    )
    precision = click.option(
        "--precision",
        type=click.Choice(["auto", "float32", "bfloat16"]),
        default="auto",
        show_default=True,
        help="Of the transforms; the symbols are exact in each.",
    )
    return device(threads(precision(function)))


jobs = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Worker processes; each has its share of the cores, or --threads.",
)
force = click.option("--force", is_flag=True, help="Overwrite files that exist.")
as_json = click.option("--json", "as_json", is_flag=True, help="Report as JSON, a line per file.")
inputs = click.argument("inputs", nargs=-1, required=True, metavar="INPUT...", type=PATH)


def output(help_text: str, *, required: bool = False) -> Callable[[F], F]:
    """Add `-o FILE`."""
    return click.option("-o", "--output", required=required, type=PATH, help=help_text)


def outputs(help_text: str) -> Callable[[F], F]:
    """Add `-o FILE` or `-o FOLDER/`: text, for a path forgets its last slash."""
    return click.option("-o", "--output", metavar="PATH", callback=_named, help=help_text)


def parse_crop(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, int, int, int] | None:
    """Read a region: `x,y,width,height` in pixels."""
    if value is None:
        return None
    match = _CROP.fullmatch(value)
    if match is None or not int(match[3]) or not int(match[4]):
        raise click.BadParameter(f"{value!r} is no region; write x,y,width,height", ctx, param)
    return int(match[1]), int(match[2]), int(match[3]), int(match[4])


def parse_frames(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, int | None] | None:
    """Read a range of frames, `100:250`, `100:` or `:250`: the first, and one behind the last."""
    if value is None:
        return None
    match = _FRAMES.fullmatch(value)
    if match is None or (match[2] and int(match[2]) <= int(match[1] or 0)):
        raise click.BadParameter(f"{value!r} is no range; write 100:250, 100: or :250", ctx, param)
    return int(match[1] or 0), int(match[2]) if match[2] else None


def parse_rate(ctx: click.Context, param: click.Parameter, value: str | None) -> Fraction | None:
    """Read a number of frames per second: `25`, `29.97` or `30000/1001`."""
    if value is None:
        return None
    match = _RATE.fullmatch(value)
    try:
        rate = Fraction(match[1]) / Fraction(match[2] or 1) if match else Fraction(0)
    except ZeroDivisionError:
        rate = Fraction(0)
    if not rate:
        raise click.BadParameter(f"{value!r} is no rate; write 25 or 30000/1001", ctx, param)
    return rate


frames = click.option(
    "--frames",
    metavar="A:B",
    callback=parse_frames,
    help="Of a clip: from frame A, the first being 0, up to the one before B.",
)


def parse_tasks(
    ctx: click.Context, param: click.Parameter, values: Sequence[str]
) -> tuple[str, ...]:
    """Split `det:2,cls` at commas; each is a task name and maybe a level."""
    tasks = [part.strip() for value in values for part in value.split(",")]
    names = [_task_name(task, ctx, param) for task in tasks]
    for name in names:
        if names.count(name) > 1:
            raise click.BadParameter(f"{name} is named twice", ctx, param)
    return tuple(tasks)


def _task_name(task: str, ctx: click.Context, param: click.Parameter) -> str:
    from icmhcodec.container import names

    name, colon, level = task.partition(":")
    if not names.valid_name(name) or (colon and not level.isdecimal()):
        raise click.BadParameter(f"{task!r} is no task; write det, det:2 or det,cls", ctx, param)
    if name == names.HUMAN:
        raise click.BadParameter("human is no task, but what tasks leave", ctx, param)
    return name


def parse_names(
    ctx: click.Context, param: click.Parameter, values: Sequence[str]
) -> tuple[str, ...]:
    """Split `det,cls` at commas: layers that exist are named without their levels."""
    tasks = parse_tasks(ctx, param, values)
    if any(":" in task for task in tasks):
        raise click.BadParameter("a layer is named without its level", ctx, param)
    return tasks
