"""What layers cost and hold, in real bits over Kodak.

For some qualities, files with layers of one task and of three beside the plain file of the same
pictures: whether people get the same picture, whether symbols add up, what each way of cutting
fetches. In the profile `machine` each task has a latent of its own; those files are cut to every
single layer and joined again.

    python -m benchmarks.layers
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from rich.progress import Progress

from benchmarks import common
from benchmarks.common import Pixels, Row
from icmhcodec import container
from icmhcodec.codecs import registry
from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.pipeline.codec import DEFAULT_BASE, Codec

QUALITIES = (3.0, 5.0, 7.0)
TASKS = "det", "cls,det,seg"


@dataclass(frozen=True)
class Bench:
    """The codec as users have it in a precision, and its base codec; the tasks of each file."""

    codec: Codec
    base: BaseCodec
    files: list[list[str]]

    @classmethod
    def load(cls, base: str, precision: str, files: Sequence[str]) -> Bench:
        inside = registry.load(base, dtype=getattr(torch, precision))
        return cls(Codec(base, precision=precision), inside, [tasks.split(",") for tasks in files])


def scalable(bench: Bench, pixels: Pixels, tasks: Sequence[str], quality: float) -> Row:
    """One picture with layers of tasks, beside the plain file."""
    options = common.layered_options(bench.base, tasks, pixels)
    whole, bare = (
        bench.codec.encode(pixels, quality=quality, strip=True, **more).data
        for more in (options, {})
    )
    human = [bench.codec.decode(data, human=True).picture.pixels for data in (whole, bare)]
    return {
        "size": len(whole),
        "plain_size": len(bare),
        "layer_size": len(container.split(whole, tasks)),
        "overhead": container.overhead(whole),
        "identical": bool(np.array_equal(human[0], human[1])),
        "symbols_add_up": common.symbols(whole) == common.symbols(bare),
        "rejoined": _rejoined(whole, tasks),
    }


def machine(
    bench: Bench, pixels: Pixels, tasks: Sequence[str], quality: float, with_human: bool
) -> Row:
    """One picture with a latent for each task, and for people where asked for."""
    data = bench.codec.encode(
        pixels, quality=quality, strip=True, tasks=tasks, profile="machine", with_human=with_human
    ).data
    return {"size": len(data), "rejoined": _rejoined(data, tasks)}


def _rejoined(data: bytes, tasks: Sequence[str]) -> bool:
    """Whether the file comes back byte for byte from the part of each task and the rest."""
    return all(
        container.join([container.split(data, part), container.rest(data, part)]) == data
        for part in (tasks[:count] for count in range(1, len(tasks) + 1))
    )


def scalable_row(tasks: Sequence[str], quality: float, rows: Sequence[Row]) -> Row:
    """All pictures with layers of the same tasks at a quality."""
    return {
        "tasks": ",".join(tasks),
        "quality": quality,
        "size_ratio": common.share(rows, "size", "plain_size"),
        "size_ratio_worst": max(row["size"] / row["plain_size"] for row in rows),
        "layer_share_of_plain": common.share(rows, "layer_size", "plain_size"),
        "overhead": common.mean_and_most(rows, "overhead"),
        "human_identical": sum(row["identical"] for row in rows),
        "symbols_add_up": sum(row["symbols_add_up"] for row in rows),
        "rejoined": sum(row["rejoined"] for row in rows),
        "pictures": len(rows),
    }


def machine_row(tasks: Sequence[str], quality: float, human: bool, rows: Sequence[Row]) -> Row:
    """All pictures with a latent for each task at a quality."""
    return {
        "tasks": ",".join(tasks),
        "quality": quality,
        "with_human": human,
        "bytes": common.mean([row["size"] for row in rows]),
        "rejoined": sum(row["rejoined"] for row in rows),
        "pictures": len(rows),
    }


def of_machine(base: BaseCodec, files: Sequence[Sequence[str]]) -> list[list[str]]:
    """The tasks of each file for which there are bundles with a latent of their own."""
    found = [
        [task for task in tasks if common.has_bundle(base, task, "machine")] for tasks in files
    ]
    return [list(tasks) for tasks in dict.fromkeys(tuple(tasks) for tasks in found if tasks)]


def measure(bench: Bench, path: Path) -> dict[str, list[Row]]:
    """All rows of one picture, in the order of files, qualities, without and with people's."""
    pixels = common.read(path)
    own = of_machine(bench.base, bench.files)
    return {
        "scalable": [scalable(bench, pixels, tasks, q) for tasks in bench.files for q in QUALITIES],
        "machine": [
            machine(bench, pixels, tasks, q, human)
            for tasks in own for q in QUALITIES for human in (False, True)
        ],
    }  # fmt: skip


def summarise(bench: Bench, pictures: Sequence[dict[str, list[Row]]]) -> Row:
    """The rows of all pictures as means and sums."""

    def columns(name: str) -> Iterable[tuple[Row, ...]]:
        return zip(*(picture[name] for picture in pictures), strict=True)

    shared = [(tasks, q) for tasks in bench.files for q in QUALITIES]
    own = of_machine(bench.base, bench.files)
    apart = [(tasks, q, human) for tasks in own for q in QUALITIES for human in (False, True)]
    return {
        "scalable": [
            scalable_row(*case, rows)
            for case, rows in zip(shared, columns("scalable"), strict=True)
        ],
        "machine": [
            machine_row(*case, rows) for case, rows in zip(apart, columns("machine"), strict=True)
        ],
    }


_bench: Bench


def _start(base: str, precision: str, files: Sequence[str]) -> None:
    global _bench
    torch.set_num_threads(1)
    _bench = Bench.load(base, precision, files)


def _run(path: Path) -> dict[str, list[Row]]:
    return measure(_bench, path)


@click.command(help="What layers of tasks cost and hold, on Kodak pictures.")
@click.option("--kodak", type=click.Path(path_type=Path), default=common.KODAK)
@click.option("--output", type=click.Path(path_type=Path), default=common.RESULTS / "layers.json")
@click.option("--base", default=DEFAULT_BASE, show_default=True)
@click.option("--tasks", "files", multiple=True, default=TASKS, show_default=True)
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), default="float32")
@click.option("--limit", type=click.IntRange(1), help="Only the first N pictures.")
def main(
    kodak: Path,
    output: Path,
    base: str,
    files: tuple[str, ...],
    precision: str,
    limit: int | None,
) -> None:
    paths = common.pictures(kodak, limit)
    bench = Bench.load(base, precision, files)
    settings = {"pictures": len(paths), "precision": precision}
    tasks = dict.fromkeys(task for tasks in bench.files for task in tasks)
    settings |= common.weights(bench.base, [*tasks])
    context = multiprocessing.get_context("spawn")
    with (
        Progress() as progress,
        ProcessPoolExecutor(os.cpu_count(), context, _start, (base, precision, files)) as pool,
    ):
        measured = list(progress.track(pool.map(_run, paths), len(paths), description="pictures"))
    results = {"settings": settings, "machine": common.machine(), **summarise(bench, measured)}
    common.write_json(output, results)


if __name__ == "__main__":
    main()
