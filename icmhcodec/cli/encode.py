"""`icmh encode`: pictures and clips to .icm files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from icmhcodec.cli import batch, clips, files, options, tables
from icmhcodec.cli.files import Job
from icmhcodec.cli.report import Settings
from icmhcodec.errors import IcmhError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from icmhcodec.pipeline.codec import Codec
    from icmhcodec.pipeline.encode import Encoded
    from icmhcodec.pipeline.video.clip_encode import EncodedClip

OF_PICTURES = ("size", "task_size", "mask", "profile", "effort", "tile")
OF_CLIPS = ("gop", "inter", "fps", "frames", "no_audio")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif")


@click.command(short_help="Code pictures and clips into .icm files.")
@options.inputs
@options.outputs("File, or folder for several inputs; default: NAME.icm beside the input.")
@click.option(
    "-q",
    "--quality",
    type=click.FloatRange(0, 9),
    help="0 (smallest) to 9 (best), fractions allowed; default 4.",
)
@click.option(
    "--bpp",
    type=click.FloatRange(min=0, min_open=True),
    help="Largest file, in bits per pixel; of a clip, without its sound.",
)
@options.size("--size", "Largest file, in bytes: 20000, 20k, 1.5M.")
@options.size("--task-size", "Largest part of the tasks, header included, in bytes.")
@click.option(
    "--task",
    "tasks",
    multiple=True,
    callback=options.parse_tasks,
    metavar="NAME[:LEVEL],...",
    help="Put what a task needs first, in a layer of its own: det, det:3, cls,det. Levels are 1 "
    "to 4, from as little as may do to more; default 2.",
)
@click.option(
    "--mask",
    type=options.PATH,
    help="Picture that is white where the one --task shall have the latent.",
)
@click.option(
    "--profile",
    type=click.Choice(["scalable", "machine"]),
    default="scalable",
    show_default=True,
    help="One latent that all layers share, or one of its own per task.",
)
@click.option(
    "--with-human/--no-human",
    default=None,
    help="Whether people get a layer; default: yes, with --profile machine no.",
)
@click.option(
    "-e",
    "--effort",
    type=click.IntRange(1, 9),
    default=1,
    show_default=True,
    help="Search for a smaller file of the same quality: 3 takes some ten times as long.",
)
@click.option("--portable", is_flag=True, help="Write masks out; decoding needs no predictor.")
@click.option("--base", default="mbt2018-mean-gain", show_default=True, help="Base codec.")
@click.option(
    "--skip",
    type=click.IntRange(0, 64),
    help="Leave out elements of smaller scale index, 0: none; default: as the picture allows.",
)
@click.option(
    "--tile",
    type=click.IntRange(min=0),
    metavar="PIXELS",
    help="Side of tiles that decode alone, a multiple of 64, 0: none; default: 1024 above 16 "
    "megapixels.",
)
@click.option(
    "--strip", is_flag=True, help="Leave out EXIF, XMP and a clip's tags; the colour profile stays."
)
@click.option("--clip", is_flag=True, help="INPUT is a clip: of a folder its pictures are frames.")
@click.option(
    "--gop",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of a clip: frames from one that is coded alone to the next; default 32.",
)
@click.option("--inter", metavar="CODEC", help="Of a clip: codec of its other frames; default dvc.")
@click.option(
    "--fps",
    callback=options.parse_rate,
    metavar="RATE",
    help="Of a clip: frames per second; frames are repeated or left out. Of a folder its rate, 25.",
)
@options.frames
@click.option("--no-audio", is_flag=True, help="Of a clip: leave its sound out.")
@options.machine
@options.jobs
@options.force
@options.as_json
@options.common
@click.pass_obj
def command(
    settings: Settings,
    /,
    inputs: tuple[Path, ...],
    output: str | None,
    base: str,
    device: str,
    threads: int | None,
    precision: str,
    jobs: int,
    force: bool,
    as_json: bool,
    clip: bool,
    **choices: Any,
) -> int:
    """Code pictures and clips into .icm files, the layers of tasks first.

    INPUT is a file, a folder, a glob, or - for stdin (to stdout without -o); of a folder's those
    are left out whose .icm file is there and newer. Pictures are PNG, JPEG, WebP, TIFF and AVIF,
    clips what FFmpeg reads.

    \b
    icmh encode photo.jpg                      photo.icm
    icmh encode photo.jpg --task det -q 5      with a layer for detectors
    icmh encode photos/ -o coded/ --bpp 0.5    a folder, no file above 0.5 bpp
    icmh encode photos/ -o coded/ --jobs 4     in four processes
    icmh encode street.mp4 --task det          street.icm, with its sound
    icmh encode frames/ --clip --fps 30        frames.icm, of a folder of frames
    """
    _check_choices(choices)
    planned = files.plan(inputs, (*PICTURES, *clips.SUFFIXES), output, ".icm", whole_folders=clip)
    moving = frozenset(job.source for job in planned if clip or clips.is_clip(job.source))
    if moving and jobs > 1:
        raise UsageError("--jobs is for pictures; clips are coded one after another")
    to_stdout = any(files.is_stdout(job.target) for job in planned)
    if as_json and to_stdout:
        raise UsageError("--json and the file cannot share stdout; give -o FILE")

    def check(job: Job) -> None:
        if not (clip and job.source.is_dir()):
            files.check_source(job.source)
        if job.source in moving:
            clips.refuse(job, _of_pictures(choices), "a clip", "pictures")
        else:
            clips.refuse(job, {name: choices[name] for name in OF_CLIPS}, "a picture", "clips")
        files.check_target(job.target, [job.source], force=force)

    def finish(job: Job, encoded: Encoded | EncodedClip) -> None:
        from icmhcodec.pipeline.encode import Encoded

        if isinstance(encoded, Encoded):
            files.write(job.target, encoded.data, force=force)
        if not files.is_stdout(job.target) or settings.verbose:
            if isinstance(encoded, Encoded):
                _report(job, encoded, as_json, err=to_stdout)
            else:
                clips.report(job, encoded, as_json, err=to_stdout)
        if not encoded.met:
            size = len(encoded.data) if isinstance(encoded, Encoded) else encoded.size
            raise IcmhError(_unmet(choices, size, encoded.quality))

    start = partial(_start, moving, choices, base, device, threads, precision, force)
    title = None if moving else "encode"
    return batch.run(title, planned, check, start, finish, processes=jobs, threads=threads)


def _start(
    moving: frozenset[Path],
    choices: dict[str, Any],
    base: str,
    device: str,
    threads: int | None,
    precision: str,
    force: bool,
) -> Callable[[Job], Encoded | EncodedClip]:
    from icmhcodec.pipeline.codec import Codec

    codec = Codec(base, device=device, threads=threads, precision=precision)
    arguments, of_clips = _arguments(choices), _clip_arguments(choices)

    def work(job: Job) -> Encoded | EncodedClip:
        if job.source in moving:
            return clips.encode(codec, job, of_clips, force=force)
        return _encode(codec, job.source, arguments)

    return work


def _of_pictures(choices: dict[str, Any]) -> dict[str, Any]:
    """What was given of options that are for pictures alone."""
    usual = {"profile": "scalable", "effort": 1}
    return {
        name: choices[name] if choices[name] != usual.get(name) else None for name in OF_PICTURES
    }


def _clip_arguments(choices: dict[str, Any]) -> dict[str, Any]:
    """Turn choices on the command line into those of `Codec.encode_clip`."""
    names = ("tasks", "quality", "bpp", "portable", "skip", "strip", "fps", "frames", "gop")
    given = {name: choices[name] for name in (*names, "inter") if choices[name] is not None}
    human = choices["with_human"] is not False
    return {
        "frames": (0, None), "fps": None, **given, "with_human": human,
        "audio": not choices["no_audio"],
    }  # fmt: skip


def _check_choices(choices: dict[str, Any]) -> None:
    goals = [name for name in ("quality", "bpp", "size") if choices[name] is not None]
    if len(goals) > 1:
        raise UsageError(f"--{goals[0]} and --{goals[1]} exclude each other; give one")
    if choices["task_size"] is not None and not choices["tasks"]:
        raise UsageError("--task-size needs a task layer; add --task NAME")
    if choices["portable"] and not choices["tasks"]:
        raise UsageError("--portable writes masks of task layers; add --task NAME")
    if choices["mask"] is not None and len(choices["tasks"]) != 1:
        raise UsageError("--mask says what one task gets; add one --task NAME")
    machine_only = choices["profile"] == "machine" or choices["with_human"] is False
    if machine_only and not choices["tasks"]:
        raise UsageError("a file without the human layer needs a task; add --task NAME")


def _arguments(choices: dict[str, Any]) -> dict[str, Any]:
    """Turn choices on the command line into those of `Codec.encode`."""
    arguments = {name: value for name, value in choices.items() if name not in OF_CLIPS}
    mask = arguments.pop("mask")
    if mask is not None:
        arguments["masks"] = {choices["tasks"][0].partition(":")[0]: _read_mask(mask)}
    return arguments


def _read_mask(path: Path) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Read a picture as a mask: bool [H,W], true where it is white."""
    from icmhcodec import imageio

    files.check_source(path)
    levels = imageio.to_eight_bits(imageio.read(path)).pixels
    white: np.ndarray[Any, np.dtype[np.bool_]] = levels.mean(axis=2) >= 128
    return white


def _encode(codec: Codec, source: Path, arguments: dict[str, Any]) -> Encoded:
    from icmhcodec import imageio

    try:
        picture = imageio.read(files.read_stream(source) if files.is_stream(source) else source)
    except IcmhError as error:
        raise type(error)(str(error).replace("the data", files.name(source), 1)) from error
    return codec.encode(picture, **arguments)


def _unmet(choices: dict[str, Any], size: int, quality: float) -> str:
    name = next(name for name in ("task_size", "bpp", "size") if choices[name] is not None)
    return (
        f"--{name.replace('_', '-')} {choices[name]} cannot be met; wrote the nearest, "
        f"{size:,} bytes at quality {quality:.4g}"
    )


def _report(job: Job, encoded: Encoded, as_json: bool, *, err: bool) -> None:
    """Say what came out, on stderr where a file goes to stdout."""
    from icmhcodec.pipeline.info import info

    found = info(encoded.data)
    if as_json:
        known = {"input": str(job.source), "output": str(job.target)}
        chosen = {key: found[key] for key in ("bytes", "bpp", "layers")}
        tables.print_json({**known, "quality": encoded.quality, "met": encoded.met, **chosen})
        return
    shares = "".join(f", {layer['task']} {layer['share']:.0%}" for layer in found["layers"])
    click.echo(
        f"{files.name(job.target, 'stdout')}: {found['bytes']:,} bytes, {found['bpp']:.3f} bpp, "
        f"quality {encoded.quality:.4g}{shares}",
        err=err,
    )
