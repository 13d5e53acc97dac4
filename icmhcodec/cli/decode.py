"""`icmh decode`: .icm files to pictures."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from icmhcodec.cli import batch, files, options
from icmhcodec.cli.files import STREAM, Job
from icmhcodec.cli.report import complain, detail
from icmhcodec.errors import UsageError

SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif"}


@click.command(short_help="Turn .icm files into pictures.")
@options.inputs
@options.outputs("File, or folder for several inputs; default: beside the input.")
@click.option("--human", is_flag=True, help="The picture for people; the default where it is.")
@click.option("--task", metavar="NAME", help="The picture for a task, of its layers alone.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(list(SUFFIXES)),
    help="Default: by the output's extension, else png. JPEG and WebP get 8 bits, rounded.",
)
@click.option("--strip", is_flag=True, help="Leave out EXIF and XMP; the colour profile stays.")
@click.option(
    "--crop",
    metavar="X,Y,WIDTH,HEIGHT",
    callback=options.parse_crop,
    help="Only this region, in pixels; of a tiled file little more is decoded.",
)
@click.option("--partial", is_flag=True, help="Decode what is intact of a cut or damaged file.")
@options.machine
@options.jobs
@options.force
@options.common
def command(
    inputs: tuple[Path, ...],
    output: str | None,
    human: bool,
    task: str | None,
    format_: str | None,
    strip: bool,
    crop: tuple[int, int, int, int] | None,
    partial: bool,
    device: str,
    threads: int | None,
    precision: str,
    jobs: int,
    force: bool,
) -> int:
    """Turn .icm files into pictures: for people, or for a task from its layers alone.

    INPUT is a file, a folder, a glob, or - for stdin (to stdout without -o); of a folder's those
    are left out whose picture is there and newer. Without a choice
    the picture is the one for people or, where its layer is missing, that of the last task.

    \b
    icmh decode photo.icm                      photo.png
    icmh decode photo.icm --task det           photo.det.png
    icmh decode scan.icm --crop 4000,2000,800,600 -o part.png
    icmh decode coded/ -o seen/ --format jpeg  a folder
    icmh decode - -o - < photo.icm | display   a pipe
    """
    if human and task is not None:
        raise UsageError("--human and --task exclude each other; give one")
    from icmhcodec.container import valid_name

    if task is not None and not valid_name(task):
        raise UsageError(f"--task {task}: no task has such a name")
    suffix = SUFFIXES[format_ or "png"]
    infix = f".{task}" if task else ""
    planned = files.plan(inputs, [".icm"], output, suffix, infix)

    def check(job: Job) -> None:
        files.check_source(job.source)
        files.check_target(job.target, [job.source], force=force)
        _check_format(job.target, format_)

    def finish(job: Job, found: Found) -> None:
        data, layer, warnings = found
        for warning in warnings:
            complain(f"{files.name(job.source)}: {warning}")
        files.write(job.target, data, force=force)
        detail(f"{files.name(job.target, 'stdout')}: the picture of layer {layer}")

    layer = {"task": task, "human": human, "partial": partial, "crop": crop}
    start = functools.partial(_start, layer, format_, strip, device, threads, precision)
    return batch.run("decode", planned, check, start, finish, processes=jobs, threads=threads)


Found = tuple[bytes, str, tuple[str, ...]]  # the picture's file, its layer, warnings


def _start(
    choices: dict[str, Any],
    format_: str | None,
    strip: bool,
    device: str,
    threads: int | None,
    precision: str,
) -> Callable[[Job], Found]:
    from icmhcodec.imageio.write import encode
    from icmhcodec.pipeline.codec import Codec

    codec = Codec(device=device, threads=threads, precision=precision)

    def work(job: Job) -> Found:
        decoded = codec.decode(files.read_icm(job.source), **choices)
        chosen = format_ or ("png" if job.target == STREAM else job.target.suffix)
        with files.blamed(job.target):
            bare = replace(decoded.picture, exif=None, xmp=None)
            data = encode(bare if strip else decoded.picture, chosen)
        return data, decoded.layer, tuple(decoded.warnings)

    return work


def _check_format(target: Path, chosen: str | None) -> None:
    """Refuse, before any work, an extension that stands for no format."""
    from icmhcodec.imageio.write import FORMATS

    if chosen is None and target != STREAM and target.suffix.lower().lstrip(".") not in FORMATS:
        known = ", ".join(f".{format_}" for format_ in FORMATS)
        raise UsageError(f"no format has the extension of {target}; use {known} or --format")
