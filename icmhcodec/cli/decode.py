"""`icmh decode`: .icm files to pictures and clips."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from icmhcodec.cli import batch, clips, files, options
from icmhcodec.cli.files import STREAM, Job
from icmhcodec.cli.report import complain, detail
from icmhcodec.errors import UsageError

if TYPE_CHECKING:
    from icmhcodec.pipeline.codec import Codec

SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif"}


@click.command(short_help="Turn .icm files into pictures and clips.")
@options.inputs
@options.outputs("File, or folder for several inputs; default: beside the input.")
@click.option("--human", is_flag=True, help="The picture for people; the default where it is.")
@click.option("--task", metavar="NAME", help="The picture for a task, of its layers alone.")
@click.option(
    "--format",
    "format_",
    type=click.Choice([*SUFFIXES, *clips.FORMATS]),
    help="Default: by the output's extension, else png, and mp4 for clips (y4m through a pipe). "
    "JPEG and WebP get 8 bits, rounded. A clip's png is a folder of them.",
)
@click.option(
    "--strip", is_flag=True, help="Leave out EXIF, XMP and a clip's tags; the colour profile stays."
)
@click.option(
    "--crop",
    metavar="X,Y,WIDTH,HEIGHT",
    callback=options.parse_crop,
    help="Only this region, in pixels; of a tiled file little more is decoded.",
)
@click.option("--partial", is_flag=True, help="Decode what is intact of a cut or damaged file.")
@click.option(
    "--codec",
    type=click.Choice(["x264", "ffv1"]),
    help="Of a clip: x264, whose loss is not seen (the default), or ffv1 (mkv), which is exact.",
)
@options.frames
@click.option("--no-audio", is_flag=True, help="Of a clip: leave its sound out.")
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
    codec: str | None,
    frames: tuple[int, int | None] | None,
    no_audio: bool,
) -> int:
    """Turn .icm files into pictures and clips: for people, or for a task from its layers alone.

    INPUT is a file, a folder, a glob, or - for stdin (to stdout without -o); of a folder's those
    are left out whose picture is there and newer. Without a choice
    the picture is the one for people or, where its layer is missing, that of the last task.
    A clip goes to mp4, mkv or y4m, or to a folder of PNGs where the output has no extension.

    \b
    icmh decode photo.icm                      photo.png
    icmh decode photo.icm --task det           photo.det.png
    icmh decode scan.icm --crop 4000,2000,800,600 -o part.png
    icmh decode coded/ -o seen/ --format jpeg  a folder
    icmh decode - -o - < photo.icm | display   a pipe
    icmh decode street.icm -o seen.mp4         a clip with its sound
    icmh decode street.icm --task det --frames 100:200 -o seen
    """
    if human and task is not None:
        raise UsageError("--human and --task exclude each other; give one")
    from icmhcodec.container import valid_name

    if task is not None and not valid_name(task):
        raise UsageError(f"--task {task}: no task has such a name")

    def suffix(source: Path) -> str:
        if clips.is_sequence(source):
            return clips.suffix_of(format_, codec)
        return SUFFIXES.get(format_ or "", SUFFIXES["png"])

    planned = files.plan(inputs, [".icm"], output, suffix, f".{task}" if task else "")
    if output is not None and _is_one_clips_folder(inputs, output, format_):
        planned = [Job(inputs[0], Path(output))]
    moving = frozenset(job.source for job in planned if clips.is_sequence(job.source))
    if moving and jobs > 1:
        raise UsageError("--jobs is for pictures; clips are decoded one after another")

    def check(job: Job) -> None:
        files.check_icm(job.source)
        if job.source in moving:
            clips.refuse(job, {"crop": crop}, "a clip", "pictures")
            clips.check_format(job.target, format_, codec)
            if clips.goes_to_folder(job.target, format_):
                clips.check_folder_target(job.target, force=force)
                return
        else:
            given = {"codec": codec, "frames": frames, "no_audio": no_audio}
            clips.refuse(job, given, "a picture", "clips")
            _check_format(job.target, format_)
        files.check_target(job.target, [job.source], force=force)

    def finish(job: Job, found: Found) -> None:
        data, layer, adapted, warnings = found
        for warning in warnings:
            complain(f"{files.name(job.source)}: {warning}")
        if data is not None:
            files.write(job.target, data, force=force)
        made = f" (adapters: {', '.join(adapted)})" if adapted else ""
        what = "frames" if data is None else "picture"
        detail(f"{files.name(job.target, 'stdout')}: the {what} of layer {layer}{made}")

    layer = {"task": task, "human": human, "partial": partial}
    of_clips = {
        **layer, "format": format_, "codec": codec or "x264", "frames": frames or (0, None),
        "strip": strip, "audio": not no_audio, "force": force,
    }  # fmt: skip
    machine = {"device": device, "threads": threads, "precision": precision}
    start = functools.partial(
        _start, moving, {**layer, "crop": crop}, of_clips, format_, strip, machine
    )
    title = None if moving else "decode"
    return batch.run(title, planned, check, start, finish, processes=jobs, threads=threads)


def _is_one_clips_folder(inputs: tuple[Path, ...], output: str, format_: str | None) -> bool:
    """Whether the output names the folder that one clip's frames go to, be it there or not."""
    name = Path(output)
    bare = not name.suffix and name != STREAM and not output.endswith(("/", os.sep))
    return (
        bare and format_ in (None, clips.FRAMES) and len(inputs) == 1
        and clips.is_sequence(inputs[0])
    )  # fmt: skip


# The picture's file (None of a clip, which is written), its layer, what adapted it, warnings.
Found = tuple[bytes | None, str, tuple[str, ...], tuple[str, ...]]


def _start(
    moving: frozenset[Path],
    choices: dict[str, Any],
    of_clips: dict[str, Any],
    format_: str | None,
    strip: bool,
    machine: dict[str, Any],
) -> Callable[[Job], Found]:
    from icmhcodec.pipeline.codec import Codec

    codec = Codec(**machine)

    def work(job: Job) -> Found:
        if job.source in moving:
            clip = clips.decode(codec, job, of_clips)
            return None, clip.layer, (), tuple(clip.warnings)
        return _picture(codec, job, choices, format_, strip)

    return work


def _picture(
    codec: Codec, job: Job, choices: dict[str, Any], format_: str | None, strip: bool
) -> Found:
    from icmhcodec.imageio.write import encode

    decoded = codec.decode(files.read_icm(job.source), **choices)
    chosen = format_ or ("png" if job.target == STREAM else job.target.suffix)
    with files.blamed(job.target):
        bare = replace(decoded.picture, exif=None, xmp=None)
        data = encode(bare if strip else decoded.picture, chosen)
    return data, decoded.layer, decoded.adapted, tuple(decoded.warnings)


def _check_format(target: Path, chosen: str | None) -> None:
    """Refuse, before any work, an extension that stands for no format."""
    from icmhcodec.imageio.write import FORMATS

    if chosen in clips.FORMATS:
        raise UsageError(f"--format {chosen} is for clips, and this is a picture")
    if chosen is None and target != STREAM and target.suffix.lower().lstrip(".") not in FORMATS:
        known = ", ".join(f".{format_}" for format_ in FORMATS)
        raise UsageError(f"no format has the extension of {target}; use {known} or --format")
