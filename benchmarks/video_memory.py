"""Peak memory of `icmh encode` and `icmh decode` for a short clip and one ten times as long.

Each command runs in a process of its own, and its peak is what Linux says of that process alone.
Buffers of FFmpeg and of the pipeline fill within some fifty frames: a short clip has more.

    python -m benchmarks.video_memory
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks import video_cases
from benchmarks.common import KODAK, RESULTS, ROOT, machine, pictures, write_json
from benchmarks.video_cases import CASES, TASK, Clip

GROWTH = 0.1  # most that a long clip may take over a short one
# `icmh` with the file that its peak goes to as the first argument.
MEASURED = """
import pathlib, runpy, sys
target = pathlib.Path(sys.argv.pop(1))
try:
    runpy.run_module("icmhcodec.cli", run_name="__main__", alter_sys=True)
finally:
    status = pathlib.Path("/proc/self/status").read_text()
    target.write_text(status.split("VmHWM:")[1].split()[0])
"""
Row = dict[str, Any]


def peak(arguments: list[str], folder: Path, threads: int) -> int:
    """The most bytes of memory that `icmh` held; ClickException where it failed."""
    target = folder / "peak"
    options = [*arguments, "--force", "--threads", str(threads)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", MEASURED, str(target), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"icmh {' '.join(arguments)}: {done.stderr.strip()}")
    return int(target.read_text()) * 1024


def measured(clip: Path, options: list[str], folder: Path, threads: int) -> Row:
    """Peaks of coding a clip, and of decoding all of it and the first layer alone."""
    coded, shown = str(folder / "coded.icm"), str(folder / "shown.mp4")
    commands = {
        "encode": ["encode", str(clip), *options, "--task", TASK, "-o", coded],
        "decode": ["decode", coded, "-o", shown],
        f"decode --task {TASK}": ["decode", coded, "--task", TASK, "-o", shown],
    }
    return {name: peak(command, folder, threads) for name, command in commands.items()}


def growth(peaks: list[Row], clips: list[Clip]) -> Row:
    """How much more the longest clip takes, as a share and in frames for each frame more."""
    short, long = clips[0], clips[-1]
    pixels = short.width * short.height * 3
    more = {name: peaks[-1][name] - peaks[0][name] for name in peaks[0]}
    return {
        name: {
            "share": extra / peaks[0][name],
            "frames_held_per_frame": extra / (pixels * (long.frames - short.frames)),
        }
        for name, extra in more.items()
    }


@click.command(help=__doc__)
@click.option("--size", nargs=2, type=int, default=(256, 144), show_default=True)
@click.option("--seconds", nargs=2, type=float, default=(6, 60), show_default=True)
@click.option(
    "--case", "cases", multiple=True, type=click.Choice(list(CASES)), default=("default",)
)
@click.option("--threads", default=1, show_default=True)
@click.option("--kodak", type=click.Path(path_type=Path), default=KODAK)
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "video-memory.json")
def main(
    size: tuple[int, int],
    seconds: tuple[float, float],
    cases: tuple[str, ...],
    threads: int,
    kodak: Path,
    output: Path,
) -> None:
    clips = [Clip(*size, length) for length in seconds]
    found: Row = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [
            video_cases.write(folder / f"{n}.mp4", clip, pictures(kodak))
            for n, clip in enumerate(clips)
        ]
        for case in cases:
            options = [f"--{name}={value}" for name, value in CASES[case].items()]
            with video_cases.models_of(case, folder):
                peaks = [measured(file, options, folder, threads) for file in files]
            grown = growth(peaks, clips)
            found[case] = {"options": options, "peak_bytes": peaks, "growth": grown}
            for what, by in grown.items():
                click.echo(f"{case}, {what}: {peaks[0][what] / 2**20:.0f} MiB, {by['share']:+.1%}")
    within = all(by["share"] <= GROWTH for row in found.values() for by in row["growth"].values())
    write_json(output, {
        "machine": machine(), "width": size[0], "height": size[1],
        "frames": [clip.frames for clip in clips], "cases": found, "within": within,
    })  # fmt: skip
    sys.exit(not within)


if __name__ == "__main__":
    main()
