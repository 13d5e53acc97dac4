"""Clips in `encode` and `decode`: which inputs are clips, their options, work and progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from icmhcodec.cli import files, tables, video
from icmhcodec.cli.files import STREAM, Job
from icmhcodec.cli.report import on_terminal
from icmhcodec.errors import ExistsError, IcmhError, UsageError

if TYPE_CHECKING:
    from icmhcodec.pipeline.codec import Codec
    from icmhcodec.pipeline.video.clip_decode import DecodedClip
    from icmhcodec.pipeline.video.clip_encode import EncodedClip

SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".y4m", ".mpg", ".mpeg", ".ts", ".m2ts",
    ".wmv", ".flv", ".ogv", ".3gp",
)  # fmt: skip
FORMATS = ("mp4", "mov", "mkv", "y4m")
FRAMES = "png"  # as the format of a clip: a folder of them
_BEGINNINGS = (b"YUV4MPEG2", b"\x1aE\xdf\xa3", b"OggS", b"FLV\x01")  # Y4M, Matroska and WebM, ...
_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1")
_LOOK = 14

Advance = Callable[[int], None]


def is_clip(source: Path) -> bool:
    """Whether a file or stdin is one of moving pictures, by its name or as it begins."""
    if source.suffix.lower() in SUFFIXES or source.is_dir():
        return True
    if not files.is_stream(source) and not source.is_file():
        return False
    begun = files.beginning(source, _LOOK)
    if begun[4:8] == b"ftyp":
        return begun[8:12] not in _STILL_BRANDS
    riff = begun.startswith(b"RIFF") and begun[8:12] == b"AVI "
    return riff or begun.startswith(_BEGINNINGS)


def is_sequence(source: Path) -> bool:
    """Whether an .icm file that is there holds a clip."""
    try:
        return video.is_sequence(source)
    except (IcmhError, OSError):  # which are said when its turn comes
        return False


def refuse(job: Job, given: Mapping[str, object], what: str, other: str) -> None:
    """Refuse options that were given, but are not for what the job's source is."""
    for name, value in given.items():
        if value is not None and value is not False:
            where = files.name(job.source)
            raise UsageError(f"{where} is {what}; --{name.replace('_', '-')} is for {other}")


def suffix_of(format_: str | None, codec: str | None) -> str:
    """The extension of what a sequence is decoded to where nothing names it; none of a folder."""
    if format_ == FRAMES:
        return ""
    return f".{format_ or ('mkv' if codec == 'ffv1' else 'mp4')}"


def goes_to_folder(target: Path, format_: str | None) -> bool:
    """Whether a clip becomes a folder of frames: as asked for, or without an extension."""
    return format_ == FRAMES or (format_ is None and not target.suffix and target != STREAM)


def check_format(target: Path, format_: str | None, codec: str | None) -> None:
    """Refuse, before any work, what a clip cannot be written as."""
    chosen = format_ or target.suffix.lower().removeprefix(".")
    if codec is not None and (chosen == "y4m" or goes_to_folder(target, format_)):
        raise UsageError(f"{target}: --codec is for mp4, mov and mkv; y4m and PNGs have no codec")
    if format_ is None and target != STREAM and target.suffix:
        known = (*FORMATS, "m4v")
        if target.suffix.lower().removeprefix(".") not in known:
            raise UsageError(f"{target}: a clip goes to .mp4, .mov, .mkv, .y4m or a folder of PNGs")
    elif format_ not in (None, FRAMES, *FORMATS):
        raise UsageError(f"--format {format_} is for pictures, and this is a clip; see --help")
    elif format_ == FRAMES and target == STREAM:
        raise UsageError("a folder of PNGs does not go through a pipe; use -o FOLDER, or y4m")


def check_folder_target(target: Path, *, force: bool) -> None:
    """Refuse, before any work, a folder of frames that is there."""
    if not target.parent.is_dir():
        raise UsageError(f"{target}: the folder {target.parent} does not exist; make it first")
    if target.is_file():
        raise UsageError(f"{target} is a file; name a folder for the PNGs")
    if target.exists() and not force and any(target.iterdir()):
        raise ExistsError(f"{target} exists; --force overwrites it")


def encode(codec: Codec, job: Job, arguments: Mapping[str, Any], *, force: bool) -> EncodedClip:
    """Code a clip to its target, with a bar."""
    total = _total(job.source, arguments["frames"], arguments["fps"])
    with ExitStack() as stack:
        source: Any = job.source
        if files.is_stream(job.source):
            source = stack.enter_context(files.reading(job.source))
        advance = stack.enter_context(_bar(files.name(job.source), total))
        with files.blamed(job.source):
            stream = stack.enter_context(files.writing(job.target, force=force))
            return codec.encode_clip(source, stream, advance=advance, **arguments)


def _total(source: Path, frames: tuple[int, int | None], fps: Any) -> int | None:
    """How many frames there may be, as far as that is known at once."""
    if files.is_stream(source) or not sys.stderr.isatty():
        return None
    from icmhcodec.imageio.clip_read import ClipReader

    with ClipReader(source, fps=fps) as clip:
        return _between(clip.info.frames, frames)


def _between(count: int | None, frames: tuple[int, int | None]) -> int | None:
    start, stop = frames
    ends = [end for end in (count, stop) if end is not None]
    return max(0, min(ends) - start) if ends else None


def report(job: Job, encoded: EncodedClip, as_json: bool, *, err: bool) -> None:
    """Say what came out, on stderr where a file goes to stdout."""
    layers, size = encoded.layers, encoded.size
    if as_json:
        tables.print_json({
            "input": str(job.source), "output": str(job.target), "frames": encoded.frames,
            "quality": encoded.quality, "met": encoded.met, "bytes": size, "bpp": encoded.bpp,
            "sound": encoded.sound, "layers": dict(layers),
        })  # fmt: skip
        return
    shares = [f"{task} {count / size:.0%}" for task, count in layers.items()]
    shares += [f"sound {encoded.sound / size:.0%}"] if encoded.sound else []
    click.echo(
        f"{files.name(job.target, 'stdout')}: {encoded.frames} frames, {size:,} bytes, "
        f"{encoded.bpp:.4f} bpp, quality {encoded.quality:.4g}, {', '.join(shares)}",
        err=err,
    )


def decode(codec: Codec, job: Job, arguments: Mapping[str, Any]) -> DecodedClip:
    """Decode a sequence to its target, with a bar."""
    given = dict(arguments)
    if goes_to_folder(job.target, given["format"]):
        given["format"] = None
        target = f"{job.target}{os.sep}"
    else:
        target = str(job.target)
        if job.target == STREAM:
            given["format"] = given["format"] or ("mkv" if given["codec"] == "ffv1" else "y4m")
    with files.reading(job.source) as stream, ExitStack() as stack:
        total = _between(_indexed(stream), given["frames"])
        advance = stack.enter_context(_bar(files.name(job.source), total))
        stack.enter_context(files.blamed(job.source))
        return codec.decode_clip(stream, target, advance=advance, **given)


def _indexed(stream: Any) -> int | None:
    """Frames of a sequence by its index, where it has one and can be sought in."""
    if not sys.stderr.isatty() or not stream.seekable():
        return None
    from icmhcodec.container.video.read import read_index

    index = read_index(stream)
    stream.seek(0)
    return index.frames if index else None


@contextmanager
def _bar(title: str, total: int | None) -> Iterator[Advance]:
    """A bar on a terminal: frames, frames per second, time left."""
    if not sys.stderr.isatty():
        yield lambda frames: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(TextColumn):
        """Frames per second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f} fps" if task.speed else "")

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(""),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        redirect_stdout=on_terminal(),
        transient=True,
    ) as progress:
        task = progress.add_task(title, total=total)
        yield lambda frames: progress.advance(task, frames)
