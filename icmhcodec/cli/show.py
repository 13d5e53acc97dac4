"""`icmh show`: what is in a file, as a picture."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import click

from icmhcodec.cli import batch, clips, files, options
from icmhcodec.cli.files import STREAM, Job
from icmhcodec.cli.report import complain
from icmhcodec.errors import UsageError

WIDTH, NARROWEST, WIDEST = 1600, 480, 8000  # pixels of the page

Page = tuple[bytes, tuple[str, ...]]  # PNG, warnings


@click.command(short_help="Draw what is in .icm files.")
@options.inputs
@options.outputs("PNG, or folder for several inputs; default: NAME.show.png beside the input.")
@click.option(
    "--original",
    type=options.PATH,
    metavar="PICTURE",
    help="The picture that was coded, to be shown beside, and PSNR to it.",
)
@click.option(
    "--width",
    type=click.IntRange(NARROWEST, WIDEST),
    default=WIDTH,
    show_default=True,
    help="Pixels of the page.",
)
@options.machine
@options.jobs
@options.force
@options.common
def command(
    inputs: tuple[Path, ...],
    output: str | None,
    original: Path | None,
    width: int,
    device: str,
    threads: int | None,
    precision: str,
    jobs: int,
    force: bool,
) -> int:
    """Draw what is in .icm files: every layer's picture, where its bits go, spectra of the latent.

    INPUT is a file, a folder, a glob, or - for stdin (to stdout without -o). Of a part what is
    there is drawn, and what is missing named. Bits are those of the coded symbols by the tables
    that they are coded with; the page says what they add up to and what the file has.

    \b
    icmh show photo.icm                        photo.show.png
    icmh show photo.icm --original photo.jpg -o page.png
    """
    planned = files.plan(inputs, [".icm"], output, ".png", ".show")
    if original is not None:
        if len(planned) > 1:
            raise UsageError("--original is of one file; show one at a time")
        if original == STREAM:
            raise UsageError("--original -: name a file")
        files.check_source(original)

    def check(job: Job) -> None:
        files.check_source(job.source)
        if clips.is_sequence(job.source):
            raise UsageError(f"{files.name(job.source)} is a clip; icmh info shows what is in it")
        files.check_target(job.target, [job.source], force=force)
        if job.target != STREAM and job.target.suffix.lower() != ".png":
            raise UsageError(f"{job.target}: the page is a PNG; name it .png")

    def finish(job: Job, page: Page) -> None:
        data, warnings = page
        for warning in warnings:
            complain(f"{files.name(job.source)}: {warning}")
        files.write(job.target, data, force=force)

    start = functools.partial(_start, original, width, device, threads, precision)
    return batch.run("show", planned, check, start, finish, processes=jobs, threads=threads)


def _start(
    original: Path | None, width: int, device: str, threads: int | None, precision: str
) -> Callable[[Job], Page]:
    import io

    import torch

    from icmhcodec import imageio
    from icmhcodec.pipeline.networks import Networks
    from icmhcodec.pipeline.show import show

    if threads is not None:
        torch.set_num_threads(threads)
    networks = Networks(device, precision)

    def work(job: Job) -> Page:
        data = files.read_icm(job.source)
        beside = None
        if original is not None:
            beside = original.name, original.stat().st_size, imageio.read(original)
        name = files.name(job.source) if job.source == STREAM else job.source.name
        page, warnings = show(networks, data, name, original=beside, width=width)
        buffer = io.BytesIO()
        page.save(buffer, "PNG", optimize=True)
        return buffer.getvalue(), warnings

    return work
