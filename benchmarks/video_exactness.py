"""Clips of every setting decode to the same integers under every other, and pictures hardly drift.

Settings are those of `exactness`, one thing changed at a time and each in both precisions; each one
codes 30 frames in a process of its own, and a process of each decodes the files of all. Compared
are means, table indexes and symbols of all layers with those that the encoder had in hand.
Predicted frames are made by floats, so that pictures of P frames drift apart by rounding: what
that is, frame by frame of a group, is measured against the setting that is plainest, and bounded
by what coding itself loses. A control with the hyper-decoders in floats goes the same way.

    python -m benchmarks.video_exactness
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from rich.console import Console

from benchmarks import common, exactness, video_cases
from benchmarks.exactness import Bench, Row
from benchmarks.exactness_worker import (
    PLAINEST,
    Setting,
    decode_record,
    shown_files,
    shown_pixels,
)
from benchmarks.video_cases import Clip
from benchmarks.video_exactness_worker import Job
from icmhcodec.codecs import registry as picture_codecs
from icmhcodec.codecs.video import registry

SHARE = 0.1  # most that drift may be of what coding loses, both as mean squared errors
CONTROL = replace(PLAINEST, h_s="float32")


def settings_here(label: str = "") -> list[Setting]:
    """The plainest setting, and those where one thing or the precision is another."""
    every = [s for s in exactness.settings_here(label) if not s.very_slow]
    return [s for s in every if s.device != "cpu" or _changes(s) <= 1]


def _changes(setting: Setting) -> int:
    names = ("threads", "kernels", "layout")
    return sum(getattr(setting, name) != getattr(PLAINEST, name) for name in names)


class ClipBench(Bench):
    """What one run measures of a clip; `choices` are the fields of its jobs."""

    def __init__(self, work: Path, settings: list[Setting], choices: Row) -> None:
        super().__init__(work, [], [], settings)
        self.choices = choices
        if self.controls:
            self.controls = [(CONTROL, [replace(CONTROL, h_s="bfloat16")])]

    def job(self, action: str, setting: Setting, sources: Sequence[str] = ()) -> Job:  # type: ignore[override]
        return Job(action, setting, tuple(sources), str(self.work.resolve()), **self.choices)


def drift(work: Path, setting: Setting, original: common.Pixels, gop: int) -> Row | None:
    """How far pictures are from those of the plainest setting, and from the original.

    Mean squared errors in levels of 255, over frames of the same place in their group; None where
    there are no pictures. `share` is the largest of those of drift and coding.
    """
    if not decode_record(work, setting.slug).exists():
        return None
    drifts, losses = [], []
    for file in shown_files(work, (PLAINEST.slug,)):
        own, plain = (shown_pixels(work, slug, file) for slug in (setting.slug, PLAINEST.slug))
        if not (own.exists() and plain.exists()):
            return None
        pixels, wanted = np.load(own), np.load(plain)
        drifts.append(by_place(pixels, wanted, gop))
        losses.append(by_place(original, wanted, gop))
    found, lost = np.array(drifts), np.array(losses)
    share = float((found / lost).max())
    return {"mse_by_place": found.max(0).tolist(), "share": share, "bounded": share <= SHARE}


def by_place(first: common.Pixels, second: common.Pixels, gop: int) -> list[float]:
    """Mean squared error over frames of the same place in their group."""
    errors = np.square(first.astype(np.float32) - second).mean((1, 2, 3))
    return [float(errors[place::gop].mean()) for place in range(min(gop, len(errors)))]


def summary(bench: ClipBench) -> Row:
    """All comparisons of symbols and pictures."""
    results = exactness.summary(bench)
    original = np.load(bench.choices["clip"])
    for row in results["rows"]:
        setting = next((s for s in bench.settings if s.name == row["setting"]), None)
        found = setting and drift(bench.work, setting, original, bench.choices["gop"])
        row["drift"] = found or None
    results["exact"] = not any(row["mismatches"] for row in results["rows"])
    results["bounded"] = all(row["drift"]["bounded"] for row in results["rows"] if row["drift"])
    return results


def run(bench: ClipBench, workers: int) -> Row:
    """Do what is missing and compare."""
    exactness.run(bench, workers)
    return summary(bench)


@click.command(help="Symbols and drift of clips under all settings.")
@click.option("--kodak", type=click.Path(path_type=Path), default=common.KODAK)
@click.option(
    "--output", type=click.Path(path_type=Path), default=common.RESULTS / "video-exactness.json"
)
@click.option("--base", default=video_cases.BASE, show_default=True)
@click.option("--inter", default="tiny-dvc-0", show_default=True, help="A random one by default.")
@click.option("--gop", type=click.IntRange(1), default=15, show_default=True)
@click.option("--task", "tasks", multiple=True, default=(video_cases.TASK,), show_default=True)
@click.option("--quality", "qualities", type=float, multiple=True, default=(2, 7))
@click.option("--size", nargs=2, type=int, default=(256, 144), show_default=True)
@click.option("--frames", type=click.IntRange(2), default=30, show_default=True)
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True)
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=Path(tempfile.gettempdir()) / "icmh-video-exactness",
    help="Where unfinished results lie.",
)
@click.option("--label", default="", help="Name of this machine, where several fill one folder.")
@click.option("--only", default="", help="Only settings whose name holds this text.")
def main(
    kodak: Path,
    output: Path,
    size: tuple[int, int],
    frames: int,
    workers: int,
    work: Path,
    label: str,
    only: str,
    **choices: str | int | tuple[str | float, ...],
) -> None:
    if choices["inter"] == "tiny-dvc-0":
        os.environ["ICMH_DATA"] = str((work / "data").resolve())
        video_cases.add_random_codec()
    clip = Clip(*size, frames / 25)
    described = {
        **choices, "size": size, "frames": frames,
        "fingerprints": [
            picture_codecs.load(str(choices["base"])).fingerprint.hex(),
            registry.load(str(choices["inter"])).fingerprint.hex(),
        ],
    }  # fmt: skip
    folder = work / hashlib.sha256(json.dumps(described).encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "clip.npy", np.stack(list(video_cases.frames(clip, common.pictures(kodak)))))
    settings = [setting for setting in settings_here(label) if only in setting.name]
    bench = ClipBench(folder, settings, {**choices, "clip": str((folder / "clip.npy").resolve())})
    results = {"settings": described, "machine": common.machine(), **run(bench, workers)}
    common.write_json(output, results)
    Console(width=160).print(exactness.table(results))


if __name__ == "__main__":
    main()
