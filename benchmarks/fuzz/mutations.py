"""Thousands of random mutations of small files, and every truncation of two: what comes of them.

    python -m benchmarks.fuzz.mutations
    python -m benchmarks.fuzz.mutations --clips 2000 --symbols 0 --pixels 0 --no-truncations

Of a clip, mutations change bytes, take out or repeat chunks, or change a chunk and its CRC with it,
in turn; it is also cut at the border of every chunk.

Half of the mutations have their checksums made right again. A case is a finding where it ends in
anything but an error of icmh's or a right decode, takes more than 10 s, or takes the process to
more than twice the memory of the good files. Cases run in a process of their own: a crash is one
more finding, and the rest goes on. `--first N --symbols 1` runs one of them again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from benchmarks import video_cases
from benchmarks.common import RESULTS, ROOT, machine, write_json
from icmhcodec.codecs import zoo
from icmhcodec.errors import MissingWeightsError
from icmhcodec.pipeline.codec import Codec
from tests.attacks import mutations, samples
from tests.attacks.mutations import Seal
from tests.pipeline.conftest import BASE
from tests.pipeline.video import mutations as clips
from tests.pipeline.video.mutations import Good
from tests.pipeline.video.samples import borders

MEMORY = 2  # times that of the good files
STEP = 500  # cases between two lines on the terminal

Case = tuple[str, Callable[[], str]]


@click.command(help=__doc__)
@click.option("--symbols", default=20_000, show_default=True, help="Mutations down to symbols.")
@click.option("--pixels", default=500, show_default=True, help="Mutations down to pixels.")
@click.option("--truncations/--no-truncations", default=True, help="Cut two files at every byte.")
@click.option("--clips", default=0, show_default=True, help="Mutations of a clip.")
@click.option("--first", default=0, show_default=True, help="Number of the first mutation.")
@click.option("--seed", default=11, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "fuzz_mutations.json")
@click.option("--begin", type=int, hidden=True, help="Index of the first case, in the worker.")
@click.option("--journal", type=click.Path(path_type=Path), hidden=True)
def main(output: Path, begin: int | None, journal: Path | None, **options: Any) -> None:
    if begin is None or journal is None:
        results = supervise(options)
        write_json(output, results)
        click.echo(json.dumps(results["counts"], indent=1))
        sys.exit(bool(results["findings"]))
    work(begin, journal, **options)


def supervise(options: dict[str, Any]) -> dict[str, Any]:
    """Run all cases in worker processes, a new one after each crash; their counts and findings."""
    start = time.monotonic()
    lines: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal"
        begin: int | None = 0
        while begin is not None:
            command = [sys.executable, "-m", "benchmarks.fuzz.mutations", *sys.argv[1:]]
            command += ["--begin", str(begin), "--journal", str(journal)]
            code = subprocess.run(command, cwd=ROOT).returncode
            new = [json.loads(line) for line in journal.read_text().splitlines()]
            lines, begin = lines + new, None
            if code:
                last = new[-1]["case"] + 1 if new else begin
                lines.append({"case": last, "finding": f"the process ended with {code}"})
                begin = None if last is None else last + 1
            journal.unlink()
    counts: dict[str, Counter[str]] = {}
    for line in lines:
        if "outcome" in line:
            counts.setdefault(line["kind"], Counter())[line["outcome"]] += 1
    peaks = [line["peak"] for line in lines if "peak" in line]
    return {
        "command": options,
        "machine": machine(),
        "seconds": round(time.monotonic() - start),
        "counts": {kind: dict(sorted(count.items())) for kind, count in counts.items()},
        "slowest_s": max(line.get("seconds", 0) for line in lines),
        "memory_MB": {"good": min(line["good"] for line in lines if "good" in line),
                      "hostile": max(peaks, default=0)},
        "findings": [line for line in lines if "finding" in line],
    }  # fmt: skip


def work(begin: int, journal: Path, **options: Any) -> None:
    """Run the cases from one on; a line of the journal for each."""
    torch.set_num_threads(1)
    zoo._download = no_net  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder, journal.open("w", buffering=1) as sink:
        os.environ.update(ICMH_DATA=folder, ICMH_CACHE=folder)
        samples.install_bundles(Path(folder))
        if options["clips"]:
            video_cases.add_random_codec()
        codec = Codec(BASE)
        files = samples.encoded(codec)
        clip = clips.good() if options["clips"] else None
        reset_peak()
        for data in files.values():
            codec.decode(data)
            codec.symbols(data)
        if clip:
            clips.judge(clip, clip.data)
        good = peak()
        sink.write(json.dumps({"good": good, "case": begin - 1}) + "\n")
        for number, (kind, case) in enumerate(cases(codec, files, clip, **options)):
            if number < begin:
                continue
            line = {"case": number, "kind": kind, **judged(case, good)}
            sink.write(json.dumps(line) + "\n")
            if number % STEP == 0 or "finding" in line:
                print(line, flush=True)


def no_net(codec_id: str) -> bytes:
    raise MissingWeightsError(f"{codec_id}: no net here")


def judged(case: Callable[[], str], good: float) -> dict[str, Any]:
    """Outcome, seconds and peak memory (MB) of one case, and what is wrong with it."""
    reset_peak()
    begin = time.monotonic()
    try:
        result: dict[str, Any] = {"outcome": case()}
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        result = {"outcome": "finding", "finding": repr(error)}
    result |= {"seconds": round(time.monotonic() - begin, 3), "peak": peak()}
    if result["peak"] > MEMORY * good:
        result["finding"] = f"{result['peak']} MB where the good files take {good}"
    return result


def cases(
    codec: Codec,
    files: dict[str, bytes],
    clip: Good | None,
    symbols: int,
    pixels: int,
    truncations: bool,
    clips: int,
    first: int,
    seed: int,
) -> Iterator[Case]:
    """All cases in their order, each with its kind."""
    for judge, count in ((mutations.to_symbols, symbols), (mutations.to_pixels, pixels)):
        for _, name, data, seal in mutations.cases(files, seed, first, count):
            kind = f"{judge.__name__.replace('_', ' ')}, {SEALS[seal]}"
            yield kind, partial(judge, codec, files[name], data, seal)
    for data in samples.smallest(codec).values() if truncations else ():
        for length in range(len(data)):
            cut = data[:length]
            yield "truncated", partial(mutations.to_pixels, codec, data, cut, Seal.NONE)
    if clip:
        yield from clip_cases(clip, clips, first, seed)


def clip_cases(clip: Good, count: int, first: int, seed: int) -> Iterator[Case]:
    """A clip cut at the border of every chunk, and its mutations."""
    for at in borders(clip.data)[:-1]:
        yield "clip, cut at the border of a chunk", partial(clips.judge, clip, clip.data[:at])
    for number in range(first, first + count):
        rng = np.random.default_rng([seed, number])
        kind = number % 4
        if kind == 0:
            type_, broken = clips.sealed(rng, clip.data)
            yield "clip, chunks sealed", partial(clips.judge_sealed, clip, type_, broken)
        elif kind == 1:
            broken = clips.without_chunks(rng, clip.data)
            yield "clip, chunks missing or twice", partial(clips.judge, clip, broken)
        else:
            broken = clips.mutated(rng, clip.data)
            yield "clip, checksums as they were", partial(clips.judge, clip, broken)


SEALS = {
    Seal.NONE: "checksums as they were",
    Seal.CHUNKS: "chunks sealed",
    Seal.ALL: "chunks sealed, symbols and masks trusted",
}


def reset_peak() -> None:
    """Let the peak of memory begin at what is taken now (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> float:
    """The most memory that the process has had since `reset_peak`, in MB."""
    status = Path("/proc/self/status").read_text()
    return round(int(status.split("VmHWM:")[1].split()[0]) / 1024, 1)


if __name__ == "__main__":
    main()
