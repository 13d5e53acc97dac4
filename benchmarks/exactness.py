"""Files of every setting decode to the same integers under every other setting.

A setting is threads x kernels x precision x memory layout, and a GPU where there is one. Each one
encodes all pictures in a process of its own; qualities go round, and so do kinds of files: every
packaged base codec with every packaged bundle in both profiles, all tasks of a codec in one file,
and predictors of kinds of which none is packaged, with random weights. Then a process of each
setting decodes the files of all settings. Compared are SHA-256 of
hyper-symbols, means, table indexes and symbols with those that the encoder had in hand. Negative
controls go the same way with the hyper-decoder in floats. Finished parts lie in a work folder: a
second run goes on. What another machine has left there (--label) is decoded too.

    python -m benchmarks.exactness
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import cases, common
from benchmarks.cases import Case
from benchmarks.exactness_worker import (
    EXACT,
    PLAINEST,
    Job,
    Setting,
    decode_record,
    encode_record,
    shown_pixels,
)

Row = dict[str, Any]

KERNELS = ("default", "no oneDNN", "AVX2")
PRECISIONS = ("float32", "bfloat16")
LAYOUTS = ("channels-last", "contiguous")
RANDOM = ("channels", "icmh-net")


def settings_here(label: str = "") -> list[Setting]:
    """All settings of this machine, the plainest first."""
    cpu = [Setting(*parts, label=label) for parts in product((1, 2), KERNELS, PRECISIONS, LAYOUTS)]
    gpu = [Setting(2, "default", p, LAYOUTS[0], "cuda", EXACT, label) for p in PRECISIONS]
    return cpu + gpu if torch.cuda.is_available() else cpu


def controls() -> list[tuple[Setting, list[Setting]]]:
    """An encoder with its hyper-decoder in floats, and the decoders that have to fail, or may."""
    plain = Setting(2, "default", "float32", LAYOUTS[0], h_s="float32")
    others = [replace(plain, threads=1), *(replace(plain, kernels=k) for k in KERNELS[1:])]
    coarse = [replace(plain, h_s=arithmetic) for arithmetic in ("bfloat16", "tf32")]
    rounded = coarse[0]
    return [
        (plain, [*coarse, *others]),
        (rounded, [replace(other, h_s=rounded.h_s) for other in others]),
    ]


class Bench:
    """What one run measures; results lie under `work`."""

    def __init__(
        self,
        work: Path,
        pictures: Sequence[Path],
        cases: Sequence[Case],
        settings: list[Setting],
    ) -> None:
        self.work, self.pictures, self.cases, self.settings = work, pictures, cases, settings
        # They are of the plainest setting's machine, and not repeated on others.
        self.controls = controls() if PLAINEST in settings else []

    def job(self, action: str, setting: Setting, sources: Sequence[str] = ()) -> Job:
        pictures = tuple(str(path.resolve()) for path in self.pictures)
        work = str(self.work.resolve())
        return Job(action, setting, tuple(sources), work, pictures, tuple(self.cases))

    def encoders(self) -> list[str]:
        """Slugs of all exact encoders that have finished, on whatever machine."""
        records = sorted(self.work.glob("encode/*/record.json"))
        return [path.parent.name for path in records if _setting(path).h_s == EXACT]

    def jobs(self) -> Iterator[list[Job]]:
        """Rounds of jobs; each round needs the one before."""
        yield [
            self.job("encode", setting)
            for setting in [*self.settings, *(encoder for encoder, _ in self.controls)]
            if not encode_record(self.work, setting.slug).exists()
        ]
        encoders = self.encoders()
        yield [self.job("decode", setting, encoders) for setting in self.settings] + [
            self.job("decode", decoder, [encoder.slug])
            for encoder, decoders in self.controls
            for decoder in decoders
        ]


def _setting(record: Path) -> Setting:
    return Setting(**json.loads(record.read_text())["setting"])


def spawn(job: Job) -> None:
    """Run a job in a process of its own."""
    path = os.pathsep.join([str(common.ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, **job.setting.environment}
    command = [sys.executable, "-m", job.module, job.to_json()]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"{job.action}, {job.setting.name}: {done.stderr[-2000:]}")


def decoded(work: Path, slug: str) -> dict[str, str]:
    files: dict[str, str] = json.loads(decode_record(work, slug).read_text())["files"]
    return files


def encoded(work: Path, slug: str) -> dict[str, dict[str, str]]:
    files: dict[str, dict[str, str]] = json.loads(encode_record(work, slug).read_text())["files"]
    return files


def mismatches(work: Path, encoders: Sequence[str], decoder: str) -> Row:
    """Files of the encoders, byte-identical ones counted each, and those decoded otherwise."""
    found = decoded(work, decoder)
    equal = [
        entry["symbols"] == found[entry["file"]]
        for encoder in encoders
        for entry in encoded(work, encoder).values()
        if entry["file"] in found  # a record of another machine may lack what came later
    ]
    return {"files": len(equal), "mismatches": equal.count(False)}


def summary(bench: Bench) -> Row:
    """All comparisons: a row per setting that has decoded, and the controls."""
    work, encoders = bench.work, bench.encoders()
    settings = [_setting(path) for path in sorted(work.glob("decode/*.json"))]
    every = [entry["file"] for slug in encoders for entry in encoded(work, slug).values()]
    return {
        "files": len(every),
        "cases": case_counts(work, encoders),
        "distinct_files": len(set(every)),
        "rows": [setting_row(work, encoders, s) for s in settings if s.h_s == EXACT],
        "controls": [
            {"encoder": e.name, "decoder": d.name, **mismatches(work, [e.slug], d.slug)}
            for e, decoders in bench.controls
            for d in decoders
        ],
    }


def case_counts(work: Path, encoders: Sequence[str]) -> dict[str, int]:
    """Files of each case."""
    every = [entry["case"] for slug in encoders for entry in encoded(work, slug).values()]
    return {name: every.count(name) for name in sorted(set(every))}


def setting_row(work: Path, encoders: Sequence[str], setting: Setting) -> Row:
    record = encode_record(work, setting.slug)
    own = json.loads(record.read_text()) if record.exists() else {"files": {}, "seconds": None}
    return {
        "setting": setting.name,
        "device": setting.label or setting.device,
        "kernels": setting.kernels,
        "precision": setting.precision,
        "pictures_encoded": len(own["files"]),
        "seconds_per_picture": own["seconds"],
        **mismatches(work, encoders, setting.slug),
        "largest_pixel_difference": pixel_difference(work, setting.slug),
    }


def pixel_difference(work: Path, slug: str) -> int | None:
    """Largest difference, in levels of 255, to the plainest setting's pictures of the same files.

    None where there are none: very slow settings decode no pictures.
    """
    pairs = [
        (np.load(path).astype(int), np.load(other))
        for path in shown_pixels(work, slug, "").parent.glob("*.npy")
        if (other := shown_pixels(work, PLAINEST.slug, path.stem)).exists()
    ]
    return max((int(np.abs(a - b).max()) for a, b in pairs), default=None)


def table(results: Row) -> Table:
    title = f"{results['files']} files, {results['distinct_files']} of them distinct"
    shown = Table(title=title)
    for name in ("decoder", "encoder", "files", "mismatches", "pixels differ by"):
        shown.add_column(name, justify="left" if name.endswith("coder") else "right")
    for row in results["rows"]:
        counts = row["files"], row["mismatches"], row["largest_pixel_difference"]
        shown.add_row(row["setting"], "all", *map(str, counts))
    for row in results["controls"]:
        shown.add_row(row["decoder"], row["encoder"], str(row["files"]), str(row["mismatches"]))
    return shown


def run(bench: Bench, workers: int) -> Row:
    """Do what is missing and compare."""
    with Progress() as progress, ThreadPoolExecutor(workers) as pool:
        for round_of_jobs in bench.jobs():
            description = round_of_jobs[0].action if round_of_jobs else "nothing to encode"
            done = pool.map(spawn, round_of_jobs)
            list(progress.track(done, len(round_of_jobs), description=description))
    return summary(bench)


@click.command(help="Symbols under all settings of threads, kernels, precision and layout.")
@click.option("--kodak", type=click.Path(path_type=Path), default=common.KODAK)
@click.option(
    "--output", type=click.Path(path_type=Path), default=common.RESULTS / "exactness.json"
)
@click.option("--base", "bases", multiple=True, help="Only this base codec; default: all packaged.")
@click.option("--limit", type=click.IntRange(1), help="Only the first N pictures.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True)
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=Path(tempfile.gettempdir()) / "icmh-exactness",
    help="Where unfinished results lie.",
)
@click.option("--label", default="", help="Name of this machine, where several fill one folder.")
@click.option("--only", default="", help="Only settings whose name holds this text.")
def main(
    kodak: Path,
    output: Path,
    bases: tuple[str, ...],
    limit: int | None,
    workers: int,
    work: Path,
    label: str,
    only: str,
) -> None:
    paths = common.pictures(kodak, limit)
    # The packaged bundles and random ones; also in the processes that are started.
    os.environ["ICMH_DATA"] = str((work / "data").resolve())
    found = measured(list(bases) or cases.packaged_bases())
    weights = {case.name: case.weights() for case in found}
    described = {"pictures": len(paths), "cases": weights}
    key = hashlib.sha256(json.dumps(described).encode()).hexdigest()[:12]
    settings = [setting for setting in settings_here(label) if only in setting.name]
    bench = Bench(work / key, paths, found, settings)
    results = {"settings": described, "machine": common.machine(), **run(bench, workers)}
    common.write_json(output, results)
    Console(width=160).print(table(results))


def measured(bases: Sequence[str]) -> list[Case]:
    """All cases of these codecs, with random predictors of the kinds that no bundle has."""
    for base, kind in product(bases, RANDOM):
        cases.add_random(base, kind)
    return cases.every(bases)


if __name__ == "__main__":
    main()
