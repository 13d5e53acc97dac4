"""What the detection layer costs and is worth, beside the base codec, on COCO pictures.

Rows, each over all pictures, every size that of a real file:
- uncompressed: the pictures as they are;
- layer: the split-off detection layer of a layered file, decoded with its adapter;
- plain: the base codec's file, the human picture;
- sized: the base codec's file, no larger than the layer of the same picture;
- shrunk: the base codec's file of the picture shrunk to the detector's 416 pixels.
Bits per pixel are the sum of bits over the sum of the original pixels. The comparison adds the
plain and shrunk curves read at the layer's bits: linear in the logarithm of bits per pixel, null
outside the measured range.

python -m benchmarks.detection --levels 1,2; finished rows are kept, a second run goes on.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click
import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import icmhcodec
from icmhcodec import container
from icmhcodec.tasks import detection
from icmhcodec.tasks.contract import Pixels
from icmhcodec.tasks.detection import Detections
from icmhcodec.tasks.yolox import YoloxNano, load_yolox, shrink

ROOT = Path(__file__).resolve().parent.parent
STEP = 2.0  # between the qualities of a curve
GRID = tuple(float(q) for q in np.arange(0, 7, STEP))
HIGHEST = 8.0  # how far the shrunk curve may go to reach the largest layer's bits
METRICS = ("AP", "AP50", "agreement")

Row = dict[str, Any]
Rows = dict[str, Row]


class Coder(Protocol):
    """A codec under test: each method gives a real file's size in bytes and what it decodes to."""

    def plain(self, pixels: Pixels, quality: float) -> tuple[int, Pixels]:
        """The human picture."""

    def sized(self, pixels: Pixels, size: int) -> tuple[int, Pixels]:
        """The best human picture of at most `size` bytes, or the smallest there is."""

    def layer(self, pixels: Pixels, quality: float, level: int) -> tuple[int, Pixels]:
        """The detection layer alone."""

    def identity(self) -> dict[str, str]:
        """Ids and fingerprints of the weights in use."""


class IcmhCoder:
    """icmh as users have it: files are written, read back and decoded."""

    def __init__(self) -> None:
        self.codec = icmhcodec.Codec(threads=torch.get_num_threads())

    def plain(self, pixels: Pixels, quality: float) -> tuple[int, Pixels]:
        return self._decoded(self.codec.encode(pixels, quality=quality).data)

    def sized(self, pixels: Pixels, size: int) -> tuple[int, Pixels]:
        return self._decoded(self.codec.encode(pixels, size=size).data)

    def layer(self, pixels: Pixels, quality: float, level: int) -> tuple[int, Pixels]:
        return self._decoded(self._split(pixels, quality, level), task="det")

    def identity(self) -> dict[str, str]:
        header = container.parse(self._split(np.zeros((64, 64, 3), np.uint8), 4.0, 1)).header
        layer = next(layer for layer in header.layers if layer.task == "det")
        used = {
            "codec": header.groups[0].codec,
            "predictor": layer.predictor,
            "adapter": layer.adapter,
        }
        return {
            kind: f"{reference.id} {reference.fingerprint.hex()}"
            for kind, reference in used.items()
            if reference is not None
        }

    def _split(self, pixels: Pixels, quality: float, level: int) -> bytes:
        whole = self.codec.encode(pixels, tasks=[f"det:{level}"], quality=quality).data
        return container.split(whole, ["det"])

    def _decoded(self, data: bytes, task: str | None = None) -> tuple[int, Pixels]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "picture.icm"
            path.write_bytes(data)
            size, read = path.stat().st_size, path.read_bytes()
        return size, self.codec.decode(read, task=task).picture.pixels


@dataclass(frozen=True)
class Point:
    """One row: its kind, and where they apply the quality and level."""

    kind: str
    quality: float | None = None
    level: int | None = None

    @property
    def key(self) -> str:
        quality = "" if self.quality is None else f" q{self.quality:g}"
        return f"{self.kind}{quality}" + ("" if self.level is None else f" level {self.level}")


@dataclass(frozen=True)
class Photo:
    """A picture of the set: COCO image id and file."""

    id: int
    path: Path

    def pixels(self) -> Pixels:
        with Image.open(self.path) as image:
            return np.asarray(image.convert("RGB"))


@dataclass(frozen=True)
class Job:
    """One picture of one row; `size` is the layer's, for the kind sized."""

    photo: Photo
    point: Point
    size: int


@dataclass(frozen=True)
class Outcome:
    """Size in bytes, pixels of the original and detections of one job."""

    size: int
    pixels: int
    found: Detections


def measure(coder: Coder, network: YoloxNano, job: Job) -> Outcome:
    """Code, decode and detect: one picture of one row."""
    pixels, quality = job.photo.pixels(), job.point.quality or 0.0
    if job.point.kind == "uncompressed":
        size, decoded = pixels.nbytes, pixels
    elif job.point.kind == "layer":
        size, decoded = coder.layer(pixels, quality, job.point.level or 1)
    elif job.point.kind == "plain":
        size, decoded = coder.plain(pixels, quality)
    elif job.point.kind == "sized":
        size, decoded = coder.sized(pixels, job.size)
    else:
        size, decoded = coder.plain(shrink(pixels), quality)
    found = enlarge(network.predict(decoded), decoded.shape, pixels.shape)
    return Outcome(size, pixels.shape[0] * pixels.shape[1], found)


def enlarge(found: Detections, small: Sequence[int], large: Sequence[int]) -> Detections:
    """Detections on a picture of shape `small` in the pixels of one of shape `large`."""
    factors = np.array([large[1] / small[1], large[0] / small[0]] * 2, np.float32)
    return Detections(found.boxes * factors, found.scores, found.classes)


_state: tuple[Coder, YoloxNano]


def _start(factory: Callable[[], Coder], threads: int) -> None:
    global _state
    torch.set_num_threads(threads)
    _state = factory(), load_yolox()


def _run(job: Job) -> Outcome:
    return measure(*_state, job)


Runner = Callable[[Sequence[Job]], Iterable[Outcome]]


@contextlib.contextmanager
def runner(factory: Callable[[], Coder], workers: int) -> Iterator[Runner]:
    """Something that runs jobs in order: here for one worker, else in processes of their own."""
    if workers == 1:
        coder, network = factory(), load_yolox()
        yield lambda jobs: map(functools.partial(measure, coder, network), jobs)
        return
    threads = max(1, (os.cpu_count() or 1) // workers)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start, (factory, threads)) as pool:
        yield lambda jobs: pool.map(_run, jobs)


@dataclass(frozen=True)
class Benchmark:
    """Pictures with their truth, the detections on the originals, and what runs the jobs."""

    photos: list[Photo]
    truth: Any
    originals: dict[int, Detections]
    run: Runner
    progress: Progress

    def row(self, point: Point, sizes: Sequence[int] | None = None) -> Row:
        """Measure one row; `sizes` are those of the layers that the kind sized is held to."""
        limits = sizes or [0] * len(self.photos)
        jobs = [Job(p, point, size) for p, size in zip(self.photos, limits, strict=True)]
        outcomes = list(self.progress.track(self.run(jobs), len(jobs), description=point.key))
        found = {p.id: o.found for p, o in zip(self.photos, outcomes, strict=True)}
        if point.kind == "uncompressed":
            self.originals.update(found)
        pixels = sum(o.pixels for o in outcomes)
        row: Row = {"kind": point.kind, "quality": point.quality, "level": point.level}
        row["bpp"] = 8 * sum(o.size for o in outcomes) / pixels
        row |= detection.average_precision(found, self.truth)
        row["agreement"] = detection.agreement(found, self.originals)
        if point.kind == "layer":
            row["sizes"] = [o.size for o in outcomes]
        return {key: None if value != value else value for key, value in row.items()}


def measure_all(
    benchmark: Benchmark,
    qualities: Sequence[float],
    levels: Sequence[int],
    rows: Rows,
    save: Callable[[Rows], None],
) -> Rows:
    """Measure every row that `rows` lacks, saving after each."""

    def need(point: Point, sizes: Sequence[int] | None = None) -> Row:
        if point.key not in rows:
            rows[point.key] = benchmark.row(point, sizes)
            save(rows)
        return rows[point.key]

    # the originals' detections are what agreement is measured against: never taken from the file
    rows["uncompressed"] = benchmark.row(Point("uncompressed"))
    pairs = [(quality, level) for quality in qualities for level in levels]
    layers = [need(Point("layer", *pair)) for pair in pairs]
    for quality in sorted({*GRID, *qualities}):
        need(Point("plain", quality))
    largest = max(layer["bpp"] for layer in layers)
    for quality in np.arange(0, HIGHEST + 1, STEP):
        reached = need(Point("shrunk", float(quality)))["bpp"]
        if quality >= GRID[-1] and reached >= largest:
            break
    for pair, layer in zip(pairs, layers, strict=True):
        need(Point("sized", *pair), layer["sizes"])
    return rows


def compare(rows: Rows) -> list[Row]:
    """Each layer beside the plain file of its quality and the base codec at its bits."""
    layers = [(row["quality"], row["level"]) for row in rows.values() if row["kind"] == "layer"]
    return [_comparison(rows, Point("layer", *pair)) for pair in sorted(layers)]


def _comparison(rows: Rows, point: Point) -> Row:
    layer = rows[point.key]
    plain = rows.get(Point("plain", point.quality).key)
    sized = rows.get(Point("sized", point.quality, point.level).key)
    result: Row = {"quality": point.quality, "level": point.level, "bpp": layer["bpp"]}
    result["share_of_plain"] = plain and layer["bpp"] / plain["bpp"]
    result["sized_bpp"] = sized and sized["bpp"]
    for metric in METRICS:
        result[metric] = {
            "layer": layer[metric],
            "plain": plain and plain[metric],
            "sized": sized and sized[metric],
            "plain_interpolated": interpolate(rows, "plain", metric, layer["bpp"]),
            "shrunk_interpolated": interpolate(rows, "shrunk", metric, layer["bpp"]),
        }
    return result


def interpolate(rows: Rows, kind: str, metric: str, bpp: float) -> float | None:
    """A curve's metric at `bpp`, linear in log(bpp); None outside what was measured."""
    curve = [row for row in rows.values() if row["kind"] == kind and row[metric] is not None]
    points = sorted((math.log(row["bpp"]), row[metric]) for row in curve)
    if not points or not points[0][0] <= math.log(bpp) <= points[-1][0]:
        return None
    rates, values = zip(*points, strict=True)
    return float(np.interp(math.log(bpp), rates, values))


def rows_table(rows: Rows) -> Table:
    table = Table(title="COCO val2017, YOLOX-Nano")
    for name in ("row", "bpp", *METRICS):
        table.add_column(name, justify="left" if name == "row" else "right")
    for key, row in rows.items():
        table.add_row(key, f"{row['bpp']:.4f}", *(_text(row[metric]) for metric in METRICS))
    return table


def comparison_table(comparison: list[Row]) -> Table:
    table = Table(title="the layer beside the base codec at equal bits (*: interpolated)")
    ways = ("layer", "plain", "sized", "plain_interpolated", "shrunk_interpolated")
    titles = ("layer", "full file", "equal size", "equal bits*", "416 px, equal bits*")
    for name in ("q", "level", "bpp", "share", "metric", *titles):
        table.add_column(name, justify="right")
    for row in comparison:
        share = row["share_of_plain"]
        start = [f"{row['quality']:g}", f"{row['level']}", f"{row['bpp']:.4f}"]
        start.append("-" if share is None else f"{share:.1%}")
        for metric in METRICS:
            table.add_row(*start, metric, *(_text(row[metric][way]) for way in ways))
            start = [""] * len(start)
    return table


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def read_rows(output: Path, settings: dict[str, Any]) -> Rows:
    """Rows of an earlier run; refuses those of other settings."""
    if not output.exists():
        return {}
    earlier = json.loads(output.read_text())
    if earlier["settings"] != settings:
        raise click.ClickException(f"{output} holds other settings: move it, or use --output")
    rows: Rows = earlier["rows"]
    return rows


def write_rows(output: Path, settings: dict[str, Any], rows: Rows) -> None:
    """Write the results beside the target, then rename."""
    output.parent.mkdir(parents=True, exist_ok=True)
    results = {"settings": settings, "comparison": compare(rows), "rows": rows}
    part = output.with_suffix(".part")
    part.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")
    part.replace(output)


def run_benchmark(
    factory: Callable[[], Coder],
    data: Path,
    output: Path,
    *,
    qualities: Sequence[float],
    levels: Sequence[int],
    limit: int | None = None,
    workers: int = 1,
    console: Console | None = None,
) -> Rows:
    """Measure what is missing in `output` and print the tables."""
    truth = detection.read_truth(data / "instances_val2017.json")
    images = truth.loadImgs(sorted(truth.getImgIds()))[:limit]
    photos = [Photo(image["id"], data / "images" / image["file_name"]) for image in images]
    settings = {"pictures": len(photos), "network": YoloxNano.name, **factory().identity()}
    rows = read_rows(output, settings)
    console = console or Console()
    with Progress(console=console) as progress, runner(factory, workers) as run:
        benchmark = Benchmark(photos, truth, {}, run, progress)
        save = functools.partial(write_rows, output, settings)
        rows = measure_all(benchmark, qualities, levels, rows, save)
    write_rows(output, settings, rows)
    console.print(rows_table(rows), comparison_table(compare(rows)))
    return rows


def _numbers(_: Any, __: Any, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"numbers with commas between them, not {text!r}") from None


@click.command(help="Detection layer beside the base codec on COCO pictures.")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=ROOT.parent / "shared" / "data" / "coco206_val2017",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=ROOT / "benchmarks" / "results" / "detection.json",
)
@click.option("--qualities", default="2,4,6", show_default=True, callback=_numbers)
@click.option("--levels", default="2", show_default=True, callback=_numbers)
@click.option("--limit", type=click.IntRange(1), help="Only the first N pictures.")
@click.option("--workers", type=click.IntRange(1, 2), default=2, show_default=True)
def main(
    data: Path,
    output: Path,
    qualities: list[float],
    levels: list[float],
    limit: int | None,
    workers: int,
) -> None:
    run_benchmark(
        IcmhCoder,
        data,
        output,
        qualities=qualities,
        levels=[int(level) for level in levels],
        limit=limit,
        workers=workers,
    )


if __name__ == "__main__":
    main()
