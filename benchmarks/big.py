"""Large pictures: memory, time, seams at the borders of tiles, and decoding a region.

python -m benchmarks.big [--side 12000 8400] [--precision auto]
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch

from benchmarks.common import KODAK, RESULTS, Pixels, machine, pictures, read, write_json
from icmhcodec import container
from icmhcodec.pipeline.area import LATENT_STRIDE, area_of
from icmhcodec.pipeline.codec import Codec

BAND = 8  # pixels on each side of a tile's border that count as its seam
BESIDE = 3  # bands that are beside it
SHIFT = 340  # pixels by which photos' edges are kept off the borders
ROWS = 512  # compared at a time: float copies of the whole would outweigh it
LIMIT = 4 << 30  # bytes of memory that each run may take


def mosaic(paths: list[Path], width: int, height: int) -> Pixels:
    """A picture of all photos side by side, row after row, each a photo's width further on."""
    photos = [read(path) for path in paths]
    photos = [np.rot90(photo) if photo.shape[0] > photo.shape[1] else photo for photo in photos]
    canvas = np.empty((height + SHIFT, width + SHIFT, 3), np.uint8)
    rows, columns = photos[0].shape[:2]
    for number, top in enumerate(range(0, height + SHIFT, rows)):
        for place, left in enumerate(range(0, width + SHIFT, columns)):
            photo = photos[(5 * number + place) % len(photos)]
            target = canvas[top : top + rows, left : left + columns]
            target[:] = photo[: target.shape[0], : target.shape[1]]
    return canvas[SHIFT:, SHIFT:]


def seams(first: Pixels, second: Pixels, grid: tuple[int, int]) -> dict[str, float]:
    """PSNR in dB along the borders of tiles, beside them (much the same content) and elsewhere."""
    height, width = first.shape[:2]
    regions = area_of(width, height, grid).tiles.values()
    down = _distance(height, {rows[0] * LATENT_STRIDE for rows, _ in regions} - {0})
    across = _distance(width, {columns[0] * LATENT_STRIDE for _, columns in regions} - {0})
    sums, counts = np.zeros(3), np.zeros(3)
    for top in range(0, height, ROWS):
        rows = slice(top, top + ROWS)
        error = (first[rows].astype(np.int32) - second[rows]) ** 2
        bands = np.minimum(np.minimum(down[rows, None], across) // BAND, BESIDE + 1)
        for kind, where in enumerate((bands == 0, (bands > 0) & (bands <= BESIDE), bands > BESIDE)):
            sums[kind] += error[where].sum(dtype=np.float64)
            counts[kind] += 3 * np.count_nonzero(where)
    psnr = 10 * np.log10(255**2 * counts / sums)
    return dict(zip(("borders", "beside", "elsewhere"), psnr.tolist(), strict=True))


def _distance(length: int, borders: set[int]) -> npt.NDArray[np.int32]:
    """How far each pixel of a side is from the nearest border, 0 for those that touch it."""
    pixels = np.arange(length, dtype=np.int32)
    distance = np.full(length, length, np.int32)
    for border in borders:
        far = np.where(pixels < border, border - 1 - pixels, pixels - border)
        np.minimum(distance, far, out=distance)
    return distance


def _measured(sender: Any, work: Callable[[], Any]) -> None:
    begun = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - begun
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime  # on a busy machine it says more than the clock
    peak = used.ru_maxrss * 1024
    sender.send({"seconds": seconds, "cpu_seconds": cpu, "peak_bytes": peak, **(result or {})})


def alone(work: Callable[[], Any]) -> dict[str, Any]:
    """Do it in a process of its own: how long it took and the most memory that it held."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measured, args=(sender, work))
    process.start()
    process.join()
    if process.exitcode or not receiver.poll():
        raise click.ClickException("a run failed; its error stands above")
    result: dict[str, Any] = receiver.recv()
    return result


class Run:
    """A call of the codec on files: raw pixels .npy and .icm; it can be sent to a process."""

    def __init__(self, kind: str, folder: Path, settings: dict[str, Any], **options: Any) -> None:
        self.kind, self.folder, self.settings, self.options = kind, folder, settings, options

    def __call__(self) -> dict[str, Any]:
        codec = Codec(**self.settings)
        if self.kind == "encode":
            encoded = codec.encode(np.load(self.folder / "original.npy"), **self.options)
            (self.folder / "coded.icm").write_bytes(encoded.data)
            return {"quality": encoded.quality, "bytes": len(encoded.data)}
        decoded = codec.decode((self.folder / "coded.icm").read_bytes(), **self.options)
        np.save(self.folder / f"{self.kind}.npy", decoded.picture.pixels)
        return {}


def measure(
    folder: Path, settings: dict[str, Any], options: dict[str, Any], crop: tuple[int, ...]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Encode, decode, decode a region: names and figures."""
    yield "encode", alone(Run("encode", folder, settings, **options))
    yield "decode", alone(Run("decode", folder, settings))
    yield "decode_crop", alone(Run("decode_crop", folder, settings, crop=crop))


@click.command()
@click.option("--side", nargs=2, type=int, default=(12000, 8400), show_default=True)
@click.option("--crop", nargs=4, type=int, default=(5000, 3000, 1024, 768), show_default=True)
@click.option("--base", default="mbt2018-mean-gain", show_default=True)
@click.option("--quality", default=4.0, show_default=True)
@click.option("--tile", type=int, help="As in icmh encode.")
@click.option("--precision", default="auto", show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--data", type=click.Path(path_type=Path), default=KODAK, show_default=False)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "big.json")
def main(
    side: tuple[int, int],
    crop: tuple[int, int, int, int],
    base: str,
    quality: float,
    tile: int | None,
    precision: str,
    threads: int,
    data: Path,
    out: Path,
) -> None:
    """Measure one large picture, tiled together from photos."""
    torch.set_num_threads(threads)
    settings = {"base": base, "threads": threads, "precision": precision}
    options = {"quality": quality, "tile": tile}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        original = mosaic(pictures(data), *side)
        np.save(folder / "original.npy", original)
        runs = {}
        for step, figures in measure(folder, settings, options, crop):
            runs[step] = figures
            click.echo(f"{step}: {json.dumps(figures)}", err=True)
        decoded = np.load(folder / "decode.npy")
        x, y, width, height = crop
        part = np.load(folder / "decode_crop.npy").astype(np.int32)
        difference = np.abs(part - decoded[y : y + height, x : x + width])
        grid = container.read_header((folder / "coded.icm").read_bytes()).tiles
        results = {
            "machine": machine(),
            "settings": {**settings, **options, "crop": crop},
            "picture": {"width": side[0], "height": side[1], "tiles": grid},
            "runs": runs,
            "psnr": seams(original, decoded, grid),
            "crop": {
                "most_levels_off": int(difference.max()),
                "share_of_samples_off": float((difference > 0).mean()),
            },
            "within_memory": all(run["peak_bytes"] <= LIMIT for run in runs.values()),
        }
    write_json(out, results)


if __name__ == "__main__":
    main()
