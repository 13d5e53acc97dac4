"""`icmh decode`: .icm files to pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
    help="Default: by the output's extension, else png.",
)
@click.option("--partial", is_flag=True, help="Decode what is intact of a cut or damaged file.")
@options.machine
@options.force
@options.common
def command(
    inputs: tuple[Path, ...],
    output: str | None,
    human: bool,
    task: str | None,
    format_: str | None,
    partial: bool,
    device: str,
    threads: int | None,
    precision: str,
    force: bool,
) -> int:
    """Turn .icm files into pictures: for people, or for a task from its layers alone.

    INPUT is a file, a folder, a glob, or - for stdin (to stdout without -o). Without a choice
    the picture is the one for people or, where its layer is missing, that of the last task.

    \b
    icmh decode photo.icm                      photo.png
    icmh decode photo.icm --task det           photo.det.png
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
    jobs = files.plan(inputs, [".icm"], output, suffix, infix)

    def check(job: Job) -> None:
        files.check_source(job.source)
        files.check_target(job.target, [job.source], force=force)
        _check_format(job.target, format_)

    def start() -> Callable[[Job], None]:
        from icmhcodec import imageio
        from icmhcodec.pipeline.codec import Codec

        codec = Codec(device=device, threads=threads, precision=precision)

        def work(job: Job) -> None:
            data = files.read_icm(job.source)
            decoded = codec.decode(data, task=task, human=human, partial=partial)
            for warning in decoded.warnings:
                complain(f"{files.name(job.source)}: {warning}")
            imageio.write(decoded.picture, job.target, format_, force=force)
            detail(f"{files.name(job.target, 'stdout')}: the picture of layer {decoded.layer}")

        return work

    return batch.run("decode", jobs, check, start)


def _check_format(target: Path, chosen: str | None) -> None:
    """Refuse, before any work, an extension that stands for no format."""
    from icmhcodec.imageio.write import FORMATS

    if chosen is None and target != STREAM and target.suffix.lower().lstrip(".") not in FORMATS:
        known = ", ".join(f".{format_}" for format_ in FORMATS)
        raise UsageError(f"no format has the extension of {target}; use {known} or --format")
